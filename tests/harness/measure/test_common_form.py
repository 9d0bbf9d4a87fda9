"""Two videos in one form: no tag changes a number, and what does is said.

The witness is not our graph: both sides are decoded to raw YUV as they are, brought to one depth by numpy, and scored
from there, by libvmaf for VMAF and by numpy for PSNR.
"""

from __future__ import annotations

import itertools
import json
import math
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import HEIGHT_PX, WIDTH_PX, Clips, Measured, container, ffmpeg
from numpy.typing import NDArray

from vmaf_harness.engine.binary import Engine
from vmaf_harness.errors import EngineError, HarnessError
from vmaf_harness.measure.common_form import common_form
from vmaf_harness.measure.header import read_headers
from vmaf_harness.measure.measurement import Measurement
from vmaf_harness.measure.pixel_format import parse_pixel_format, planar_format
from vmaf_harness.recipe.asset import Asset, Video

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
        return planar_format(self.chroma, self.depth)


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
        raw = replace(container(distorted), yuv_fmt=pair.pix_fmt, width_px=WIDTH_PX, height_px=HEIGHT_PX)
        if pair.range == "pc":  # of which a raw file says nothing, so that it is compared with another raw one
            ffmpeg(engine, "-i", reference, "-f", "rawvideo", directory / "ref.yuv")
            return replace(raw, path=directory / "ref.yuv"), raw
        return container(reference), raw
    return container(reference), container(distorted)


def planes(engine: Engine, video: Video, pix_fmt: str) -> list[NDArray[np.uint16]]:
    """Y, U and V of all frames, as they are decoded; *pix_fmt* is what the decoder gives, so nothing is converted."""
    if video.is_raw:
        data = video.path.read_bytes()
    else:
        command: list[str | Path] = [engine.path, "-v", "error", "-i", video.path, "-f", "rawvideo", "-"]
        data = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True).stdout
        assert read_headers([video], engine.path)[0].pix_fmt == pix_fmt
    about = parse_pixel_format(pix_fmt)
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
    command: list[str | Path] = [engine.path, "-v", "error", *raw, "-i", distorted, *raw, "-i", reference]
    command += ["-filter_complex", graph]
    subprocess.run([*command, "-f", "null", "-"], cwd=directory, check=True, stdin=subprocess.DEVNULL)
    return float(json.loads((directory / "witness.json").read_bytes())["pooled_metrics"]["vmaf"]["mean"])


def by_numpy(reference: NDArray[np.uint16], distorted: NDArray[np.uint16], depth: int) -> float:
    """PSNR of luma: 10 lg(peak² / mean squared error) of each frame, at most 6 × depth + 12 dB as libvmaf has it."""
    peak = (1 << depth) - 1
    errors = ((reference.astype(np.float64) - distorted) ** 2).mean(axis=1)
    most = 6 * depth + 12
    return float(np.mean([min(most, 10 * math.log10(peak**2 / error)) if error else most for error in errors]))


def kinds(measurement: Measurement) -> dict[str, str]:
    return {note.kind: note.text for note in measurement.notes}


# The table


def check_row(engine: Engine, clips: Clips, measured: Measured, directory: Path, rows: list[Pair]) -> float:
    """The largest deviation from the witness of rows that differ by tags and range alone."""
    worst = 0.0
    known: dict[str, float] = {}
    for pair in rows:
        place = directory / f"{pair.range}-{pair.tag}"
        place.mkdir(exist_ok=True)
        reference, distorted = made(engine, clips.mp4("reference"), place, pair)
        ours = measured(reference, distorted).means["vmaf"]
        if pair.range not in known:  # tags change no sample, as the score of each row proves
            sides = [planes(engine, each, pair.pix_fmt) for each in (reference, distorted)]
            for name, side in zip(("ref.yuv", "dis.yuv"), sides, strict=True):
                dtype = "<u2" if pair.depth > 8 else np.uint8
                (directory / name).write_bytes(b"".join(
                    plane[frame].astype(dtype).tobytes() for frame in range(len(side[0])) for plane in side
                ))  # fmt: skip
            score = by_libvmaf(engine, directory / "ref.yuv", directory / "dis.yuv", pair.pix_fmt, directory)
            psnr = measured(reference, distorted, "PSNR").means["psnr_y"]
            of_numpy = by_numpy(sides[0][0], sides[1][0], pair.depth)
            assert psnr == pytest.approx(of_numpy, abs=1e-5), pair
            known[pair.range] = score
            worst = max(worst, abs(psnr - of_numpy))
        assert ours == pytest.approx(known[pair.range], abs=1e-5), pair
        worst = max(worst, abs(ours - known[pair.range]))
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


