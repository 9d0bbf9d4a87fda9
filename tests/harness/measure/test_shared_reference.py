"""Encodes of one reference are measured by one decoding of it, and every number is that of measuring them alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from clips import N_FRAMES, Clips, container, ffmpeg, program, raw, recipe

from vmaf_harness.engine.binary import Engine
from vmaf_harness.engine.ffmpeg import Processes, StoppedError
from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.command import MeasurementJob
from vmaf_harness.measure.measurement import Measurement, PartlyMeasuredError, measure, measure_together
from vmaf_harness.measure.notes import DAMAGE
from vmaf_harness.measure.scoring import SHARED_AT_MOST
from vmaf_harness.model.quality_type import extraction
from vmaf_harness.recipe.asset import Video
from vmaf_harness.script import run_testing

MakeJob = Callable[..., MeasurementJob]


class CountedProcesses(Processes):
    """Those of a run, which also remembers what was started."""

    def __init__(self) -> None:
        super().__init__()
        self.commands: list[list[str]] = []

    def run(self, arguments: Sequence[str | Path], *, cwd: Path, log: Path) -> int:
        self.commands.append([*map(str, arguments)])
        return super().run(arguments, cwd=cwd, log=log)


@pytest.fixture(scope="module")
def encodes(clips: Clips, engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Encodes of the reference: of other codecs, sizes, depths, chroma, and with what is wrong with some."""
    directory = tmp_path_factory.mktemp("encodes")
    made = {name: clips.mp4(name) for name in ("x264", "x265", "av1", "reference")}
    for name, arguments in {
        "deep": ("-pix_fmt", "yuv420p10le", "-c:v", "libx265", "-x265-params", "log-level=none", "-crf", "30"),
        "wide": ("-vf", "scale=352:288", "-c:v", "libx264", "-crf", "30"),
        "small": ("-vf", "scale=88:72", "-c:v", "libx264", "-crf", "30"),
        "full": ("-vf", "scale=out_range=pc,format=yuv444p", "-c:v", "libx264", "-crf", "30", "-color_range", "pc"),
        "short": ("-frames:v", str(N_FRAMES - 2), "-c:v", "libx264"),
        "whole": ("-c:v", "libx264", "-g", "4", "-f", "mpegts"),
    }.items():
        made[name] = directory / f"{name}.{'ts' if name == 'whole' else 'mp4'}"
        ffmpeg(engine, "-i", clips.mp4("reference"), *arguments, made[name])
    data = made["whole"].read_bytes()
    packets = [data[at : at + 188] for at in range(0, len(data), 188)]
    lost = range(len(packets) // 2, len(packets) // 2 + 3)
    made["damaged"] = directory / "damaged.ts"
    made["damaged"].write_bytes(b"".join(each for index, each in enumerate(packets) if index not in lost))
    made["garbage"] = directory / "garbage.mp4"
    made["garbage"].write_bytes(b"no video" * 100)
    made["missing"] = directory / "missing.mp4"
    return made


def jobs_of(
    job: MakeJob, reference: Video, distorted: Sequence[Video], *, model: str | None = None, **fields: object
) -> list[MeasurementJob]:
    made = [job(reference, each, asset_id=index, **fields) for index, each in enumerate(distorted)]
    if model is not None:
        made = [replace(each, extraction=extraction("VMAF", model=model)) for each in made]
    return [replace(each, directory=each.directory.with_name(f"scratch{n}")) for n, each in enumerate(made)]


def alone(jobs: Sequence[MeasurementJob]) -> list[Measurement | str]:
    """What becomes of each, and the text of its error, the scratch left out, which has a directory for each."""
    made: list[Measurement | str] = []
    for each in jobs:
        with Processes() as processes:
            try:
                made.append(timeless(measure(each, processes)))
            except HarnessError as error:
                made.append(str(error))
    return made


def together(jobs: Sequence[MeasurementJob]) -> tuple[list[Measurement | str | None], list[list[str]]]:
    processes = CountedProcesses()
    with processes:
        try:
            made: Sequence[Measurement | HarnessError | None] = measure_together(jobs, processes, keep_going=True)
        except PartlyMeasuredError as error:
            made = error.made
    return [
        timeless(each) if isinstance(each, Measurement) else None if each is None else str(each) for each in made
    ], processes.commands


def timeless(measurement: Measurement) -> Measurement:
    assert measurement.extraction_s > 0
    return replace(measurement, extraction_s=0.0)


def inputs(command: Sequence[str]) -> list[str]:
    return [command[at + 1] for at, word in enumerate(command) if word == "-i"]


@pytest.mark.parametrize(
    ("names", "fields"),
    [
        (("x264", "x265", "av1", "reference"), {}),
        (("x264", "deep", "wide", "small"), {}),
        (("x264", "x265", "full"), {"quality_width_px": 352, "quality_height_px": 288}),
        (("x264", "deep", "small"), {"model": "vmaf_v1.0.16_3d0h", "quality_width_px": 640, "quality_height_px": 360}),
        (("x264", "small"), {"extraction_of": "CAMBI", "quality_width_px": 480, "quality_height_px": 360}),
        (("x264", "av1"), {"extraction_of": "FLOAT_VIF"}),
        (("x264", "x265", "av1"), {"extraction_of": "PSNR_HVS", "least_depth": 10}),
    ],
)
def test_the_numbers_are_those_of_each_asset_alone(
    job: MakeJob, clips: Clips, encodes: dict[str, Path], names: tuple[str, ...], fields: dict[str, Any]
) -> None:
    of = (container(clips.mp4("reference")), [container(encodes[name]) for name in names])
    jobs = jobs_of(job, *of, **fields)
    made, commands = together(jobs)
    assert made == alone(jobs)
    assert all(isinstance(each, Measurement) for each in made)
    # One command for each form that the reference has to be brought to, which a deeper encode changes.
    assert len(commands) <= len({name in ("deep", "full") for name in names})


def test_the_reference_is_decoded_once(job: MakeJob, clips: Clips, encodes: dict[str, Path]) -> None:
    reference = container(clips.mp4("reference"))
    _, commands = together(jobs_of(job, reference, [container(encodes[name]) for name in ("x264", "x265", "av1")]))
    (command,) = commands
    assert len(inputs(command)) == 4
    assert sum(str(clips.mp4("reference")) in each for each in inputs(command)) == 1


def test_each_has_its_own_frames_and_one_may_be_raw(job: MakeJob, clips: Clips, encodes: dict[str, Path]) -> None:
    window = {"start_frame": 3, "end_frame": 7}
    distorted = [container(encodes["x264"], **window), raw(clips.yuv("x265"), **window), container(encodes["av1"])]
    jobs = jobs_of(job, container(clips.mp4("reference"), **window), distorted, extraction_of="PSNR")
    made, _ = together(jobs)
    assert made == alone(jobs)
    assert [each.n_frames if isinstance(each, Measurement) else each for each in made[:2]] == [5, 5]
    assert "gives 5 frames and" in str(made[2])


@pytest.mark.parametrize("wrong", ["short", "garbage", "missing", "damaged"])
def test_what_is_wrong_with_one_costs_the_others_nothing(
    job: MakeJob, clips: Clips, encodes: dict[str, Path], wrong: str
) -> None:
    distorted = [container(encodes[name]) for name in ("x264", wrong, "av1", "whole")]
    jobs = jobs_of(job, container(clips.mp4("reference")), distorted)
    made, _ = together(jobs)
    assert made == alone(jobs)
    assert isinstance(made[1], Measurement) == (wrong == "damaged")
    if isinstance(made[1], Measurement):
        assert [note.kind for note in made[1].notes].count(DAMAGE) == 1
    for index in (0, 2, 3):
        each = made[index]
        assert isinstance(each, Measurement)
        assert DAMAGE not in [note.kind for note in each.notes]


def test_a_damaged_reference_is_refused_for_each(job: MakeJob, clips: Clips, encodes: dict[str, Path]) -> None:
    jobs = jobs_of(job, container(encodes["damaged"]), [container(encodes["x264"]), container(encodes["av1"])])
    made, _ = together(jobs)
    assert made == alone(jobs)
    assert all("is damaged" in str(each) for each in made)


def test_after_a_failure_nothing_new_is_begun(job: MakeJob, clips: Clips, encodes: dict[str, Path]) -> None:
    distorted = [container(encodes[name]) for name in ("missing", "garbage", "x264")]
    with Processes() as processes, pytest.raises(PartlyMeasuredError) as error:
        measure_together(jobs_of(job, container(clips.mp4("reference")), distorted), processes)
    assert [type(each) for each in error.value.made[1:]] == [type(None), type(None)]
    assert "missing" in str(error.value.made[0])


def test_a_stop_is_no_failure_of_an_asset(job: MakeJob, clips: Clips, encodes: dict[str, Path]) -> None:
    jobs = jobs_of(job, container(clips.mp4("reference")), [container(encodes[name]) for name in ("x264", "av1")])
    with Processes() as processes:
        processes.stop()
        with pytest.raises(StoppedError):
            measure_together(jobs, processes, keep_going=True)


def stored(workspace: Path) -> dict[str, object]:
    """Each stored result by its path, without the seconds that it took."""
    store = workspace / "result_store_dir"
    found: dict[str, object] = {}
    for path in sorted(store.rglob("*.json")):
        head, *frames = map(json.loads, path.read_text().splitlines())
        assert head.pop("extraction_s") > 0
        found[str(path.relative_to(store))] = [head, *frames]
    return found


def test_a_run_stores_what_a_run_of_each_asset_alone_stores(
    clips: Clips, encodes: dict[str, Path], vmaf_workspace: Path, tmp_path: Path
) -> None:
    names = ("x264", "x265", "av1", "deep", "wide", "small", "damaged", "whole", "short")
    videos = [str(encodes[name]) for name in names]
    path = recipe(clips.directory, "reference.mp4", videos, name="shared")
    flags = ("VMAF", str(path), "--cache-result", "--suppress-plot", "--keep-going")
    assert run_testing.main([*flags, "--processes", "1"]) == 1  # the short one
    by_one = stored(vmaf_workspace)
    shutil.rmtree(vmaf_workspace / "result_store_dir")
    assert run_testing.main([*flags, "--processes", str(len(names))]) == 1
    assert len(by_one) >= len(names) - 1 > SHARED_AT_MOST
    assert stored(vmaf_workspace) == by_one


@pytest.mark.parametrize(("shared", "most"), [(False, 2), (True, 1)])
def test_no_more_ffmpegs_run_at_once_than_asked_and_fewer_where_each_measures_several(
    clips: Clips,
    engine: Engine,
    vmaf_workspace: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shared: bool,
    most: int,
) -> None:
    log = tmp_path / "log"
    text = f'case "$*" in *file:*filter_complex*) echo + >> "{log}"; "{engine.path}" "$@"; code=$?\n'
    text += f'echo - >> "{log}"; exit $code;; esac\nexec "{engine.path}" "$@"'
    monkeypatch.setenv("VMAF_FFMPEG", str(program("ffmpeg", tmp_path, text)))
    videos = []
    for n in range(8):
        reference = tmp_path / f"reference{0 if shared else n}.mp4"
        shutil.copyfile(clips.mp4("reference"), reference)
        videos.append({"content_id": n, "asset_id": n, "path": str(clips.mp4("x264")), "dmos": 10.0 * n})
    references = [{"content_id": n, "path": str(tmp_path / f"reference{0 if shared else n}.mp4")} for n in range(8)]
    path = tmp_path / "some_dataset.py"
    path.write_text(
        "dataset_name = 'some'\nyuv_fmt = 'notyuv'\nquality_width, quality_height = 176, 144\n"
        f"ref_videos = {references!r}\ndis_videos = {videos!r}\n"
    )
    assert run_testing.main(["PSNR", str(path), "--suppress-plot", "--processes", "2"]) == 0
    running, highest = 0, 0
    for line in log.read_text().split():
        running += 1 if line == "+" else -1
        highest = max(highest, running)
    assert running == 0
    assert highest <= most
    assert log.read_text().count("+") == (2 if shared else 8)
