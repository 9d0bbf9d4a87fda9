"""Small real trees, and children that use or change them, for the tests of `vmaf_workspace`."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from vmaf_workspace.contract import KEPT_NAMES
from vmaf_workspace.live.lock import RUN_FILE, about_this_process
from vmaf_workspace.removal.candidates import plan_clean
from vmaf_workspace.removal.execution import Report, execute
from vmaf_workspace.setup import setup

HOUR_S = 3600.0


def workspace(root: Path) -> Path:
    """A workspace at *root*, as `ws.setup` makes it."""
    setup(root)
    return root


def write(path: Path, size: int = 1) -> Path:
    """A file of *size* bytes, its parents made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return path


def age(path: Path, seconds: float = 2 * HOUR_S) -> Path:
    """Make all of *path* look changed so long ago; links are aged themselves."""
    then = time.time() - seconds
    if path.is_dir() and not path.is_symlink():
        for directory, names, files in os.walk(path, topdown=False):
            for name in names + files:
                os.utime(os.path.join(directory, name), (then, then), follow_symlinks=False)
    os.utime(path, (then, then), follow_symlinks=False)
    return path


def ended_run(root: Path, name: str = "ended", size: int = 1, subdir: str = "workdir") -> Path:
    """The directory of a run that was killed: its `run.json` is there, its lock is free; *size* bytes of video."""
    run = root / subdir / name
    write(run / "frames.yuv", size)
    with (run / RUN_FILE).open("wb", buffering=0) as file:
        file.write(about_this_process("a run", time.time(), fd=file.fileno()))
    return run


def stored(root: Path, name: str, size: int = 1, *, idle_s: float = 0.0, executor: str = "VMAF_V1") -> Path:
    """A stored result; *name* is dataset/content/key."""
    path = write(root / "result_store_dir" / "file_result_store" / executor / name, size)
    return age(path, idle_s)


def left(root: Path, subdir: str = "workdir") -> list[str]:
    """What a subdirectory holds, apart from what stays by contract."""
    return sorted(set(os.listdir(root / subdir)) - KEPT_NAMES)


def everything(top: Path) -> dict[str, tuple[Any, ...]]:
    """Every entry below *top*, its kind, inode, mode, times and content: equal before and after means untouched."""
    found: dict[str, tuple[Any, ...]] = {}
    for directory, names, files in os.walk(os.fsencode(top)):
        for name in names + files:
            path = os.path.join(directory, name)
            about = os.lstat(path)
            content = ""
            if stat.S_ISLNK(about.st_mode):
                content = repr(os.readlink(path))
            elif stat.S_ISREG(about.st_mode):
                with open(path, "rb") as file:
                    content = hashlib.sha256(file.read()).hexdigest()
            found[os.fsdecode(path)] = (about.st_mode, about.st_ino, about.st_size, about.st_mtime_ns, content)
    return found


def du(path: Path) -> int:
    """Bytes that `du` counts."""
    out = subprocess.run(["du", "-s", "--block-size=1", path], check=True, capture_output=True).stdout
    return int(out.split()[0])


def clean(root: Path, **options: Any) -> Report:
    """Plan a clean, and execute it."""
    return execute(plan_clean(root, **options))


def subprocess_env(**changes: str | None) -> dict[str, str]:
    """The environment, changed; None takes a name away."""
    return {name: value for name, value in {**os.environ, **changes}.items() if value is not None}


