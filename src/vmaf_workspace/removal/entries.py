"""What goes, entry by entry, held in columns: 130 bytes each, where as many objects take 600."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import overload

from vmaf_workspace.disk.scan import Usage

FileRow = tuple[str, int, int, int, int]  # name, inode, newest_ns, apparent_bytes, disk_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that goes: a whole run directory in scratch, a file elsewhere.

    It is the same thing later if inode, newest mtime, number of files and size are the same. Its device is not asked:
    that has another number after the next boot, and what is mounted in its place is seen by itself.
    """

    path: str  # below the workspace, as this process names it; in a saved plan as `paths_to_utf8` has it
    inode: int
    newest_ns: int
    files: int
    apparent_bytes: int
    disk_bytes: int
    why: str
    cost_s: float = 0.0  # seconds of computing that its loss costs, as far as it is known

    @classmethod
    def of(cls, path: str, about: os.stat_result, usage: Usage, why: str) -> Entry:
        """What lies at *path*: *about* is its `lstat`, *usage* what it takes."""
        return cls(
            path=path,
            inode=about.st_ino,
            newest_ns=usage.newest_ns,
            files=usage.files,
            apparent_bytes=usage.apparent_bytes,
            disk_bytes=usage.disk_bytes,
            why=why,
        )

    @property
    def is_directory(self) -> bool:
        """Whether it is a run directory, by how it is listed: with a slash at its end."""
        return self.path.endswith("/")


