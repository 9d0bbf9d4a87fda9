"""What ffmpeg said of its inputs, read from its log by the names that it gives: damage, and why it failed.

Made for the log of `-nostats -v level+verbose`, in which each line names its level; a log of `-v verbose` is read as
well, by words alone. Lines are taken one by one, since showinfo may make a log of 100 MB.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

# `[h264 @ 0x5e2a] [error] text`, `[vist#0:0/h264 @ 0x5e2a] [dec:h264 @ 0x5e2b] [warning] text`, `[info] text`.
_LINE = re.compile(
    r"(?:\[(?P<context>[^\]@]+) @ [^\]]*\] )?(?:\[dec:(?P<decoder>\S+) @ [^\]]*\] )?"
    r"(?:\[(?P<level>panic|fatal|error|warning|info|verbose|debug|trace)\] )?(?P<text>.*)",
    re.DOTALL,
)
_OF_INPUT = re.compile(r"(?:in|vist|aist)#(\d+)")
_HEADER = re.compile(r"Input #(\d+), (.+), from ")
_STREAM = re.compile(r"stream[ =](?:#\d+:| ?= ?)?(\d+)")
_DECODED = re.compile(r"  Input stream #(\d+):\d+ \(video\): .*?; (\d+) decode errors")
_REPEATED = re.compile(r"    Last message repeated (\d+) times")

# Said at the level of a warning, or in a log without levels. Each was seen in files that were cut, had bytes turned,
# packets or bytes taken out, with ffmpeg 7.0.2 and 9.0.2, and none in sound ones.
_WARNED = re.compile(
    r"corrupt|conceal|undecodable|error|emulating|invalid NAL unit|PES packet size mismatch|bad vlc"
    r"|bits left after decoding|skipping NALU",
    re.IGNORECASE,
)
_WORDS = re.compile(
    r"corrupt|conceal|undecodable|\berrors?\b|damaged|mismatch|missing|truncated|overread|overflow|prematurely"
    r"|partial file|out of range|outside the valid range|could not find ref|non-existing|no frame!|invalid|illegal"
    r"|unavailable|failed|cannot build|exceeds containing|bad vlc|CABAC_MAX_BIN|too large|too big|slice end not reached"
    r"|emulating|bits left after decoding|skipped MB|MVs not available|reference \d+ >= \d+",
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
# picture is missed, other words say so.
_HARMLESS = re.compile(r"mmco: unref short failure|parser not found for codec|skipping NAL type|[^1-9]0 decode errors")


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


def lines_of(log: Path) -> Iterator[str]:
    """The lines of a log, one at a time; none where it cannot be read."""
    try:
        with log.open(encoding="utf-8", errors="replace", newline="\n") as file:
            for line in file:
                yield line.rstrip("\n")
    except OSError:
        return


@dataclass(slots=True)
class _Found:
    """Complaints by (input that they name, decoder or demuxer that they name), before and while frames are decoded."""

    probing: Counter[tuple[int | None, str | None]] = field(default_factory=Counter)
    decoding: Counter[tuple[int | None, str | None]] = field(default_factory=Counter)
    words: dict[tuple[int | None, str | None], str] = field(default_factory=dict)


def damage(lines: Iterable[str]) -> Damage:
    """What a log says of concealment, corrupt packets, missing references and errors of decoders and demuxers.

    Only of video that is decoded: not of other streams, encoders, filters or outputs. What precedes the first picture
    of a stream that begins within a group of pictures is no damage. Not all damage is said: VP8, VP9, HEVC, AV1 and
    lossless codecs decode many a turned bit to another picture without a word.
    """
    demuxers: dict[str, set[int]] = {}
    decoders: dict[str, set[int]] = {}
    streams: set[tuple[int, int]] = set()
    counted: dict[int, int] = {}
    found = _Found()
    headers, is_configured = 0, False
    last: tuple[Counter[tuple[int | None, str | None]], tuple[int | None, str | None]] | None = None
    for line in lines:
        if line.startswith("[Parsed_"):  # filters, showinfo above all
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
            if (header := _HEADER.match(text)) is not None:
                headers = max(headers, int(header[1]) + 1)
                demuxers.setdefault(header[2], set()).add(int(header[1]))
            continue
        if context.startswith("graph"):
            is_configured = True
            continue
        named = _OF_INPUT.match(context)
        index = int(named[1]) if named is not None else None
        if index is not None and decoder is not None and context.startswith("vist"):
            decoders.setdefault(decoder, set()).add(index)
            streams.add((index, int(context.split(":")[1].split("/")[0])))
        if index is not None and (statistics := _DECODED.match(text)) is not None:
            counted[index] = counted.get(index, 0) + int(statistics[2])
            continue
        if not _complains(level, text) or (not is_configured and _BEFORE_FIRST.search(text)):
            continue
        if index is not None:
            stream = _STREAM.search(text)
            if context.startswith("aist") or (
                stream is not None and streams and (index, int(stream[1])) not in streams
            ):
                continue
            key: tuple[int | None, str | None] = (index, None)
        elif context.startswith(("out#", "vost#", "vf#", "af#", "enc:", "AVIO", "swscaler", "scale")):
            continue
        else:
            key = (None if decoders else headers, context)
        counter = found.decoding if decoders else found.probing
        counter[key] += 1
        found.words.setdefault(key, text.strip())
        last = (counter, key)
    # What is said while a file is opened is said again while it is decoded.
    used = found.decoding or found.probing
    return _attributed(used, found.words, counted, decoders, demuxers)


def _complains(level: str | None, text: str) -> bool:
    if level is None:
        complains = _WORDS.search(text) is not None
    elif level == "warning":
        complains = _WARNED.search(text) is not None
    else:
        complains = level in ("error", "fatal", "panic")
    return complains and _HARMLESS.search(text) is None


def _attributed(
    complaints: Counter[tuple[int | None, str | None]],
    words: dict[tuple[int | None, str | None], str],
    counted: dict[int, int],
    decoders: dict[str, set[int]],
    demuxers: dict[str, set[int]],
) -> Damage:
    """Each complaint to the only input that has the decoder, or the demuxer, that it names."""
    by_input: dict[int, int] = {}
    first: dict[int | None, str] = {}
    unnamed = 0
    for (index, context), count in complaints.items():
        whose = index
        if context is not None and (decoders or demuxers):
            owners = decoders.get(context) or demuxers.get(context)
            if owners is None:
                continue  # an encoder, a filter, or the decoder of a stream that is not used
            whose = index if index in owners else min(owners) if len(owners) == 1 else None
        first.setdefault(whose, words[index, context])
        if whose is None:
            unnamed += count
        else:
            by_input[whose] = by_input.get(whose, 0) + count
    for index, count in counted.items():
        if count > by_input.get(index, 0):
            by_input[index] = count
            first.setdefault(index, f"{count} decode errors")
    return Damage(by_input=by_input, unnamed=unnamed, first=first)
