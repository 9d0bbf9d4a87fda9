"""What is wrong, or soon will be, with the engine, the variables, the workspace and its backups; each with its remedy.

Reads only. An error is what makes a task fail or a model be lost; a warning is what may.
"""

from __future__ import annotations

import glob
import os
import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from vmaf_workspace import guard
from vmaf_workspace.contract import BY_NAME, KEPT_NAMES, MARKER, SUBDIRS, Loss
from vmaf_workspace.disk.scan import files_below
from vmaf_workspace.disk.unlink import TRASH
from vmaf_workspace.errors import InUseError, NotReadHereError, WorkspaceError
from vmaf_workspace.groups import BACKED_UP
from vmaf_workspace.installation import install_command
from vmaf_workspace.live.lock import STARTING
from vmaf_workspace.live.mounts import mount_at
from vmaf_workspace.live.session_lock import stale_sessions
from vmaf_workspace.live.shell_paths import harness_packages, runs_shell_commands, special_characters
from vmaf_workspace.locate import VARIABLE, Location, current_directory, find_checkout, ignores_variable, locate
from vmaf_workspace.removal.candidates import plan_clean
from vmaf_workspace.report.models import Inspector, installed_inspector, is_special, latest_backup, trained_models
from vmaf_workspace.report.status import stored_results
from vmaf_workspace.snapshot.tree import stopped_wipe

