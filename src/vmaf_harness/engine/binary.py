"""Which ffmpeg measures: `VMAF_FFMPEG`, else the first on PATH, else imageio-ffmpeg's, that has what measuring takes.

Each is asked anew by every run, which takes 0.03 s: what a binary can depends on more than its file (a libvmaf that is
linked dynamically is updated without it), and what it could not do once may have been mended.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

from vmaf_harness.engine.ffmpeg import LAST_LINES, run_probe
from vmaf_harness.engine.log import failure_reason
from vmaf_harness.errors import EngineError

VARIABLE = "VMAF_FFMPEG"
REMEDY = f"install imageio-ffmpeg (its ffmpeg has libvmaf), or set {VARIABLE} to an ffmpeg with libvmaf (5.1 or later)"

# One frame through every filter that we use shows that they work with the options that we give, and libvmaf's version,
# which no listing tells. ffmpeg's own version is in its banner.
_PROBE_FILTERS = (
    "[0]scale=w=64:h=64:flags=bicubic,"
    "setparams=range=limited:colorspace=unknown:color_primaries=unknown:color_trc=unknown,"
    "format=yuv420p,showinfo=checksum=0,settb=1,setpts=N,split[a][b];[a][b]"
)
_ALL_FEATURES = "model=version=vmaf_v0.6.1:feature=name=psnr\\|name=float_adm\\|name=float_vif\\|name=float_motion"
_EVERYWHERE = frozenset({"psnr", "float_adm", "float_vif", "float_motion", "adm", "vif", "motion"})
_FEWEST_FEATURES = "model=:feature=name=psnr"


@dataclass(frozen=True, slots=True)
class Engine:
    """An ffmpeg that measures, with the versions that may change a number.

    `lacks` is blank, or what its libvmaf does not have of what is often used; `passed_over` says why others are not
    used, a line each.
    """

    path: str
    ffmpeg: str
    libvmaf: str
    lacks: str = field(default="", compare=False)
    passed_over: tuple[str, ...] = field(default=(), compare=False)

    @property
    def versions(self) -> dict[str, str]:
        """What a stored result depends on."""
        return {"ffmpeg": self.ffmpeg, "libvmaf": self.libvmaf}


def check_extractors(engine: Engine, names: Iterable[str]) -> None:
    """Raise EngineError where the libvmaf of *engine* lacks one of these extractors, by which it would fail each time.

    Tried on one frame, in 0.1 s; not at all where every engine has them.
    """
    asked = sorted(set(names) - _EVERYWHERE)
    if not asked or _extracts(engine, asked):
        return
    if lacking := [name for name in asked if not _extracts(engine, [name])]:
        raise EngineError(
            f"{engine.path}: its libvmaf ({engine.libvmaf}) has no {' and no '.join(lacking)}; "
            f"install imageio-ffmpeg, whose libvmaf has, or set {VARIABLE} to another ffmpeg"
        )


def _extracts(engine: Engine, names: Iterable[str]) -> bool:
    features = "\\|".join(f"name={name}" for name in names)
    graph = f"[0]format=yuv420p,split[a][b];[a][b]libvmaf=model=:feature={features}"
    source = ("-f", "lavfi", "-i", "testsrc2=s=640x360:d=0.04")  # more than the least size of any
    done = run_probe([engine.path, "-nostdin", "-v", "error", *source, "-filter_complex", graph, "-f", "null", "-"])
    return done.returncode == 0


def find_engine() -> Engine:
    """Return the engine; EngineError, with the remedy, where there is none that measures.

    One that lacks a part of libvmaf is used where nobody has it all, or where it is named by `VMAF_FFMPEG`.
    """
    named = os.environ.get(VARIABLE, "").strip()
    if named:
        return _engine_by_name(named)
    problems: list[str] = []
    second: Engine | None = None
    for path in _candidate_paths():
        found = _check_binary(path)
        if isinstance(found, str):
            problems.append(found)
        elif found.lacks:
            problems.append(f"{path}: {found.lacks}")
            second = second or found
        else:
            return replace(found, passed_over=tuple(problems))
    if second is not None:
        own = f"{second.path}: {second.lacks}"
        return replace(second, passed_over=tuple(problem for problem in problems if problem != own))
    if problems:
        raise EngineError("\n".join([*problems, REMEDY]))
    raise EngineError(f"no ffmpeg found: neither on PATH, nor imageio-ffmpeg's\n{REMEDY}")


def find_same_engine(wanted: Engine) -> Engine:
    """An ffmpeg on this host, perhaps another one, whose numbers are those of *wanted*: the same versions.

    The same path first, then as `find_engine` does. Raises EngineError where there is none.
    """
    at_path = _check_binary(wanted.path) if os.path.isfile(wanted.path) else None
    if isinstance(at_path, Engine) and at_path.versions == wanted.versions:
        return at_path
    found = find_engine()
    if found.versions == wanted.versions:
        return found
    there, here = (", ".join(f"{name} {of}" for name, of in each.versions.items()) for each in (found, wanted))
    raise EngineError(
        f"{found.path} is {there}, but {here} is used here, and another version may give other numbers; install the "
        f"same, or set {VARIABLE} there"
    )


def _engine_by_name(named: str) -> Engine:
    """The engine that a person asked for, and no other."""
    text = os.path.expanduser(named)
    paths = [os.path.abspath(text)] if os.path.dirname(text) else list(_programs_on_path(text))
    path = next((path for path in paths if os.path.isfile(path) and os.access(path, os.X_OK)), None)
    if path is None:
        raise EngineError(f"{VARIABLE} names {named!r}, which is no program that can be started\n{REMEDY}")
    found = _check_binary(path)
    if isinstance(found, str):
        raise EngineError(f"{VARIABLE} names {path}, which cannot measure: {found}\n{REMEDY}")
    return found


def _candidate_paths() -> Iterator[str]:
    """Paths in order of preference, each file once."""
    seen = set()
    for path in (*_programs_on_path("ffmpeg"), *_bundled_binaries()):
        if (real := os.path.realpath(path)) not in seen:
            seen.add(real)
            yield path


def _programs_on_path(name: str) -> Iterator[str]:
    """Programs of this name on PATH. A blank or relative entry means the current directory, which may be anybody's."""
    for directory in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(directory, name)
        if os.path.isabs(directory) and os.path.isfile(path) and os.access(path, os.X_OK):
            yield path


