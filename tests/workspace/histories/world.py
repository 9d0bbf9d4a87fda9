"""The disk on which a history happens, its clock and its hosts; commands run in this process, those hurt in a fork.

The clock is real: `time.time()` of the commands is shifted, as it is on a machine whose clock is wrong. Two containers
of one image are two directories that take turns at one path, each with a host name, a home and a cache of its own.
"""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path

from histories import evidence
from histories.step import BACKUPS, GROUPS, SLOTS, SUBDIRS, Step
from vmaf_workspace import cli

STEP_S = 90.0  # passes between two steps: what was written is quiet by then
EVENTS = {
    f"os.{word}" for word in ["rename", "remove", "rmdir", "mkdir", "link", "symlink", "utime", "chmod", "truncate"]
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a command said."""

    code: int | None  # None: it was killed, or failed as the system told it to
    out: str = ""
    err: str = ""
    crash: str = ""  # the traceback of what no command may raise


class Clock:
    """What `time.time()` says in this process."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        real, real_ns = time.time, time.time_ns
        time.time = lambda: real() + self.ahead_s
        time.time_ns = lambda: real_ns() + int(self.ahead_s * 1e9)


CLOCK = Clock()


class World:
    """Three places for workspaces, and a backup location, below *top*."""

    outlived = False  # some command ended before the write that it was to be killed at

    def __init__(self, top: Path, beginning: str) -> None:
        self.top, self.location = top, top / BACKUPS
        self.beginning = beginning
        self.paths = {slot: top / slot for slot in SLOTS}
        self.hosts = dict.fromkeys(SLOTS, "alpha")
        self._visible: str | None = None  # which of the slots that share a path is there now
        self._written = 0
        CLOCK.ahead_s = 0.0
        if beginning == "image":
            self.paths |= dict.fromkeys("ab", top / "ws")
            self.hosts["b"] = "beta"
            self.call("a", ["setup"])
            shutil.copytree(self.paths["a"], self._hidden("b"), symlinks=True)
            self._visible = "a"
        elif beginning == "template":
            self.paths["t"], self.hosts["t"] = top / "t", "alpha"
            self.call("t", ["setup"])
            for slot in "ab":
                shutil.copytree(self.paths["t"], self.paths[slot], symlinks=True)
            shutil.rmtree(self.paths["t"])
        else:
            for slot in "ab":
                self.call(slot, ["setup"])

    def _hidden(self, slot: str) -> Path:
        return self.top / f"of-{slot}"

    def where(self, slot: str) -> Path:
        """Where the workspace of a slot lies now, if there is one."""
        return self.paths[slot] if self.paths[slot] != self.top / "ws" or self._visible == slot else self._hidden(slot)

    def exists(self, slot: str) -> bool:
        return self.where(slot).is_dir()

    @property
    def now_s(self) -> float:
        return time.time()

    def do(self, step: Step) -> Done | None:
        """One step; None where it was no command, or there was nothing to do it with."""
        CLOCK.ahead_s += STEP_S
        if not step.is_command:
            getattr(self, f"_{step.does.replace('-', '_')}")(step.at, *step.words)
            return None
        words = [step.does, *(self._meant(word) for word in step.words)]
        if step.does == "migrate":
            (to,) = step.words
            if self.exists(to) or not self.exists(step.at) or self.paths[to] == self.paths[step.at]:
                return None
            self._show(to)  # nothing, or the other container's tree would be in the way
            words = ["migrate", f"--to={self.paths[to]}", "--yes"]
        return self.call(step.at, words, kill=step.kill, error=step.error, beside=step.beside)

    def _meant(self, word: str) -> str:
        flag, _, value = word.partition("=")
        if flag == "--into":
            return f"{flag}={self.top / value}"
        if flag == "--snapshot":
            ids = list(evidence.shots(self.location)) or ["20000101T000000.000Z"]
            return f"{flag}={ids[int(value) % len(ids)]}"
        return word

    def call(self, slot: str, words: list[str], *, kill: int = 0, error: str = "", beside: str = "") -> Done:
        """One command of ours on the workspace of a slot, on its host."""
        self._show(slot)
        words = [words[0], f"--workspace={self.paths[slot]}", *words[1:]]
        if words[0] not in ("setup", "migrate"):
            words.append(f"--at={self.location}")
        if words[0] in ("restore-models", "backup-models"):
            words.append("--json")
        with self._host(self.hosts[slot]):
            if beside:
                at = [f"--at={self.location}"] if beside != "clean-scratch" else []
                return _both(words, [beside, f"--workspace={self.paths[slot]}", *at])
            if error:
                return _told(words, error, kill, self.top)
            return _killed(words, kill, self.top / "count") if kill else _called(words)

    @contextmanager
    def _host(self, host: str) -> Iterator[None]:
        home = self.top / f"home-{host}"
        home.mkdir(exist_ok=True)
        os.environ["HOME"], os.environ["XDG_CACHE_HOME"] = str(home), str(home / "cache")
        os.environ["XDG_DATA_HOME"] = str(home / "data")
        real = socket.gethostname
        socket.gethostname = lambda: host
        try:
            yield
        finally:
            socket.gethostname = real

    def _show(self, slot: str) -> None:
        shared = self.top / "ws"
        if self.paths[slot] != shared or self._visible == slot:
            return
        if self._visible is not None and shared.exists():
            shared.rename(self._hidden(self._visible))
        self._visible = slot
        if self._hidden(slot).exists():
            self._hidden(slot).rename(shared)

    def _train(self, slot: str, group: str, content: str) -> None:
        """As a harness without locks writes: a temporary sibling, then its name."""
        if not self.exists(slot):
            return
        for suffix in GROUPS[group]:
            path = self.where(slot) / f"{group}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f"{path.name}.part")
            part.write_text(f"{content}{suffix}\n")
            self._written += 1
            now_ns = time.time_ns() // 10**9 * 10**9 + self._written  # no two alike, whatever the clock does
            os.utime(part, ns=(now_ns, now_ns))
            part.rename(path)

    def _copy(self, slot: str, to: str) -> None:
        if self.exists(slot):
            if self.exists(to):
                shutil.rmtree(self.where(to))
            shutil.copytree(self.where(slot), self.where(to), symlinks=True)

    def _move(self, slot: str, to: str) -> None:
        if self.exists(slot) and not self.exists(to):
            self.where(slot).rename(self.where(to))

    def _remove(self, slot: str, group: str) -> None:
        for subdir in SUBDIRS:
            for directory, _, names in os.walk(self.where(slot) / subdir):
                for name in names:
                    path = Path(directory, name)
                    below = str(path.relative_to(self.where(slot)))
                    if name not in evidence.OURS and below.startswith(group) and evidence.HIDDEN not in below:
                        path.unlink()

    def _remove_workspace(self, slot: str) -> None:
        if self.exists(slot):
            shutil.rmtree(self.where(slot))

    def _clock(self, _: str, by_s: str) -> None:
        if time.time() + float(by_s) > 0:
            CLOCK.ahead_s += float(by_s)

    def _break_object(self, slot: str, how: str, which: str) -> None:
        there = evidence.objects(self.location)
        if not there:
            return
        place = there[int(which) % len(there)]
        if how in ("link", "hard-link"):  # what a tool that saves space does to files that are alike
            self._show(slot)
            paths = [path for path, sha256 in evidence.models(self.where(slot)).files if sha256 == place.name]
            if paths:
                model = self.paths[slot] / min(paths)
                place.unlink()
                os.symlink(model, place) if how == "link" else os.link(model, place)
            return
        if place.is_symlink():
            return
        content = place.read_bytes() or b"?"  # of another size then, where it was cut before
        place.unlink()
        if how != "remove":
            place.write_bytes(content[:-1] if how == "truncate" else content[:-1] + bytes([content[-1] ^ 1]))

    def _break_manifest(self, _: str, how: str, which: str) -> None:
        there = list(evidence.shots(self.location))
        if there:
            place = self.location / "snapshots" / f"{there[int(which) % len(there)]}.json"
            place.unlink() if how == "remove" else os.truncate(place, place.stat().st_size // 2)


def _called(words: list[str]) -> Done:
    out, err = _stream(), _stream()
    crash, code = "", None
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = cli.main(words)
        except SystemExit as exit_:  # argparse
            code = int(str(exit_.code))
        except BaseException:
            crash = traceback.format_exc()
    return Done(code=code, out=_text(out), err=_text(err), crash=crash)


def _stream() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="surrogateescape", write_through=True)


def _text(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


def _killed(words: list[str], at: int, count: Path) -> Done:
    """Run the command in a fork that dies, with all of its children, at its write number *at*; half of that is done."""
    alive, held = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(alive)
            os.setsid()
            _die_at(at, count)
            _called(words)
        finally:
            os._exit(0)
    os.close(held)
    World.outlived |= os.waitpid(pid, 0)[1] == 0
    os.read(alive, 1)  # the end of file comes when the last of them is gone
    os.close(alive)
    return Done(code=None)


def _told(words: list[str], error: str, at: int, top: Path) -> Done:
    """Run the command in a fork whose system call number *at* below *top* fails with *error*.

    ENOSPC is what each write gets from then on; any other error comes once, to a read as well.
    """
    done = _answer(_begun(words, lambda: _fail_at(at, getattr(errno, error), top)))
    return _judged(words, done)


def _both(one: list[str], other: list[str]) -> Done:
    """Both commands at once; what they said is not judged, but for what none may say."""
    begun = [_begun(words) for words in (one, other)]
    first, second = (_judged(words, _answer(each)) for words, each in zip((one, other), begun, strict=True))
    return Done(code=None, out=first.out, err=first.err, crash=first.crash or second.crash)


def _begun(words: list[str], prepare: Callable[[], object] = lambda: None) -> tuple[int, int]:
    reads, writes = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(reads)
            prepare()
            with os.fdopen(writes, "w") as answer:
                json.dump(asdict(_called(words)), answer)
        finally:
            os._exit(0)
    os.close(writes)
    return pid, reads


def _answer(begun: tuple[int, int]) -> Done:
    pid, reads = begun
    with os.fdopen(reads) as answer:
        done = Done(**json.loads(answer.read()))
    os.waitpid(pid, 0)
    return done


def _judged(words: list[str], done: Done) -> Done:
    """Without its code, where it failed as it may; with a crash, where it did not."""
    fits_none = done.code == 2 and any(word.startswith("--only=") for word in words)
    if done.code in (1, 3, 4) or fits_none:
        return Done(code=None, out=done.out, err=done.err, crash=done.crash)
    crash = done.crash or (f"exit {done.code}\n{done.err}" if done.code else "")
    return Done(code=done.code, out=done.out, err=done.err, crash=crash)


def _fail_at(n: int, error: int, top: Path) -> None:
    left, write, here = n, os.write, f"{top}/"

    def tell(*, is_write: bool) -> None:
        nonlocal left
        if error != errno.ENOSPC or is_write:
            left -= 1
            if left == 0 or (left < 0 and error == errno.ENOSPC):
                raise OSError(error, os.strerror(error))

    def hook(event: str, args: tuple[object, ...]) -> None:
        if event == "open":
            path, flags = os.fsdecode(args[0]) if isinstance(args[0], str | bytes) else "", args[2]
            if path and (not os.path.isabs(path) or path.startswith(here)):
                tell(is_write=isinstance(flags, int) and bool(flags & WRITING))
        elif event in ("os.listdir", "os.scandir"):
            if isinstance(args[0], int) or str(args[0]).startswith(here):
                tell(is_write=False)
        elif event in EVENTS:
            tell(is_write=event in ("os.mkdir", "os.link", "os.symlink"))

    def full(fd: int, content: bytes) -> int:
        if fd > 2:
            tell(is_write=True)
        return write(fd, content)

    sys.addaudithook(hook)
    os.write = full  # type: ignore[assignment]


def _die_at(n: int, count: Path) -> None:
    write = os.write
    counted = os.open(count, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)

    def is_last() -> bool:
        write(counted, b".")  # O_APPEND: one count for all processes
        return os.fstat(counted).st_size >= n

    def hook(event: str, args: tuple[object, ...]) -> None:
        is_write = event in EVENTS or (event == "open" and isinstance(args[2], int) and args[2] & WRITING)
        if is_write and is_last():
            os.killpg(0, signal.SIGKILL)

    def half(fd: int, content: bytes) -> int:
        if is_last():
            write(fd, content[: len(content) // 2])
            os.killpg(0, signal.SIGKILL)
        return write(fd, content)

    sys.addaudithook(hook)
    os.write = half  # type: ignore[assignment]