# What is a choice, and said


def variant(engine: Engine, source: Path, path: Path, filters: str, *options: str) -> Video:
    codec = options or ("-c:v", "ffv1")
    ffmpeg(engine, "-i", source, "-vf", filters, "-frames:v", str(N), *codec, path)
    return container(path)


@pytest.fixture
def lossless(engine: Engine, clips: Clips, tmp_path: Path) -> Callable[..., Video]:
    """A lossless copy of the reference, filtered."""

    def make(name: str, filters: str = "null", *options: str) -> Video:
        return variant(engine, clips.mp4("reference"), tmp_path / name, filters, *options)

    return make


X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-qp", "0")


def test_full_range_is_converted_to_that_of_the_reference_and_the_other_way_round(
    lossless: Callable[..., Video], measured: Measured
) -> None:
    limited = lossless("tv.mkv")
    full = lossless("pc.mkv", "scale=out_range=pc,setparams=range=pc", *X264)
    forth, back = measured(limited, full), measured(full, limited)
    assert kinds(forth)["range"] == "full range, its reference limited: converted to limited"
    assert kinds(back)["range"] == "limited range, its reference full: converted to full"
    for each in (forth, back):
        assert each.means["vmaf"] > 96  # rounding to fewer steps is all that differs
    assert "range" not in kinds(measured(full, full))


def test_rgb_is_converted_by_the_matrix_of_its_partner(lossless: Callable[..., Video], measured: Measured) -> None:
    for tag, said in (("bt709", "bt709"), ("smpte170m", "smpte170m"), ("unknown", "BT.601")):
        matrix = "bt601" if tag == "unknown" else {"bt709": "bt709", "smpte170m": "smpte170m"}[tag]
        yuv = lossless(f"{tag}.mkv", f"format=yuv444p,setparams=colorspace={tag}", *X264)
        rgb = lossless(f"rgb-{tag}.mkv", f"format=yuv444p,scale=in_color_matrix={matrix},format=gbrp")
        of_rgb = measured(yuv, rgb, "PSNR")
        assert f"by {said}" in kinds(of_rgb)["rgb"]
        assert of_rgb.means["psnr_y"] > 50  # by another matrix it is 30


def test_gray_is_compared_as_luma(lossless: Callable[..., Video], measured: Measured, engine: Engine) -> None:
    yuv = lossless("yuv.mkv")
    # extractplanes keeps the samples, where format=gray would stretch them to full range
    gray = lossless("gray.nut", "extractplanes=y", "-c:v", "rawvideo")
    assert read_headers([gray], engine.path)[0].pix_fmt == "gray"
    of_gray = measured(yuv, gray, "PSNR")
    assert of_gray.means["psnr_y"] == 60
    assert "limited" in kinds(of_gray)["gray"]
    stretched = lossless("stretched.mkv", "format=gray")
    assert measured(yuv, stretched, "PSNR").means["psnr_y"] > 50


def test_alpha_is_left_out(lossless: Callable[..., Video], measured: Measured) -> None:
    with_alpha = lossless("alpha.mkv", "format=yuva420p,geq=lum='lum(X,Y)':a='X'")
    of_alpha = measured(lossless("yuv.mkv"), with_alpha, "PSNR")
    assert of_alpha.means["psnr_y"] == 60
    assert "alpha" in kinds(of_alpha)


