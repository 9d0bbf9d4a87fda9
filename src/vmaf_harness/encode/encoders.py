"""What the encoders of an ffmpeg take: asked of the ffmpeg itself, so that any encoder it has can be used."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from difflib import get_close_matches

from vmaf_harness.engine.binary import Engine
from vmaf_harness.engine.ffmpeg import run_probe
from vmaf_harness.errors import EngineError

ENCODER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")

_QUALITY_OPTIONS = ("crf", "qp")  # the first that an encoder has: constant quality, constant quantiser
_PRESET_OPTIONS = ("preset", "cpu-used", "speed")
# What each library takes where ffmpeg says more, tried with ffmpeg 9.0: x264 takes all above 51 as 51, x265 refuses it,
# SVT-AV1 takes 0 as 35 (nothing given), and VP8's quantisers begin at 4.
_QUALITY_LIMITS = {"libx264": (0, 51), "libx265": (0, 51), "libsvtav1": (1, 63), "libvpx": (4, 63)}
# Parts of the names of encoders that MP4 is the usual container of.
_MP4_ENCODERS = ("264", "265", "hevc", "av1", "vvc", "vvenc")
_WEBM_ENCODERS = ("vp8", "vp9", "libvpx")
# Those that an error names, of some eighty.
_COMMON = ("libx264", "libx265", "libsvtav1", "libaom-av1", "librav1e", "libvpx-vp9", "libvpx", "libvvenc")
_FORMATS = {  # what people call a format -> the encoders of it that need no hardware
    **dict.fromkeys(("h264", "avc", "x264", "avc1"), ("libx264", "libopenh264")),
    **dict.fromkeys(("h265", "hevc", "x265"), ("libx265", "libkvazaar")),
    **dict.fromkeys(("av1", "svt", "svtav1", "aom"), ("libsvtav1", "libaom-av1", "librav1e")),
    "vp9": ("libvpx-vp9",),
    "vp8": ("libvpx",),
    **dict.fromkeys(("h266", "vvc"), ("libvvenc",)),
}
# Where each library says its version: x264 in the stream, the others in their log.
_VERSIONS = (
    re.compile(r"x264 - core (\d+(?: r\d+ \w+)?)"),
    re.compile(r"HEVC encoder version (\S+)"),
    re.compile(r"SVT-AV1 Encoder Lib v?(\S+)"),
    re.compile(r"^\[lib[\w-]+ @ 0x[0-9a-f]+\] (?:\w+ version: )?v?(\d[\w.+-]*)$", re.MULTILINE),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The least and greatest value of an option; whether it takes whole numbers alone."""

    low: float
    high: float
    is_whole: bool

    def __str__(self) -> str:
        return f"{'a whole number' if self.is_whole else 'a number'} from {self.low:g} to {self.high:g}"

    def holds(self, value: float) -> bool:
        """Whether *value* is one of them: ffmpeg would round a fraction where it takes whole numbers."""
        return self.low <= value <= self.high and not (self.is_whole and value % 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """An encoder that the engine has.

    `version` is the library's own, else ffmpeg's. `quality_option` and `preset_option` are None where it has none.
    """

    name: str
    version: str
    pixel_formats: tuple[str, ...]
    options: Mapping[str, Limits | None]  # its private options, without the dash; None where no limits are said

    @property
    def quality_option(self) -> str | None:
        """What takes the value of ``--crf``."""
        return next((option for option in _QUALITY_OPTIONS if option in self.options), None)

    @property
    def quality_limits(self) -> Limits | None:
        """What ``--crf`` may be; None where there is none, or nobody says. Below 0 means not given, to all of them."""
        said = self.options.get(self.quality_option or "")
        if said is None:
            return None
        low, high = _QUALITY_LIMITS.get(self.name, (0, math.inf))
        return Limits(low=max(low, said.low), high=min(high, said.high), is_whole=said.is_whole)

    @property
    def preset_option(self) -> str | None:
        """What takes the value of ``--preset``."""
        return next((option for option in _PRESET_OPTIONS if option in self.options), None)

    @property
    def container(self) -> str:
        """``mp4``, ``webm`` or ``mkv``."""
        if any(part in self.name for part in _WEBM_ENCODERS):
            return "webm"
        return "mp4" if any(part in self.name for part in _MP4_ENCODERS) else "mkv"

    def pixel_format(self, source: str) -> str:
        """What a source is encoded in: its own format without alpha, else 4:2:0 of its bit depth, else of 8 bits."""
        source = re.sub(r"^(yuv|gbr)a(?=p?\d|p)", r"\1", source)  # no score sees alpha, and few encoders take it
        depth = re.search(r"(10|12|14|16)(?:le|be)?$", source)
        wanted = [source]
        if depth is not None:
            wanted += [f"yuv420p{depth[1]}le", "yuv420p10le"]
        wanted += ["yuv420p", "yuv420p10le", *self.pixel_formats]
        return next((format for format in wanted if format in self.pixel_formats), "yuv420p")


def find_encoders(names: Sequence[str], engine: Engine) -> dict[str, Encoder]:
    """Ask the engine about these encoders; EngineError, naming what may be meant, for one that it lacks."""
    with ThreadPoolExecutor(4) as pool:
        return dict(zip(names, pool.map(lambda name: _find_encoder(name, engine), names), strict=True))


def check_encoders(engine: Engine, versions: Mapping[str, str]) -> None:
    """Raise EngineError where *engine* lacks one of these encoders, or has another version of it: other bits."""
    for name, found in find_encoders(list(versions), engine).items():
        if found.version != versions[name]:
            raise EngineError(
                f"{engine.path} has {name} {found.version}, and {versions[name]} is used here; install the same there"
            )


def _find_encoder(name: str, engine: Engine) -> Encoder:
    about = ""
    if ENCODER_NAME.fullmatch(name):
        about = run_probe([engine.path, "-hide_banner", "-h", f"encoder={name}"]).stdout
    if f"Encoder {name} [" not in about:
        has = _all_encoders(engine)
        near = _near_names(name, has)
        meant = f" (is {' or '.join(near)} meant?)" if near else ""
        common = ", ".join(each for each in _COMMON if each in has) or "none of those that are common"
        raise EngineError(
            f"ffmpeg has no video encoder {name!r}{meant}; it has {common}, and others: "
            f"`{shlex.join([engine.path, '-hide_banner', '-encoders'])}` lists all"
        )
    formats = re.search(r"Supported pixel formats: (.*)", about)
    options = re.findall(r"^  -(\S+) +<(\w+)>(?:.*\(from (\S+) to (\S+)\))?", about, re.MULTILINE)
    # One frame: the version of a shared library may change while ffmpeg's file stays the same.
    source = ("-f", "lavfi", "-i", "color=s=128x128:r=25:d=0.04")
    command = [engine.path, "-hide_banner", "-nostdin", "-v", "verbose", *source, "-c:v", name, "-f", "nut", "pipe:1"]
    tried = run_probe(command)
    said = tried.stderr + tried.stdout
    version = next((match[1] for pattern in _VERSIONS if (match := pattern.search(said))), engine.ffmpeg)
    pixel_formats = tuple(formats[1].split()) if formats else ()
    limits = {option: _limits(kind, low, high) for option, kind, low, high in options}
    return Encoder(name=name, version=version, pixel_formats=pixel_formats, options=limits)


def _limits(kind: str, low: str, high: str) -> Limits | None:
    """As ffmpeg's help says them, where INT_MAX and the like stand for no limit."""
    if kind not in ("int", "int64", "float", "double"):
        return None
    least, greatest = (float(text) if re.fullmatch(r"-?\d[\d.e+]*", text) else None for text in (low, high))
    return Limits(
        low=-math.inf if least is None else least,
        high=math.inf if greatest is None else greatest,
        is_whole=kind.startswith("int"),
    )


def _near_names(name: str, has: Sequence[str]) -> list[str]:
    """Up to three names that *name* may mean: the libraries of a format (av1), else what is spelled alike."""
    word = re.sub(r"[^a-z0-9]", "", name.lower())
    of_format = [each for each in _FORMATS.get(word, ()) if each in has]
    holding = [each for each in has if word and word in each]
    return (of_format or holding or get_close_matches(name, has, n=3))[:3]


def _all_encoders(engine: Engine) -> list[str]:
    """Names of all video encoders, libraries first."""
    listed = run_probe([engine.path, "-hide_banner", "-encoders"]).stdout
    names = re.findall(r"^ V\S{5} (\S+)", listed, re.MULTILINE)
    return sorted((name for name in names if name != "="), key=lambda name: (not name.startswith("lib"), name))
