"""What a file is that was given where another kind is expected: a recipe, parameters, a model, a video."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from vmaf_harness.errors import HarnessError, RecipeError

_MOST_BYTES = 1 << 20  # of a file of Python that is looked at: its names come first
_HEAD_BYTES = 4096
_TS_PACKET_BYTES = 188
_MAGIC = (  # where, and what a container begins with
    (4, b"ftyp"),  # MP4, MOV
    (0, b"\x1aE\xdf\xa3"),  # Matroska, WebM
    (0, b"YUV4MPEG2"),
    (8, b"AVI "),
    (0, b"DKIF"),  # IVF
    (0, b"FLV\x01"),
    (0, b"\x00\x00\x01\xba"),  # MPEG-PS
    (0, b"\x00\x00\x00\x01"),  # a bare stream of H.264 or H.265
)
_RAW_ENDINGS = (".yuv", ".rgb", ".y4m")
_TEXT_ENDINGS = (".py", "")  # a model_param file of pickle, or a model of JSON, is no Python


class Kind(StrEnum):
    """What people give a command."""

    RECIPE = "a recipe"
    FEATURES = "a file of features"
    PARAMETERS = "a file of model parameters"
    MODEL = "a model"
    VIDEO = "a video"
    DIRECTORY = "a directory"


_OF_NAME = {  # the first of a file's names that is here tells
    "dis_videos": Kind.RECIPE,
    "ref_videos": Kind.RECIPE,
    "feature_dict": Kind.FEATURES,
    "model_param_dict": Kind.PARAMETERS,
    "model_type": Kind.PARAMETERS,
}


def kind_of(path: Path) -> tuple[Kind, str] | None:
    """What the file is by its content, and how that is known; None where nothing tells. It is not executed."""
    try:
        if path.is_dir():
            return Kind.DIRECTORY, ""
        if not path.is_file():  # a FIFO would be waited for
            return None
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            if _is_video(head) or path.suffix.lower() in _RAW_ENDINGS:
                return Kind.VIDEO, ""
            if path.suffix not in _TEXT_ENDINGS:
                return (Kind.MODEL, "") if _is_model(path, head) else None
            names = _assigned(head + file.read(_MOST_BYTES))
    except OSError:
        return None
    return next(((kind, f"it has {name}") for name, kind in _OF_NAME.items() if name in names), None)


@contextmanager
def kinds_named(given: Sequence[tuple[Path, Kind]], search: Sequence[Path], takes: str = "") -> Iterator[None]:
    """Where what is inside fails, say which file is of another kind than it was given as, and what is to be given.

    A bare name that is not here may lie in a directory of *search*.
    """
    try:
        yield
    except HarnessError as error:
        for path, expected in given:
            places = [path, *(directory / path for directory in search if path.name == str(path))]
            found = next((kind for place in places if (kind := kind_of(place)) is not None), None)
            if found is not None and found[0] != expected:
                problem = f"is {_text(*found)}, not {expected}{_remedy(found[0], takes)}"
                raise RecipeError(path, problem) from error
        raise


def _text(kind: Kind, how: str) -> str:
    return f"{kind} ({how})" if how else str(kind)


def _remedy(kind: Kind, takes: str) -> str:
    if kind in (Kind.VIDEO, Kind.DIRECTORY):
        scores = ", `harness.score` scores one against another" if kind == Kind.VIDEO else ""
        return f"; `harness.new-dataset DIR` writes a recipe of the videos in a directory{scores}"
    return f"; give {takes}" if takes else ""


def _is_video(head: bytes) -> bool:
    if any(head[at : at + len(magic)] == magic for at, magic in _MAGIC):
        return True
    packets = head[: 4 * _TS_PACKET_BYTES : _TS_PACKET_BYTES]
    return packets == b"G" * 4  # MPEG-TS


def _is_model(path: Path, head: bytes) -> bool:
    return path.suffix == ".model" or (path.suffix == ".json" and (b"model_dict" in head or b"feature_names" in head))


def _assigned(source: bytes) -> set[str]:
    """The names that stand before a `=` at the beginning of a line; it need not be whole, or right, to tell."""
    return {name.decode() for name in re.findall(rb"^([A-Za-z_]\w*)\s*=", source, re.MULTILINE)}
