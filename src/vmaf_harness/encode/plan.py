"""What a ladder makes of each reference: sizes, names, keys, and ffmpeg's arguments; nothing is encoded here."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmaf_harness.encode.ladder import Rung
from vmaf_harness.engine.binary import Engine
from vmaf_harness.engine.ffmpeg import LAST_LINES, TO_BE_READ, run_probe
from vmaf_harness.engine.log import failure_reason, indirect_input_problem
from vmaf_harness.errors import EngineError, HarnessError
from vmaf_harness.measure.header import input_arguments, raw_arguments
from vmaf_harness.recipe.asset import DEFAULT_RESAMPLING_TYPE, Video, frame_count
from vmaf_harness.recipe.dataset import Reference
from vmaf_workspace.config import below
from vmaf_workspace.disk.workers import cores

# Encoders of one process hold their frames at the same time: x264 with its default lookahead about 60 a rung, of 1.5
# bytes a pixel. Eight rungs of 1080p then stay within 2 GB.
MAX_PIXELS = 8 * 1920 * 1080
_FILTERS = ("crop", "pad")  # what a reference may bring; the encodes then show what is left
_FINE_CLOCK = ("libx264", "libx265", "libsvtav1", "libvpx", "libaom")  # tried with a variable frame rate
REFERENCE = "reference"  # what the filter is called that lists each frame as it is decoded
_SHOWN_FRAME = re.compile(r"Parsed_showinfo\S* @ \S+\] n: .* fmt:(\S+) .* s:(\d+)x(\d+) i:(\w)")
_MUXERS = {"mp4": "mp4", "webm": "webm", "mkv": "matroska"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Size and pixel format of what a reference decodes to, cropped and padded."""

    width_px: int
    height_px: int
    pix_fmt: str
    is_interlaced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Encode:
    """One encode to be: a reference, a rung, and where it goes.

    `arguments` are those of its output; with everything else that changes a bit of it they are in `made_of`, whose
    hash is `key`.
    """

    dataset: str
    reference: Reference
    rung: Rung
    picture: Picture  # of the encode
    source: Picture
    arguments: tuple[str, ...]
    made_of: dict[str, Any]
    key: str
    path: Path

    @property
    def executor_id(self) -> str:
        """The directory of its entry in the store, as upstream shapes it: `TYPE_V` and the version."""
        version = re.sub(r"[^A-Za-z0-9_.+-]", "_", self.rung.encoder.version)
        return f"{self.rung.encoder.name}_V{version}"


def check_reference(reference: Reference) -> None:
    """Raise HarnessError for a reference that cannot be encoded: filters that we do not apply, a raw file cut short."""
    for name, _ in reference.video.filters:
        if name not in _FILTERS:
            raise HarnessError(
                f"content {reference.content_id}: {name}_cmd on a reference is not encoded, only crop_cmd and pad_cmd "
                "are; make a file with that filter applied, and name it as the reference"
            )
    if reference.video.is_raw:
        count, end = frame_count(reference.video), reference.video.end_frame
        if end is not None and end >= count:
            raise HarnessError(f"{reference.video.path}: frame {end} is asked for, but the file has {count} frames")


def probe_picture(video: Video, engine: Engine) -> Picture:
    """Decode one frame to see its size and format.

    Raises HarnessError for a file that names other files, and EngineError where nothing can be decoded.
    """
    if video.is_raw and not video.filters and video.width_px and video.height_px:
        return Picture(width_px=video.width_px, height_px=video.height_px, pix_fmt=video.yuv_fmt)
    graph = ",".join([*_filters(video), "showinfo=checksum=0"])
    command = [engine.path, "-hide_banner", "-nostdin", "-nostats", *input_arguments(video)]
    command += ["-map", "0:V:0", "-vf", graph]
    command += ["-frames:v", "1", "-f", "null", "-"]
    done = run_probe(command)
    said = done.stderr
    lines = said.splitlines()
    if (refused := indirect_input_problem(lines, [video.path])) is not None:
        raise HarnessError(refused)
    shown = _SHOWN_FRAME.search(said)
    if done.returncode or shown is None:
        if (why := failure_reason(lines, [video.path], code=done.returncode)) is not None:
            raise EngineError(why)
        last = "\n".join(f"  {line}" for line in lines[-LAST_LINES:])
        raise EngineError(f"{video.path}: ffmpeg finds no video that it can decode in it; last lines:\n{last}")
    return Picture(width_px=int(shown[2]), height_px=int(shown[3]), pix_fmt=shown[1], is_interlaced=shown[4] != "P")


