"""How two states of the models differ: two snapshots, or a snapshot and what is there now."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vmaf_workspace.disk.content import file_sha256
from vmaf_workspace.disk.workers import cores, map_unordered
from vmaf_workspace.errors import InUseError
from vmaf_workspace.snapshot.manifest import File
from vmaf_workspace.snapshot.tree import scan_models, signature, unreadable_error


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What an older state lacks, has more, or has otherwise than a newer one; paths, sorted."""

    added: tuple[File, ...]
    removed: tuple[File, ...]
    changed: tuple[tuple[File, File], ...]  # older, newer
    same: int


def difference(older: Iterable[File], newer: Iterable[File]) -> Difference:
    """Compare by content; modes and times do not count."""
    a = {file.path: file for file in older}
    b = {file.path: file for file in newer}
    both = sorted(a.keys() & b.keys())
    changed = tuple((a[path], b[path]) for path in both if content_of(a[path]) != content_of(b[path]))
    return Difference(
        added=tuple(b[path] for path in sorted(b.keys() - a.keys())),
        removed=tuple(a[path] for path in sorted(a.keys() - b.keys())),
        changed=changed,
        same=len(both) - len(changed),
    )


def current_files(root: Path, found: Mapping[str, os.stat_result] | None = None) -> list[File]:
    """Every file that is there now, or that was *found*, by its path, each read now.

    Raises InUseError where one changes meanwhile, WorkspaceError where one cannot be read.
    """
    found = scan_models(root).found if found is None else found
    paths = sorted(found)

    def read(path: str) -> str:
        """The hash of a file, or where a symlink leads."""
        full, about = os.path.join(root, path), found[path]
        try:
            content = os.readlink(full) if stat.S_ISLNK(about.st_mode) else file_sha256(full)
            if signature(os.lstat(full)) == signature(about):
                return content
        except FileNotFoundError:
            pass
        except OSError as error:
            raise unreadable_error(full, error) from error
        raise InUseError(f"{path!r} changed while it was read; wait for its writer to end, then try again")

    contents = dict(map_unordered(paths, read, at_most=cores()))
    return [File.of(path, found[path], contents[n]) for n, path in enumerate(paths)]


def content_of(file: File) -> tuple[str | None, str]:
    """What is equal for two files of one content, whatever they are called."""
    return file.link, file.sha256
