"""One proof: a command of tests, run by the caller in an environment that is given, and what it left and where."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from vmaf_workspace.contract import CACHE_TAG, KEPT_NAMES, SCRATCH
from vmaf_workspace.disk.scan import open_directory
from vmaf_workspace.disk.unlink import remove_tree
from vmaf_workspace.errors import DONE, InUseError, UsageError
from vmaf_workspace.live.session import (
    found_program,
    redirected_environment,
    refuse_what_is_not_led,
    shells,
    was_written,
)
from vmaf_workspace.live.session_lock import live_sessions
from vmaf_workspace.locate import VARIABLE, find_checkout
from vmaf_workspace.proof import watch
from vmaf_workspace.proof.place import (
    AT,
    AWKWARD,
    BASE,
    PROOF,
    WITHOUT_BLANKS,
    Place,
    environment,
    override_place,
    passed_by_tox,
)
from vmaf_workspace.proof.throwaway import build_of, throwaway
from vmaf_workspace.wording import bytes_text, count_text, printable

PLACES = ("default", "override")
At = Literal["default", "override"]
Leftovers = Literal["show", "fail"]
LISTED = 20
BUILD_VARIABLE = "VMAF_BUILD_DIR"


@dataclass(slots=True, kw_only=True)
class Proof:
    """What the command is to be run with, and, when it has ended, what it proved: nothing but *failures* fails.

    *changed* are variables over the caller's own; None takes one away. *directory* is where it is to be run.
    """

    at: At
    directory: Path
    changed: dict[str, str | None]
    root: Path
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    exit_code: int = DONE  # of the command: who runs it says so before the block ends

    def environ(self, environ: Mapping[str, str]) -> dict[str, str]:
        """*environ* with what is changed."""
        whole: dict[str, str | None] = {**environ, **self.changed}
        return {name: value for name, value in whole.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What the Pythons that were run told of themselves."""

    configs: tuple[tuple[Path, str], ...]  # the file of each `vmaf.config`, and the workspace that it gave
    writers: Mapping[Path, str]  # the test that wrote a path first; blank outside pytest
    given: tuple[tuple[Path, str], ...]  # what the fixture, or `--vmaf-workspace-for-all`, gave, and at which place
    sessions: tuple[str, ...]  # of pytest with our plugin: what VMAF_WORKSPACE was for each

    def writer(self, path: Path) -> str:
        """The test that wrote *path*, or the nearest directory above it that a test made; blank where none is known."""
        return next((test for place in (path, *path.parents) if (test := self.writers.get(place))), "")

    def saw(self, path: Path) -> bool:
        """Whether one of them was seen to make *path*, or something below it."""
        return any(path == written or path in written.parents for written in self.writers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be proved: *command*, at its `default` place or at an `override`.

    *here* is a directory of the checkout. The default place is that of a throw-away copy at *copy*, or with *in_place*
    the real one, where what was made is taken away again. The override lies below *base*, else on another file system.
    *prepare* is called with the directory that the command is to be run in, before anything is looked at.
    """

    at: At
    command: Sequence[str]
    environ: Mapping[str, str]
    here: Path
    copy: Path
    base: Path | None = None
    in_place: bool = False
    leftovers: Leftovers = "show"
    prepare: Callable[[Path], None] = lambda _: None

    def watched(self, told: Path, *tops: Path) -> dict[str, str | None]:
        """The variables that every proof sets; what is written below *tops* is recorded in *told*."""
        places = dict.fromkeys(os.path.realpath(top) for top in tops) | dict.fromkeys(map(str, tops))
        (told / "tops").write_bytes(b"".join(os.fsencode(place) + b"\0" for place in places))
        (told / "record").touch()
        return {**passed_by_tox(self.environ), PROOF: str(told)}


@contextmanager
def proving(asked: Asked) -> Iterator[Proof]:
    """Prove what is *asked*; the block runs the command and notes its exit code, and the verdict is there after it.

    Raises RefusedError where the command cannot be redirected.
    """
    if asked.at not in PLACES or asked.leftovers not in ("show", "fail"):
        raise UsageError(f"expected default or override, and show or fail; got {asked.at!r} and {asked.leftovers!r}")
    asked = replace(asked, here=Path(os.path.realpath(asked.here)))
    checkout = find_checkout(asked.here, anybodys=True)
    root = watch.top(asked.here) or (checkout.root if checkout else asked.here)
    with tempfile.TemporaryDirectory(prefix="vmaf-proof-", ignore_cleanup_errors=True) as told:
        prove = _at_override if asked.at == "override" else _in_place if asked.in_place else _in_a_copy
        yield from prove(asked, root, Path(told))


def _at_override(asked: Asked, root: Path, told: Path) -> Iterator[Proof]:
    asked.prepare(asked.here)
    program = found_program(asked.command, asked.environ)
    refuse_what_is_not_led(asked.command, program, asked.environ)
    unsafe = shells(asked.command, program, asked.environ)
    with override_place(root, base=asked.base, name=WITHOUT_BLANKS if unsafe else AWKWARD) as place:
        changed = environment(asked.environ, place) | asked.watched(told, root, *watch.users_place(), place.workspace)
        proof = Proof(at="override", directory=asked.here, changed=changed, root=root)
        where = ", on another file system" if place.other_file_system else ""
        proof.notes.append(
            f"the workspace is {place.workspace}, a link{where}; home and temporary directory are others"
        )
        _say_what_is_not_watched(proof)
        if unsafe:
            proof.notes.append(f"its name has no blanks: {unsafe[0]} puts paths into a shell's commands as they are")
        before, began_ns = watch.look(root), time.time_ns()
        try:
            yield proof
        finally:
            record = _read(told, place)
            _nothing_changed(proof, before, record, default_too=True)
            _was_led(proof, record, place, began_ns)
            _nothing_beside(proof, place, record)
            _left(proof, {}, place.real, asked.leftovers, record)


def _in_a_copy(asked: Asked, root: Path, told: Path) -> Iterator[Proof]:
    with throwaway(root, asked.copy) as copy:
        changed = _default_environment(asked, root) | asked.watched(told, root, *watch.users_place(), copy)
        kept = changed["PYTHONPATH"] or ""
        inside = [_moved(Path(p), root, copy) if p else "" for p in kept.split(os.pathsep)]
        changed["PYTHONPATH"] = os.pathsep.join(map(str, inside))
        proof = Proof(at="default", directory=copy / asked.here.relative_to(root), changed=changed, root=root)
        asked.prepare(proof.directory)
        proof.notes.append(f"the checkout is a throw-away copy of {root}, with its uncommitted changes")
        before, in_copy = watch.look(root), watch.look(copy)
        try:
            yield proof
        finally:
            record = _read(told)
            _nothing_changed(proof, before, record, default_too=True, but=copy)
            _nothing_changed(proof, in_copy, record, default_too=False)
            _was_at_default(proof, record, copy)
            for place in watch.default_places(copy):
                _left(proof, in_copy.workspace, place, asked.leftovers, record)


def _in_place(asked: Asked, root: Path, told: Path) -> Iterator[Proof]:
    for place in watch.default_places(root):
        if users := live_sessions(place):
            raise InUseError(f"{place} is in use by {count_text(len(users), 'session')}; wait, or leave in_place out")
    asked.prepare(asked.here)
    changed = _default_environment(asked, root) | asked.watched(told, root, *watch.users_place())
    proof = Proof(at="default", directory=asked.here, changed=changed, root=root)
    proof.notes.append(f"the checkout is {root} itself; what is made in its workspace is taken away again")
    _say_what_is_not_watched(proof)
    before = watch.look(root)
    try:
        yield proof
    finally:
        record = _read(told)
        _nothing_changed(proof, before, record, default_too=False)
        _was_at_default(proof, record, root)
        for place in watch.default_places(root):
            _left(proof, before.workspace, place, asked.leftovers, record)
        _take_away(proof, before, record)


def _default_environment(asked: Asked, root: Path) -> dict[str, str | None]:
    changed: dict[str, str | None] = {VARIABLE: None, BASE: None, AT: "default"}
    changed["PYTHONPATH"] = redirected_environment(root, asked.environ)["PYTHONPATH"]  # to be told what it wrote
    build = asked.environ.get(BUILD_VARIABLE) or build_of(root)
    if build:
        changed[BUILD_VARIABLE] = str(asked.here / build)
    return changed


def _moved(path: Path, root: Path, copy: Path) -> Path:
    """*path* in *copy* where it lies in *root* and the copy has it; a relative one counts from where it is run."""
    if path.is_absolute() and path.is_relative_to(root) and (inside := copy / path.relative_to(root)).exists():
        return inside
    return path


def _read(told: Path, place: Place | None = None) -> Record:
    """What was told in the directory *told*, of *place* by its real path; a line that has no end is left out."""
    texts = [os.fsdecode(text) for text in (told / "record").read_bytes().split(b"\0")[:-1]]
    lines = zip(*(texts[n::4] for n in range(4)), strict=False)
    configs: list[tuple[Path, str]] = []
    writers: dict[Path, str] = {}
    given: list[tuple[Path, str]] = []
    sessions: list[str] = []
    for kind, test, path, detail in lines:
        if kind == "config":
            configs.append((Path(path), detail))
        elif kind == "wrote":
            written = Path(path)
            if place is not None and written.is_relative_to(place.workspace):
                written = place.real / written.relative_to(place.workspace)
            writers.setdefault(written, test)
        elif kind == "given":
            given.append((Path(path), detail))
        elif kind == "pytest":
            sessions.append(detail)
    return Record(configs=tuple(configs), writers=writers, given=tuple(given), sessions=tuple(sessions))


def _say_what_is_not_watched(proof: Proof) -> None:
    if not os.path.lexists(proof.root / ".git"):
        proof.notes.append(f"{proof.root} is not git's, so only the default places of its workspace are watched")


def _nothing_changed(
    proof: Proof, before: watch.Seen, record: Record, *, default_too: bool, but: Path | None = None
) -> None:
    """A failure where something changed outside the workspace that was meant."""
    after = watch.look(before.root)
    found = _but(watch.changes(before.elsewhere, after.elsewhere, after.tracked), but)
    lines = [_line(f"{c.how} {_named(c.path, before.root)}", c.path, record) for c in found if c.how != "used"]
    lines += _hidden_from_git(before, after, record, but)
    if before.head != after.head:
        lines.append(f"  another commit, {after.head[:12]}, which hides from git what is in it")
    if lines:
        many = count_text(len(lines), "change")
        title = f"{many} in {before.root}, outside any workspace, that git does not ignore:"
        proof.failures.append(_listed(title, lines))
    places = watch.users_place()
    found = watch.changes(before.users, after.users)
    if default_too:
        places += watch.default_places(before.root)
        found += _but(watch.changes(before.workspace, after.workspace), but)
    told = {change.path.parent for change in found if change.how != "used"}
    passing = [path for path in record.writers if but is None or not path.is_relative_to(but)]
    passing = [path for path in passing if _came_and_went(path, before, places)]
    passing = [path for path in passing if path.parent not in passing]
    told |= {path.parent for path in passing}
    lines = [_line(f"{c.how} {_named(c.path, before.root)}", c.path, record) for c in found if c.how != "used"]
    lines += [_line(f"made and removed again {_named(path, before.root)}", path, record) for path in passing]
    lines += [
        _line(f"made and removed again something in {_named(c.path, before.root)}", c.path, record)
        for c in found
        if c.how == "used" and c.path not in told
    ]
    if lines:
        many = count_text(len(lines), "change")
        proof.failures.append(_listed(f"{many} in {before.root}, of the workspace at its default place:", lines))


def _came_and_went(path: Path, before: watch.Seen, places: Sequence[Path]) -> bool:
    """Whether *path*, which a test wrote, was not there before and is not now, in one of *places*."""
    if path in before.workspace or path in before.users or "__pycache__" in path.parts:
        return False
    return not {path, *path.parents}.isdisjoint(places) and not os.path.lexists(path)


def _but(found: Sequence[watch.Change], but: Path | None) -> list[watch.Change]:
    """*found* without what lies in *but*, and without directories that were made for something that is told."""
    found = [c for c in found if but is None or not c.path.is_relative_to(but)]
    return [c for c in found if c.how != "made" or not any(c.path in other.path.parents for other in found)]


def _named(path: Path, root: Path) -> str:
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def _hidden_from_git(before: watch.Seen, after: watch.Seen, record: Record, but: Path | None) -> list[str]:
    """Each new `.gitignore` that ignores itself, and so hides from git what is beside it; caches' own are let be."""
    lines = []
    for path in record.writers:
        if path.name != ".gitignore" or not path.is_relative_to(before.root) or path in after.elsewhere:
            continue
        if path in after.workspace or (but is not None and path.is_relative_to(but)) or not path.is_file():
            continue
        of_a_tool = watch.NOT_WATCHED & set(path.relative_to(before.root).parts)
        if of_a_tool or any((path.parent / name).exists() for name in (CACHE_TAG, "pyvenv.cfg")):
            continue
        if watch.ignores_itself(before.root, path):
            hides = f"made {_named(path, before.root)}, which hides from git what is beside it"
            lines.append(_line(hides, path, record))
    return lines


def _was_led(proof: Proof, record: Record, place: Place, began_ns: int) -> None:
    """A failure where nothing shows that the tests ever heard of the override, or wrote beside it."""
    led = [file for file, workspace in record.configs if os.path.realpath(workspace or "/") == str(place.real)]
    given = [path for path, at in record.given if at == "override" and path.is_relative_to(place.real)]
    made = [path for path in watch.entries(place.real) if path != place.real]
    made += [path for path in record.writers if place.real in path.parents and path not in made]
    if led:
        files = ", ".join(sorted({str(file) for file in led}))
        proof.notes.append(f"{files} gave the override, in {count_text(len(led), 'interpreter')}")
    elif given:
        proof.notes.append(f"{count_text(len(given), 'workspace')} below the override given by the fixture")
    elif record.given:
        path, at = record.given[0]
        proof.failures.append(
            f"the fixture gave no workspace below the override, but {path} ({at}); leave --vmaf-workspace-at and "
            "--vmaf-workspace-base to the proof"
        )
    elif made:
        proof.notes.append(f"{count_text(len(made), 'entry')} made in the override")
    elif proof.exit_code != DONE:
        proof.failures.append(
            f"the command failed itself, with exit code {proof.exit_code}, and nothing shows that a test ran: no "
            "Python that was run was given a workspace, and nothing was written there; so nothing is proved. Mend what "
            f"it says above first. If tests did run, hand on {VARIABLE}, {PROOF} and PYTHONPATH to them"
        )
    elif any(os.path.realpath(said or "/") == str(place.real) for said in record.sessions):
        proof.failures.append(
            f"{VARIABLE} reached pytest, and none of the tests that ran asked for a workspace: no fixture "
            "vmaf_workspace, no import of `vmaf.config`, nothing written; so nothing is proved: select others, or all"
        )
    else:
        proof.failures.append(
            "the override never reached the tests, so they passed at their default place, if anywhere: no Python that "
            f"was run imported `vmaf.config` with {VARIABLE} set, and nothing was written there. A container, sudo, "
            "ssh, `python -I`, `-E` or `-S`, or a tox environment with a passenv or setenv of its own drops it: "
            f"hand on {VARIABLE}, {PROOF} and PYTHONPATH"
        )
    watched = watch.default_places(proof.root)
    for file in dict.fromkeys(file for file, _ in record.configs):
        for other in _own_defaults(file):
            if other not in watched and was_written(other, place.real, began_ns):
                proof.failures.append(f"something was written to {other}, the default place of {file.parent}")


def _own_defaults(config: Path) -> tuple[Path, Path]:
    """Where the harness with the `vmaf.config` of this file has its workspace unless told: the fork's, upstream's."""
    return config.parent / "workspace", config.parent.parent.parent / "workspace"


def _was_at_default(proof: Proof, record: Record, checkout: Path) -> None:
    """A failure where the tests had another harness than that of *checkout*, or not its default place."""
    files = dict.fromkeys(file for file, _ in record.configs)
    for file in files:
        if checkout not in file.parents and not {"site-packages", "dist-packages"} & set(file.parts):
            whose = "the real checkout" if proof.root in file.parents else "another checkout"
            meant = "the copy" if checkout != proof.root else str(checkout)
            proof.failures.append(
                f"the tests imported {file}, of {whose} and not of {meant}: install it from where the session runs, "
                "or give in_place"
            )
    gave = [(file, workspace) for file, workspace in record.configs if workspace]
    at_default = any(
        Path(os.path.realpath(workspace)) in map(Path, map(os.path.realpath, _own_defaults(file)))
        or Path(os.path.realpath(workspace)) in map(Path, map(os.path.realpath, watch.default_places(checkout)))
        for file, workspace in gave
    )
    if record.given and not any(at == "default" for _, at in record.given):
        proof.failures.append(
            f"the fixture gave {record.given[0][0]}, an override, and never the default place; leave "
            "--vmaf-workspace-at and --vmaf-workspace-for-all to the proof"
        )
    elif gave and not record.given and not at_default:
        file, workspace = gave[0]
        proof.failures.append(
            f"{file} gave {workspace}, which is not its default place: something between here and the tests sets "
            f"{VARIABLE}, such as tox's setenv or an .env file; so the default place was never tried"
        )


def _nothing_beside(proof: Proof, place: Place, record: Record) -> None:
    """A failure where something was written around the override: one directory up, or by a path cut at a blank."""
    lines = []
    beside = {place.workspace.parent: {place.workspace.name}, place.real.parent: {"w", "h", "t"}}
    for directory, ours in beside.items():
        made = [path for path in directory.iterdir() if path.name not in ours]
        lines += [_line(f"made {path}", path, record) for path in made]
    if not place.workspace.is_symlink():
        lines.append(_line(f"replaced {place.workspace}, which was a link", place.workspace, record))
    users = place.home / ".local" / "share" / "vmaf-workspace" / "workspace"
    if users.exists():
        lines.append(_line(f"made {users}, the default place outside any checkout", users, record))
    if lines:
        proof.failures.append(_listed(f"{count_text(len(lines), 'change')} beside the override:", lines))


def _left(proof: Proof, before: Mapping[Path, watch.Mark], root: Path, leftovers: Leftovers, record: Record) -> None:
    """Count by kind what is new in the scratch of the workspace *root*, and say which test left it."""
    for name in SCRATCH:
        found = [
            path
            for path in watch.entries(root / name)
            if path not in before and path != root / name and path.name not in KEPT_NAMES
        ]
        if not found:
            continue
        size = sum(os.lstat(path).st_size for path in found if not path.is_dir() or path.is_symlink())
        counted = ", ".join(count_text(n, kind) for kind, n in sorted(watch.kinds(found).items()))
        tops = [path for path in found if path.parent == root / name]
        lines = [_line(str(path.relative_to(root)), path, record) for path in tops]
        text = _listed(f"left in {name}/: {counted}; {bytes_text(size)}", lines)
        (proof.failures if leftovers == "fail" else proof.notes).append(text)


def _take_away(proof: Proof, before: watch.Seen, record: Record) -> None:
    """Remove what was made at the default place; what may be another's work, or was there before, is named."""
    after = watch.look(before.root)
    found = watch.changes(before.workspace, after.workspace)
    altered = [change for change in found if change.how not in ("made", "used")]
    made = [change.path for change in found if change.how == "made"]
    tops = [path for path in made if path.parent not in made]
    stays = [path for path in tops if not record.saw(path)]
    for path in tops:
        if path in stays:
            continue
        with open_directory(path.parent, follow=True) as fd:
            if path.is_dir() and not path.is_symlink():
                proof.failures += [f"cannot take away {path}/{name}: {why}" for name, why in remove_tree(fd, path.name)]
            else:
                os.unlink(path.name, dir_fd=fd)
    gone = len([path for path in made if not os.path.lexists(path)])
    if gone:
        names = [_line(str(path.relative_to(before.root)), path, record) for path in tops if path not in stays]
        proof.notes.append(_listed(f"{count_text(gone, 'entry')} made at the default place, taken away:", names))
    if stays:
        names = [f"  {printable(str(path))}" for path in stays]
        proof.failures.append(_listed("new, and perhaps another program's work, so it stays:", names))
    if altered:
        names = [_line(f"{change.how} {change.path}", change.path, record) for change in altered]
        proof.failures.append(_listed("was there before the tests, and is not as it was:", names))


def _line(text: str, path: Path, record: Record) -> str:
    test = record.writer(path)
    if not test and not record.saw(path):
        test = "a program that is no Python, or somebody else meanwhile"
    return f"  {printable(text)}" + (f"  by {printable(test)}" if test else "")


def _listed(title: str, lines: Sequence[str]) -> str:
    more = [f"  … and {len(lines) - LISTED} more"] if len(lines) > LISTED else []
    return "\n".join([title, *lines[:LISTED], *more])