@pytest.mark.parametrize("deep_side", ["reference", "distorted"])
def test_the_greater_depth_and_chroma_of_the_two_are_compared(
    lossless: Callable[..., Video], measured: Measured, deep_side: str
) -> None:
    eight = lossless("8.mkv")
    ten = lossless("10.mkv", "format=yuv444p10le,lutyuv=y=val+1")  # a quarter of a step of 8 bits
    pair = (ten, eight) if deep_side == "reference" else (eight, ten)
    psnr = measured(*pair, "PSNR").means["psnr_y"]
    assert psnr == pytest.approx(20 * math.log10(1023), abs=1e-3)
    of_recipe = measured(*pair, "PSNR", quality_width_px=WIDTH_PX, quality_height_px=HEIGHT_PX)
    assert "workfile_yuv_type = 'yuv420p'" in kinds(of_recipe)["depth"]
    cut = {"quality_width_px": WIDTH_PX, "quality_height_px": HEIGHT_PX, "workfile_yuv_type": "yuv420p"}
    assert measured(*pair, "PSNR", **cut).means["psnr_y"] != psnr
    assert "depth" not in kinds(measured(*pair, "PSNR", **cut))


def test_a_pq_reference_is_said_to_be_other_light_than_an_sdr_encode(
    lossless: Callable[..., Video], measured: Measured
) -> None:
    pq = lossless("pq.mkv", "setparams=color_trc=smpte2084:color_primaries=bt2020:colorspace=bt2020nc", *X264)
    sdr = lossless("sdr.mkv", "setparams=color_trc=bt709:color_primaries=bt709:colorspace=bt709", *X264)
    found = kinds(measured(pq, sdr))
    assert "PQ" in found["transfer"]
    assert "matrix bt709" in found["tags"]
    assert not kinds(measured(pq, pq))


@pytest.mark.parametrize("kind", ["yuv", "rgb", "gray", "alpha", "deep", "full", "nv12", "yuyv422", "pal8"])
def test_nothing_is_left_to_negotiation(
    kind: str, lossless: Callable[..., Video], engine: Engine, tmp_path: Path
) -> None:
    filters = {
        "yuv": "format=yuv422p,setparams=colorspace=bt709",
        "rgb": "format=gbrp",
        "gray": "format=gray",
        "alpha": "format=yuva444p10le",
        "deep": "format=yuv420p16le",
        "full": "scale=out_range=pc,format=yuv420p,setparams=range=pc",
        "nv12": "format=nv12",
        "yuyv422": "format=yuyv422",
        "pal8": "format=pal8",
    }[kind]
    codec = ("-c:v", "rawvideo", "-f", "nut") if kind in ("nv12", "yuyv422", "pal8") else ()
    odd, plain = lossless(f"{kind}.mkv", filters, *codec), lossless("plain.mkv")
    for pair in ((odd, plain), (plain, odd), (odd, odd)):
        asset = Asset(dataset="d", content_id=0, asset_id=0, reference=pair[0], distorted=pair[1])
        headers = read_headers(pair, engine.path)
        form = common_form(asset, *headers)
        assert parse_pixel_format(form.pix_fmt).kind == "yuv"
        graph = f"[0:v]{','.join(form.distorted)}[d];[1:v]{','.join(form.reference)}[r];"
        graph += "[d][r]libvmaf=model=:feature=name=psnr"
        command: list[str | Path] = [
            engine.path,
            "-v",
            "verbose",
            "-i",
            pair[1].path,
            "-i",
            pair[0].path,
            "-filter_complex",
            graph,
        ]
        done = subprocess.run([*command, "-f", "null", "-"], capture_output=True, check=True, text=True)
        assert "auto_" not in done.stderr, kind


def test_of_two_videos_in_a_file_the_first_is_taken_and_that_is_said(
    engine: Engine, clips: Clips, lossless: Callable[..., Video], measured: Measured, tmp_path: Path
) -> None:
    plain, both = lossless("plain.mkv"), tmp_path / "both.mkv"
    ffmpeg(engine, "-i", plain.path, "-i", clips.mp4("x264"), "-map", "0:v", "-map", "1:v", "-c", "copy", both)
    found = measured(plain, container(both), "PSNR")
    assert (found.means["psnr_y"], "2 videos are in it" in kinds(found)["streams"]) == (60, True)


