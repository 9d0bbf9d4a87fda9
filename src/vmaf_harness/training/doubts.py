"""What in a dataset is probably a mistake, found from what is at hand: each doubt is a line, and none stops a run."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from statistics import fmean

from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.store import CONTENT_HASHES, ContentHashes, store_directory
from vmaf_harness.recipe.asset import Asset, Video
from vmaf_harness.training.feature_table import asset_name

Numbers = Sequence[float]

_SHOWN = 3  # that a line names
_LOWEST_SHARE = 1 / 8  # of score_clip: labels of 0 to 100 are never all so low, those of 1 to 5 or of 0 to 10 are
_SCALE_RATIO = 5.0  # of the greatest label and score: on one scale they are never so far apart
_RISING = ("adm2", "adm_scale", "vif_scale", "vif_score", "psnr", "ssim")  # parts of names of what rises with quality
_LEAST_PAIRS = 4
_MOST_ROWS = 200  # of a content whose pairs are looked at: their number grows with the square
_FALLING_SHARE = 0.8  # of pairs; of labels that mean nothing it is one half
_OFF_RATIO = 3.0  # of a content's mean residual to the others'
_OFF_LEAST = 0.25  # of the range of the labels: less is how contents differ, whatever the ratio
_SAMPLE_BYTES = 1 << 16


def content_doubts(assets: Sequence[Asset], root: Path) -> list[str]:
    """Videos that are listed twice, or as encodes of themselves: the same bytes, read in the same way.

    Only files of one size and alike at three places are hashed, as the result store of the workspace *root* does.
    """
    keys = _content_keys({video.path for asset in assets for video in (asset.reference, asset.distorted)}, root)
    lines, own, listed = [], [], dict[Hashable, list[Asset]]()
    for asset in assets:
        reference, distorted = (_as_read(video, keys) for video in (asset.reference, asset.distorted))
        if reference == distorted:
            own.append(asset)
        compared = (asset.quality_width_px, asset.quality_height_px)
        listed.setdefault((distorted, compared), []).append(asset)
    for same in listed.values():
        if len(same) == 1:
            continue
        numbers = [asset.groundtruth for asset in same]
        names = _listed(asset_name(asset) for asset in same)
        if len({*numbers}) > 1:
            labels = ", ".join("none" if label is None else f"{label:g}" for label in numbers[:_SHOWN])
            lines.append(f"{names} are the same video, labelled {labels}: which label is right?")
        else:
            lines.append(f"{names} are the same video, which counts {len(same)} times: is another one meant?")
    if own:
        names = _listed(map(asset_name, own))
        lines.append(
            f"{names}: a reference, listed as an encode of itself; that is right for a hidden reference alone, "
            "so is another video meant?"
        )
    return lines


def clip_doubt(labels: Numbers, clip: tuple[float, float] | None) -> str | None:
    """Labels of a shorter scale than the model's *clip*, its least and greatest score; None where nothing is odd."""
    if clip is None or not labels or max(labels) > clip[0] + _LOWEST_SHARE * (clip[1] - clip[0]):
        return None
    return (
        f"labels lie within {_span(labels)}, score_clip is {clip[0]:g}..{clip[1]:g}: is it meant? "
        "Give score_clip the ends of the labels' scale"
    )


def scale_doubt(labels: Numbers, scores: Numbers) -> str | None:
    """Labels on another scale than *scores* that are meant to be labels; None where nothing is odd."""
    least, greatest = sorted(max(map(abs, numbers), default=0.0) for numbers in (labels, scores))
    if not labels or greatest < _SCALE_RATIO * least or greatest == 0:
        return None
    return (
        f"labels lie within {_span(labels)}, scores within {_span(scores)}: is that one scale? "
        "If it is not, RMSE means nothing; SROCC and PLCC do"
    )


