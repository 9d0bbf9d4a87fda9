"""Small real clips, videos and recipes of them, and processes, for the tests of the harness."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmaf_harness.engine.binary import Engine
from vmaf_harness.measure.measurement import Measurement
from vmaf_harness.recipe.asset import Asset, Video

N_FRAMES = 12
Measured = Callable[..., Measurement]  # what the fixture `measured` gives
WIDTH_PX, HEIGHT_PX = 176, 144
ENCODERS = {  # name of the clip -> ffmpeg's arguments
    "x264": ("-c:v", "libx264", "-preset", "veryfast", "-crf", "36"),
    "x265": ("-c:v", "libx265", "-preset", "veryfast", "-crf", "40", "-x265-params", "log-level=none"),
    "av1": ("-c:v", "libsvtav1", "-preset", "10", "-crf", "55"),
}


@dataclass(frozen=True, slots=True)
class Clips:
    """`reference.mp4`, an encode by each encoder, and each of them decoded to YUV, in one directory."""

    directory: Path

    def mp4(self, name: str) -> Path:
        return self.directory / f"{name}.mp4"

    def yuv(self, name: str) -> Path:
        return self.directory / f"{name}.yuv"


def asset(reference: Video, distorted: Video, **fields: object) -> Asset:
    known: dict[str, object] = {
        "dataset": "d",
        "content_id": 0,
        "asset_id": 0,
        "quality_width_px": WIDTH_PX,
        "quality_height_px": HEIGHT_PX,
    }
    return Asset(reference=reference, distorted=distorted, **(known | fields))  # type: ignore[arg-type]


def container(path: Path, **fields: object) -> Video:
    return Video(path=path, yuv_fmt="notyuv", **fields)  # type: ignore[arg-type]


def raw(path: Path, **fields: object) -> Video:
    return Video(path=path, yuv_fmt="yuv420p", width_px=WIDTH_PX, height_px=HEIGHT_PX, **fields)  # type: ignore[arg-type]


def ffmpeg(engine: Engine, *arguments: str | Path) -> None:
    subprocess.run([engine.path, "-nostdin", "-v", "error", "-y", *arguments], check=True, stdin=subprocess.DEVNULL)


def recipe(
    directory: Path,
    reference: str,
    distorted: Sequence[str],
    *,
    name: str = "some",
    head: str = "",
    labels: bool = True,
) -> Path:
    """Write a recipe of one content beside its videos; labels fall from 90 by 10."""
    lines = [f"dataset_name = {name!r}", head or f"yuv_fmt = 'notyuv'\nquality_width = {WIDTH_PX}"]
    if not head:
        lines.append(f"quality_height = {HEIGHT_PX}")
    lines.append(f"ref_videos = [{{'content_id': 0, 'path': {reference!r}}}]\ndis_videos = [")
    for i, video in enumerate(distorted):
        label = f", 'dmos': {90 - 10 * i}.0" if labels else ""
        lines.append(f"  {{'content_id': 0, 'asset_id': {i}, 'path': {video!r}{label}}},")
    path = directory / f"{name}_dataset.py"
    path.write_text("\n".join([*lines, "]"]) + "\n", encoding="utf-8")
    return path


def start(script: str, *arguments: str | Path, **environ: str) -> subprocess.Popen[str]:
    """Start one of the scripts as people do, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", f"vmaf_harness.script.{script}", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environ},
    )


def program(name: str, directory: Path, text: str) -> Path:
    """An executable shell script: an ffmpeg that is not what it should be."""
    path = directory / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def ffmpegs_below(directory: Path) -> list[int]:
    """Processes, whoever their parent is, that work in *directory* or below."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/cwd").startswith(os.path.realpath(directory)) and int(pid) != os.getpid():
                found.append(int(pid))
        except OSError:
            continue
    return found


def wait_until(true: Callable[[], bool], seconds: float = 120.0) -> None:
    """Fail where it does not come true: waiting for a fixed time makes tests slow or unsure."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
