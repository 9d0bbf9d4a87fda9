"""The symlinks of a workspace that is about to move: what they mean must be the same from both places."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from vmaf_workspace.disk.scan import open_directory, open_directory_below
from vmaf_workspace.errors import WorkspaceError
from vmaf_workspace.migration.plan import staying_behind
from vmaf_workspace.migration.tree import read_tree

MOVED_AWAY = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EINVAL}  # another file has the name now, or none
REWRITTEN = ".vmaf-link-"  # a symlink that is about to take another's place


def make_portable(source: Path) -> None:
    """Let every symlink mean the same from both places: relative within the tree, absolute out of it.

    Each is replaced in the directory that it was found in, reached through no symlink: what is put in the way meanwhile
    is no way out of the tree. One that is another by now stays as it is.
    """
    tree = read_tree(str(source), without=staying_behind(source))
    with open_directory(source) as top:
        for path, (link, about) in tree.links.items():
            directory, _, name = path.rpartition("/")
            above = tree.directories[directory]
            try:
                with open_directory_below(top, directory) as parent:
                    _rewrite(parent, name, link, about, above, place=source / path, source=source)
            except OSError as error:
                if error.errno not in MOVED_AWAY:
                    raise
                raise WorkspaceError(
                    f"{source / path} changed while links were made ready to move ({error.strerror});\n"
                    f"{source} stays the workspace. Give the same command again"
                ) from error


def _rewrite(
    parent: int, name: str, link: str, about: os.stat_result, above: os.stat_result, *, place: Path, source: Path
) -> None:
    """One link, *name* in the directory *parent*, which looked like *above*."""
    if os.readlink(name, dir_fd=parent) != link:
        return
    if name.startswith(REWRITTEN):  # an earlier call was killed between the next two steps
        os.unlink(name, dir_fd=parent)
        return
    if (meant := _target_of(source, place.parent, link)) is not None:
        part = f"{REWRITTEN}{os.urandom(8).hex()}"
        os.symlink(meant, part, dir_fd=parent)
        os.utime(part, ns=(about.st_atime_ns, about.st_mtime_ns), dir_fd=parent, follow_symlinks=False)
        os.replace(part, name, src_dir_fd=parent, dst_dir_fd=parent)
        os.utime(parent, ns=(above.st_atime_ns, above.st_mtime_ns))


def _target_of(source: Path, parent: Path, link: str) -> str | None:
    """What *link* has to be to lead to the same from wherever *source* is; None where it does already.

    It does not where its way crosses the top of the tree by a name or by `..`. Each step goes where the system goes:
    `..` behind a symlink to a directory is the one above that directory. Other links of the tree count as rewritten.
    """
    top, at, is_bound = str(source), "/" if os.path.isabs(link) else str(parent), False
    steps = [step for step in link.split("/") if step not in ("", ".")]
    for number, step in enumerate(steps):
        was_inside = _is_in(at, top)
        to = os.path.dirname(at) if step == ".." else os.path.join(at, step)
        is_link = step != ".." and number < len(steps) - 1 and os.path.islink(to)
        at = os.path.realpath(to) if is_link else to
        if not (was_inside and is_link):  # what a link of the tree means, it will mean
            is_bound |= was_inside != _is_in(at, top)
    if not is_bound:
        return None
    return os.path.relpath(at, parent) if _is_in(at, top) else at


def _is_in(path: str, top: str) -> bool:
    return path == top or path.startswith(f"{top}/")