def plan_encode(
    root: Path, dataset: str, reference: Reference, sha256: str, source: Picture, rung: Rung, engine: Engine
) -> Encode | None:
    """What one rung makes of one reference; None where it is taller than the reference.

    *sha256* is that of the reference's file. Sizes are rounded to even numbers, which 4:2:0 needs.
    """
    height_px = rung.height_px or _even(source.height_px)
    if height_px > source.height_px + 1:
        return None
    width_px = _even(source.width_px * height_px / source.height_px)
    encoder = rung.encoder
    picture = Picture(width_px=width_px, height_px=height_px, pix_fmt=encoder.pixel_format(source.pix_fmt))
    arguments = _output_arguments(rung)
    video = reference.video
    made_of = {
        "source_sha256": sha256,
        "input": raw_arguments(video),
        "filters": [*_filter_chain(video), *_scaling(source, picture, reference), f"format={picture.pix_fmt}"],
        "arguments": arguments,
        "encoder": [encoder.name, encoder.version],
        "ffmpeg": engine.ffmpeg,
    }
    key = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
    content = re.sub(r"[^A-Za-z0-9_-]+", "_", reference.content_name or video.path.stem).strip("_-")[:60]
    parts = [content or f"content{reference.content_id}", encoder.name, rung.rate, f"{width_px}x{height_px}"]
    parts += [rung.preset or "default", key[:8]]
    return Encode(
        dataset=dataset,
        reference=reference,
        rung=rung,
        picture=picture,
        source=source,
        arguments=tuple(arguments),
        made_of=made_of,
        key=key,
        path=below(root / "encode", dataset, f"{'_'.join(parts)}.{encoder.container}"),
    )


def group_by_reference(encodes: Sequence[Encode], alone: Collection[Path] = ()) -> list[list[int]]:
    """Indices of encodes that one ffmpeg makes: of one reference, as many as its memory allows.

    Those of a reference *alone* are made one by one.
    """
    groups: list[list[int]] = []
    pixels: dict[tuple[Path, int], int] = {}
    open_groups: dict[tuple[Path, int], list[int]] = {}
    for index, encode in enumerate(encodes):
        of = (encode.reference.video.path, encode.reference.content_id)
        more = encode.picture.width_px * encode.picture.height_px
        if of not in open_groups or pixels[of] + more > MAX_PIXELS or of[0] in alone:
            open_groups[of], pixels[of] = [], 0
            groups.append(open_groups[of])
        open_groups[of].append(index)
        pixels[of] += more
    return groups


