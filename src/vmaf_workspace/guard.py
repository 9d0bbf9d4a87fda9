"""What may never be emptied; every operation that removes asks here before it plans.

The order is fixed: what a path *is* (root, home, checkout), then whether the tree is marked as ours, then each
subdirectory. A blank variable, a symlink or a typing error must fail one of them.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from vmaf_workspace.contract import BY_NAME, MARKER, PLACEHOLDER, SUBDIRS
from vmaf_workspace.disk.trust import is_world_shared, why_untrusted
from vmaf_workspace.errors import RefusedError
from vmaf_workspace.locate import VARIABLE, checkout_at, find_checkout

LARGEST = 1 << 20  # bytes of a marker file; ours has some hundred


def check(root: Path) -> bool:
    """Raise RefusedError unless the directory *root* is a workspace of ours; False where there is none at all."""
    check_not_forbidden(root)
    try:
        os.lstat(root)
    except FileNotFoundError:
        return False
    except OSError as error:  # what cannot be looked at is not the same as missing
        raise RefusedError(f"cannot look at {root} ({error.strerror}); nothing in it is touched") from None
    if not os.path.isdir(root):
        what = "a symlink to nothing" if root.is_symlink() else "a file"
        raise RefusedError(f"{root} is {what}, not a workspace; set {VARIABLE} to a directory")
    check_marker(root)
    if not is_marked(root) and not is_default_location(root):
        closed = [p for p in (root, root / MARKER) if os.path.lexists(p) and not os.access(p, os.R_OK | os.X_OK)]
        if closed:
            raise RefusedError(
                f"cannot look into {closed[0]} (Permission denied), so nobody can tell whether it is a workspace;\n"
                f"ask its owner, or set {VARIABLE} to a directory of your own"
            )
        raise RefusedError(
            f"{root} does not carry our marker ({MARKER}/), so nothing in it is touched.\n"
            "If it is a workspace, `ws.setup` marks it (it refuses a directory with anybody else's files)"
        )
    subdirectory_targets(root, marked=True)
    return True


def check_not_forbidden(root: Path, *, remedy: str = f"set {VARIABLE} to a directory of its own") -> None:
    """Raise RefusedError where *root* is or encloses `/`, a home directory, a checkout, or (unmarked) where we are."""
    real = Path(os.path.realpath(root))
    for place, what in _forbidden(real):
        if real == place:
            raise RefusedError(f"{root} is {what}, never a workspace; {remedy}")
        if real in place.parents:
            raise RefusedError(f"{root} encloses {place}, {what}; {remedy}")
    if os.path.lexists(real / ".git") or checkout_at(real) is not None:
        raise RefusedError(f"{root} is a checkout's root, never a workspace; {remedy}")
    here = _current_directory()
    if here is not None and real in here.parents and not is_marked(root) and not is_default_location(root):
        raise RefusedError(f"{root} encloses the current directory {here} and is not marked as a workspace")


def check_not_inside_another(directory: Path) -> None:
    """Raise RefusedError where *directory* lies in a workspace: a clean of that one would take it along.

    So does the default place of a checkout, which the next clean there adopts unmarked.
    """
    above = Path(os.path.realpath(directory)).parents
    for place in above:
        checkout = checkout_at(place)
        default = None if checkout is None else Path(os.path.realpath(checkout.workspace))
        is_workspace = os.path.isdir(place / MARKER) and _why_no_marker(place) is None
        for workspace in (place if is_workspace else None, default):
            if workspace is not None and workspace in above:
                raise RefusedError(f"{directory} lies inside the workspace {workspace}; give it a place of its own")


def check_marker(directory: Path) -> None:
    """Raise RefusedError where what *directory* has for a marker may not be written into: a link, a stranger's."""
    if (why := _why_no_marker(directory)) is not None:
        raise RefusedError(f"{directory / MARKER} is no marker of ours: {why}")


def _why_no_marker(directory: Path) -> str | None:
    marker = directory / MARKER
    if not os.path.lexists(marker):
        return None
    if marker.is_symlink():  # a cloned repository can carry one: whatever it leads to would be written into
        return f"a symlink to {os.readlink(marker)}, where a marker is a directory; remove it, then run `ws.setup`"
    if not os.path.isdir(marker):
        return "it is no directory, as our marker is; remove it, then run `ws.setup`"
    if (why := why_untrusted(marker, top=directory)) is not None:
        return (
            f"a directory {why}.\n"
            f"Nothing is touched on its word. If you trust it: `chown -R` it to the owner of {directory}, or to you;\n"
            "otherwise remove it"
        )
    return None


def is_marked(directory: Path, *, subdir: str | None = None) -> bool:
    """Whether *directory* carries our marker, a real directory: of a workspace, or of the place of *subdir* alone.

    A stranger's does not count.

    The two differ, or else a `workdir` that leads to another workspace's root would let a clean empty that one.
    """
    marker = directory / MARKER
    try:
        names = os.listdir(marker)
    except OSError:
        return False
    return _why_no_marker(directory) is None and set(names) & set(BY_NAME) == ({subdir} if subdir else set())


