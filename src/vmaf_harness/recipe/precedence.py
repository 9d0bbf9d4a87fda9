"""Which of several values of a field holds, as VMAF's own harness reads recipes, and a word where that may surprise.

Facts of its reader (`vmaf/routine.py`, 2026-08), tried by running it; `docs/differences.md` has what we do otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from vmaf_harness.errors import RecipeError
from vmaf_harness.recipe.asset import FILTERS
from vmaf_harness.recipe.positions import Place

Fields = Mapping[str, Any]  # checked by fields.py
Placed = tuple[Place, Fields]  # a video, and where it is written

UPSTREAM = "VMAF's own harness"
# One value for both videos of a pair: the dataset's, else the distorted video's; theirs ignores them in a reference.
PAIR_FIELDS = (
    *("start_frame", "end_frame", "duration_sec", "fps"),
    *("quality_width", "quality_height", "workfile_yuv_type"),
)
# The dataset's holds for both videos, else each video's own for itself.
_FILTER_FIELDS = dict.fromkeys(f"{name}_cmd" for name in FILTERS)
_UNREAD_FILTERS = tuple(f"{name}_cmd" for name in FILTERS if name not in ("crop", "pad", "fps"))
_DATASET_FIELDS = (*PAIR_FIELDS, *_FILTER_FIELDS)


class Remarks:
    """What the reader of a recipe should know: one line a matter, with its first place and how many videos it is of."""

    def __init__(self, error: Callable[[Place, str], RecipeError]) -> None:
        self._error = error
        self._first: dict[object, tuple[Place, str]] = {}
        self._count: dict[object, int] = {}

    def add(self, matter: object, place: Place, text: str) -> None:
        """Remember it, or count one video more of this matter."""
        self._first.setdefault(matter, (place, text))
        self._count[matter] = self._count.get(matter, 0) + 1

    def lines(self) -> tuple[str, ...]:
        """Each with file, line and place."""
        return tuple(
            f"{self._error(*first)}" + (f" ({count} videos)" if (count := self._count[matter]) > 1 else "")
            for matter, first in self._first.items()
        )


def pair_fields(dataset: Fields, reference: Fields, distorted: Fields) -> Fields:
    """What both videos have in common; a reference's counts only where nothing else is given."""
    return {**reference, **distorted, **dataset}


def video_filters(video: Fields, dataset: Fields) -> tuple[tuple[str, str], ...]:
    """The filters of one video, in the order in which they are applied."""
    if _FILTER_FIELDS.keys().isdisjoint(video.keys() | dataset.keys()):
        return ()
    given = ((name, dataset.get(f"{name}_cmd", video.get(f"{name}_cmd"))) for name in FILTERS)
    return tuple((name, arguments) for name, arguments in given if arguments is not None)


def resampling_types(dataset: Fields, reference: Fields, distorted: Fields) -> tuple[str | None, str | None]:
    """How the reference and the distorted video are scaled.

    A video's own wins. A distorted video's counts for a reference without one, but not the other way round.
    """
    common = dataset.get("resampling_type", distorted.get("resampling_type"))
    return reference.get("resampling_type", common), distorted.get("resampling_type", common)


def remark_overruled(
    remarks: Remarks, dataset: Fields, references: Sequence[Placed], distorted: Sequence[Placed] = ()
) -> None:
    """Remark what a video says in vain because the dataset says otherwise, and filters that theirs does not read."""
    videos = [*references, *distorted]
    for name in _DATASET_FIELDS:
        if name in dataset:
            for place, video in _having(name, videos):
                if video[name] != dataset[name]:
                    text = f"{video[name]!r} here, {dataset[name]!r} for the dataset"
                    remarks.add((name, "both"), (*place, name), f"{text}: the dataset's holds, as in {UPSTREAM}")
    for name in _UNREAD_FILTERS:
        unread = f"is applied here, but {UPSTREAM} does not read it from a recipe, and gives another number"
        if name in dataset:
            remarks.add((name, "unread"), (name,), unread)
        else:
            for place, _ in _having(name, videos):
                remarks.add((name, "unread"), (*place, name), unread)

    for place, video in _having("yuv_fmt", references) if "yuv_fmt" in dataset else ():
        if video["yuv_fmt"] != dataset["yuv_fmt"]:
            text = f"{video['yuv_fmt']!r} here, {dataset['yuv_fmt']!r} for the dataset: that one holds for references"
            remarks.add("yuv_fmt", (*place, "yuv_fmt"), f"{text}, as in {UPSTREAM}; remove one of them")


def remark_in_references(
    remarks: Remarks, dataset: Fields, references: Mapping[int, Placed], distorted: Sequence[Placed]
) -> None:
    """Remark what theirs ignores in a reference, unless the distorted videos say the same."""
    text = f"is ignored in a reference by {UPSTREAM}; here it holds where neither the dataset nor the "
    text += "distorted video has one: move it there"
    for name in PAIR_FIELDS:
        having = {content: placed for content, placed in references.items() if name in placed[1]}
        if name in dataset or not having:
            continue
        of_distorted = [(video["content_id"], video.get(name)) for _, video in distorted]
        differing = {
            content for content, value in of_distorted if content in having and value != having[content][1][name]
        }
        for content, (place, _) in having.items():
            if content in differing:
                remarks.add((name, "reference"), (*place, name), text)


def remark_ranges(remarks: Remarks, dataset: Fields, reference: Placed, distorted: Placed, pair: Fields) -> None:
    """Remark half a range of frames, and a duration without a rate: theirs takes all frames then."""
    for prefix, video in (("", distorted), ("dis_", distorted), ("ref_", reference)):
        start, end = f"{prefix}start_frame", f"{prefix}end_frame"
        own = video[1] if prefix else pair
        if (start in own) != (end in own):
            given, lacking = (start, end) if start in own else (end, start)
            text = f"counts here without {lacking}, but {UPSTREAM} ignores it then; give both"
            remarks.add((given, "half"), _place_of_value(given, dataset, reference, distorted), text)
    if "duration_sec" in pair and "fps" not in pair and not ("start_frame" in pair and "end_frame" in pair):
        text = f"counts here without fps, but {UPSTREAM} ignores it then, and takes all frames; add fps"
        remarks.add("duration_sec", _place_of_value("duration_sec", dataset, reference, distorted), text)


def remark_lone_size(remarks: Remarks, dataset: Fields, reference: Placed, distorted: Placed, given: str) -> None:
    """Remark a quality size of one dimension, which counts for nothing."""
    lacking = "quality_height" if given == "quality_width" else "quality_width"
    text = f"counts for nothing without {lacking}, as in {UPSTREAM}; give both, or none"
    remarks.add((given, "lone"), _place_of_value(given, dataset, reference, distorted), text)


def _place_of_value(name: str, dataset: Fields, reference: Placed, distorted: Placed) -> Place:
    """Where the value that holds for a pair is written."""
    if name in dataset:
        return (name,)
    place, _ = distorted if name in distorted[1] else reference
    return (*place, name)


def _having(name: str, videos: Sequence[Placed]) -> Iterator[Placed]:
    return (given for given in videos if name in given[1])
