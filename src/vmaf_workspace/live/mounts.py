"""Which file system a place is on, and whether a lock there is seen by everybody who uses it.

A lock lives in the memory of one kernel, or of one server. Through FUSE, virtiofs, 9p and most network mounts it is not
handed on, so that two containers, or a host and its virtual machine, each find the other's lock free.
"""

from __future__ import annotations

import os
import re
import sys
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from vmaf_workspace.disk.scan import mount_id

MOUNTINFO = Path("/proc/self/mountinfo")
_ESCAPED = re.compile(r"\\([0-7]{3})")  # blanks and backslashes in names
# Of this kernel alone, which keeps their locks, whatever the mount or the container that they are reached by.
LOCAL = frozenset({"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "nilfs2", "reiserfs", "xfs", "zfs"})
LOCAL |= {"exfat", "hfs", "hfsplus", "msdos", "ntfs", "ntfs3", "overlay", "ramfs", "tmpfs", "udf", "vfat"}
SHARED = frozenset({"ceph", "gfs2", "lustre", "nfs", "nfs4", "ocfs2"})  # hand locks on, unless an option says no
LOCKED_HERE = frozenset({"nolock", "local_lock=all", "local_lock=flock", "localflock", "noflock", "localflocks"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A mounted file system; with *kind* blank, nobody can tell."""

    kind: str = ""  # as the kernel names it: ext4, fuse.sshfs, nfs4
    options: frozenset[str] = frozenset()  # of the mount
    inner: frozenset[str] = frozenset()  # of the file system in it
    device: str = ""  # its number, as major:minor
    top: str = ""  # what of it is mounted there

    @property
    def lock_doubt(self) -> str:
        """Why a free lock there does not prove that nobody holds it; blank where it does."""
        if not self.kind:
            return "nobody can tell what it is mounted as" if sys.platform.startswith("linux") else ""
        if self.kind in LOCAL:
            return ""
        if self.kind not in SHARED:
            return f"{self.kind} may not hand locks on"
        own = sorted(LOCKED_HERE & (self.options | self.inner))
        if own:
            return f"{self.kind} with {own[0]} hands no locks on"
        if self.kind == "lustre" and "flock" not in self.options | self.inner:
            return "lustre without flock has no locks"
        return ""


def mount_at(place: Path, *, mountinfo: Path = MOUNTINFO) -> Mount:
    """What *place* is on."""
    return _covering(os.path.realpath(place), mountinfo)[1]


def place_on_disk(real: str) -> str:
    """Where *real*, a path without links, is below the root of its file system, after the name of its device.

    So that a bind mount of what is in a directory is in it. On a system that does not tell, *real* itself.
    """
    point, mount = _covering(real, MOUNTINFO)
    return f"{mount.device}{mount.top.rstrip('/')}{real[len(point.rstrip('/')) :]}" if mount.device else real


def _covering(real: str, mountinfo: Path) -> tuple[str, Mount]:
    """Where what *real* is on is mounted, and what it is."""
    best, found = "", Mount()
    for _, point, mount in _mounts(mountinfo):
        is_above = real == point or real.startswith(point.rstrip("/") + "/")
        if is_above and len(point) >= len(best):  # the last is on top
            best, found = point, mount
    return best, found


def mount_of(fd: int) -> Mount:
    """What the open file *fd* is on."""
    return _mount_by_id(mount_id(fd), int(time.monotonic()))


@lru_cache(maxsize=8)  # a clean asks for each of thousands of runs, within a second
def _mount_by_id(number: int, _second: int) -> Mount:
    return next((mount for known, _, mount in _mounts(MOUNTINFO) if known == str(number)), Mount())


def _mounts(mountinfo: Path) -> list[tuple[str, str, Mount]]:
    """The number, the place and the kind of each mount; the format is that of proc(5)."""
    try:
        lines = os.fsdecode(mountinfo.read_bytes()).split("\n")  # `splitlines` knows other ends, which names may have
    except OSError:
        return []
    found = []
    for line in lines:
        left, _, right = line.partition(" - ")
        fields, after = left.split(" "), right.split(" ")
        if len(fields) < 6 or len(after) < 3:
            continue
        top, point = (_ESCAPED.sub(lambda match: chr(int(match[1], 8)), name) for name in fields[3:5])
        options, inner = (frozenset(text.split(",")) for text in (fields[5], after[2]))
        about = Mount(kind=after[0], options=options, inner=inner, device=fields[2], top=top)
        found.append((fields[0], point, about))
    return found
