"""What a file system does not keep of a tree, tried with a few files of no content before anything is copied.

Names, modes, links and times of the tree itself are tried: exFAT has no permission bits and takes `m.pkl` and `M.pkl`
for one name, HFS+ two spellings of one letter; FAT has no times after 2107, ext4 with small inodes none after 2038.
"""

from __future__ import annotations

import os
import shutil
import stat
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vmaf_workspace.errors import RefusedError
from vmaf_workspace.migration.tree import Tree

COARSEST_NS = 2_000_000_000  # time stamps of FAT
MODES = (0o600, 0o754)  # of which a file system without them keeps one at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a file system lacks; nothing where that could not be tried."""

    modes: bool = False  # no permission bits
    attributes: bool = False  # no extended attributes, ACLs among them


def clashing_names(paths: list[str]) -> list[tuple[str, str]]:
    """Pairs of paths that are one name where neither case nor the spelling of composed letters counts."""
    found: dict[str, list[str]] = {}
    for path in paths:
        found.setdefault(unicodedata.normalize("NFC", path).casefold(), []).append(path)
    return sorted((same[0], same[1]) for same in found.values() if len(same) > 1)


def limits_of(probe: Path, tree: Tree) -> Limits:
    """Try what *tree* needs in *probe*, a directory that is made for it and goes again; so does one left by a kill.

    Raises RefusedError where names, links or times of it could not be kept at all.
    """
    directory = probe.parent
    before = os.stat(directory)
    with suppress(FileNotFoundError):
        if os.lstat(probe).st_uid == os.geteuid():
            shutil.rmtree(probe, ignore_errors=True)  # does not follow a link
    try:
        probe.mkdir(mode=0o700)
    except OSError:  # the copy will say why nothing can be made there
        return Limits()
    try:
        _check_names(probe, tree, directory)
        _check_links(probe, tree, directory)
        _check_times(probe, tree, directory)
        has_attributes = False
        with suppress(OSError, AttributeError):  # AttributeError: not on this system
            os.setxattr(probe / "file", "user.vmaf", b"1")
            has_attributes = True
        return Limits(modes=not _keeps_modes(probe), attributes=not has_attributes)
    finally:
        shutil.rmtree(probe, ignore_errors=True)
        with suppress(OSError):  # a dry run leaves not even a time
            os.utime(directory, ns=(before.st_atime_ns, before.st_mtime_ns))


def _check_names(probe: Path, tree: Tree, directory: Path) -> None:
    pairs = clashing_names([*tree.directories, *tree.files, *tree.links])
    for one, other in pairs:
        names = [os.path.basename(path) for path in (one, other)]
        if names[0] == names[1]:  # of two directories, which are a pair themselves
            continue
        (probe / names[0]).touch()
        is_one = os.path.lexists(probe / names[1])
        (probe / names[0]).unlink()
        if is_one:
            raise RefusedError(
                f"{directory} is on a file system that takes {one!r} and {other!r} for one name; nothing was copied\n"
                "rename one of them, or name a directory on another file system"
            )


def _check_links(probe: Path, tree: Tree, directory: Path) -> None:
    symbolic = next(iter(tree.links), None)
    hard = next((names[1] for names in tree.linked() if len(names) > 1), None)
    (probe / "file").touch()
    for path, kind, link in ((symbolic, "symlinks", os.symlink), (hard, "hard links", os.link)):
        if path is None:
            continue
        try:
            link(probe / "file", probe / "link")
            (probe / "link").unlink()
        except OSError as error:
            raise RefusedError(
                f"{directory} is on a file system without {kind} ({error.strerror}), and {path!r} is one;\n"
                "nothing was copied: put the file itself in its place, or name a directory on another file system"
            ) from error


def _check_times(probe: Path, tree: Tree, directory: Path) -> None:
    times = {path: about.st_mtime_ns for path, about in tree.files.items()}
    for path in {pick(times, key=times.__getitem__) for pick in (min, max)} if times else ():
        with suppress(OSError):
            os.utime(probe / "file", ns=(0, times[path]))
        if abs(os.stat(probe / "file").st_mtime_ns - times[path]) >= COARSEST_NS:
            raise RefusedError(
                f"{directory} is on a file system that cannot hold the time of {path!r}; nothing was copied\n"
                "give it another (`touch`), or name a directory on another file system"
            )


def _keeps_modes(probe: Path) -> bool:
    for mode in MODES:
        with suppress(OSError):  # some say so, others do nothing
            os.chmod(probe / "file", mode)
        if stat.S_IMODE(os.stat(probe / "file").st_mode) != mode:
            return False
    return True
