"""Drafts the recipe of a directory: which videos are references, which are encodes of them, what a person fills in."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vmaf_harness.encode.recipe import dataset_name
from vmaf_harness.engine.binary import find_engine
from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.header import read_headers
from vmaf_harness.recipe.asset import NOTYUV, Video
from vmaf_harness.recipe.fields import FILL_IN
from vmaf_workspace.disk.atomic import write_atomically
from vmaf_workspace.errors import RefusedError

RAW = frozenset({".yuv"})
CONTAINERS = frozenset(
    (".y4m", ".mp4", ".m4v", ".mkv", ".webm", ".mov", ".avi", ".ts", ".m2ts", ".mpg", ".mxf", ".ivf", ".264", ".265")
)
NO_LABEL = "none"
_FIRST_LINE = '"""Drafted by new-dataset'
_LAST_LINE = "# End of the draft, sha256 "
_HERE = "here"  # the name of its own directory in a recipe
_AT_ONCE = 32  # videos that one ffmpeg looks at
_SIZE = re.compile(r"(?<![0-9])([1-9][0-9]{1,4})x([1-9][0-9]{1,4})(?![0-9])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A reference and its encodes, by their names."""

    reference: Path
    encodes: tuple[Path, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What lies in a directory.

    *left_out* are videos below it whose names begin with that of no reference; *unreadable* are files that are called
    like videos and are none, with what is wrong with each.
    """

    contents: tuple[Content, ...]
    left_out: tuple[Path, ...]
    unreadable: tuple[tuple[Path, str], ...] = ()

    @property
    def n_encodes(self) -> int:
        """How many encodes there are."""
        return sum(len(content.encodes) for content in self.contents)


def find_videos(directory: Path) -> Draft:
    """The videos in *directory* and in those right below it.

    A video is an encode of the reference whose name its own begins with, before `_`, `-` or `.`: `a_crf28.mp4` of
    `a.y4m`, in `directory` or below it. Every other one in `directory` is a reference. A file that ffmpeg finds no
    video in is neither. Raises HarnessError where the directory cannot be read, or has no video.
    """
    try:
        names = sorted(os.listdir(directory))
        below = [directory / name for name in names if (directory / name).is_dir() and not name.startswith(".")]
        own = [directory / name for name in names if _is_video(directory / name)]
        others = [each / name for each in below for name in sorted(os.listdir(each)) if _is_video(each / name)]
    except OSError as error:
        raise HarnessError(f"{error.filename}: {error.strerror}; name a directory of videos") from error
    wrong = _unreadable([*own, *others])
    own, others = ([video for video in each if video not in wrong] for each in (own, others))
    references = [video for video in own if _reference_of(video, own) is None]
    encodes: dict[Path, list[Path]] = {reference: [] for reference in references}
    left_out = []
    for video in (*own, *others):
        if video in encodes:
            continue
        reference = _reference_of(video, references)
        if reference is None:
            left_out.append(video)
        else:
            encodes[reference].append(video)
    if not references:
        if wrong:
            raise HarnessError(f"{directory}: no reference is in it: {'; '.join(wrong.values())}")
        known = ", ".join(sorted(RAW | CONTAINERS))
        raise HarnessError(f"{directory}: there is no video in it whose name ends with one of {known}")
    contents = tuple(Content(reference=each, encodes=tuple(encodes[each])) for each in references)
    return Draft(contents=contents, left_out=tuple(left_out), unreadable=tuple(wrong.items()))


def check_may_write(path: Path) -> bool:
    """Whether a draft is at *path* that nobody has edited, which may be replaced.

    RefusedError where there is something else, or what a person has filled in.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    except (OSError, UnicodeDecodeError) as error:
        raise RefusedError(f"{path} is there, and no draft ({error}); give another name") from error
    body, _, last = text.rpartition(_LAST_LINE)
    if not text.startswith(_FIRST_LINE) or last.strip() != _digest(body):
        raise RefusedError(
            f"{path} is there, and is no draft that nobody has edited; give another name, or move it away"
        )
    return True


def write_draft(path: Path, draft: Draft, label: str) -> list[str]:
    """Write the recipe, and return the fields that have to be filled in, such as `mos`.

    Videos below its own directory are named from there, so that both can move together; others by their whole path, as
    VMAF's own harness would look for a relative one from the directory that it runs in.
    Raises HarnessError where a video cannot be read or the file cannot be written.
    """
    lines = [_FIRST_LINE + ".", "", f"Fill in every {FILL_IN!r}, or remove the field; until then no run takes it."]
    videos = [video for content in draft.contents for video in (content.reference, *content.encodes)]
    below = {video for video in videos if Path(os.path.abspath(video)).is_relative_to(_directory(path))}
    if len(below) < len(videos):
        lines += ["A whole path is where that video lies now; change it where the video moves."]
    lines[-1] += '"""'
    if below:
        lines += ["", "import os", "", f"{_HERE} = os.path.dirname(os.path.abspath(__file__))  # moves with this file"]
    lines += ["", f"dataset_name = {dataset_name(path)!r}", "", "ref_videos = ["]
    to_fill: dict[str, None] = {}
    sizes = _sizes([content.reference for content in draft.contents])
    for content_id, content in enumerate(draft.contents):
        fields: dict[str, object] = {"content_id": content_id, "content_name": content.reference.stem}
        lines.append(_line(fields | _format_of(content.reference), _place(content.reference, path), to_fill))
    lines.append("]")
    if draft.n_encodes:
        lines += ["", "dis_videos = ["]
        asset_id = 0
        for content_id, content in enumerate(draft.contents):
            width_px, height_px = sizes[content.reference]
            for encode in content.encodes:
                fields = {"content_id": content_id, "asset_id": asset_id} | _format_of(encode)
                fields |= {"quality_width": width_px, "quality_height": height_px}
                if label != NO_LABEL:
                    fields[label] = FILL_IN
                lines.append(_line(fields, _place(encode, path), to_fill))
                asset_id += 1
        lines.append("]")
    body = "\n".join([*lines, ""])
    try:
        write_atomically(path, f"{body}{_LAST_LINE}{_digest(body)}\n".encode())
    except OSError as error:
        raise HarnessError(f"{path}: {error.strerror}; make its directory, or give another name") from error
    return list(to_fill)


def _unreadable(videos: Sequence[Path]) -> dict[Path, str]:
    """Those in which there is no video, and what is wrong with each; what ffmpeg says when it looks at the header."""
    found = {video: f"{video} is empty" for video in videos if video.stat().st_size == 0}
    rest = [video for video in videos if video not in found and video.suffix.lower() not in RAW]
    for begin in range(0, len(rest), _AT_ONCE):
        some = [Video(path=path, yuv_fmt=NOTYUV) for path in rest[begin : begin + _AT_ONCE]]
        try:
            read_headers(some, find_engine().path)
        except HarnessError:  # of one of them; what follows it was not looked at
            for video in some:
                try:
                    read_headers([video], find_engine().path)
                except HarnessError as error:
                    found[video.path] = str(error).splitlines()[0]
    return found


def _is_video(path: Path) -> bool:
    return not path.name.startswith(".") and path.suffix.lower() in RAW | CONTAINERS and path.is_file()


def _reference_of(video: Path, candidates: Sequence[Path]) -> Path | None:
    """The one of *candidates* whose name that of *video* begins with; the shortest, which is nobody's encode itself."""
    found = [c for c in candidates if c != video and re.match(rf"{re.escape(c.stem)}[_.-]", video.stem)]
    return min(found, key=lambda each: len(each.stem), default=None)


def _sizes(videos: Sequence[Path]) -> dict[Path, tuple[object, object]]:
    """Width and height of each video in pixels: of its file, of its name where it is raw, else a mark."""
    readable = [Video(path=path, yuv_fmt=NOTYUV) for path in videos if path.suffix.lower() not in RAW]
    headers = read_headers(readable, find_engine().path) if readable else []
    found: dict[Path, tuple[object, object]] = {
        video.path: (header.width_px, header.height_px) for video, header in zip(readable, headers, strict=True)
    }
    return {path: found.get(path) or _size_in_name(path) for path in videos}


def _size_in_name(path: Path) -> tuple[object, object]:
    match = _SIZE.search(path.stem)
    return (int(match[1]), int(match[2])) if match else (FILL_IN, FILL_IN)


def _format_of(path: Path) -> dict[str, object]:
    if path.suffix.lower() not in RAW:
        return {"yuv_fmt": NOTYUV}
    width_px, height_px = _size_in_name(path)
    return {"yuv_fmt": FILL_IN, "width": width_px, "height": height_px}


def _line(fields: dict[str, object], place: str, to_fill: dict[str, None]) -> str:
    to_fill |= dict.fromkeys(name for name, value in fields.items() if value == FILL_IN)
    return f"    {{{', '.join(f'{name!r}: {value!r}' for name, value in fields.items())}, 'path': {place}}},"


def _place(video: Path, recipe: Path) -> str:
    """How *recipe* names *video*, in Python."""
    absolute = Path(os.path.abspath(video))
    if absolute.is_relative_to(_directory(recipe)):
        return f"os.path.join({_HERE}, {str(absolute.relative_to(_directory(recipe)))!r})"
    return repr(str(absolute))


def _directory(recipe: Path) -> str:
    return os.path.abspath(recipe.parent)


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()
