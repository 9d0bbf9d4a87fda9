"""Pages for people, held against the software: the commands that a page shows are run, and their output compared.

A fence of ``console in NAME`` holds lines that begin with `$ `, each a shell's command, and below each what it printed.
NAME is the scene in which they run; fences of one scene run one after the other. Fences that begin with ``# name.py``
are files, which each scene of the page finds in its directory.
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
from dataclasses import dataclass, field
from pathlib import Path

from vmaf_workspace.wording import filled

CONSOLE = re.compile(r"```console in (\w+)\n(.*?)```\n", re.DOTALL)
FILE = re.compile(r"```python\n(# (\S+\.py)\n.*?)```\n", re.DOTALL)
HOME, HOST = "/home/you", "studio"  # what the page calls the directory that its commands run in, and the machine
WIDTH = 80
PROGRESS = re.compile(r"\d+/\d+ |[a-z ]+: [\d. ]+( [KMG]?i?B)? (in|of) \d")  # in an order and a time of its own


@dataclass(frozen=True, slots=True)
class Stage:
    """Where commands run: their directory, and variables of theirs; None takes one away."""

    directory: Path
    variables: Mapping[str, str | None] = field(default_factory=dict)


Scene = Callable[[Path], AbstractContextManager[Stage]]  # prepares a new directory, while it lasts
_VOLATILE = (
    (r"\b(ffmpeg|libvmaf|vmaf-workspace) [\w.+-]*\d[\w.+-]*", r"\1 VERSION"),
    (r"\b\d{4}-\d\d-\d\d[T ]\d\d:?\d\d(:?\d\d)?(\.\d+)?Z?\b|\b\d{8}T\d{6}(\.\d+)?Z?", "TIME"),
    (r"(?<![0-9A-Za-z])[0-9a-f]{6,}(-[0-9a-f]{4,})*(?![0-9A-Za-z])", "ID"),
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
        stages: dict[str, tuple[Path, Stage]] = {}

        def fence(match: re.Match[str]) -> str:
            scene, shown = match[1], match[2]
            if scene not in stages:
                stages[scene] = until_end.enter_context(_staged(scenes[scene], files(text)))
            now = "".join(_said(command, *stages[scene]) for command in commands(shown))
            is_kept = is_narrow(shown) and normal(now) == normal(shown)
            return match[0] if is_kept else match[0].replace(shown, now)

        return CONSOLE.sub(fence, text)


def commands(shown: str) -> list[str]:
    """The commands of a fence; a line that ends in a backslash goes on."""
    return re.findall(r"^\$ ((?:.*\\\n)*.*)$", shown, re.MULTILINE)


def is_narrow(shown: str) -> bool:
    """Whether no line that is printed is wider than a terminal, a path apart, which is not broken."""
    return all(len(filled(line, WIDTH)) == 1 for line in shown.splitlines() if not line.startswith("$ "))


def normal(text: str) -> str:
    """*text* without what differs from run to run: sizes, times, numbers with a fraction, ids, how far apart."""
    for pattern, name in _VOLATILE:
        text = re.sub(pattern, name, text)
    return " ".join(text.split())  # wherever lines end: a number more or less may move a word


@contextmanager
def _staged(scene: Scene, given: Mapping[str, str]) -> Iterator[tuple[Path, Stage]]:
    home = Path(os.path.realpath(tempfile.mkdtemp(prefix="you")))
    try:
        with scene(home) as stage:
            for name, content in given.items():
                (stage.directory / name).write_text(content)
            yield home, stage
    finally:
        shutil.rmtree(home)


def _said(command: str, home: Path, stage: Stage) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("VMAF_", "INVOKE_", "XDG_"))}
    path = os.pathsep.join([os.path.dirname(sys.executable), kept.get("PATH", os.defpath)])
    ours = {"PATH": path, "HOME": str(home), "COLUMNS": str(WIDTH), "VMAF_WORKSPACE": str(home / "vmaf")}
    environ = {name: value for name, value in {**kept, **ours, **stage.variables}.items() if value is not None}
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=stage.directory,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=900,
        check=False,
    )
    said = os.fsdecode(done.stdout).replace(str(home), HOME)
    said = re.sub(rf"\bon {re.escape(platform.node())}\b", f"on {HOST}", said)
    lines = [
        part.rstrip()
        for line in said.splitlines()
        if line.strip() and not PROGRESS.match(line)
        for part in filled(line, WIDTH, "    " if line.startswith("  ") else "")  # as on a terminal
    ]
    return "\n".join([f"$ {command}", *lines]) + "\n"
