"""What the header of a video says: which demuxer reads it, size, pixel format, colour, shape, and how many videos."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vmaf_harness.engine.ffmpeg import LAST_LINES, input_options, run_probe
from vmaf_harness.engine.log import failure_reason, indirect_input_problem
from vmaf_harness.errors import EngineError, HarnessError
from vmaf_harness.recipe.asset import RAW_FPS, Video

FULL, LIMITED = "pc", "tv"  # ffmpeg's words for the two ranges of samples
UNTAGGED = "unknown"

_INPUT = re.compile(r"^Input #(\d+), (.*), from '", re.MULTILINE)
_STREAM = re.compile(r"^ +Stream #(\d+):(\d+)[^\n]*: Video: ([^\n]*)$", re.MULTILINE)
# `yuv420p(tv, bt709, top coded first (swapped)), 1920x1080 [SAR 1:1 DAR 16:9]` after the name of the codec
_FORMAT = re.compile(
    r", (?P<fmt>[a-z][a-z0-9]+)(?:\((?P<about>(?:[^()]|\([^()]*\))*)\))?, (?P<width>\d+)x(?P<height>\d+)"
    r"(?:.*SAR (?P<sar>\d+:\d+))?"
)
_ROTATION = re.compile(r"^ +(?:displaymatrix|Display Matrix): rotation of (-?[\d.]+) degrees", re.MULTILINE)
_RATE = re.compile(r", (\d+(?:\.\d+)?) fps\b")  # two digits after the point
# Demuxers of streams without times. ffmpeg gives their frames those of 25 a second where the stream has no rate, either
# (libavformat/rawdec.h); y4m says its rate in its first line, or does not.
_TIMELESS = frozenset(
    (
        *("avs2", "avs3", "cavsvideo", "dirac", "dnxhd", "evc", "h261", "h263", "h264", "hevc", "ingenient", "m4v"),
        *("mjpeg", "mpegvideo", "obu", "vc1", "vvc"),
    )
)
_Y4M_RATE = re.compile(rb"YUV4MPEG2 [^\n]*\bF0*[1-9]\d*:0*[1-9]")
_Y4M_LINE_BYTES = 512
_FIELD_ORDER = re.compile(r"(?:top|bottom) (?:coded )?first")
_NO_COLOUR = re.compile(
    r"progressive|(?:top|bottom) .*|\d+ bpc|(?:top|bottom)?left|center|top|bottom|(?:premultiplied|straight).*"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a video is said to decode to, as it is shown: turned where the container says so.

    `range` is ``tv`` or ``pc``, None where nobody says; `matrix`, `primaries` and `transfer` are ffmpeg's names, or
    ``unknown``. `fps` is None where nobody says. `sar` is the shape of a pixel. `videos` counts the video streams,
    cover pictures left out. `is_interlaced` where the fields of a frame are of two moments. Where `has_clock` is false,
    a rate of `RAW_FPS` is what ffmpeg takes for a file that says none.
    """

    width_px: int
    height_px: int
    pix_fmt: str
    range: str | None = None
    matrix: str = UNTAGGED
    primaries: str = UNTAGGED
    transfer: str = UNTAGGED
    sar: Fraction = Fraction(1)
    videos: int = 1
    fps: float | None = None
    is_interlaced: bool = False
    has_clock: bool = True

    @property
    def shape(self) -> Fraction:
        """Width over height of the picture as it is shown."""
        return Fraction(self.width_px, self.height_px) * self.sar


# What this process has read, by engine and file: the many encodes of a reference are measured one after the other.
_FileKey = tuple[str, str, int, int, int, int]
_known_headers: dict[_FileKey | None, Header] = {}


def read_headers(videos: Sequence[Video], engine: str) -> list[Header]:
    """What the headers of *videos* say, by one start of ffmpeg, which decodes next to nothing (0.05 s for two).

    That of a file which has not changed since is read once. Raises HarnessError for a file that names other files, such
    as a playlist, and EngineError where ffmpeg finds no video in one, or cannot be started.
    """
    keys = [_file_key(video, engine) for video in videos]
    found = {
        index: _raw_header(video) if video.is_raw else _known_headers[key]
        for index, (video, key) in enumerate(zip(videos, keys, strict=True))
        if video.is_raw or key in _known_headers
    }
    asked = [index for index in range(len(videos)) if index not in found]
    if not asked:
        return [found[index] for index in range(len(videos))]
    command = [engine, "-hide_banner", "-nostdin"]
    for index in asked:
        command += [*input_options(videos[index].path), "-i", "file:" + os.path.abspath(videos[index].path)]
    done = run_probe(command, errors="surrogateescape")
    said = done.stderr
    for number, index in enumerate(asked):  # a name may hold what looks like ffmpeg's own lines
        said = said.replace("file:" + os.path.abspath(videos[index].path), f"…{number}…")
    paths = [videos[index].path for index in asked]
    if (refused := indirect_input_problem(said.splitlines(), paths)) is not None:
        raise HarnessError(refused)
    for number, index in enumerate(asked):
        video = videos[index]
        header = _parse_header(said, number, video.path)
        if header is None:
            why = failure_reason(said.splitlines(), paths, code=done.returncode)
            for place, path in enumerate(paths):
                why = why and why.replace(f"…{place}…", str(path))
            if why is None and index in (asked[int(match[1])] for match in _INPUT.finditer(said)):
                why = f"{video.path} holds no video, only sound or a cover picture; name a video file"
            if why is None:
                last = "".join(f"\n  {line}" for line in said.splitlines()[-LAST_LINES:])
                how = f"{shlex.join(command)}\nexit code {done.returncode}; last lines:{last}"
                why = f"{video.path}: ffmpeg cannot read it: {how}"
            raise EngineError(why)
        found[index] = header
        if keys[index] is not None:
            _known_headers[keys[index]] = header
    return [found[index] for index in range(len(videos))]


