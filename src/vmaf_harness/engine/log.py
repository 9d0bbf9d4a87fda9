"""What ffmpeg said of its inputs, read from its log by the names that it gives: damage, and why it failed.

Damage is told from the log of `ffmpeg.TO_BE_READ`, in which each line names its level. Lines are taken one by one,
since showinfo may make a log of 100 MB.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from vmaf_harness.engine.container import detect_container
from vmaf_harness.engine.ffmpeg import INDIRECT_DEMUXERS, failure_report, input_options
from vmaf_workspace.errors import WorkspaceError

# `[h264 @ 0x5e2a] [error] text`, `[vist#0:0/h264 @ 0x5e2a] [dec:h264 @ 0x5e2b] [warning] text`, `[info] text`.
_LINE = re.compile(
    r"(?:\[(?P<context>[^\]@]+) @ [^\]]*\] )?(?:\[dec:(?P<decoder>\S+) @ [^\]]*\] )?"
    r"(?:\[(?P<level>panic|fatal|error|warning|info|verbose|debug|trace)\] )?(?P<text>.*)",
    re.DOTALL,
)
_INPUT_CONTEXT = re.compile(r"(?:in|vist|aist)#(\d+)")
_INPUT_HEADER = re.compile(r"Input #(\d+), (.+), from ")
_STREAM_NUMBER = re.compile(r"stream[ =](?:#\d+:| ?= ?)?(\d+)")
_DECODE_ERRORS = re.compile(r"  Input stream #(\d+):\d+ \(video\): .*?; (\d+) decode errors")
_REPEATED = re.compile(r"    Last message repeated (\d+) times")

# Said at the level of a warning. Each was seen in files that were cut, had bytes turned,
# packets or bytes taken out, with ffmpeg 7.0.2 and 9.0.2, and none in sound ones.
_DAMAGE_WARNINGS = re.compile(
    r"corrupt|conceal|undecodable|error|emulating|invalid NAL unit|bad vlc"
    r"|bits left after decoding|skipping NALU",
    re.IGNORECASE,
)
# Said at the start of a stream that begins within a group of pictures, as a recording or a copied cut does, of pictures
# that are then not given: what is given is whole.
_BEFORE_FIRST = re.compile(
    r"non-existing [SP]PS|[SP]PS id out of range|no frame!|decode_slice_header error|undecodable NALU"
    r"|Invalid frame dimensions 0x0|Could not find ref with POC|Error constructing the frame RPS"
    r"|co located POCs unavailable|Error parsing NAL unit|missing picture in access unit"
    r"|reference picture missing|Missing reference picture|Error submitting packet"
)
# A picture that is not there is to be forgotten: the leading pictures of an open group name it after a cut. Where a
# picture is missed, other words say so. The packet whose size does not fit is of any stream; if it is of the picture,
# it is also said to be corrupt.
_HARMLESS = re.compile(
    r"mmco: unref short failure|PES packet size mismatch|parser not found for codec|skipping NAL type"
    r"|[^1-9]0 decode errors"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """How often ffmpeg complained of damage, and its first words.

    `by_input` has the inputs that a complaint names; with one input that is all of them. `unnamed` are complaints of
    a decoder that more than one input uses: to know whose they are, decode each alone.
    """

    by_input: dict[int, int] = field(default_factory=dict)
    unnamed: int = 0
    first: dict[int | None, str] = field(default_factory=dict)

    def of(self, index: int) -> int:
        """Complaints that name this input."""
        return self.by_input.get(index, 0)

    def __bool__(self) -> bool:
        return bool(self.unnamed or self.by_input)


def read_lines(log: Path) -> Iterator[str]:
    """The lines of a log, one at a time; none where it cannot be read."""
    try:
        with log.open(encoding="utf-8", errors="replace", newline="\n") as file:
            for line in file:
                yield line.rstrip("\n")
    except OSError:
        return


_Origin = tuple[int | None, str | None, int | None]  # an input, a decoder or demuxer, a stream


@dataclass(slots=True)
class _Complaints:
    """Complaints by what they name, before and while frames are decoded."""

    probing: Counter[_Origin] = field(default_factory=Counter)
    decoding: Counter[_Origin] = field(default_factory=Counter)
    words: dict[_Origin, str] = field(default_factory=dict)


def find_damage(lines: Iterable[str]) -> Damage:
    """What a log says of concealment, corrupt packets, missing references and errors of decoders and demuxers.

    Only of video that is decoded: not of other streams, encoders, filters or outputs. What precedes the first picture
    of a stream that begins within a group of pictures is no damage. Not all damage is said: VP8, VP9, HEVC, AV1 and
    lossless codecs decode many a turned bit to another picture without a word.
    """
    demuxers: dict[str, set[int]] = {}
    decoders: dict[str, set[int]] = {}
    streams: set[tuple[int, int]] = set()
    counted: dict[int, int] = {}
    found = _Complaints()
    headers, is_configured = 0, False
    last: tuple[Counter[_Origin], _Origin] | None = None
    for line in lines:
        if line.startswith(("[Parsed_", "[showinfo@")):  # filters, showinfo above all
            last = None
            continue
        if (again := _REPEATED.match(line)) is not None:
            if last is not None:
                last[0][last[1]] += int(again[1])
            continue
        last = None
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        context, decoder, level, text = match.group("context", "decoder", "level", "text")
        if context is None:
            if (header := _INPUT_HEADER.match(text)) is not None:
                headers = max(headers, int(header[1]) + 1)
                demuxers.setdefault(header[2], set()).add(int(header[1]))
            continue
        if context.startswith("graph"):
            is_configured = True
            continue
        named = _INPUT_CONTEXT.match(context)
        index = int(named[1]) if named is not None else None
        if index is not None and decoder is not None and context.startswith("vist"):
            decoders.setdefault(decoder, set()).add(index)
            streams.add((index, int(context.split(":")[1].split("/")[0])))
        if index is not None and (statistics := _DECODE_ERRORS.match(text)) is not None:
            counted[index] = counted.get(index, 0) + int(statistics[2])
            continue
        if not _is_complaint(level, text) or (not is_configured and _BEFORE_FIRST.search(text)):
            continue
        if index is not None:
            if context.startswith("aist"):
                continue
            stream = _STREAM_NUMBER.search(text)
            key: _Origin = (index, None, int(stream[1]) if stream is not None else None)
        elif context.startswith(("out#", "vost#", "vf#", "af#", "enc:", "AVIO", "swscaler", "scale")):
            continue
        else:
            key = (None if decoders else headers, context, None)
        counter = found.decoding if decoders else found.probing
        counter[key] += 1
        found.words.setdefault(key, text.strip())
        last = (counter, key)
    # What is said while a file is opened is said again while it is decoded.
    used = found.decoding or found.probing
    return _attribute_complaints(used, found.words, counted, decoders, demuxers, streams)


def _is_complaint(level: str | None, text: str) -> bool:
    if level == "warning":
        complains = _DAMAGE_WARNINGS.search(text) is not None
    else:
        complains = level in ("error", "fatal", "panic")
    return complains and _HARMLESS.search(text) is None


def _attribute_complaints(
    complaints: Counter[_Origin],
    words: dict[_Origin, str],
    counted: dict[int, int],
    decoders: dict[str, set[int]],
    demuxers: dict[str, set[int]],
    streams: set[tuple[int, int]],
) -> Damage:
    """Each complaint to the only input that has the decoder, or the demuxer, that it names."""
    by_input: dict[int, int] = {}
    first: dict[int | None, str] = {}
    unnamed = 0
    for (index, context, stream), count in complaints.items():
        whose = index
        if index is not None and stream is not None and streams and (index, stream) not in streams:
            continue  # a stream that is not used
        if context is not None and (decoders or demuxers):
            owners = decoders.get(context) or demuxers.get(context)
            if owners is None:
                continue  # an encoder, a filter, or the decoder of a stream that is not used
            whose = index if index in owners else min(owners) if len(owners) == 1 else None
        first.setdefault(whose, words[index, context, stream])
        if whose is None:
            unnamed += count
        else:
            by_input[whose] = by_input.get(whose, 0) + count
    for index, count in counted.items():
        if count > by_input.get(index, 0):
            by_input[index] = count
            first.setdefault(index, f"{count} decode errors")
    return Damage(by_input=by_input, unnamed=unnamed, first=first)


_DEMUXER = re.compile(r"\[in#(\d+)/(\S+) @ ")


def indirect_input_problem(lines: Iterable[str], inputs: Sequence[Path]) -> str | None:
    """Why an input is refused that names other files, in one line with the remedy; None where none does."""
    for line in lines:
        if line.startswith("[Parsed_"):
            continue
        match = _LINE.fullmatch(line)
        found = _DEMUXER.match(line) or (_INPUT_HEADER.match(match["text"]) if match is not None else None)
        if found is None or int(found[1]) >= len(inputs):
            continue
        for name in found[2].split(","):
            if name in INDIRECT_DEMUXERS and not (
                name == "image2" and "image2" in input_options(inputs[int(found[1])])
            ):
                return (
                    f"{inputs[int(found[1])]} is read by ffmpeg's demuxer {name!r}: it names other files, so that its "
                    "own bytes do not tell what is decoded; name the video file itself, or make one file of it "
                    "(ffmpeg -i … -c copy one.mkv)"
                )
    return None


_STREAM_HEADER = re.compile(r" +Stream #(\d+):\d+\S*: (Video|Audio)(?:.*(\(attached pic\)))?")
_NOT_OPENED = re.compile(r"Error opening input file (?:file:)?(.*)\.")
_WHY_NOT_OPENED = re.compile(r"Error opening input: (.*)")
_COMPARED_SIZE = re.compile(r"Video: wrapped_avframe\b.*?, (\d+)x(\d+)[ ,]")
_MISSING_PARTS = (
    (re.compile(r"Unknown encoder '([^']*)'"), "this ffmpeg has no encoder"),
    (re.compile(r"Unknown decoder '([^']*)'"), "this ffmpeg has no decoder"),
    (re.compile(r"no decoder found for: (\S+)"), "this ffmpeg has no decoder for"),
    (re.compile(r"No such filter: '([^']*)'"), "this ffmpeg has no filter"),
    (re.compile(r"problem during vmaf_use_feature: (\S+)"), "the libvmaf of this ffmpeg has no feature"),
    (re.compile(r"could not load libvmaf model with version: (\S+)"), "the libvmaf of this ffmpeg has no model"),
)
_NO_FEATURE = re.compile(r"libvmaf ERROR vmaf_predict_score\w*\(\): no feature '([^']*)'")
_EXTRACTOR = re.compile(r'problem with feature extractor "([^"]*)"')
_SHORT_FRAME = re.compile(r"Invalid buffer size, packet size (\d+) < expected frame_size (\d+)")
_ERROR_RATE = re.compile(r"Decode error rate \S+ exceeds maximum")
_OPEN_REMEDIES = {  # words of the C library -> the remedy
    "Permission denied": "give yourself the right to read it",
    "No such file or directory": "correct the path, or bring the file there",
    "Is a directory": "name a video file",
    "Input/output error": "the disk or the network fails there; copy the file to another disk",
    "Too many open files": "raise the limit (ulimit -n), or work on fewer videos at once",
}
# Up to this width or height, libvmaf's fixed-point ADM ends with SIGSEGV (ffmpeg 7.0.2 and 9.0.2).
MAX_TOO_SMALL_PX = 16


def explain_failure(
    command: Sequence[str | Path],
    cwd: Path,
    code: int,
    log: Path,
    inputs: Sequence[Path],
    failures: Path | Callable[[], Path],
    failure: str,
) -> str:
    """A failure of ffmpeg: one line where its log names the cause, as all of a dataset may have it, else all of it.

    The log is kept in *failures*, a directory or what makes it, since its own goes with the run.
    """
    kept: Path | None = None
    with suppress(OSError, WorkspaceError):
        directory = failures if isinstance(failures, Path) else failures()
        directory.mkdir(exist_ok=True)
        kept = Path(shutil.copyfile(log, directory / f"{log.parent.name}.log"))
    if (why := failure_reason(read_lines(log), inputs, code=code)) is None:
        return f"{failure}\n{failure_report(command, cwd, code, log, kept)}"
    return why + (f"; full log: {kept}" if kept is not None else "")


def failure_reason(lines: Iterable[str], inputs: Sequence[Path], *, code: int = 0) -> str | None:
    """Why ffmpeg failed, in one line with the remedy, for what happens daily; None for anything else.

    *inputs* are its input files in their order, *code* its exit code, negative for a signal. Nothing is guessed: each
    cause is one that the log names, or a file that the log names is empty.
    """
    video: set[int] = set()
    cover: set[int] = set()
    raw: list[int] = []
    opened = -1
    words: dict[str, str] = {}
    sizes: list[tuple[int, int]] = []
    for line in lines:
        if line.startswith(("[Parsed_showinfo", "[showinfo@")):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        text, context = match["text"], match["context"] or ""
        if (header := _INPUT_HEADER.match(text)) is not None:
            opened = max(opened, int(header[1]))
            if header[2] == "rawvideo":
                raw.append(opened)
        elif text.startswith("Output #"):
            opened = -2  # streams listed from here on are of outputs
        elif opened >= 0 and (stream := _STREAM_HEADER.match(text)) is not None and stream[2] == "Video":
            (cover if stream[3] else video).add(int(stream[1]))
        if (size := _COMPARED_SIZE.search(text)) is not None:
            sizes.append((int(size[1]), int(size[2])))
        for name, pattern in _PATTERNS:
            if name not in words and (said := pattern.search(line)) is not None:
                words[name] = said[1] if said.re.groups else context
    if "short frame" in words and (files := [inputs[index] for index in raw if index < len(inputs)]):
        return _raw_video_problem(files, words["short frame"])
    return _reason_of_words(words, inputs, video, cover, sizes, code)


_PATTERNS = (
    ("full", re.compile(r"(No space left on device|Disk quota exceeded)")),
    ("not opened", _NOT_OPENED),
    ("why", _WHY_NOT_OPENED),
    ("no size", re.compile(r"Picture size 0x0 is invalid")),
    ("no moov", re.compile(r"moov atom not found")),
    ("low score", re.compile(r"detected only with low score")),
    ("no streams", re.compile(r"matches no streams")),
    ("speed", re.compile(r"SpEED: image too small")),
    ("halved", re.compile(r"scale below 1x1")),
    ("extractor", _EXTRACTOR),
    ("no feature", _NO_FEATURE),
    ("short frame", _SHORT_FRAME),
    ("error rate", _ERROR_RATE),
    ("no frame", re.compile(r"Cannot determine format of input (?:stream )?(\d+):\d+ after EOF")),
    *((what, pattern) for pattern, what in _MISSING_PARTS),
)


def _reason_of_words(
    words: dict[str, str],
    inputs: Sequence[Path],
    video: set[int],
    cover: set[int],
    sizes: list[tuple[int, int]],
    code: int,
) -> str | None:
    if "full" in words:
        return f"{words['full']}; make room, or use another disk"
    for _, what in _MISSING_PARTS:
        if what in words:
            return f"{what} {words[what]}; use another ffmpeg (`ws.doctor` shows which is used)"
    if "not opened" in words:
        return _open_problem(Path(words["not opened"]), words)
    if "no streams" in words:
        lacking = [(index, path) for index, path in enumerate(inputs) if index not in video]
        if lacking:
            index, path = lacking[0]
            has = "only sound and a cover picture" if index in cover else "no video stream"
            return f"{path} has {has}; name a video file"
    if "speed" in words:
        return "the pictures are too small for SpEED, which this model or feature needs; compare at a larger size"
    if "halved" in words:
        return "the pictures are too small for MS-SSIM, which halves them several times; 176 pixels each way are enough"
    if "no feature" in words:
        return f"libvmaf computed no {words['no feature']}; are the pictures too small? CAMBI needs 216 pixels one way"
    if code == -11 and sizes and min(min(size) for size in sizes) <= MAX_TOO_SMALL_PX:
        width, height = min(sizes, key=min)
        least = MAX_TOO_SMALL_PX + 1
        return f"the pictures ({width}x{height}) are too small for VMAF, which needs {least} pixels or more each way"
    named = re.search(r"#(\d+):", words.get("error rate", "")) or re.match(r"(\d+)", words.get("no frame", ""))
    if named is not None and int(named[1]) < len(inputs):
        return f"{inputs[int(named[1])]}: (almost) none of its pictures can be decoded; fetch or make the file again"
    return None


def _raw_video_problem(files: Sequence[Path], n_bytes: str) -> str:
    """Why a file read as raw video ends within a frame."""
    for path in files:
        if (known := detect_container(path)) is not None:
            return f"{path} is {known}, no raw video; give it yuv_fmt 'notyuv'"
    names = " or ".join(map(str, files))
    return f"{names} ends within a frame ({n_bytes} bytes are left); correct its width, height or yuv_fmt"


def _open_problem(path: Path, words: dict[str, str]) -> str:
    why = words.get("why", "")
    for known, remedy in _OPEN_REMEDIES.items():
        if why == known:
            return f"{path}: {known}; {remedy}"
    with suppress(OSError):
        if os.stat(path).st_size == 0:
            return f"{path} is empty (0 bytes); fetch or make the file again"
    if "no size" in words:
        return f"{path} is raw video, which says nothing of its size; give yuv_fmt, width and height (recipe, or flags)"
    if "no moov" in words and "low score" not in words:
        return f"{path} is cut short (moov atom not found): its recording or copy did not end; fetch or make it again"
    return f"{path} is no video that this ffmpeg can read ({why or 'Invalid data found'}); name a video file"