def test_fields_of_two_moments_are_said_to_be_compared_as_frames(
    lossless: Callable[..., Video], measured: Measured
) -> None:
    woven = lossless("woven.mkv", "interlace=lowpass=off,setfield=tff", *X264, "-flags", "+ildct+ilme")
    assert "yadif_cmd" in kinds(measured(woven, woven))["interlaced"]
    half = {"quality_width_px": WIDTH_PX, "quality_height_px": HEIGHT_PX // 2}
    assert "first (ffmpeg -vf yadif)" in kinds(measured(woven, woven, **half))["interlaced"]
    parted = replace(woven, filters=(("yadif", "mode=0"),))
    assert "before yadif_cmd" in kinds(measured(parted, parted, **half))["interlaced"]
    assert "interlaced" not in kinds(measured(parted, parted))


def test_an_mp4_that_is_called_raw_is_told_so(clips: Clips, measured: Measured) -> None:
    wrong = replace(container(clips.mp4("x264")), yuv_fmt="yuv420p", width_px=1, height_px=1)
    with pytest.raises(HarnessError, match="is MP4 or QuickTime, no raw video"):
        measured(wrong, wrong)


# What the header says, and what is decoded


def test_samples_are_what_ffmpeg_says_of_every_pixel_format(engine: Engine) -> None:
    listed = subprocess.run([engine.path, "-v", "error", "-pix_fmts"], capture_output=True, check=True, text=True)
    rows = [line.split() for line in listed.stdout.split("-----\n")[1].splitlines()]
    told = {name: (int(n), max(map(int, depths.split("-")))) for flags, name, n, _, depths in rows if flags[2] != "H"}
    assert len(told) > 200
    for name, (components, depth) in told.items():
        if name.startswith(("bayer", "xyz")):
            with pytest.raises(HarnessError, match="neither YUV, nor gray, nor RGB"):
                parse_pixel_format(name)
            continue
        found = parse_pixel_format(name)
        assert found.has_alpha == (components in (2, 4)), name
        assert found.depth == max(8, min(depth, 16)), name
        assert (found.kind == "gray") == (components < 3 and name != "pal8"), name


def test_a_header_says_size_range_colour_shape_and_rotation(
    engine: Engine, clips: Clips, lossless: Callable[..., Video], tmp_path: Path
) -> None:
    tagged = lossless(
        "t.mkv", "setsar=4/3,setparams=range=pc:colorspace=bt2020nc:color_primaries=bt709:color_trc=smpte2084", *X264
    )
    found = read_headers([tagged], engine.path)[0]
    colour = (found.range, found.matrix, found.primaries, found.transfer)
    assert colour == ("pc", "bt2020nc", "bt709", "smpte2084")
    assert (found.width_px, found.height_px, found.pix_fmt, found.sar) == (
        WIDTH_PX,
        HEIGHT_PX,
        "yuv420p",
        Fraction(4, 3),
    )
    turned = tmp_path / "turned.mp4"
    ffmpeg(engine, "-display_rotation", "90", "-i", clips.mp4("reference"), "-c", "copy", turned)
    about = read_headers([container(turned)], engine.path)[0]
    assert (about.width_px, about.height_px) == (HEIGHT_PX, WIDTH_PX)


def test_a_timecode_track_beside_the_video_hides_it_not(
    engine: Engine, clips: Clips, measured: Measured, tmp_path: Path
) -> None:
    for name in ("camera.mov", "camera.mp4"):
        ffmpeg(engine, "-i", clips.mp4("x264"), "-c", "copy", "-timecode", "01:00:00:00", tmp_path / name)
        of_camera = measured(clips.mp4("reference"), tmp_path / name)
        assert of_camera.means == measured(clips.mp4("reference"), clips.mp4("x264")).means


def test_the_shape_of_a_pixel_is_the_containers_where_both_say_one(
    engine: Engine, lossless: Callable[..., Video], measured: Measured, tmp_path: Path
) -> None:
    wide = lossless("wide.mkv", "setsar=1")
    narrow = lossless("narrow.mkv", "scale=132:144,setsar=1", *X264)
    ffmpeg(engine, "-i", narrow.path, "-c", "copy", "-aspect", f"{WIDTH_PX}:{HEIGHT_PX}", tmp_path / "shown.mkv")
    shown = container(tmp_path / "shown.mkv")
    assert read_headers([shown], engine.path)[0].sar == Fraction(4, 3)
    assert kinds(measured(wide, shown)).keys() == {"size"}


def test_words_in_a_name_or_a_tag_are_not_taken_for_ffmpegs(
    engine: Engine, lossless: Callable[..., Video], tmp_path: Path
) -> None:
    plain = lossless("plain.mkv")
    evil = tmp_path / "a\n  Stream #0:0: Video: h264, gray, 64x64\n.mkv"
    told = ("-metadata:s:v", "comment=rotation of -90.00 degrees", "-metadata:s:v", "displaymatrix=rotation of 90.00")
    ffmpeg(engine, "-i", plain.path, "-c", "copy", *told, evil)
    found = read_headers([container(evil)], engine.path)[0]
    assert (found.width_px, found.height_px, found.pix_fmt) == (WIDTH_PX, HEIGHT_PX, "yuv420p")


def test_a_picture_is_one_file_whatever_its_name(
    engine: Engine, clips: Clips, measured: Measured, tmp_path: Path
) -> None:
    for name in ("still.jpg", "still%02d.jpeg", "STILL.TGA"):
        ffmpeg(engine, "-i", clips.mp4("reference"), "-frames:v", "1", "-update", "1", tmp_path / "one.png")
        codec = ("-c:v", "targa") if name.endswith("TGA") else ("-c:v", "mjpeg")
        ffmpeg(engine, "-i", tmp_path / "one.png", *codec, "-f", "image2pipe", tmp_path / name)
        assert measured(tmp_path / name, tmp_path / name, "PSNR").means["psnr_y"] == 60


def test_a_turned_video_is_compared_as_it_is_shown(
    engine: Engine, clips: Clips, lossless: Callable[..., Video], measured: Measured, tmp_path: Path
) -> None:
    upright = lossless("upright.mkv", "transpose=cclock")
    turned = tmp_path / "turned.mp4"
    ffmpeg(engine, "-display_rotation", "90", "-i", clips.mp4("reference"), "-frames:v", str(N), "-c", "copy", turned)
    assert measured(upright, container(turned), "PSNR").means["psnr_y"] == 60


def test_frames_that_are_not_as_the_header_says_are_compared_as_they_are(
    engine: Engine, clips: Clips, measured: Measured, tmp_path: Path
) -> None:
    changing = _joined(engine, clips, tmp_path, "scale=out_range=pc,setparams=range=pc:colorspace=bt709")
    reference = replace(container(clips.mp4("reference")), start_frame=6, end_frame=11)
    found = measured(reference, replace(changing, start_frame=6, end_frame=11), "PSNR")
    assert kinds(found)["range"] == "full range, its reference limited: converted to limited"
    assert found.means["psnr_y"] > 50


@pytest.mark.parametrize("name", ["pl.m3u8", "list.ffconcat", "frame%d.png"])
def test_a_file_that_names_other_files_is_refused(
    name: str, engine: Engine, clips: Clips, measured: Measured, tmp_path: Path
) -> None:
    inner = clips.mp4("x264")
    if name == "pl.m3u8":
        ffmpeg(engine, "-i", inner, "-c", "copy", "-f", "hls", tmp_path / name)
    elif name == "list.ffconcat":
        (tmp_path / "inner.mp4").write_bytes(inner.read_bytes())
        (tmp_path / name).write_text("ffconcat version 1.0\nfile 'inner.mp4'\n")
    else:
        ffmpeg(engine, "-i", inner, tmp_path / name)
        (tmp_path / name).write_bytes((tmp_path / "frame1.png").read_bytes())
    for pair in ((clips.mp4("reference"), tmp_path / name), (tmp_path / name, clips.mp4("reference"))):
        with pytest.raises(HarnessError, match="names other files"):
            measured(*map(container, pair))


# Shapes


@pytest.mark.parametrize(
    ("filters", "remedy"),
    [
        ("pad=176:146", "crop_cmd = '176:144:0:0'"),
        ("crop=176:136", "makes the shapes alike"),
        ("setsar=2", "stretched"),
    ],
)
def test_another_shape_is_said_with_the_remedy(
    filters: str, remedy: str, lossless: Callable[..., Video], measured: Measured
) -> None:
    plain = lossless("plain.mkv", "setsar=1")
    found = kinds(measured(plain, lossless("other.mkv", f"setsar=1,{filters}")))
    assert remedy in found["shape"]


@pytest.mark.parametrize("filters", ["scale=88:72", "scale=98:80", "scale=88:144,setsar=2", "scale=120:98"])
def test_another_size_of_the_same_shape_is_said_to_be_scaled_and_nothing_else(
    filters: str, lossless: Callable[..., Video], measured: Measured
) -> None:
    plain = lossless("plain.mkv", "setsar=1")
    own = filters.removeprefix("scale=").partition(",")[0].replace(":", "×")
    said = f"{own}, scaled to its reference's {WIDTH_PX}×{HEIGHT_PX} (bicubic)"
    assert kinds(measured(plain, lossless("other.mkv", f"setsar=1,{filters}"))) == {"size": said}


def test_both_are_said_to_be_scaled_to_the_quality_size_by_what_the_recipe_names(
    lossless: Callable[..., Video], measured: Measured
) -> None:
    plain = lossless("plain.mkv", "setsar=1")
    small = replace(lossless("small.mkv", "setsar=1,scale=88:72"), resampling_type="lanczos")
    found = measured(plain, small, quality_width_px=132, quality_height_px=108, resampling_type="bilinear")
    assert [(note.side, note.text) for note in found.notes] == [
        ("reference", f"{WIDTH_PX}×{HEIGHT_PX}, scaled to the quality size, 132×108 (bilinear)"),
        ("distorted", "88×72, scaled to the quality size, 132×108 (lanczos)"),
    ]
    # What is left of a picture after crop_cmd is scaled.
    cut = replace(plain, filters=(("crop", "88:72:0:0"),))
    assert kinds(measured(plain, cut))["size"] == f"88×72, scaled to its reference's {WIDTH_PX}×{HEIGHT_PX} (bicubic)"


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ("yuv420p", "yuv420p10le", "yuv420p, converted to yuv420p10le: 8 bits to 10"),
        ("yuv420p", "yuv444p", "yuv420p, converted to yuv444p: 4:2:0 to 4:4:4"),
        ("yuv422p", "yuv444p12le", "yuv422p, converted to yuv444p12le: 8 bits to 12, 4:2:2 to 4:4:4"),
    ],
)
def test_another_depth_or_chroma_is_said_of_the_one_that_is_converted(
    one: str, other: str, said: str, lossless: Callable[..., Video], measured: Measured
) -> None:
    few, many = lossless("few.mkv", f"format={one}"), lossless("many.mkv", f"format={other}")
    for pair, side in (((few, many), "reference"), ((many, few), "distorted")):
        found = measured(*pair, "PSNR")
        assert [(n.kind, n.side, n.text) for n in found.notes] == [("format", side, said)]
        assert found.compared is not None
        assert found.compared.pix_fmt == other
    assert not measured(many, many, "PSNR").notes


