"""Reads dataset recipes (`*_dataset.py`, upstream's format) as data: which videos, compared how, labelled how."""

from __future__ import annotations

import os
import reprlib
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmaf_harness.errors import RecipeError
from vmaf_harness.memory import without_garbage_collector
from vmaf_harness.recipe import fields, precedence
from vmaf_harness.recipe.asset import DEFAULT_RESAMPLING_TYPE, NOTYUV, Asset, Video, url_problem
from vmaf_harness.recipe.file_kind import Kind, kinds_named
from vmaf_harness.recipe.positions import Place, format_place
from vmaf_harness.recipe.precedence import UPSTREAM, Fields, Placed, Remarks
from vmaf_harness.recipe.source import Literals, near_file, read_literals


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetProblem:
    """A distorted video that cannot be scored; the message names its place and every directory looked in."""

    asset_id: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A dataset: its assets in the recipe's order, and those whose files are missing.

    `label_kind` is ``dmos``, ``mos``, ``groundtruth`` or ``os``, None without labels. `ref_score` is the score of a
    perfect video, added to differential scores. `label_source` is the model whose scores the labels are, where the
    recipe names one (``label_source = 'VMAF_V0.6.1'``). `warnings` say, a line a field, where values contradict each
    other, and where VMAF's own harness reads the recipe otherwise.
    """

    name: str
    path: Path
    assets: tuple[Asset, ...]
    missing: tuple[AssetProblem, ...]
    label_kind: str | None
    ref_score: float | None
    label_source: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A reference video by itself, for what makes distorted ones of it."""

    content_id: int
    video: Video
    content_name: str | None = None
    quality_width_px: int | None = None
    quality_height_px: int | None = None
    resampling_type: str | None = None
    workfile_yuv_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """The references of a dataset in the recipe's order; the message of a missing one says where it was looked for."""

    name: str
    path: Path
    references: tuple[Reference, ...]
    missing: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def read_recipe(path: Path, *, search: Sequence[Path] = ()) -> Recipe:
    """Read a recipe; nothing in it is executed, and no video is opened.

    A bare name that is not here is one in a `search` directory, where `run_encode` writes it. A relative path in it is
    looked for in the `search` directories in turn, then beside the recipe. Of several values of a field the one holds
    that VMAF's own harness takes: the dataset's for what a pair has in common (quality size, `workfile_yuv_type`,
    `fps`, duration, `start_frame`, `end_frame`), for filters, and for a reference's `yuv_fmt`; a video's own for its
    size, its `resampling_type`, and a distorted one's `yuv_fmt`. `Recipe.warnings` names what is overruled.

    Raises RecipeError, with the line and the place, for whatever is not understood. A missing video is no such error:
    it is listed in `Recipe.missing`.
    """
    with kinds_named([(path, Kind.RECIPE)], search), without_garbage_collector():
        return _Reader(read_literals(_find_recipe(path, search)), search).recipe()


def read_references(path: Path, *, search: Sequence[Path] = ()) -> References:
    """Read the references of a recipe, found as `read_recipe` finds them; its `dis_videos` may be missing or empty.

    Raises RecipeError, with the line and the place, for whatever is not understood.
    """
    with kinds_named([(path, Kind.RECIPE)], search), without_garbage_collector():
        return _Reader(read_literals(_find_recipe(path, search)), search).references()


def read_parameters(path: Path, names: frozenset[str]) -> dict[str, object]:
    """The values of a `feature_param` or `model_param` file, read as data.

    Raises RecipeError for a name that is neither in `names` nor used further down in the file.
    """
    literals = read_literals(path)
    for name in _unknown_names(literals, names):
        close = fields.closest_field(name, names)
        what = f"is {close} meant?" if close else "remove it, or check its spelling"
        raise literals.error((name,), f"is not a supported field; {what}")
    return {name: value for name, value in literals.values.items() if name in names}