class Texts:
    """Texts one after the other, as bytes: what is no name of a file survives, too."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._ends = array("Q", [0])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> str:
        return self._bytes[self._ends[index] : self._ends[index + 1]].decode("utf-8", "surrogatepass")

    def extend(self, texts: Iterable[str]) -> None:
        """Add *texts*."""
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        self._bytes += b"".join(encoded)
        self._ends.extend(accumulate(map(len, encoded), initial=self._ends.pop()))


class Columns:
    """Entries as they are found; *odd* holds, whole, those with a number that is longer than 64 bits."""

    def __init__(self) -> None:
        self.places, self.names = Texts(), Texts()
        self.place, self.reason = array("I"), array("I")
        self.inode, self.apparent_bytes, self.disk_bytes = array("Q"), array("Q"), array("Q")
        self.newest_ns, self.files, self.cost_s = array("q"), array("q"), array("d")
        self.reasons: dict[str, int] = {}
        self.odd: dict[int, Entry] = {}

    def __len__(self) -> int:
        return len(self.place)

    def add_files(self, place: str, files: list[FileRow], why: str) -> None:
        """Add the *files* of the directory *place*, which ends with a slash."""
        start = len(self)
        names, inodes, newest, apparent, disk = zip(*files, strict=True)
        try:
            columns = array("q", newest), array("Q", inodes), array("Q", apparent), array("Q", disk)
        except OverflowError:
            for name, inode, newest_ns, apparent_bytes, disk_bytes in files:
                about = {"inode": inode, "newest_ns": newest_ns, "apparent_bytes": apparent_bytes}
                self.add(Entry(path=place + name, files=1, disk_bytes=disk_bytes, why=why, **about))
            return
        for mine, new in zip((self.newest_ns, self.inode, self.apparent_bytes, self.disk_bytes), columns, strict=True):
            mine.extend(new)
        self._name(place, names, why)
        self.files.extend([1] * (len(self) - start))
        self.cost_s.extend([0.0] * (len(self) - start))

    def add(self, entry: Entry) -> None:
        """Add one of any kind."""
        cut = entry.path.rstrip("/").rfind("/") + 1
        try:
            numbers = (
                array("Q", [entry.inode, entry.apparent_bytes, entry.disk_bytes]),
                array("q", [entry.newest_ns, entry.files]),
            )
        except OverflowError:
            self.odd[len(self)] = entry
            numbers = array("Q", [0, 0, 0]), array("q", [0, 0])
        for column, value in zip((self.inode, self.apparent_bytes, self.disk_bytes), numbers[0], strict=True):
            column.append(value)
        for column, value in zip((self.newest_ns, self.files), numbers[1], strict=True):
            column.append(value)
        self.cost_s.append(entry.cost_s)
        self._name(entry.path[:cut], [entry.path[cut:]], entry.why)

    def _name(self, place: str, names: Sequence[str], why: str) -> None:
        if not self.place or self.places[self.place[-1]] != place:
            self.places.extend([place])
        self.names.extend(names)
        self.place.extend([len(self.places) - 1] * len(names))
        self.reason.extend([self.reasons.setdefault(why, len(self.reasons))] * len(names))


class Entries(Sequence[Entry]):
    """Some of the entries in *columns*, by *which*: indices in the order that they are listed in."""

    def __init__(self, columns: Columns, which: Sequence[int]) -> None:
        """Nothing is copied."""
        self._columns, self.which = columns, which

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Entries:
        """*entries*, put into columns."""
        columns = Columns()
        for entry in entries:
            columns.add(entry)
        return cls(columns, range(len(columns)))

    def __len__(self) -> int:
        return len(self.which)

    @overload
    def __getitem__(self, index: int) -> Entry: ...

    @overload
    def __getitem__(self, index: slice) -> Entries: ...

    def __getitem__(self, index: int | slice) -> Entry | Entries:
        if isinstance(index, slice):
            return Entries(self._columns, self.which[index])
        at, columns = self.which[index], self._columns
        if at in columns.odd:
            return columns.odd[at]
        return Entry(
            path=columns.places[columns.place[at]] + columns.names[at],
            inode=columns.inode[at],
            newest_ns=columns.newest_ns[at],
            files=columns.files[at],
            apparent_bytes=columns.apparent_bytes[at],
            disk_bytes=columns.disk_bytes[at],
            why=self._reasons[columns.reason[at]],
            cost_s=columns.cost_s[at],
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(one == two for one, two in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # as a list: it can be long

    @cached_property
    def files(self) -> int:
        """Number of files."""
        return self._sum(self._columns.files) + sum(entry.files for entry in self._odd)

    @cached_property
    def apparent_bytes(self) -> int:
        """Sum of the sizes."""
        return self._sum(self._columns.apparent_bytes) + sum(entry.apparent_bytes for entry in self._odd)

    @cached_property
    def disk_bytes(self) -> int:
        """What they take, as `du` counts."""
        return self._sum(self._columns.disk_bytes) + sum(entry.disk_bytes for entry in self._odd)

    @cached_property
    def cost_s(self) -> float:
        """Seconds of computing that their loss costs, as far as they are known."""
        return sum(map(self._columns.cost_s.__getitem__, self.which))

    @property
    def reasons(self) -> list[str]:
        """Why they go, each reason once."""
        found = set(map(self._columns.reason.__getitem__, self.which))
        return [why for why, number in self._columns.reasons.items() if number in found]

    def grouped(self, name: Callable[[Entry], str]) -> dict[str, Entries]:
        """Parts of it by what *name* calls each entry."""
        groups: dict[str, array[int]] = {}
        for at, entry in zip(self.which, self, strict=True):
            groups.setdefault(name(entry), array("I")).append(at)
        return {group: Entries(self._columns, which) for group, which in groups.items()}

    def grouped_by_place(self, name: Callable[[str], str]) -> dict[str, Entries]:
        """Parts of it by what *name* calls the directory of each entry, with a slash at its end; for a million."""
        groups: dict[str, array[int]] = {}
        for first, last in self.runs():
            groups.setdefault(name(self.place(first)), array("I")).extend(self.which[first:last])
        return {group: Entries(self._columns, which) for group, which in groups.items()}

    def place(self, index: int) -> str:
        """The directory of an entry, with a slash at its end."""
        return self._columns.places[self._columns.place[self.which[index]]]

    def runs(self, *, at_most: int | None = None) -> Iterator[tuple[int, int]]:
        """(first, behind the last) of those that follow each other in one directory, *at_most* so many at once."""
        place, which, first = self._columns.place, self.which, 0
        for index in range(1, len(which) + 1):
            is_over = index == len(which) or place[which[index]] != place[which[first]]
            if is_over or index - first == at_most:
                yield first, index
                first = index

    @property
    def _odd(self) -> list[Entry]:
        odd = self._columns.odd
        return [odd[at] for at in self.which if at in odd] if odd else []

    @cached_property
    def _reasons(self) -> list[str]:
        return list(self._columns.reasons)

    def _sum(self, column: array[int]) -> int:
        return sum(map(column.__getitem__, self.which))