LOW_BYTES = 1 << 30  # an intermediate YUV of a minute of 1080p takes four times as much
LOW_INODES = 10_000
LEFTOVER_S = 3600.0  # a hidden rest this old belongs to a process that was killed
DEFAULT_MODEL = "vmaf_v0.6.1"
_LOCKS = "a lock may not be seen through another mount, by another container or host"
_REMOTE = {
    "lustre": "a lock needs the mount option `flock`, and says nothing to other hosts with `localflock`",
    "nfs": "a lock is seen by other hosts only from NFS version 4 on, or with lockd; small files are slow",
    "cifs": "a lock may say nothing to other hosts, and hard links, modes and FIFOs may be missing",
}


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at; *remedy* is what a person does about it, blank where there is nothing to do."""

    level: Level
    about: str
    found: str
    remedy: str = ""


def _ok(about: str, found: str) -> Finding:
    return Finding(level=Level.OK, about=about, found=found)


def _warning(about: str, found: str, remedy: str) -> Finding:
    return Finding(level=Level.WARNING, about=about, found=found, remedy=remedy)


def _error(about: str, found: str, remedy: str) -> Finding:
    return Finding(level=Level.ERROR, about=about, found=found, remedy=remedy)


def examine(location: Location, *, at: str = "", environ: Mapping[str, str] | None = None) -> list[Finding]:
    """Everything that can be said of the workspace at *location* and what it needs; *at* is the backup location."""
    environ = os.environ if environ is None else environ
    root = location.path
    harness = installed_inspector()
    is_readable = os.path.isdir(root) and os.access(root, os.R_OK | os.X_OK)  # otherwise that is what is wrong
    return [
        *_engine(harness),
        *_variable(environ),
        *_shell_characters(root),
        *_workspace(root),
        *(_contents(root, harness, at) if is_readable else ()),
        *(_backups(root, at) if is_readable else ()),
    ]


def _engine(harness: Inspector | None) -> Iterator[Finding]:
    if harness is None:
        what = "no harness is installed here, so engine, pickles and models are not looked into"
        yield _warning("engine", what, f"`{install_command('harness')}`")
        return
    try:
        engine = harness.engine()
    except WorkspaceError as error:
        what, _, remedy = str(error).rpartition("\n")
        yield _error("engine", what, remedy)
        return
    yield _ok("engine", f"ffmpeg {engine['ffmpeg']} with libvmaf {engine['libvmaf']}: {engine['path']}")
    another = f"`{install_command('harness')}` brings an ffmpeg that has it; VMAF_FFMPEG names another"
    for problem in engine["passed_over"]:
        mend = "take it from PATH, or bring it up to date; or set VMAF_FFMPEG to the one that is meant"
        yield _warning("engine", f"passed over: {problem}", mend)
    if engine["lacks"]:
        yield _error("engine", engine["lacks"], another)
    else:
        yield _ok("engine", "float features work")
    has = harness.built_in()
    if DEFAULT_MODEL not in has:
        yield _error("engine", f"its libvmaf lacks the built-in model {DEFAULT_MODEL}", another)
    else:
        yield _ok("engine", f"{len(has)} built-in models load, {DEFAULT_MODEL} among them")


def _variable(environ: Mapping[str, str]) -> Iterator[Finding]:
    named = environ.get(VARIABLE)
    if named is None:
        return
    text = named.strip()
    if not text:
        remedy = f"unset {VARIABLE}, or give it a path"
        yield _warning("variable", f"{VARIABLE} is blank, so it counts as unset", remedy)
        return
    if not text.startswith(("/", "~")):
        found = f"{VARIABLE} is {text!r}, which is another directory from each place that a command is given"
        yield _warning("variable", found, f"export {VARIABLE}={shlex.quote(str(current_directory() / text))}")
    checkout = find_checkout(current_directory())
    is_elsewhere = checkout is not None and os.path.realpath(locate(text).path) != os.path.realpath(checkout.workspace)
    if checkout is not None and is_elsewhere and ignores_variable(checkout):
        found = f"the harness of {checkout.root} does not read {VARIABLE}: it writes to {checkout.workspace}"
        yield _warning("variable", found, "start it by `ws.run -- python -m vmaf.script.…`, which leads it here")


def _shell_characters(root: Path) -> Iterator[Finding]:
    checkout = find_checkout(current_directory()) if special_characters(root) else None
    for package in harness_packages(checkout) if checkout is not None else ():
        if runs_shell_commands(package):
            held = f"{root} holds {special_characters(root)!r}"
            found = f"{held}, and the harness in {package} gives paths to a shell as they are"
            remedy = f"`ws.migrate --to` a path without them, or set {VARIABLE} to one; `ws.run` refuses until then"
            yield _warning("workspace", found, remedy)


def _workspace(root: Path) -> Iterator[Finding]:
    try:
        there = guard.check(root)
    except WorkspaceError as error:
        what, _, rest = str(error).partition("\n")
        yield _error("workspace", what, rest or f"set {VARIABLE} to a directory of its own, or run `ws.setup`")
        there = os.path.isdir(root)
    else:
        if not there:
            yield _ok("workspace", f"{root} is not there yet; a run, or `ws.setup`, makes it")
        elif not guard.is_marked(root):
            found = f"{root} has no marker yet; it is a checkout's default place, so the first clean marks it"
            yield _ok("workspace", found)
        else:
            yield _ok("workspace", f"{root} carries our marker")
    nearest = next(place for place in (root, *root.absolute().parents) if os.path.isdir(place))
    yield from _file_system(nearest, "workspace", keeps_work=True)
    for subdir in SUBDIRS if there else ():
        if os.path.islink(root / subdir.name) and os.path.isdir(root / subdir.name):
            real = Path(os.path.realpath(root / subdir.name))
            yield from _file_system(real, f"{subdir.name}/", keeps_work=subdir.loss is Loss.WORK)


def _file_system(place: Path, about: str, *, keeps_work: bool) -> Iterator[Finding]:
    mount = mount_at(place)
    kind = mount.kind
    if (remote := next((what for name, what in _REMOTE.items() if kind.startswith(name)), "")) or mount.lock_doubt:
        found = f"{place} is on {kind or 'an unknown file system'}: {remote or _LOCKS}"
        remedy = "see the mount options; scratch (workdir/, output/) is better a symlink to a local disk"
        if mount.lock_doubt:
            found += "; so a free lock proves nothing there, and the age of a run decides (`--min-age`)"
        yield _warning(about, found, remedy)
    if kind in ("tmpfs", "ramfs") and keeps_work:
        remedy = "`ws.migrate --to` a disk, or back the models up elsewhere after each training"
        yield _warning(about, f"{place} is on {kind}: in memory, and gone with the next reboot", remedy)
    room = os.statvfs(place)
    if "ro" in mount.options or room.f_flag & os.ST_RDONLY:
        remedy = f"mount it writable, or set {VARIABLE} to a directory elsewhere"
        yield _error(about, f"{place} is on a read-only file system", remedy)
    elif not os.access(place, os.W_OK | os.X_OK):
        remedy = f"make it writable, or set {VARIABLE} to a directory elsewhere"
        yield _error(about, f"{place} may not be written by this user", remedy)
    free = room.f_bavail * room.f_frsize
    remedy = "`ws.clean-scratch` costs nothing, `ws.purge-cache` time; `ws.migrate --to` a larger disk"
    if free < LOW_BYTES:
        level = Level.WARNING if free else Level.ERROR
        yield Finding(level=level, about=about, found=f"{free >> 20} MiB are free at {place}", remedy=remedy)
    if room.f_files and room.f_favail < LOW_INODES:
        level = Level.WARNING if room.f_favail else Level.ERROR
        yield Finding(level=level, about=about, found=f"{room.f_favail} inodes are free at {place}", remedy=remedy)


def _contents(root: Path, harness: Inspector | None, at: str) -> Iterator[Finding]:
    yield from _leftovers(root)
    yield from _orphans(root)
    if older := sum(each.older for each in stored_results(root)):
        found = f"stored results of an older rule of bringing two videos to one form: {older}; no run takes them"
        remedy = "`ws.purge-cache` frees their room (`--older-than AGE` takes those alone that were not used lately)"
        yield _warning("result_store_dir", found, remedy)
    foreign = sorted(set(os.listdir(root)) - {*BY_NAME, *KEPT_NAMES})
    if foreign:
        shown = ", ".join(map(repr, foreign[:3])) + (f" and {len(foreign) - 3} more" if len(foreign) > 3 else "")
        remedy = "no task removes it or backs it up: move it out, or into dataset/"
        yield _warning("workspace", f"{shown}: not one of the eight", remedy)
    for path in _files(root / "model", ".onnx"):
        remedy = "move it, with its sidecar .json, to the checkout's model/tiny/"
        found = f"{path.relative_to(root)}: ONNX, which the Python harness does not read from here"
        yield _error("model/", found, remedy)
    unsafe: set[str] = set()
    if harness is not None:
        for subdir in BACKED_UP:
            for path in [path for path in _files(root / subdir, ".pkl") if not is_special(path)]:
                try:
                    harness.is_plain(path)
                except NotReadHereError:  # said below
                    continue
                except Exception as error:  # whatever a harness raises
                    unsafe.add(str(path))
                    remedy = f"do not load it with anything else; {_restore_remedy(root, path, at)}"
                    yield _error(f"{subdir}/", str(error), remedy)
    for subdir in sorted({*BACKED_UP} - {"model"}):  # a pickle there is whole without a .model, not the other way round
        for path in [path for path in _files(root / subdir, ".model") if ".pkl" in path.name]:
            if not os.path.lexists(path.with_suffix("")):
                found = f"{path.relative_to(root)}: half a model, as {path.stem} is not beside it"
                remedy = f"move it to where {path.stem} is, or restore that (`ws.restore-models --only`)"
                yield _error(f"{subdir}/", found, remedy)
    whole = 0
    try:
        models = trained_models(root)
    except WorkspaceError as error:
        what, _, remedy = str(error).partition("\n")
        yield _error("model/", what, remedy)
        return
    for model in models:
        try:
            problem = _load_problem(root, model.name, model.files, harness, unsafe)
        except NotReadHereError as error:
            yield _warning("model/", f"{model.name}: {error}", "nothing to do: score it with that harness")
            continue
        missing = [] if harness is not None and problem is None else list(model.missing)
        if not missing and problem is None:
            whole += 1
        elif missing or not unsafe & {str(root / "model" / path) for path in model.files}:
            found = f"{model.name}: {', '.join(missing)} missing" if missing else str(problem)
            remedy = "restore the whole group (`ws.restore-models --only`), copy all its files again, or train anew"
            yield _error("model/", found, remedy)
    if whole:
        yield _ok("model/", f"{whole} whole {'model' if whole == 1 else 'models'}")


def _load_problem(
    root: Path, name: str, files: tuple[str, ...], harness: Inspector | None, unsafe: set[str]
) -> str | None:
    main = next((path for path in (f"{name}.pkl", f"{name}.json") if path in files), None)
    if main is None or harness is None or str(root / "model" / main) in unsafe:
        return None if harness is None else f"{name}: its .pkl is missing or unsafe"
    try:
        harness.read(root / "model" / main)
    except NotReadHereError:
        raise
    except Exception as error:  # whatever a harness raises for a model that does not load
        return str(error)
    return None


def _restore_remedy(root: Path, path: Path, at: str) -> str:
    """What to do about a file that is broken: which snapshot of this workspace holds it with another content."""
    from vmaf_workspace.disk.content import file_sha256
    from vmaf_workspace.snapshot import store
    from vmaf_workspace.snapshot.locate import open_location
    from vmaf_workspace.snapshot.manifest import short_id

    below = path.relative_to(root).as_posix()
    with suppress(WorkspaceError, OSError):
        place = open_location(at, root=root)
        now, known = file_sha256(str(path)), store.list_ids(place)
        while (snapshot := store.latest_snapshot(place, root, known)) is not None:
            known = known[: known.index(snapshot.id)]
            if any(file.path == below and file.sha256 not in ("", now) for file in snapshot.files):
                pattern = shlex.quote(glob.escape(below))
                which = f"--snapshot {short_id(snapshot.id)} --only {pattern} --overwrite"
                return f"a snapshot holds it otherwise: `ws.restore-models {which}`"
    return "no snapshot holds it otherwise, so keep it until the model was trained again"


def _files(top: Path, ending: str) -> list[Path]:
    return sorted(Path(path) for path in files_below(top) if path.lower().endswith(ending))


def _orphans(root: Path) -> Iterator[Finding]:
    """What runs that were killed left in scratch; the output of a run that ended is a person's to read."""
    try:
        plan = plan_clean(root)
    except WorkspaceError:  # not ours: said elsewhere
        return
    for kept in plan.kept:
        if kept.failed:
            about, found = f"{kept.path.split('/')[0]}/", f"{kept.path}: {kept.why}"
            yield _error(about, found, "until that is mended, `ws.clean-scratch` leaves it and ends with 1")
    entries = [entry.path.rstrip("/") for entry in plan.entries]
    of_runs = [path for path in entries if path.startswith("workdir/")]
    twins = {f"output/{os.path.basename(path)}" for path in of_runs}
    for about, paths in (("workdir/", of_runs), ("output/", [path for path in entries if path in twins])):
        orphans = [path for path in paths if not os.path.basename(path).startswith((TRASH, STARTING))]
        if orphans:
            found = f"{len(orphans)} left by runs that are over, such as {orphans[0]!r}"
            yield _warning(about, found, "`ws.clean-scratch` removes them")


