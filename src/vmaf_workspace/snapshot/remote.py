"""A backup location behind a URL, by fsspec; the driver of its protocol is an extra (`vmaf-workspace[s3]`)."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from vmaf_workspace.disk.content import CHUNK
from vmaf_workspace.errors import UsageError, WorkspaceError
from vmaf_workspace.installation import install_command
from vmaf_workspace.live.lock import Holder, about_this_process, holder_of, unknown_holder
from vmaf_workspace.snapshot.location import NO_INODES, RUNNING, VARIABLE, Inodes, check_removable

RENEWED_S = 60.0  # an announcement is written again so often
STALE_S = 600.0  # and counts as that of a dead process after so long
SETTLED_S = 3600.0  # a listing may lag; an object this old was not stored by a backup that nobody sees yet
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}
Answer = TypeVar("Answer")


class Remote:
    """A `Location` in an object store, where a name is there whole or not at all, and nothing needs to be flushed."""

    directory: Path | None = None
    at_once = 16  # most of the time goes into waiting
    may_fork = False  # drivers run threads, and an object in this process's memory must stay here
    settle_s = SETTLED_S

    def __init__(self, url: str) -> None:
        """Connects only when asked something. Raises UsageError where no driver for the URL is installed."""
        self.url = url
        protocol = url.partition(":")[0].lower()
        extra = EXTRAS.get(protocol)
        install = f"`{install_command(extra)}`" if extra else "install the fsspec driver of this protocol"
        try:
            from fsspec.core import url_to_fs

            self._files, self._top = url_to_fs(url, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise UsageError(
                f"nothing here can reach {url} ({error})\n{install}, or name a directory with --at or {VARIABLE}"
            ) from error
        self._top = str(self._top).rstrip("/")
        self._has_prefixes = extra is not None
        self._own: set[str] = set()
        self._now: tuple[float, float] | None = None  # the store's clock, and ours at that time

    def names(self, folder: str) -> list[str]:
        """One listing."""
        below = f"{folder}/" if folder else ""
        try:
            if folder not in ("", "objects"):  # else it can be long
                raise FileNotFoundError(folder)
            found = self._ask("list it", self._list_one, folder)
        except FileNotFoundError:  # which may mean that nobody could tell; then this says so
            return sorted({name.removeprefix(below).partition("/")[0] for name in self.sizes(folder)})
        top = self._path(folder).strip("/")
        paths = {path.strip("/") for path in found} - {top}  # some stores list a directory as its own entry
        return [path.removeprefix(f"{top}/") for path in paths]

    def sizes(self, folder: str) -> dict[str, int]:
        """One listing; WorkspaceError where the store does not give it."""
        try:
            found = self._ask("list it", self._list, folder)
        except FileNotFoundError as error:
            if self._has_prefixes:  # there what is empty is no error: this says that the bucket is not there
                raise self._failed("list it", error) from error
            return {}
        top = f"{self._top.lstrip('/')}/"
        sizes = {path.lstrip("/").removeprefix(top): int(about["size"] or 0) for path, about in found.items()}
        below = f"{folder}/" if folder else ""  # consoles make an object of a folder itself
        return {name: size for name, size in sizes.items() if name.startswith(below) and name.rstrip("/") != folder}

    def sizes_of(self, names: Sequence[str], *, source_inodes: Inodes = NO_INODES) -> list[int | None]:
        """As many requests at a time as help."""
        del source_inodes  # no object in a store is a file of this machine
        with ThreadPoolExecutor(self.at_once) as pool:
            return list(pool.map(self._size, names))

    def age_s(self, name: str) -> float:
        """By the store's own clock: against an announcement of ours, which is written for this where it is old."""
        if self._now is None or time.monotonic() - self._now[1] > RENEWED_S:
            with self.announced("clock", "looks at the clock"):
                own = min(name for name in self._own if name.startswith("running/clock-"))
                self._now = (self._modified_s(own), time.monotonic())
        return self._now[0] + time.monotonic() - self._now[1] - self._modified_s(name)

    def read(self, name: str) -> bytes:
        """All of it."""
        return bytes(self._ask(f"read {name}", self._files.cat_file, self._path(name)))

    def sha256(self, name: str) -> str:
        """Read in chunks."""
        return self._copy(name)

    def write(self, name: str, content: bytes) -> None:
        """One request."""
        with self._stored(name):
            self._ask(f"write {name}", self._files.pipe_file, self._path(name), content)

    def put(self, name: str, content: memoryview | Path, *, trusted: bool, source_inodes: Inodes = NO_INODES) -> bool:
        """One request, or a multipart upload, which is there only once it is complete.

        What is not trusted is stored anew: that costs no more than reading it, and makes it too young for a prune
        elsewhere that has seen neither this backup nor a snapshot which names it.
        """
        del source_inodes  # as in `sizes_of`
        size = len(content) if isinstance(content, memoryview) else content.stat().st_size
        if trusted and self._size(name) == size:
            return False
        with self._stored(name):
            if isinstance(content, memoryview):
                self._ask(f"write {name}", self._files.pipe_file, self._path(name), bytes(content))
            else:
                self._ask(f"write {name}", self._files.put_file, str(content), self._path(name))
        return True

    def fetch(self, name: str, to: str) -> tuple[str, int]:
        """Streamed, and hashed on the way."""
        with open(to, "xb") as out:
            return self._copy(name, out), out.tell()

    def remove(self, name: str) -> None:
        """One request."""
        check_removable(self.url, name)
        with suppress(FileNotFoundError):
            self._ask(f"remove {name}", self._files.rm_file, self._path(name))

    def sync(self) -> None:
        """What was stored is stored."""

    @contextmanager
    def announced(self, kind: str, command: str) -> Iterator[None]:
        """An object in `running/`, written again every RENEWED_S; old ones count as those of the dead."""
        name = f"running/{kind}-{os.urandom(8).hex()}.json"
        since_s = time.time()
        ended = threading.Event()

        def announce() -> None:
            self.write(name, about_this_process(command, since_s))

        def renew() -> None:
            while not ended.wait(RENEWED_S):
                with suppress(WorkspaceError):  # the next one may get through
                    announce()

        announce()
        self._own.add(name)
        renewing = threading.Thread(target=renew, daemon=True)
        renewing.start()
        try:
            yield
        finally:
            ended.set()
            renewing.join()
            self._own.discard(name)
            with suppress(WorkspaceError):
                self.remove(name)

    def others_at_work(self, kind: str) -> list[Holder]:
        """By how old their announcements are; those of the dead are removed, of whatever kind."""
        found = []
        for name in self.sizes("running"):
            if name in self._own or not RUNNING.fullmatch(name):
                continue
            try:
                if self.age_s(name) > STALE_S:
                    self.remove(name)
                    continue
                if not name.startswith(f"running/{kind}-"):
                    continue
                found.append(holder_of(self.read(name)) or unknown_holder())
            except FileNotFoundError:
                continue
        return found

    def remove_leftovers(self) -> None:
        """An object store keeps half-written ones out of sight."""

    def _size(self, name: str) -> int | None:
        try:
            return int(self._ask(f"look at {name}", self._files.info, self._path(name))["size"])
        except FileNotFoundError:
            return None

    def _path(self, name: str) -> str:
        return f"{self._top}/{name}"

    def _list_one(self, folder: str) -> list[str]:
        self._files.invalidate_cache()
        try:
            return list(self._files.ls(self._path(folder).rstrip("/"), detail=False))
        except PermissionError:  # perhaps of what is above: s3fs looks there for what is empty, and a narrow policy…
            raise FileNotFoundError(folder) from None  # …forbids it; `sizes` asks for the folder itself

    def _list(self, folder: str) -> dict[str, Any]:
        """Everything below *folder*. A store with prefixes is asked for that prefix and for nothing else.

        s3fs asks for an object of the folder's own name, too, where the folder is empty: forbidden where only some
        prefixes may be listed, so that what is empty and what is forbidden would be one answer.
        """
        self._files.invalidate_cache()
        path = self._path(folder).rstrip("/")
        above, slash, last = path.rpartition("/")
        if self._has_prefixes and slash:
            return dict(self._files.find(above, prefix=f"{last}/", detail=True))
        return dict(self._files.find(path, detail=True))

    def _copy(self, name: str, out: BinaryIO | None = None) -> str:
        """The hash of what is read, and written to *out*, whose errors are not the store's."""
        digest = hashlib.sha256()
        with self._ask(f"read {name}", self._files.open, self._path(name), "rb") as source:
            while chunk := self._ask(f"read {name}", source.read, CHUNK):
                digest.update(chunk)
                if out is not None:
                    out.write(chunk)
        return digest.hexdigest()

    def _modified_s(self, name: str) -> float:
        return float(self._ask(f"look at {name}", self._files.modified, self._path(name)).timestamp())

    @contextmanager
    def _stored(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:  # no such bucket, rather than no such object
            raise self._failed(f"write {name}", error) from error

    def _ask(self, doing: str, call: Callable[..., Answer], *arguments: Any) -> Answer:
        """The answer of a driver, whose errors are as many as there are drivers."""
        try:
            return call(*arguments)
        except FileNotFoundError:
            raise
        except Exception as error:
            raise self._failed(doing, error) from error

    def _failed(self, doing: str, error: Exception) -> WorkspaceError:
        return WorkspaceError(
            f"cannot {doing}: the backup location {self.url} answers {type(error).__name__}: {error}\n"
            "the workspace, and every snapshot taken before, are as they were\n"
            f"see that it is there and may be used, or name another with --at or {VARIABLE}"
        )
