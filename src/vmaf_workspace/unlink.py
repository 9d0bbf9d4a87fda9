"""Unlinks one tree, whatever is in it: fd-relative, through no symlink, across no mount."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from vmaf_workspace.scan import DEEPEST, OPEN_DIRECTORY, mount_id, opened

ASIDE = ".vmaf-trash-"  # renamed aside by a removal; whatever bears this name is finished by the next clean


def remove_tree(parent: int, name: str) -> list[tuple[str, str]]:
    """Unlink the tree *name* in the directory *parent*; what could not go, as (path below *parent*, why).

    Never follows a link, never leaves the mount of *parent*.
    """
    failures: list[tuple[str, str]] = []
    trees = [name]
    mount = mount_id(parent)
    while trees:
        tree = trees.pop()
        try:
            with opened(tree, dir_fd=parent) as fd:
                if mount_id(fd) != mount:
                    failures.append((tree, "something is mounted here; unmount it first"))
                    continue
                _empty(fd, tree, 1, mount, failures, parent, trees)
        except FileNotFoundError:
            continue
        except OSError as error:
            failures.append((tree, error.strerror or str(error)))
            continue
        attempt(os.rmdir, tree, parent, tree, failures)
    return failures


def _empty(
    fd: int, prefix: str, depth: int, mount: int, failures: list[tuple[str, str]], top: int, trees: list[str]
) -> None:
    """Empty the directory *fd*; what is too deep to reach from here is moved into *top* and added to *trees*."""
    try:
        with os.scandir(fd) as found:
            entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]
    except OSError as error:
        failures.append((prefix, error.strerror or str(error)))
        return
    for name, is_directory in entries:
        if not is_directory:
            try:
                os.unlink(name, dir_fd=fd)
            except FileNotFoundError:
                pass
            except OSError as error:
                failures.append((f"{prefix}/{name}", error.strerror or str(error)))
            continue
        path = f"{prefix}/{name}"
        if depth >= DEEPEST:  # too deep to hold every directory open: bring it up beside the tree, for later
            up = f"{ASIDE}{os.urandom(8).hex()}"
            try:
                os.rename(name, up, src_dir_fd=fd, dst_dir_fd=top)
            except OSError as error:
                failures.append((path, error.strerror or str(error)))
            else:
                trees.append(up)
            continue
        try:
            child = os.open(name, OPEN_DIRECTORY, dir_fd=fd)
        except FileNotFoundError:
            continue
        except OSError as error:
            failures.append((path, error.strerror or str(error)))
            continue
        try:
            if mount_id(child) != mount:
                failures.append((path, "something is mounted here; unmount it first"))
                continue
            _empty(child, path, depth + 1, mount, failures, top, trees)
        finally:
            os.close(child)
        attempt(os.rmdir, name, fd, path, failures)


def attempt(call: Callable[..., None], name: str, fd: int, path: str, failures: list[tuple[str, str]]) -> None:
    """Unlink or rmdir *name* in the directory *fd*; why it could not go is added to *failures*, as that of *path*."""
    try:
        call(name, dir_fd=fd)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno == errno.ENOTEMPTY and any(failed.startswith(f"{path}/") for failed, _ in failures):
            return  # what is in the way has been named
        failures.append((path, error.strerror or str(error)))