def processes_at_once(groups: Sequence[Sequence[int]], processes: int | None) -> int:
    """How many ffmpegs at once: the encoders within one share the cores, so that few of them are enough.

    36 encodes of 3 references (x264, x265, SVT-AV1; 720p and 360p; 48 frames) on 2 cores took 32 s of processor time by
    one ffmpeg a reference, one at a time (16 s), 36 s by two at a time (18 s), and 41 s by one an encode, two at a time
    (21 s) or not (24 s): a reference decoded for each encode is a quarter of fast encoding.
    """
    if processes is not None:
        return max(1, min(processes, len(groups)))
    most = max(map(len, groups), default=1)
    return max(1, min(cores(), len(groups), -(-2 * cores() // most)))


def encode_command(engine: str, encodes: Sequence[Encode], targets: Sequence[Path]) -> list[str | Path]:
    """The command that makes these encodes of one reference, each into its target."""
    first = encodes[0]
    video, source = first.reference.video, first.source
    sizes: dict[tuple[str, ...], list[int]] = {}
    for index, encode in enumerate(encodes):
        sizes.setdefault(tuple(_scaling(source, encode.picture, encode.reference)), []).append(index)
    chain = ",".join([f"showinfo@{REFERENCE}=checksum=0", *_filter_chain(video), _split(len(sizes), "s")])
    graph = [f"[0:V:0]{chain}"]
    for number, (scaling, indices) in enumerate(sizes.items()):
        graph.append(f"[s{number}]{','.join([*scaling, _split(len(indices), f's{number}e')])}")
        for place, index in enumerate(indices):
            graph.append(f"[s{number}e{place}]format={encodes[index].picture.pix_fmt}[o{index}]")
    command: list[str | Path] = [engine, *TO_BE_READ]
    command += [*input_arguments(video), "-filter_complex", ";".join(graph)]
    for index, (encode, target) in enumerate(zip(encodes, targets, strict=True)):
        command += ["-map", f"[o{index}]", *encode.arguments, "file:" + os.path.abspath(target)]
    return command


def _output_arguments(rung: Rung) -> list[str]:
    """The arguments of one output but its file."""
    encoder = rung.encoder
    # Every frame stays, at its own time, where the encoder bears a clock that is finer than the frame rate: MPEG-4
    # takes no such clock, and of libvvenc's frames every other one is then lost.
    clock = ["-enc_time_base", "demux"] if encoder.name.startswith(_FINE_CLOCK) else []
    given = ["-fps_mode", "passthrough", *clock, "-c:v", encoder.name]
    if rung.bitrate_bps is not None:
        given += ["-b:v", str(rung.bitrate_bps)]
    else:
        given += [f"-{encoder.quality_option}", str(rung.crf)]
        if encoder.name == "libvpx":  # VP8: a bitrate of 0 is the default one, 256 kbit/s, at every CRF
            given += ["-b:v", "1000000000"]
        elif encoder.name.startswith(("libvpx", "libaom")):
            given += ["-b:v", "0"]  # else a default bitrate caps the quality
    if rung.preset is not None:
        given += [f"-{encoder.preset_option}", rung.preset]
    for name, value in rung.options:
        given += [f"-{name}:v", value]
    # bitexact: no random ids in Matroska, so that the same encode is the same file.
    return [*given, "-map_metadata", "-1", "-fflags", "+bitexact", "-f", _MUXERS[encoder.container]]


def _filters(video: Video) -> list[str]:
    return [f"{name}={given}" for name, given in video.filters]


def _filter_chain(video: Video) -> list[str]:
    """From the first frame on, also where a recipe starts later: start_frame then means the same in both videos."""
    trim = []
    if video.end_frame is not None:
        trim = [f"trim=end_frame={video.end_frame + 1}"]
    elif video.duration_s is not None and not video.start_frame:
        trim = [f"trim=duration={video.duration_s!r}"]
    return [*trim, *_filters(video), "setpts=PTS-STARTPTS"]


def _scaling(source: Picture, picture: Picture, reference: Reference) -> list[str]:
    """To the size of a rung in the format of the source, so that no rung depends on those made along with it."""
    same = f"format={source.pix_fmt}"
    if (source.width_px, source.height_px) == (picture.width_px, picture.height_px):
        return [same]
    flags = reference.resampling_type or DEFAULT_RESAMPLING_TYPE
    return [f"scale={picture.width_px}:{picture.height_px}:flags={flags}", same]


def _split(n: int, name: str) -> str:
    return f"split={n}" + "".join(f"[{name}{i}]" for i in range(n))


def _even(value: float) -> int:
    return max(2, 2 * round(value / 2))