def test_each_is_said_to_be_cut_to_the_format_that_a_recipe_names(
    lossless: Callable[..., Video], measured: Measured
) -> None:
    deep = lossless("deep.mkv", "format=yuv422p10le")
    found = measured(deep, deep, "PSNR", workfile_yuv_type="yuv420p")
    text = "yuv422p10le, converted to yuv420p: 10 bits to 8, 4:2:2 to 4:2:0"
    assert [(n.kind, n.side, n.text) for n in found.notes] == [("format", s, text) for s in ("reference", "distorted")]


def test_a_shape_more_than_a_tenth_off_is_refused_unless_a_size_was_given(
    lossless: Callable[..., Video], measured: Measured
) -> None:
    plain, square = lossless("plain.mkv", "setsar=1"), lossless("square.mkv", "setsar=1,crop=144:144")
    with pytest.raises(HarnessError, match=r"another picture.*quality_width and quality_height"):
        measured(plain, square)
    assert "shape" in kinds(measured(plain, square, quality_width_px=WIDTH_PX, quality_height_px=HEIGHT_PX))


def test_a_recipes_crop_takes_the_word_away(lossless: Callable[..., Video], measured: Measured) -> None:
    plain, padded = lossless("plain.mkv", "setsar=1"), lossless("padded.mkv", "setsar=1,pad=176:146")
    size = {"quality_width_px": WIDTH_PX, "quality_height_px": HEIGHT_PX}
    cropped = replace(padded, filters=(("crop", "176:144:0:0"),))
    done = measured(plain, cropped, "PSNR", **size)
    assert (done.means["psnr_y"], kinds(done)) == (60, {})
    wrong = replace(padded, filters=(("crop", "176:130:0:0"),))
    assert "shape" in kinds(measured(plain, wrong, **size))


