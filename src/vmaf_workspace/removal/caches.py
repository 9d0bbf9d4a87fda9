"""What caches hold, and which of it goes: one look at each file, in columns, however many there are."""

from __future__ import annotations

import fnmatch
import json
import os
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vmaf_workspace.contract import ENCODE_STORE, KEPT_NAMES, MARKER, STORES, executor_and_dataset
from vmaf_workspace.disk.atomic import open_regular
from vmaf_workspace.disk.scan import BLOCK, DEEPEST, Usage, mount_id, open_directory
from vmaf_workspace.disk.unlink import TRASH
from vmaf_workspace.removal.entries import Columns, Entries, FileRow
from vmaf_workspace.removal.plan import Kept, Use, kept_for_what_it_holds

ENCODES = ("encode/", f"result_store_dir/{ENCODE_STORE}/")  # an encode that no store knows is made again, too
READ_ALL = 10_000  # results from which on not each is opened for the seconds that it took: opening is most of the work
SAMPLE = 2_000  # of these the seconds stand for all: where one takes as long as the next or three times that, to 2 %
_INDEX_BITS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which cached results go; with every field at its default, all of `result_store_dir/`."""

    store: str | None = None  # one of STORES
    executor: str | None = None  # shell pattern, as for dataset
    dataset: str | None = None
    older_than_s: float | None = None  # not used for so long
    max_disk_bytes: int | None = None  # least recently used go until so much is left
    max_files: int | None = None
    with_encodes: bool = False

    @property
    def is_by_name(self) -> bool:
        """Whether it names results by where they are stored."""
        return not (self.store is self.executor is self.dataset is None)


class Caches:
    """The files of the caches *subdirs* of *root*, as they are now; *kept* is what no purge may take.

    Sorted: of a directory first its files, by name, then its directories, by name.
    """

    def __init__(self, root: Path, subdirs: Sequence[str]) -> None:
        """Looks at each file once."""
        self.kept: list[Kept] = []
        self._columns = Columns()
        self._left_over: set[int] = set()  # of a purge that could not finish: these go whatever is selected
        self._tops = {subdir: os.path.realpath(root / subdir) for subdir in subdirs}
        self._looked_at_ns = time.time_ns()
        for subdir, top in self._tops.items():
            if not os.path.isdir(top):
                continue
            try:
                with open_directory(top) as fd:
                    self._look(fd, f"{subdir}/", mount_id(fd), 1)
            except OSError as error:
                self._keep(f"{subdir}/", f"cannot be read: {error.strerror}")

    def selected(self, selection: Selection, *, unused_since_ns: int | None = None) -> Entries:
        """What *selection* gives up; with *unused_since_ns*, nothing that was used then or later."""
        which: Sequence[int] = range(len(self._columns))
        place = self._columns.place
        if selection.is_by_name:
            named = [_is_named(self._columns.places[n], selection) for n in range(len(self._columns.places))]
            which = array("I", (at for at in which if named[place[at]]))
        if selection.older_than_s is selection.max_disk_bytes is selection.max_files is None:
            return Entries(self._columns, which)
        # One number for time and place: it sorts by both, and a million of them take half the room of two lists.
        newest_ns, odd = self._columns.newest_ns, self._columns.odd
        order = [
            (-(odd[at].newest_ns if at in odd else newest_ns[at]) << _INDEX_BITS) | at
            for at in which
            if at not in self._left_over
        ]
        order.sort()  # most recently used first: it stays first
        mask = (1 << _INDEX_BITS) - 1
        going = array("I", (key & mask for key in order[self._first_to_go(order, selection) :]))
        del order
        if unused_since_ns is not None:
            going = array("I", (at for at in going if at not in odd and newest_ns[at] < unused_since_ns))
        if self._left_over:
            going.extend(at for at in which if at in self._left_over)
        return Entries(self._columns, array("I", sorted(going)))

    def with_costs(self, entries: Entries) -> tuple[Entries, bool]:
        """*entries* with the seconds that each took, and whether those of a sample stand for the others'."""
        cost_s, which = self._columns.cost_s, entries.which
        if len(entries) <= READ_ALL:
            for n, at in enumerate(which):
                cost_s[at] = self._extraction_s(entries[n].path)
            return entries, False
        sums: dict[str, tuple[float, int]] = {}
        for k in range(SAMPLE):
            n = k * len(entries) // SAMPLE
            seconds, group = self._extraction_s(entries[n].path), os.path.dirname(entries.place(n)[:-1])
            for of in (group, ""):
                known_s, count = sums.get(of, (0.0, 0))
                sums[of] = known_s + seconds, count + 1
        for first, last in entries.runs():
            seconds, count = sums.get(os.path.dirname(entries.place(first)[:-1]), sums[""])
            for at in which[first:last]:
                cost_s[at] = seconds / count
        return entries, True

    def _look(self, fd: int, place: str, mount: int, depth: int) -> None:
        files: list[FileRow] = []
        below: list[str] = []
        with os.scandir(fd) as found:
            for item in found:
                if item.is_dir(follow_symlinks=False):
                    below.append(item.name)
                    continue
                try:
                    about = item.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                row = (item.name, about.st_ino, about.st_mtime_ns, about.st_size, about.st_blocks * BLOCK)
                files.append(row)
        if depth == 1:
            files = [row for row in files if row[0] not in KEPT_NAMES]
            below = [name for name in below if name not in KEPT_NAMES]  # the marker of the cache's own place
        elif MARKER in below:
            self.kept.append(kept_for_what_it_holds(place[:-1], Usage(marked=["."])))
            return
        if files:
            files.sort()
            first = len(self._columns)
            why = "can be encoded again" if place.startswith(ENCODES) else "can be extracted again"
            self._columns.add_files(place, files, why)
            self._left_over.update(first + n for n, row in enumerate(files) if row[0].startswith(TRASH))
        for name in sorted(below):
            self._look_below(fd, name, place + name, mount, depth)

    def _look_below(self, fd: int, name: str, path: str, mount: int, depth: int) -> None:
        try:
            with open_directory(name, dir_fd=fd) as child:
                if mount_id(child) != mount:
                    self.kept.append(kept_for_what_it_holds(path, Usage(mounts=["."])))
                elif depth >= DEEPEST:
                    why = f"more than {DEEPEST} directories deep, which no store is; remove it by hand"
                    self._keep(f"{path}/", why)
                else:
                    self._look(child, f"{path}/", mount, depth + 1)
        except FileNotFoundError:
            pass
        except OSError as error:
            self._keep(path, error.strerror or str(error))

    def _keep(self, path: str, why: str) -> None:
        self.kept.append(Kept(path=path, why=why, use=Use.STUCK))

    def _first_to_go(self, order: list[int], selection: Selection) -> int:
        """Index in *order*, most recently used first, from where on all go."""
        disk_bytes, odd, mask = self._columns.disk_bytes, self._columns.odd, (1 << _INDEX_BITS) - 1
        taken_bytes = 0
        most_bytes = float("inf") if selection.max_disk_bytes is None else selection.max_disk_bytes
        most_files = float("inf") if selection.max_files is None else selection.max_files
        oldest = float("inf")  # as in *order*: negative
        if selection.older_than_s is not None:
            oldest = (int(selection.older_than_s * 1e9) - self._looked_at_ns + 1) << _INDEX_BITS
        for index, key in enumerate(order):
            at = key & mask
            taken_bytes += odd[at].disk_bytes if at in odd else disk_bytes[at]
            if key >= oldest or index >= most_files or taken_bytes > most_bytes:
                return index
        return len(order)

    def _extraction_s(self, path: str) -> float:
        """Seconds that a stored result took, from its first line; 0.0 for a file that does not say."""
        subdir, _, below = path.partition("/")
        if not path.endswith(".json"):
            return 0.0
        try:
            with open_regular(f"{self._tops[subdir]}/{below}") as fd, open(fd, "rb", closefd=False) as file:
                summary = json.loads(file.readline(1 << 20))
            seconds = float(summary["extraction_s"])
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return 0.0
        return seconds if 0.0 <= seconds < float("inf") else 0.0  # JSON has no word for the others


def _is_named(place: str, selection: Selection) -> bool:
    """Whether files of the directory *place*, with a slash at its end, are what *selection* names."""
    _, store, *parts = place.split("/")
    if store not in STORES or selection.store not in (None, store):
        return False
    whose = executor_and_dataset(parts)
    if whose is None:  # the hashes of a store, say, which are of no executor
        return selection.executor is selection.dataset is None
    wanted = zip(whose, (selection.executor, selection.dataset), strict=True)
    return all(pattern is None or fnmatch.fnmatchcase(name, pattern) for name, pattern in wanted)
