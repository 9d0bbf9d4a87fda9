"""Pages for people, held against the software: the commands that a page shows are run, and their output compared.

A fence of `console` holds lines that begin with `$ `, each a shell's command, and below each what it printed. The
comment above it, ``<!-- in: NAME -->``, says in which scene they run; fences of one scene run one after the other.
Other fences that begin with ``# name.py`` are files, which each scene of the page finds in its directory.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

CONSOLE = re.compile(r"<!-- in: (\w+) -->\n```console\n(.*?)```\n", re.DOTALL)
FILE = re.compile(r"```python\n(# (\S+\.py)\n.*?)```\n", re.DOTALL)
HOME, HOST = "/home/you", "studio"  # what the page calls the directory that its commands run in, and the machine
WIDTH = 80
PROGRESS = re.compile(r"\d+/\d+ ")  # in an order of its own, and nothing for a page

Scene = Callable[[Path], AbstractContextManager[None]]  # prepares the directory, while it lasts
_VOLATILE = (
    (r"\b\d{4}-\d\d-\d\d[T ]\d\d:?\d\d(:?\d\d)?(\.\d+)?Z?\b|\b\d{8}T\d{6}Z?", "TIME"),
    (r"\b[0-9a-f]{6,}(-[0-9a-f]{4,})*\b|\b[0-9a-f]{3,}…", "ID"),
    (r"\b(pid|process) \d+", r"\1 #"),
    (r"\b\d+(\.\d+)? ?(B|KiB|MiB|GiB|ms|s|min|h|d|[KMG]B/s|[KMG]iB/s|frames/s|kbit/s)\b", "#"),
    (r"-?\b\d+\.\d+\b|\bC \d+\b", "#"),
)


def files(text: str) -> dict[str, str]:
    """The files that a page shows whole, by their names."""
    return {name: content for content, name in FILE.findall(text)}


def played(text: str, scenes: Mapping[str, Scene]) -> str:
    """*text* with what its commands print now; where only sizes, times and numbers are others, with what it has."""
    with ExitStack() as until_end:
        places: dict[str, Path] = {}

        def fence(match: re.Match[str]) -> str:
            scene, shown = match[1], match[2]
            if scene not in places:
                places[scene] = until_end.enter_context(_stage(scenes[scene], files(text)))
            now = "".join(_said(command, places[scene]) for command in commands(shown))
            return match[0] if normal(now) == normal(shown) else match[0].replace(shown, now)

        return CONSOLE.sub(fence, text)


def commands(shown: str) -> list[str]:
    """The commands of a fence; a line that ends in a backslash goes on."""
    return re.findall(r"^\$ ((?:.*\\\n)*.*)$", shown, re.MULTILINE)


def normal(text: str) -> str:
    """*text* without what differs from run to run: sizes, times, numbers with a fraction, ids, the layout."""
    for pattern, name in _VOLATILE:
        text = re.sub(pattern, name, text)
    return " ".join(text.split())


@contextmanager
def _stage(scene: Scene, given: Mapping[str, str]) -> Iterator[Path]:
    place = Path(os.path.realpath(tempfile.mkdtemp(prefix="you")))
    try:
        for name, content in given.items():
            (place / name).write_text(content)
        with scene(place):
            yield place
    finally:
        shutil.rmtree(place)


def _said(command: str, place: Path) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("VMAF_", "INVOKE_", "XDG_"))}
    path = os.pathsep.join([os.path.dirname(sys.executable), kept.get("PATH", os.defpath)])
    environ = {**kept, "PATH": path, "HOME": str(place), "COLUMNS": str(WIDTH), "VMAF_WORKSPACE": str(place / "vmaf")}
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=place,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=900,
        check=False,
    )
    said = os.fsdecode(done.stdout).replace(str(place), HOME)
    said = re.sub(rf"\bon {re.escape(platform.node())}\b", f"on {HOST}", said)
    lines = [line.rstrip() for line in said.splitlines() if line.strip() and not PROGRESS.match(line)]
    return "\n".join([f"$ {command}", *lines]) + "\n"