def _find_recipe(path: Path, search: Sequence[Path]) -> Path:
    if path.name != str(path) or path.exists():
        return path  # where it is not, the reader says so, with what is near
    places = [directory / path for directory in search]
    found = next((place for place in places if place.exists()), None)
    if found is None:
        looked = ", ".join(dict.fromkeys(map(str, [Path.cwd(), *search])))
        near = next(filter(None, map(near_file, (path, *places))), None)
        remedy = f"is {near} meant?" if near else "correct its name, or give its path"
        raise RecipeError(path, f"is not there; looked in {looked}; {remedy}")
    return found


class _Reader:
    """One recipe on its way from names to assets."""

    def __init__(self, literals: Literals, search: Sequence[Path]) -> None:
        self._error = literals.error
        self._literals = literals
        self._directories = [os.fspath(directory) for directory in (*search, literals.path.absolute().parent)]
        self._remarks = Remarks(literals.error)
        self._found: dict[str, Path | str] = {}  # path as written -> where it is, or what is wrong with it

    def recipe(self) -> Recipe:
        self._check_filled("ref_videos", "dis_videos")
        dataset = self._dataset("dataset_name", *fields.REQUIRED_FIELDS)
        references = self._references()
        distorted = self._videos("dis_videos", fields.DISTORTED_FIELDS)
        label_kind = self._label_kind(distorted)
        precedence.remark_overruled(self._remarks, dataset, [*references.values()], distorted)
        precedence.remark_in_references(self._remarks, dataset, references, distorted)

        assets: list[Asset] = []
        missing: list[AssetProblem] = []
        places: dict[int, Place] = {}
        for place, video in distorted:
            first = places.setdefault(video["asset_id"], place)
            if first != place:
                problem = f"{video['asset_id']} is that of {format_place(first)}, too; give each its own"
                raise self._error((*place, "asset_id"), problem)
            if video["content_id"] not in references:
                problem = f"no ref_video has content_id {video['content_id']}; add it to ref_videos"
                raise self._error((*place, "content_id"), problem)
            pair = self._pair(dataset, references[video["content_id"]], (place, video), label_kind)
            if isinstance(pair, Asset):
                assets.append(pair)
            else:
                missing.append(pair)
        return Recipe(
            name=dataset["dataset_name"],
            path=self._literals.path,
            assets=tuple(assets),
            missing=tuple(missing),
            label_kind=label_kind,
            ref_score=dataset.get("ref_score"),
            warnings=self._remarks.lines(),
            label_source=dataset.get("label_source"),
        )

    def references(self) -> References:
        self._check_filled("ref_videos")
        dataset = self._dataset("dataset_name", "ref_videos")
        found: list[Reference] = []
        missing: list[str] = []
        references = self._references()
        precedence.remark_overruled(self._remarks, dataset, [*references.values()])
        for content_id, placed in references.items():
            place, reference = placed
            own, shared = {**dataset, **reference}, {**reference, **dataset}
            if "yuv_fmt" not in own:
                raise self._error(place, "lacks yuv_fmt, and so does the dataset")
            own["yuv_fmt"] = shared["yuv_fmt"]
            video = self._video(place, own, shared, (reference, dataset), "ref_")
            path = self._find(placed)
            if isinstance(path, str):
                missing.append(path)
                continue
            quality_size_px = self._given_quality_size(dataset, placed, placed, shared) or (None, None)
            found.append(
                Reference(
                    content_id=content_id,
                    content_name=own.get("content_name"),
                    video=Video(path=path, **video),
                    quality_width_px=quality_size_px[0],
                    quality_height_px=quality_size_px[1],
                    resampling_type=own.get("resampling_type"),
                    workfile_yuv_type=shared.get("workfile_yuv_type"),
                )
            )
        return References(
            name=dataset["dataset_name"],
            path=self._literals.path,
            references=tuple(found),
            missing=tuple(missing),
            warnings=self._remarks.lines(),
        )

    def _check_filled(self, *names: str) -> None:
        """Refuse a draft with marks in what is read, naming the fields."""
        marked: list[Place] = [(name,) for name, value in self._literals.values.items() if value == fields.FILL_IN]
        for name in names:
            videos = self._literals.values.get(name)
            for index, video in enumerate(videos if isinstance(videos, (list, tuple)) else ()):
                if isinstance(video, dict):
                    marked += [(name, index, str(field)) for field, value in video.items() if value == fields.FILL_IN]
        if marked:
            of = sorted({str(place[-1]) for place in marked})
            more = f", as are {len(marked) - 1} more ({', '.join(of)})" if len(marked) > 1 else ""
            raise self._error(marked[0], f"is to be filled in{more}: {fields.FILL_IN!r} is a mark; or remove the field")

    def _dataset(self, *needed: str) -> Fields:
        """What holds for all videos."""
        values = self._literals.values
        known = frozenset({*fields.DATASET_FIELDS, *fields.REQUIRED_FIELDS})
        for name in _unknown_names(self._literals, known):
            self._check_unknown((name,), name, known, values)
        for name in needed:
            if name not in values:
                remedy = "is this a dataset recipe?"
                if name == "dis_videos" and "ref_videos" in values:
                    remedy = "`harness.encode` makes encodes of its ref_videos, and a recipe of those"
                raise RecipeError(self._literals.path, f"lacks {name}; {remedy}")
        checks = fields.DATASET_FIELDS
        return self._checked((), {name: values[name] for name in values if name in checks}, checks)

    def _references(self) -> dict[int, Placed]:
        """The references by content_id."""
        references: dict[int, Placed] = {}
        for place, video in self._videos("ref_videos", fields.REFERENCE_FIELDS):
            first, _ = references.setdefault(video["content_id"], (place, video))
            if first != place:
                problem = f"{video['content_id']} is that of {format_place(first)}, too; a content has one reference"
                raise self._error((*place, "content_id"), problem)
        return references

    def _videos(self, name: str, checks: Mapping[str, fields.Check]) -> list[Placed]:
        videos = self._literals.values[name]
        if not isinstance(videos, (list, tuple)):
            raise self._error((name,), f"expected a list of dictionaries, got {reprlib.repr(videos)}")
        if not videos:
            raise self._error((name,), "is empty; a recipe needs at least one video here")
        checked: list[Placed] = []
        for index, video in enumerate(videos):
            place: Place = (name, index)
            if not isinstance(video, dict):
                raise self._error(place, f"expected a dictionary, got {reprlib.repr(video)}")
            for needed in fields.REQUIRED_FIELDS[name]:
                if needed not in video:
                    raise self._error(place, f"lacks {needed}")
            checked.append((place, self._checked(place, video, checks)))
        return checked

    def _checked(self, place: Place, given: Fields, checks: Mapping[str, fields.Check]) -> Fields:
        checked = {}
        for field, value in given.items():
            check = checks.get(field)
            if check is None:
                self._check_unknown((*place, str(field)), str(field), checks, given)
                continue
            try:
                checked[field] = check(value)
            except fields.WrongValueError as wrong:
                raise self._error((*place, field), f"{wrong}, got {reprlib.repr(value)}") from None
        return checked

    def _check_unknown(
        self, place: Place, name: str, known: Mapping[str, fields.Check] | frozenset[str], given: Mapping[Any, object]
    ) -> None:
        """A field of somebody's own is let by, with a word; one that looks like a field of ours misspelled is not."""
        if (meant := fields.closest_field(name, known, given)) is not None:
            raise self._error(place, f"is not a supported field; is {meant} meant?")
        self._remarks.add((name, "own"), place, f"is no field of a recipe: it is ignored here, as in {UPSTREAM}")

    def _label_kind(self, distorted: Sequence[Placed]) -> str | None:
        """The one kind of label that the videos carry; some may carry none."""
        kind: str | None = None
        for place, video in distorted:
            labels = [label for label in fields.LABEL_FIELDS if label in video]
            if not labels:
                continue
            label, *others = labels
            if kind is None:
                kind, first = label, format_place(place)
            elif label != kind:
                problem = f"{first} is labelled with {kind}; all videos need the same kind of label"
                raise self._error((*place, label), problem)
            for other in others:
                text = f"is not used beside {label}, as in {UPSTREAM}; remove one of them"
                self._remarks.add((other, "label"), (*place, other), text)
        return kind

    def _pair(
        self, dataset: Fields, by_reference: Placed, by_distorted: Placed, label_kind: str | None
    ) -> Asset | AssetProblem:
        (reference_place, reference), (place, video) = by_reference, by_distorted
        if "yuv_fmt" not in reference and "yuv_fmt" not in dataset:
            raise self._error(reference_place, "lacks yuv_fmt, and so does the dataset")
        pair = precedence.pair_fields(dataset, reference, video)
        # Sizes: a video's own, else the dataset's, else those of the other one; so, too, a distorted video's format.
        own = {**reference, **dataset, **video}
        of_distorted = self._video(place, own, pair, (video, dataset), "dis_")
        own = {**video, **dataset, **reference}
        own["yuv_fmt"] = dataset.get("yuv_fmt", own["yuv_fmt"])
        of_reference = self._video(reference_place, own, pair, (reference, dataset), "ref_")
        of_reference["fps"] = dataset.get("fps", reference.get("fps", of_reference["fps"]))
        precedence.remark_ranges(self._remarks, dataset, by_reference, by_distorted, pair)
        quality_size_px = self._given_quality_size(dataset, by_reference, by_distorted, pair)
        if quality_size_px is None:
            quality_size_px = self._common_size(place, of_reference, of_distorted)
        for_reference, for_distorted = (
            given or DEFAULT_RESAMPLING_TYPE for given in precedence.resampling_types(dataset, reference, video)
        )
        if for_reference != for_distorted:
            of_reference["resampling_type"] = for_reference
            text = f"{for_reference!r} for the reference, {for_distorted!r} for the distorted video: "
            text += f"each is scaled its own way, as in {UPSTREAM}"
            self._remarks.add("resampling_type", (*place, "resampling_type"), text)
        pairing = video.get("pairing", dataset.get("pairing"))
        if pairing == "time":
            at: Place = (*place, "pairing") if "pairing" in video else ("pairing",)
            self._remarks.add("pairing", at, f"frames are paired by their times here; {UPSTREAM} pairs them by number")
        reference_path, distorted_path = self._find(by_reference), self._find(by_distorted)
        for path in (reference_path, distorted_path):
            if isinstance(path, str):
                return AssetProblem(asset_id=video["asset_id"], message=path)
        assert isinstance(reference_path, Path)
        assert isinstance(distorted_path, Path)
        return Asset(
            dataset=dataset["dataset_name"],
            content_id=video["content_id"],
            content_name=pair.get("content_name"),
            asset_id=video["asset_id"],
            reference=Video(path=reference_path, **of_reference),
            distorted=Video(path=distorted_path, **of_distorted),
            quality_width_px=quality_size_px[0],
            quality_height_px=quality_size_px[1],
            resampling_type=for_distorted,
            workfile_yuv_type=pair.get("workfile_yuv_type"),
            groundtruth=None if label_kind in (None, "os") else video.get(label_kind),
            groundtruth_std=video.get("groundtruth_std"),
            raw_scores=video.get("os"),
            pairing=pairing,
            encode_width_px=video.get("enc_width"),
            encode_height_px=video.get("enc_height"),
            encode_depth=video.get("enc_bitdepth"),
        )

    def _video(
        self, place: Place, own: Fields, pair: Fields, with_filters: tuple[Fields, Fields], side: str
    ) -> dict[str, Any]:
        """The fields of a Video but its path; `own` has its size and format, `pair` what holds for both videos."""
        is_raw = own["yuv_fmt"] != NOTYUV
        for name in ("width", "height") if is_raw else ():
            if name not in own:
                problem = f"lacks {name}: a file of {own['yuv_fmt']} has no header that tells it"
                raise self._error(place, f"{problem}; of one that ffmpeg can open, such as .mp4, yuv_fmt is {NOTYUV!r}")
        fps, duration_s = pair.get("fps"), pair.get("duration_sec")
        start = own.get(f"{side}start_frame", pair.get("start_frame"))
        end = own.get(f"{side}end_frame", pair.get("end_frame"))
        if end is not None or fps is not None:
            if end is None and duration_s is not None:
                start = start or 0
                if not duration_s * fps < 1 << 31:
                    raise self._error(place, f"lasts {duration_s} s at {fps} frames a second: no video does")
                end = start + round(duration_s * fps) - 1
            duration_s = None
        if end is not None and end < (start or 0):
            raise self._error(place, f"ends with frame {end}, before its first frame {start or 0}")
        return {
            "yuv_fmt": own["yuv_fmt"],
            "width_px": own["width"] if is_raw else None,
            "height_px": own["height"] if is_raw else None,
            "fps": fps,
            "start_frame": start,
            "end_frame": end,
            "duration_s": duration_s,
            "filters": precedence.video_filters(*with_filters),
        }

    def _given_quality_size(
        self, dataset: Fields, reference: Placed, distorted: Placed, pair: Fields
    ) -> tuple[int, int] | None:
        if "quality_width" in pair and "quality_height" in pair:
            return pair["quality_width"], pair["quality_height"]
        for one in ("quality_width", "quality_height"):
            if one in pair:
                precedence.remark_lone_size(self._remarks, dataset, reference, distorted, one)
        return None

    def _common_size(self, place: Place, *videos: Fields) -> tuple[int, int]:
        """The quality size of a pair that is given none."""
        sizes = {(video["width_px"], video["height_px"]) for video in videos if video["width_px"] is not None}
        if len(sizes) != 1:
            why = "the sizes of both videos come from their files" if not sizes else "its size is not its reference's"
            raise self._error(place, f"lacks quality_width and quality_height: {why}; give both")
        return sizes.pop()

    def _find(self, placed: Placed) -> Path | str:
        """Where the file is, or what is wrong with its path, and where that is written."""
        place, video = placed
        written = video["path"]
        if written not in self._found:
            self._found[written] = self._look_for(written)
        found = self._found[written]
        return found if isinstance(found, Path) else f"{format_place(place)}.path: {found}"

    def _look_for(self, written: str) -> Path | str:
        if (url := url_problem(written)) is not None:
            return url
        reasons: dict[str, str] = {}
        for directory in self._directories[-1:] if os.path.isabs(written) else self._directories:
            path = os.path.join(directory, written)
            try:
                if stat.S_ISREG(os.stat(path).st_mode):
                    return Path(path)
                reasons[directory] = "not a regular file"
            except OSError as error:
                reasons[directory] = str(error.strerror)
            except ValueError as error:
                reasons[directory] = str(error)
        whys = list(dict.fromkeys(reasons.values()))
        if os.path.isabs(written):
            return f"{written!r} is not there ({whys[0]})"
        places = reasons if len(whys) == 1 else [f"{directory} ({why})" for directory, why in reasons.items()]
        return f"{written!r} is not there; looked in {', '.join(places)}" + (f" ({whys[0]})" if len(whys) == 1 else "")


def _unknown_names(literals: Literals, known: frozenset[str]) -> Iterator[str]:
    """The names that are no field, but for those that help to build one."""
    for name in literals.values:
        if name not in known and name not in literals.used and not (name.startswith("__") and name.endswith("__")):
            yield name