def _leftovers(root: Path) -> Iterator[Finding]:
    """What processes that were killed left."""
    from vmaf_workspace.migration.plan import JOURNAL, MigrationState, read_journal

    stale = stale_sessions(root)
    if stale:
        found = f"{len(stale)} lock files of sessions that are over, in {MARKER}/sessions"
        yield _warning("locks", found, "nothing to do: they lock nothing, and the next `ws.run` removes them")
    journal = read_journal(root)
    if journal.get("state", MigrationState.DONE) != MigrationState.DONE:
        found = f"a migration from {journal.get('from')} to {journal.get('to')} was stopped ({MARKER}/{JOURNAL})"
        source, target = (shlex.quote(str(journal.get(end))) for end in ("from", "to"))
        yield _warning("workspace", found, f"`ws.migrate --from {source} --to {target}`")
    of_wipes = stopped_wipe(root)
    for subdir in SUBDIRS:
        try:
            names = os.listdir(root / subdir.name)
        except OSError as error:
            if subdir.loss in (Loss.TIME, Loss.INPUT) and not isinstance(error, FileNotFoundError):  # others: elsewhere
                found, remedy = f"cannot be read ({error.strerror})", "make it readable"
                yield _error(f"{subdir.name}/", found, remedy)
            continue
        rests = [name for name in names if name.startswith((TRASH, STARTING)) and _is_old(root / subdir.name / name)]
        if rests and not subdir.backed_up:
            remedy = subdir.removed_by or "remove them by hand"
            found = f"{len(rests)} hidden rests of a task that was killed, such as {sorted(rests)[0]}"
            yield _warning(f"{subdir.name}/", found, f"`{remedy}` finishes it")
        if stopped := [(path, why) for path, why in of_wipes if path.startswith(f"{subdir.name}/")]:
            left, _, remedy = stopped[0][1].partition(": ")
            found = f"{len(stopped)} {'file' if len(stopped) == 1 else 'files'} {left}, such as {stopped[0][0]}"
            yield _warning(f"{subdir.name}/", found, remedy)
        begun = [name for name in names if name.startswith(".") and name.endswith(".whole")]
        if subdir.backed_up and begun:
            found = f"{sorted(begun)[0]}: a model that was being written when its writer was killed"
            yield _warning(f"{subdir.name}/", found, "read it once, or train it again: both finish the writing")


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.lstat().st_mtime > LEFTOVER_S
    except OSError:
        return False