def input_arguments(video: Video) -> list[str]:
    """What tells ffmpeg to open *video*, and nothing that it names.

    The filters stay as the first frame made them: made anew where a frame is another, times would begin at 0 again
    (`Frames.change` tells of such). `file:` so that no name is taken for a protocol.
    """
    file = "file:" + os.path.abspath(video.path)
    return ["-reinit_filter", "0", *input_options(video.path), *raw_arguments(video), "-i", file]


def raw_arguments(video: Video) -> list[str]:
    """What ffmpeg has to be told of a file without a header."""
    if not video.is_raw:
        return []
    size, rate = f"{video.width_px}x{video.height_px}", repr(video.fps or RAW_FPS)
    return ["-f", "rawvideo", "-pixel_format", video.yuv_fmt, "-video_size", size, "-framerate", rate]


def _file_key(video: Video, engine: str) -> _FileKey | None:
    """Changes with the file; None where it cannot be looked at, which ffmpeg is left to say."""
    try:
        about = os.stat(video.path)
    except OSError:
        return None
    return (engine, str(video.path), about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)


def _has_clock(demuxer: str, path: Path) -> bool:
    if demuxer != "yuv4mpegpipe":
        return demuxer not in _TIMELESS
    with suppress(OSError), path.open("rb") as file:
        return _Y4M_RATE.match(file.readline(_Y4M_LINE_BYTES)) is not None
    return True


def _raw_header(video: Video) -> Header:
    assert video.width_px is not None
    assert video.height_px is not None
    return Header(
        width_px=video.width_px, height_px=video.height_px, pix_fmt=video.yuv_fmt, fps=video.fps, has_clock=False
    )


def _parse_header(said: str, number: int, path: Path) -> Header | None:
    """Of the first video stream of input *number* that is no cover picture."""
    streams = [match for match in _STREAM.finditer(said) if int(match[1]) == number]
    streams = [match for match in streams if "(attached pic)" not in match[3] and "(timed thumbnails)" not in match[3]]
    if not streams:
        return None
    if (form := _FORMAT.search(streams[0][3])) is None:
        raise EngineError(f"ffmpeg says of a video what is not understood: {streams[0][0].strip()}")
    about = (form["about"] or "").split(", ")
    colour, is_interlaced = _parse_colour(about), any(map(_FIELD_ORDER.match, about))
    width_px, height_px = int(form["width"]), int(form["height"])
    over, under = map(int, (form["sar"] or "1:1").split(":"))
    sar = Fraction(over, under) if over and under else Fraction(1)
    # What is said of a stream stands below it, up to the next one.
    below = re.split(r"^ +Stream |^\S", said[streams[0].end() :], maxsplit=1, flags=re.MULTILINE)[0]
    rotation = _ROTATION.search(below)
    if rotation and round(float(rotation[1]) / 90) % 2:
        width_px, height_px, sar = height_px, width_px, 1 / sar
    demuxer = next((match[2] for match in _INPUT.finditer(said) if int(match[1]) == number), "")
    pix_fmt = form["fmt"]
    if pix_fmt.startswith("yuvj"):  # the same samples under the name that full range had
        pix_fmt, colour["range"] = "yuv" + pix_fmt.removeprefix("yuvj"), FULL
    return Header(
        width_px=width_px,
        height_px=height_px,
        pix_fmt=pix_fmt,
        sar=sar,
        videos=len(streams),
        fps=float(rate[1]) if (rate := _RATE.search(streams[0][3])) else None,
        is_interlaced=is_interlaced,
        has_clock=_has_clock(demuxer, path),
        **colour,
    )


def _parse_colour(about: Sequence[str]) -> dict[str, str]:
    """Range, matrix, primaries and transfer of the words in brackets; ffmpeg says one word where all three are one."""
    found: dict[str, str] = {}
    for word in about:
        if word in (FULL, LIMITED):
            found["range"] = word
        elif word and not _NO_COLOUR.fullmatch(word):
            parts = word.split("/")
            parts = parts * 3 if len(parts) == 1 else parts
            found |= dict(zip(("matrix", "primaries", "transfer"), parts, strict=False))
    return found
