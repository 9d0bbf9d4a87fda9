"""Which fields a recipe may have, and what each must be."""

from __future__ import annotations

import math
import os
import re
import reprlib
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

from vmaf_harness.recipe.asset import FILTERS, PAIRINGS, RAW_FORMATS, RESAMPLING_TYPES, YUV_FORMATS, RawScores
from vmaf_harness.recipe.plain_data import is_number

FILL_IN = "FILL IN"  # stands in a draft where a person has to write something
MAX_ENCODE_PX = 7680  # of a side, as CAMBI takes it
LABEL_FIELDS = ("dmos", "mos", "groundtruth", "os")  # `os`: raw opinion scores


class WrongValueError(Exception):
    """What was expected of a value."""


Check = Callable[[object], Any]


def _check(expected: str, fits: Callable[[Any], bool], made: Callable[[Any], Any] = lambda value: value) -> Check:
    def check(value: object) -> Any:
        if not fits(value):
            raise WrongValueError(f"expected {expected}")
        return made(value)

    return check


def _or_none(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


_integer = _check("an integer", lambda v: type(v) is int and v.bit_length() <= 63)  # names of directories have an end
_count = _check("an integer from 0", lambda v: type(v) is int and 0 <= v < 1 << 31)
_pixels = _check("a positive integer", lambda v: type(v) is int and 1 <= v < 1 << 31)
_number = _check("a number", is_number, float)
_positive = _check("a positive number", lambda v: is_number(v) and v > 0, float)
_deviation = _or_none(_check("a number from 0", lambda v: is_number(v) and v >= 0, float))
_text = _check("text", lambda v: isinstance(v, str) and v != "" and "\0" not in v)


def _directory_name(value: object) -> str:
    name: str = _text(value)  # becomes a directory of the result store, so it must not lead out of it
    try:
        is_short = len(os.fsencode(name)) <= 200
    except UnicodeEncodeError:  # half of a pair that UTF-16 would have
        is_short = False
    if name.startswith(".") or "/" in name or "\\" in name or not is_short:
        raise WrongValueError("expected a name without slashes, without a leading dot, of at most 200 bytes")
    return name


def _one_of(known: Sequence[str]) -> Check:
    return _check(f"one of {', '.join(known)}", lambda v: isinstance(v, str) and v in known)


_QUOTED = re.compile(r"\\.|'[^']*'", re.DOTALL)


def _filter_arguments(value: object) -> str:
    arguments: str = _text(value)  # becomes part of a filter graph, so it must not begin another filter
    if any(mark in _QUOTED.sub("", arguments) for mark in ",;[]'\\"):
        raise WrongValueError("expected the arguments of one ffmpeg filter, with , ; [ ] quoted or escaped")
    return arguments


def _no_indices(value: object) -> tuple[()]:
    if not isinstance(value, (list, tuple)):
        raise WrongValueError("expected a list of frame numbers")
    if value:
        # Frames are paired by their index, and one that is shown while the player waits has no partner.
        raise WrongValueError("videos with rebuffering are not supported (remove this one): expected an empty list")
    return ()


def _scores(value: object) -> RawScores:
    pairs: list[tuple[int | str, object]]
    if isinstance(value, dict):
        pairs = [(str(observer), scores) for observer, scores in value.items()]
    elif isinstance(value, (list, tuple)):
        pairs = list(enumerate(value))
    else:
        raise WrongValueError("expected a list of scores, or a dictionary observer → score")
    if not pairs:
        raise WrongValueError("expected at least one score")
    return tuple(
        (observer, tuple(map(_score, scores)) if isinstance(scores, (list, tuple)) else (_score(scores),))
        for observer, scores in pairs
    )


def _score(value: object) -> float:
    if value is None or value != value:
        return math.nan
    try:
        return float(_number(value))
    except WrongValueError:
        wrong = reprlib.repr(value)
        raise WrongValueError(f"expected numbers (None or NaN where one is missing), not {wrong},") from None


_SHARED: Mapping[str, Check] = {
    "yuv_fmt": _one_of(sorted(YUV_FORMATS)),
    "width": _pixels,
    "height": _pixels,
    "quality_width": _pixels,
    "quality_height": _pixels,
    "fps": _positive,
    "resampling_type": _one_of(RESAMPLING_TYPES),
    "workfile_yuv_type": _one_of(RAW_FORMATS),
    "duration_sec": _positive,
    "start_frame": _count,
    "end_frame": _count,
    **{f"{name}_cmd": _filter_arguments for name in FILTERS},
}
_PAIRING = {"pairing": _one_of(PAIRINGS)}
DATASET_FIELDS: Mapping[str, Check] = {
    **_SHARED,
    **_PAIRING,
    "dataset_name": _directory_name,
    "ref_score": _number,
    "label_source": _text,
}
REFERENCE_FIELDS: Mapping[str, Check] = {
    **_SHARED,
    "content_id": _integer,
    "content_name": _text,
    "path": _text,
    "ref_start_frame": _count,
    "ref_end_frame": _count,
}
DISTORTED_FIELDS: Mapping[str, Check] = {
    **_SHARED,
    **_PAIRING,
    "content_id": _integer,
    "asset_id": _integer,
    "content_name": _text,
    "path": _text,
    "dmos": _or_none(_number),
    "mos": _or_none(_number),
    "groundtruth": _or_none(_number),
    "os": _scores,
    "groundtruth_std": _deviation,
    "rebuf_indices": _no_indices,
    "dis_start_frame": _count,
    "dis_end_frame": _count,
    "train_or_test": _text,  # a note in published recipes; no score depends on it
    # What the video was encoded at, which CAMBI looks at; the limits are libvmaf's (cambi.c, 2026-08).
    "enc_width": _check("an integer from 180 to 7680", lambda v: type(v) is int and 180 <= v <= MAX_ENCODE_PX),
    "enc_height": _check("an integer from 150 to 7680", lambda v: type(v) is int and 150 <= v <= MAX_ENCODE_PX),
    "enc_bitdepth": _check("an integer from 6 to 16", lambda v: type(v) is int and 6 <= v <= 16),
}
REQUIRED_FIELDS: Mapping[str, tuple[str, ...]] = {
    "ref_videos": ("content_id", "path"),
    "dis_videos": ("content_id", "asset_id", "path"),
}


def closest_field(name: str, known: Mapping[str, Check] | frozenset[str], given: Container[str] = ()) -> str | None:
    """The known field that *name* looks like; one that is *given* beside it is not what was meant."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, [field for field in known if field not in given], n=1)), None)