def _backups(root: Path, at: str) -> Iterator[Finding]:
    from vmaf_workspace.snapshot import store
    from vmaf_workspace.snapshot.difference import current_files, difference
    from vmaf_workspace.snapshot.locate import disk_warning, open_location
    from vmaf_workspace.snapshot.manifest import manifest_name, short_id

    try:
        now = current_files(root)
        place = open_location(at, root=root)
        is_near = place.directory is not None  # to read what lies far away is for `ws.verify`, when it is asked to
        ahead = store.future_snapshots(place, root)
        held = latest_backup(root, place, read=is_near)
    except InUseError as error:
        yield _warning("backups", str(error), "ask again when it is written")
        return
    except (WorkspaceError, OSError) as error:
        what, _, remedy = str(error).partition("\n")
        yield _error("backups", what, remedy or "name another place with --at")
        return
    warning = disk_warning(place, root)
    if warning and now:
        what, _, remedy = warning.partition("; ")
        yield _warning("backups", what, remedy)
    for wrong in ahead:
        found = f"snapshot {short_id(wrong.id)} in {place.url} is dated in the future, so it is not the latest"
        yield _warning("backups", found, f"once nothing in it is missed, move {manifest_name(wrong.id)} away")
    if held.snapshot is None:
        if now:
            found = f"there are models, and no snapshot of this workspace in {place.url}"
            yield _warning("backups", found, "`ws.backup-models`")
        return
    latest = f"the latest snapshot in {place.url}, {short_id(held.snapshot.id)},"
    changes = difference(held.snapshot.files, now)
    unsaved = [file.path for file in changes.added] + [file.path for _, file in changes.changed]
    gone = [file.path for file in changes.removed]
    lost = sorted(held.lost)
    if lost:
        found = f"{latest} is damaged: it lacks the content of {_listed(lost)}"
        remedy = "`ws.backup-models` stores again what is still here; `ws.verify` says which snapshots lack what"
        yield _error("backups", found, remedy)
    if unsaved:
        yield _warning("backups", f"{latest} does not have as it is now: {_listed(unsaved)}", "`ws.backup-models`")
    if gone:
        found = f"{latest} has what is no longer here: {_listed(gone)}"
        yield _warning("backups", found, "`ws.restore-models` brings that back; nothing to do where it went on purpose")
    if not (lost or unsaved or gone):
        rest = "" if is_near else "; `ws.verify` reads it"
        yield _ok("backups", f"{latest} holds every model as it is now{rest}")


def _listed(paths: list[str]) -> str:
    more = len(paths) - 1
    return repr(paths[0]) + (f" and {more} more {'file' if more == 1 else 'files'}" if more else "")