# Changes in mid-stream


@pytest.mark.parametrize(
    ("filters", "after"),
    [("scale=88:72", "88×72 yuv420p"), ("scale=out_range=pc,setparams=range=pc", "full range"),
     ("format=yuv444p", "another pixel format")],
)  # fmt: skip
def test_a_change_in_mid_stream_names_the_frame_and_the_change(
    filters: str, after: str, engine: Engine, clips: Clips, measured: Measured, tmp_path: Path
) -> None:
    changing = _joined(engine, clips, tmp_path, filters)
    reference = container(clips.mp4("reference"))
    for pair in ((reference, changing), (changing, reference)):
        with pytest.raises(HarnessError, match=rf"joined.h264 changes in mid-stream: frame 6 .* is .*{after}"):
            measured(*pair)


def test_a_tag_that_changes_in_mid_stream_changes_no_score(
    engine: Engine, clips: Clips, measured: Measured, tmp_path: Path
) -> None:
    reference = container(clips.mp4("reference"))
    same = measured(reference, _joined(engine, clips, tmp_path / "same", "null")).means["vmaf"]
    tagged = measured(reference, _joined(engine, clips, tmp_path / "tagged", "setparams=colorspace=bt2020nc"))
    assert tagged.means["vmaf"] == same


def _joined(engine: Engine, clips: Clips, directory: Path, filters: str) -> Video:
    """All frames of the reference, the last six filtered."""
    directory.mkdir(exist_ok=True)
    halves = []
    for name, chosen in (
        ("1", "trim=end_frame=6,setparams=colorspace=bt709"),  # a tag makes the stream say its range, too
        ("2", f"trim=start_frame=6,setpts=PTS-STARTPTS,setparams=colorspace=bt709,{filters}"),
    ):
        halves.append(directory / f"{name}.h264")
        ffmpeg(engine, "-i", clips.mp4("reference"), "-vf", chosen, "-an", *X264, halves[-1])
    whole = directory / "joined.h264"
    whole.write_bytes(b"".join(half.read_bytes() for half in halves))
    return container(whole)


@pytest.mark.parametrize("names", [("broken",), ("reference", "broken"), ("broken", "reference")])
def test_a_file_that_is_no_video_is_called_by_its_name(
    names: tuple[str, ...], clips: Clips, engine: Engine, tmp_path: Path
) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    paths = [tmp_path / "broken.mp4" if name == "broken" else clips.mp4(name) for name in names]
    with pytest.raises(EngineError, match=r"broken\.mp4 is no video that this ffmpeg can read"):
        read_headers([container(path) for path in paths], engine.path)