def feature_direction_doubt(content_ids: Sequence[int], labels: Numbers, features: Mapping[str, Numbers]) -> str | None:
    """Labels that fall where most of the features that rise with quality do; None where nothing is odd."""
    rising = {name: column for name, column in features.items() if any(part in name for part in _RISING)}
    falls = [name for name, column in rising.items() if _do_fall(content_ids, labels, column)]
    if not rising or 2 * len(falls) <= len(rising):
        return None
    return _direction_text(_listed(falls))


def score_direction_doubt(content_ids: Sequence[int], labels: Numbers, scores: Numbers) -> str | None:
    """The same of *scores* of which more is better."""
    return _direction_text("the scores") if _do_fall(content_ids, labels, scores) else None


def residual_doubt(content_ids: Sequence[int], names: Mapping[int, str], labels: Numbers, found: Numbers) -> str | None:
    """The content, if one alone, whose predictions *found* are far more wrong than the others'."""
    residuals: dict[int, list[float]] = {}
    for content, label, prediction in zip(content_ids, labels, found, strict=True):
        residuals.setdefault(content, []).append(prediction - label)
    if len(residuals) < 3:
        return None
    means = {content: fmean(map(abs, errors)) for content, errors in residuals.items()}
    worst = max(means, key=lambda content: means[content])
    others = fmean(mean for content, mean in means.items() if content != worst)
    if means[worst] <= _OFF_RATIO * others or means[worst] < _OFF_LEAST * (max(labels) - min(labels)):
        return None
    return (
        f"content {worst} ({names[worst]}) is off by {means[worst]:.3g} on average, the others by {others:.3g}: "
        "is its reference the right one, and are its labels?"
    )


def _content_keys(paths: Iterable[Path], root: Path) -> dict[Path, Hashable]:
    """What is equal where the content of two files is; a file that cannot be read is equal to itself alone."""
    alike: dict[Hashable, list[Path]] = {}
    for path in paths:
        with suppress(OSError):
            alike.setdefault(path.stat().st_size, []).append(path)
    for size, of_size in list(alike.items()):  # raw videos are often of one size, and long to read
        if len(of_size) > 1:
            del alike[size]
            for path in of_size:
                with suppress(OSError):
                    alike.setdefault((size, _sample(path)), []).append(path)
    hashes = ContentHashes(store_directory(root) / CONTENT_HASHES)
    keys: dict[Path, Hashable] = {}
    for group in alike.values():
        for path in group if len(group) > 1 else ():
            with suppress(HarnessError):
                keys[path] = hashes.of(path)
    return keys


def _sample(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        size = path.stat().st_size
        for offset in (0, size // 2, max(0, size - _SAMPLE_BYTES)):
            file.seek(offset)
            digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()


def _as_read(video: Video, keys: Mapping[Path, Hashable]) -> Hashable:
    frames = (video.start_frame, video.end_frame, video.duration_s)
    size_px = (video.width_px, video.height_px)
    return keys.get(video.path, video.path), video.yuv_fmt, size_px, video.fps, frames, repr(video.filters)


def _do_fall(content_ids: Sequence[int], labels: Numbers, quality: Numbers) -> bool:
    """Whether labels fall as *quality* rises, in pairs of one content, whose qualities can be compared."""
    rows: dict[int, list[int]] = {}
    for row, content in enumerate(content_ids):
        rows.setdefault(content, []).append(row)
    agree = differ = 0
    some = (of_content[:: 1 + len(of_content) // _MOST_ROWS] for of_content in rows.values())
    for first, second in (pair for of_content in some for pair in combinations(of_content, 2)):
        product = (labels[first] - labels[second]) * (quality[first] - quality[second])
        agree += product > 0
        differ += product < 0
    return agree + differ >= _LEAST_PAIRS and differ >= _FALLING_SHARE * (agree + differ)


def _direction_text(rises: str) -> str:
    return (
        f"labels fall as quality rises (by {rises}): are they impairments, or DMOS of which less is better? "
        "Here more is better, in `dmos`, too: give a perfect video's score less the impairment, such as 100 - DMOS"
    )


def _span(numbers: Numbers) -> str:
    return f"{min(numbers):g}..{max(numbers):g}"


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    more = len(every) - _SHOWN
    return ", ".join(every[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