def _bundled_binaries() -> Iterator[str]:
    """imageio-ffmpeg's binary, found without importing it: its own look-up starts the binary each time."""
    spec = find_spec("imageio_ffmpeg")
    for place in (spec.submodule_search_locations or []) if spec else []:
        yield from map(str, sorted(Path(place, "binaries").glob("ffmpeg-*")))


def _check_binary(path: str) -> Engine | str:
    """What a binary is, or why it cannot measure."""
    if not os.access(path, os.X_OK):
        return f"{path} may not be executed; chmod +x {shlex.quote(path)}"
    found = _probe_binary(path, _ALL_FEATURES)
    if isinstance(found, Engine):
        return found
    least = _probe_binary(path, _FEWEST_FEATURES)
    if isinstance(least, str):
        return least
    return replace(least, lacks=found.removeprefix(f"{path}: "))


def _probe_binary(path: str, features: str) -> Engine | str:
    graph = f"{_PROBE_FILTERS}libvmaf={features}:log_fmt=json:log_path=/dev/stdout"
    source = ("-f", "lavfi", "-i", "color=s=64x48:d=0.04")
    arguments = [path, "-nostdin", *source, "-filter_complex", graph, "-fps_mode", "passthrough", "-f", "null", "-"]
    try:
        done = run_probe(arguments)
    except EngineError as error:
        return str(error)
    version = re.search(r"^ffmpeg version (\S+)", done.stderr, re.MULTILINE)
    libvmaf = re.search(r'"version": "([^"]*)"', done.stdout)
    if done.returncode == 0 and libvmaf:
        return Engine(path, version[1] if version else "unknown", libvmaf[1])
    lines = done.stderr.splitlines()
    if "No such filter: 'libvmaf'" in done.stderr:
        return f"{path} has no libvmaf"
    if (why := failure_reason(lines, [])) is not None:
        return f"{path}: {why.partition(';')[0]}"
    last = "\n".join(lines[-LAST_LINES:])
    return f"{path} failed on one frame: {shlex.join(arguments)}\nexit code {done.returncode}; last lines:\n{last}"
