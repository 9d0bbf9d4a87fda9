"""Two videos in one form: no tag changes a number, and what does is said.

The witness is not our graph: both sides are decoded to raw YUV as they are, brought to one depth by numpy, and scored
from there, by libvmaf for VMAF and by numpy for PSNR.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import HEIGHT_PX, WIDTH_PX, Clips, container, ffmpeg
from numpy.typing import NDArray

from vmaf_harness.asset import Asset, Video
from vmaf_harness.common_form import common_form
from vmaf_harness.engine import Engine
from vmaf_harness.errors import HarnessError
from vmaf_harness.features import extraction
from vmaf_harness.ffmpeg import Processes
from vmaf_harness.header import Header, read_headers
from vmaf_harness.measure import Job, Measurement, measure
from vmaf_harness.pixel_format import planar, samples

N = 6  # frames
PROPERTIES = {  # codec -> its container, bit depths, chroma
    "libx264": ("mkv", (8, 10), ("420", "422", "444")),
    "libx265": ("mkv", (8, 10), ("420", "422", "444")),
    "libsvtav1": ("mkv", (8, 10), ("420",)),
    "libvpx-vp9": ("mkv", (8, 10), ("420", "422", "444")),
    "mjpeg": ("mkv", (8,), ("420", "422", "444")),
    "rawvideo": ("yuv", (8, 10), ("420", "422", "444")),
    "wrapped_avframe": ("y4m", (8, 10), ("420", "422", "444")),
}
LOSSY = {
    "libx264": ("-preset", "ultrafast", "-crf", "34"),
    "libx265": ("-preset", "ultrafast", "-crf", "36", "-x265-params", "log-level=none:pools=none"),
    "libsvtav1": ("-preset", "12", "-crf", "50"),
    "libvpx-vp9": ("-cpu-used", "8", "-deadline", "realtime", "-crf", "50", "-b:v", "0"),
    "mjpeg": ("-q:v", "14", "-strict", "unofficial"),
    "rawvideo": (),
    "wrapped_avframe": ("-strict", "-1"),
}
TAGS = {"untagged": "unknown", "bt601": "smpte170m", "bt709": "bt709", "bt2020": "bt2020nc"}
Measured = Callable[..., Measurement]


@dataclass(frozen=True, slots=True)
class Pair:
    """How a pair is made."""

    codec: str
    depth: int
    chroma: str
    range: str
    tag: str
    reference_tag: str

    @property
    def pix_fmt(self) -> str:
        return planar(self.chroma, self.depth)


def table() -> Iterator[Pair]:
    for codec, (_, depths, chromas) in PROPERTIES.items():
        for depth, chroma, range_, tag in itertools.product(depths, chromas, ("tv", "pc"), TAGS):
            for reference_tag in dict.fromkeys((tag, "bt709" if tag == "untagged" else "untagged")):
                yield Pair(codec, depth, chroma, range_, tag, reference_tag)


def made(engine: Engine, source: Path, directory: Path, pair: Pair) -> tuple[Video, Video]:
    """Reference and distorted of a pair: the reference lossless, both tagged as asked."""
    kind, _, _ = PROPERTIES[pair.codec]

    def encode(codec: str, tag: str, name: str, *options: str) -> Path:
        matrix = TAGS[tag]
        primaries = {"smpte170m": "smpte170m", "bt709": "bt709", "bt2020nc": "bt2020"}.get(matrix, "unknown")
        transfer = {"smpte170m": "smpte170m", "bt709": "bt709", "bt2020nc": "bt2020-10"}.get(matrix, "unknown")
        tags = f"setparams=range={pair.range}:colorspace={matrix}:color_primaries={primaries}:color_trc={transfer}"
        blur = ",boxblur=1" if codec in ("rawvideo", "wrapped_avframe") and name == "dis" else ""
        convert = f"scale=in_range=tv:out_range={pair.range},format={pair.pix_fmt}{blur},{tags}"
        path = directory / f"{name}.{kind if name == 'dis' else 'mkv'}"
        if not path.exists():
            ffmpeg(engine, "-i", source, "-vf", convert, "-frames:v", str(N), "-c:v", codec, *options, path)
        return path

    lossless = ("-preset", "ultrafast", "-qp", "0")  # in a stream that keeps the range, as FFV1 in Matroska does not
    reference = encode("libx264", pair.reference_tag, f"ref-{pair.reference_tag}", *lossless)
    distorted = encode(pair.codec, pair.tag, "dis", *LOSSY[pair.codec])
    if kind == "yuv":
        return container(reference), Video(path=distorted, yuv_fmt=pair.pix_fmt, width_px=WIDTH_PX, height_px=HEIGHT_PX)
    return container(reference), container(distorted)


def planes(engine: Engine, video: Video, pix_fmt: str) -> list[NDArray[np.uint16]]:
    """Y, U and V of all frames, as they are decoded; *pix_fmt* is what the decoder gives, so nothing is converted."""
    if video.is_raw:
        data = video.path.read_bytes()
    else:
        command = [engine.path, "-v", "error", "-i", video.path, "-f", "rawvideo", "-"]
        data = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True).stdout
        assert read_headers([video], engine.path)[0].pix_fmt == pix_fmt
    about = samples(pix_fmt)
    flat = np.frombuffer(data, dtype="<u2" if about.depth > 8 else np.uint8).astype(np.uint16)
    width = WIDTH_PX if about.chroma == "444" else WIDTH_PX // 2
    height = HEIGHT_PX // 2 if about.chroma == "420" else HEIGHT_PX
    luma, chroma = WIDTH_PX * HEIGHT_PX, width * height
    frames = flat.reshape(-1, luma + 2 * chroma)
    return [frames[:, :luma], frames[:, luma : luma + chroma], frames[:, luma + chroma :]]


def by_libvmaf(engine: Engine, reference: Path, distorted: Path, pix_fmt: str, directory: Path) -> float:
    """VMAF of two raw files of one format, by a graph with nothing in it but libvmaf."""
    raw = ("-f", "rawvideo", "-pixel_format", pix_fmt, "-video_size", f"{WIDTH_PX}x{HEIGHT_PX}")
    graph = "[0:v][1:v]libvmaf=log_fmt=json:log_path=witness.json"
    command = [engine.path, "-v", "error", *raw, "-i", distorted, *raw, "-i", reference, "-filter_complex", graph]
    subprocess.run([*command, "-f", "null", "-"], cwd=directory, check=True, stdin=subprocess.DEVNULL)
    return float(json.loads((directory / "witness.json").read_bytes())["pooled_metrics"]["vmaf"]["mean"])


def by_numpy(reference: NDArray[np.uint16], distorted: NDArray[np.uint16], depth: int) -> float:
    """PSNR of luma: 10 lg(peak² / mean squared error) of each frame, at most 6 × depth + 12 dB as libvmaf has it."""
    peak = (1 << depth) - 1
    errors = ((reference.astype(np.float64) - distorted) ** 2).mean(axis=1)
    most = 6 * depth + 12
    return float(np.mean([min(most, 10 * math.log10(peak**2 / error)) if error else most for error in errors]))


@pytest.fixture
def measured(engine: Engine, tmp_path: Path) -> Measured:
    """Measure a pair; keywords go to the asset."""

    def run(reference: Video, distorted: Video, quality_type: str = "VMAF", **fields: object) -> Measurement:
        pair = Asset(dataset="d", content_id=0, asset_id=0, reference=reference, distorted=distorted, **fields)  # type: ignore[arg-type]
        job = Job(
            engine=engine.path,
            asset=pair,
            extraction=extraction(quality_type),
            directory=tmp_path / "scratch",
            failures=tmp_path / "failures",
        )
        with Processes() as processes:
            return measure(job, processes)

    return run


def kinds(measurement: Measurement) -> dict[str, str]:
    return {note.kind: note.text for note in measurement.notes}


# The table


def check_row(engine: Engine, clips: Clips, measured: Measured, directory: Path, rows: list[Pair]) -> float:
    """The largest deviation from the witness of rows that differ by tags and range alone."""
    worst = 0.0
    known: dict[str, tuple[float, float]] = {}
    for pair in rows:
        place = directory / f"{pair.range}-{pair.tag}"
        place.mkdir(exist_ok=True)
        reference, distorted = made(engine, clips.mp4("reference"), place, pair)
        ours = measured(reference, distorted).means["vmaf"]
        psnr = measured(reference, distorted, "PSNR").means["psnr_y"]
        if pair.range not in known:  # tags change no sample, as the next line proves for each row
            sides = [planes(engine, each, pair.pix_fmt) for each in (reference, distorted)]
            for name, side in zip(("ref.yuv", "dis.yuv"), sides, strict=True):
                dtype = "<u2" if pair.depth > 8 else np.uint8
                (directory / name).write_bytes(b"".join(
                    plane[frame].astype(dtype).tobytes() for frame in range(len(side[0])) for plane in side
                ))  # fmt: skip
            score = by_libvmaf(engine, directory / "ref.yuv", directory / "dis.yuv", pair.pix_fmt, directory)
            known[pair.range] = score, by_numpy(sides[0][0], sides[1][0], pair.depth)
        of_libvmaf, of_numpy = known[pair.range]
        assert ours == pytest.approx(of_libvmaf, abs=1e-5), pair
        assert psnr == pytest.approx(of_numpy, abs=1e-5), pair
        worst = max(worst, abs(ours - of_libvmaf), abs(psnr - of_numpy))
    return worst


GROUPS = {
    f"{codec}-{depth}-{chroma}": [
        row for row in table() if (row.codec, row.depth, row.chroma) == (codec, depth, chroma)
    ]
    for codec, (_, depths, chromas) in PROPERTIES.items()
    for depth, chroma in itertools.product(depths, chromas)
}


@pytest.mark.parametrize("group", ["libx264-8-420", "libx265-10-420", "mjpeg-8-420", "rawvideo-8-420"])
def test_tags_change_no_score(group: str, engine: Engine, clips: Clips, measured: Measured, tmp_path: Path) -> None:
    of_range = "pc" if group.startswith("mjpeg") else "tv"
    rows = [row for row in GROUPS[group] if row.range == of_range and row.tag in ("untagged", "bt709")]
    assert len(rows) == 4
    check_row(engine, clips, measured, tmp_path, rows)


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_the_score_is_that_of_both_decoded_to_raw_yuv(
    group: str, engine: Engine, clips: Clips, measured: Measured, tmp_path: Path, record_property: Callable[..., None]
) -> None:
    worst = check_row(engine, clips, measured, tmp_path, GROUPS[group])
    record_property("largest_deviation", worst)
    print(f"{group}: {len(GROUPS[group])} pairs, largest deviation {worst:.1e}")