@dataclass(frozen=True)
class Ended:
    """A process that ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run(
    command: Sequence[str | os.PathLike[str]], *, stdin: int = subprocess.DEVNULL, timeout: float = 60, **options: Any
) -> Ended:
    """Run *command* without a terminal; what takes longer than *timeout* seconds hangs."""
    done = subprocess.run(command, stdin=stdin, capture_output=True, timeout=timeout, check=False, **options)
    return Ended(done.returncode, os.fsdecode(done.stdout), os.fsdecode(done.stderr))


def ws(*args: str | os.PathLike[str], **options: Any) -> Ended:
    """Run `vmaf-ws` as people do: in a process of its own."""
    return run([sys.executable, "-m", "vmaf_workspace.cli", *args], **options)


def ws_later(seconds: float, *args: str | os.PathLike[str]) -> Ended:
    """The same with its clock ahead by *seconds*: what is there now is so old by every time that a file has."""
    ahead = f"import time; a, b = time.time, time.time_ns; time.time = lambda: a() + {seconds}"
    return python(f"{ahead}; time.time_ns = lambda: b() + int({seconds} * 1e9)\n{CLI}", *args)


CLI = "import sys; from vmaf_workspace.cli import main; sys.exit(main(sys.argv[1:]))"


def python(code: str, *args: str | os.PathLike[str], prefix: Sequence[str] = (), **options: Any) -> Ended:
    """Run *code* in a process of its own."""
    return run([*prefix, sys.executable, "-c", code, *args], **options)


def in_a_mount_namespace(code: str, *args: str | os.PathLike[str], **options: Any) -> Ended:
    """Run *code*, which may mount; skip the test where that is not allowed."""
    for flags in ("-m", "-rm"):
        prefix = ["unshare", flags]
        if shutil.which("unshare") and run([*prefix, "sh", "-c", "mount -t tmpfs none /mnt"]).code == 0:
            return python(MOUNTING + code, *args, prefix=prefix, **options)
    pytest.skip("this machine lets the test make no mount of its own (unshare -m, unshare -rm)")


MOUNTING = """
import json, os, subprocess, sys
from pathlib import Path

def mount(*args):
    subprocess.run(["mount", *map(str, args)], check=True)

def ws(*args):
    done = subprocess.run([sys.executable, "-m", "vmaf_workspace.cli", *map(str, args)], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr
"""


def without_root_powers() -> list[str]:
    """A prefix under which file modes count, even for root."""
    if os.getuid() != 0:
        return []
    prefix = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    if shutil.which("setpriv") is None or run([*prefix, "true"]).code != 0:
        pytest.skip("root reads what modes forbid, and setpriv is missing or may not drop that power")
    return prefix


def as_somebody_with_few_processes() -> list[str]:
    """A prefix under which the limit of processes counts, as it does not for root, and files may be used."""
    powers = "+dac_override,+fowner"
    prefix = ["setpriv", "--reuid=65533", f"--inh-caps={powers}", f"--ambient-caps={powers}"]
    if os.getuid() or shutil.which("setpriv") is None or run([*prefix, "true"]).code != 0:
        pytest.skip("only root can become a user who has few processes")
    return [*prefix, f"--bounding-set=-all,{powers}"]


@contextmanager
def process(code: str, *args: str | os.PathLike[str], prefix: Sequence[str] = ()) -> Iterator[subprocess.Popen[str]]:
    """A child that runs *code*; entered once it has printed a line, killed at the end."""
    child = subprocess.Popen(
        [*prefix, sys.executable, "-c", code, *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        first = child.stdout.readline().strip()
        assert first == "ready", f"the child said {first!r}"
        yield child
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()  # before its input ends: what it started in a container would end well, not be killed
        child.stdin.close()
        child.stdout.close()


LIVE_RUN = """
import sys
from pathlib import Path
from vmaf_workspace.live.lock import Run
with Run(Path(sys.argv[1]), command="a live run") as run:
    for subdir in sys.argv[2:]:
        (getattr(run, subdir)() / "frames.yuv").write_bytes(b"x" * 100)
    print("ready", flush=True)
    sys.stdin.read()
"""


@contextmanager
def live_run(root: Path, *subdirs: str) -> Iterator[subprocess.Popen[str]]:
    """A real process that holds a run's lock in *subdirs* (workdir)."""
    with process(LIVE_RUN, root, *(subdirs or ("workdir",))) as child:
        yield child