def is_default_location(root: Path) -> bool:
    """Whether *root* is the default workspace of the checkout that holds it; such a tree is adopted unmarked.

    Never through a symlink: one in the checkout may lead to any other directory of it.
    """
    real = Path(os.path.realpath(root))
    checkout = find_checkout(real.parent)
    return checkout is not None and checkout.workspace == real


def subdirectory_targets(root: Path, *, marked: bool) -> dict[str, Path]:
    """Real targets of those contract subdirectories that are symlinks; RefusedError for one that may not be.

    A target must be a directory, overlap neither the workspace nor another subdirectory, and carry our marker for that
    subdirectory; with ``marked=False`` (`ws.setup`) an empty directory will do.
    """
    real_root = Path(os.path.realpath(root))
    targets: dict[str, Path] = {}
    names: dict[tuple[int, int], str] = {}
    for subdir in SUBDIRS:
        path = root / subdir.name
        if path.is_symlink():
            targets[subdir.name] = Path(os.path.realpath(path))
        elif os.path.lexists(path) and not os.path.isdir(path):
            raise RefusedError(f"{path} is not a directory; move it away, then run `ws.setup`")
        elif os.path.lexists(path / MARKER) and not is_marked(path, subdir=subdir.name):
            raise RefusedError(f"{path} is a workspace itself, so nothing in it is scratch; move it out of {root}")
        if os.path.isdir(path):
            about = os.stat(path)
            same = names.setdefault((about.st_dev, about.st_ino), subdir.name)
            if same != subdir.name:  # two links to one place, or a bind mount, which no path shows
                raise RefusedError(f"{path} overlaps {same}/: both are the same directory; give each its own place")
    for name, target in targets.items():
        path = root / name
        if not os.path.isdir(target):
            raise RefusedError(f"{path} is a symlink to {target}, which is no directory; make it, then run `ws.setup`")
        others = {other: targets.get(other, real_root / other) for other in (s.name for s in SUBDIRS) if other != name}
        for other, place in others.items():
            if target == place or target in place.parents or place in target.parents:
                raise RefusedError(
                    f"{path} is a symlink to {target}, which overlaps {other}/; give it a place of its own"
                )
        if target == real_root or target in real_root.parents or real_root in target.parents:
            raise RefusedError(f"{path} is a symlink to {target}, which overlaps the workspace itself")
        if is_world_shared(target):
            raise RefusedError(
                f"{path} is a symlink to {target}, which everybody shares; make a directory of your own in it, "
                "and lead the link there"
            )
        check_not_forbidden(target)
        check_not_inside_another(target)
        check_marker(target)
        if not is_marked(target, subdir=name) and (marked or not _is_empty(target)):
            raise RefusedError(
                f"{path} is a symlink to {target}, which does not carry our marker ({MARKER}/{name}).\n"
                "`ws.setup` marks it while it is empty; a directory with files in it is never taken over"
            )
        owner = owner_of(target, name)
        if owner not in ("", str(real_root)) and os.path.realpath(os.path.join(owner, name)) == str(target):
            raise RefusedError(
                f"{path} is a symlink to {target}, which {name} of the workspace {owner} leads to as well:\n"
                "a clean of one would take what a run of the other needs. Give each a place of its own"
            )
    return targets


def owner_of(target: Path, name: str) -> str:
    """The workspace whose subdirectory *name* the directory *target* was marked for, "" where that is not known."""
    from vmaf_workspace.disk.json_file import read_object

    return str(read_object(target / MARKER / name, at_most=LARGEST).get("of", ""))


def _is_empty(directory: Path) -> bool:
    try:  # a `ws.setup` that was killed may have left a marker that names nothing yet
        return set(os.listdir(directory)) <= {MARKER} and not set(os.listdir(directory / MARKER)) - {PLACEHOLDER}
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _forbidden(real: Path) -> list[tuple[Path, str]]:
    places = [(Path("/"), "the root of the file system")]
    homes = {os.environ.get("HOME", "").strip(), _home_of_record()}
    places += [(Path(os.path.realpath(home)), "a home directory") for home in sorted(homes) if home]
    for start in filter(None, (_current_directory(), real)):
        checkout = find_checkout(start, anybodys=True)
        if checkout is not None:
            places.append((Path(os.path.realpath(checkout.root)), "a checkout"))
    here = _current_directory()
    for place in (here, *here.parents) if here is not None else ():
        if os.path.lexists(place / ".git"):
            places.append((Path(os.path.realpath(place)), "a checkout"))
            break
    return places


def _home_of_record() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:  # a uid without an entry, as containers have
        return ""


def _current_directory() -> Path | None:
    try:
        return Path.cwd()
    except FileNotFoundError:
        return None
