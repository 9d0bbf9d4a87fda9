"""A result in the form of VMAF's own harness: names of scores, its text, JSON and XML, and the entry of its store.

Facts from python/vmaf/core/{result,asset,result_store}.py of 2026-08: a metric is ``<executor>_score`` or
``<kind>_feature_<atom>_score``, its frames ``…_scores``; an entry is the text of a dictionary of columns.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from vmaf_harness.errors import HarnessError, StatisticsError
from vmaf_harness.measure.extraction import Extraction
from vmaf_harness.recipe.asset import DEFAULT_RESAMPLING_TYPE, NOTYUV, Asset, Video
from vmaf_harness.statistics import POOLS

BOOTSTRAP = "BOOTSTRAP_VMAF"  # its executor of models with a confidence interval
_SPREADS = {  # libvmaf's metrics of a bootstrap model -> its scores
    "vmaf_bagging": "BOOTSTRAP_VMAF_bagging_score",
    "vmaf_stddev": "BOOTSTRAP_VMAF_stddev_score",
    "vmaf_ci_p95_lo": "BOOTSTRAP_VMAF_ci95_low_score",
    "vmaf_ci_p95_hi": "BOOTSTRAP_VMAF_ci95_high_score",
}
_DEFAULT_YUV = "yuv420p"  # which its names of assets leave out
_FILTERS_NAMED = ("crop", "pad", "gblur", "eq", "lutyuv", "yadif")
_TYPES = {  # quality types that its runners spell otherwise (TYPE in python/vmaf/core/*quality_runner.py)
    "CAMBI": "Cambi",
    "CAMBI_FR": "Cambi_FR",
    "SPEED_CHROMA": "SpeedChroma",
    "SPEED_CHROMA_U": "SpeedChromaU",
    "SPEED_CHROMA_V": "SpeedChromaV",
    "SPEED_TEMPORAL": "SpeedTemporal",
}
_MAX_LETTERS = 196  # of such a name; a longer one is its sha1
_KINDS = (  # libvmaf's metric -> the kind of feature that has it; the first that fits
    (re.compile(r"integer_(?P<atom>(?:adm|aim|vif|motion).*)"), "VMAF_integer_feature"),
    (re.compile(r"(?:float_)?(?P<atom>(?:adm|aim|vif|motion|ansnr|anpsnr).*)"), "VMAF_feature"),
    (re.compile(r"(?P<atom>psnr_hvs.*)"), "PSNRHVS_feature"),
    (re.compile(r"(?P<atom>psnr_(?:y|cb|cr))"), "integer_PSNR_feature"),
    (re.compile(r"float_(?P<atom>psnr.*)"), "PSNR_feature"),
    (re.compile(r"float_(?P<atom>ssim.*)"), "SSIM_feature"),
    (re.compile(r"float_(?P<atom>ms_ssim.*)"), "MS_SSIM_feature"),
    (re.compile(r"float_moment_(?P<atom>.*)"), "Moment_feature"),
    (re.compile(r"(?P<atom>ciede2000.*)"), "CIEDE2000_feature"),
    (re.compile(r"(?P<atom>cambi_(?:full_reference|source).*)"), "Cambi_FR_feature"),
    (re.compile(r"(?P<atom>cambi.*)"), "Cambi_feature"),
    (re.compile(r"(?P<atom>speed_chroma.*)"), "Speed_chroma_feature"),
    (re.compile(r"(?P<atom>speed_temporal.*)"), "Speed_temporal_feature"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamResult:
    """Scores of one asset: `frames` has name (``…_score``) -> a number a frame, `pooled` one of all frames.

    The frames are one in `subsample` of the video's.
    """

    executor_id: str
    identifier: str
    frames: Mapping[str, Sequence[float]]
    method: str = "mean"
    pooled: Mapping[str, float] = field(default_factory=dict)
    subsample: int = 1

    def json(self) -> str:
        """As `Result.to_json`."""
        rows = [{"frameNum": number, **row} for number, row in self._numbered()]
        about = {"executorId": self.executor_id, "asset": {"identifier": self.identifier}, "frames": rows}
        pooled = {name: score if math.isfinite(score) else None for name, score in self._ordered(self.pooled).items()}
        return json.dumps({**about, "aggregate": {**pooled, "method": self.method}}, indent=4)

    def xml(self) -> str:
        """As `Result.to_xml`."""
        top = ElementTree.Element("result", executorId=self.executor_id)
        ElementTree.SubElement(top, "asset", identifier=self.identifier)
        frames = ElementTree.SubElement(top, "frames")
        for number, row in self._numbered():
            texts = {name: repr(score) for name, score in row.items()}
            ElementTree.SubElement(frames, "frame", {"frameNum": str(number), **texts})
        pooled = {name: repr(score) for name, score in self._ordered(self.pooled).items()}
        ElementTree.SubElement(top, "aggregate", {"method": self.method, **pooled})
        ElementTree.indent(top)
        return '<?xml version="1.0" ?>\n' + ElementTree.tostring(top, encoding="unicode")

    def text(self, described: str) -> str:
        """As `Result.to_string`; *described* is the asset."""
        rows = [f"Frame {number}: {_scores_text(row)}" for number, row in self._numbered()]
        head = (f"Asset: {described}", f"Executor: {self.executor_id}", "Result:")
        return "\n".join([*head, *rows, f"Aggregate ({self.method}): {_scores_text(self._ordered(self.pooled))}"])

    def entry(self, asset: Asset) -> str:
        """As the store of VMAF's own harness keeps it. HarnessError for scores that it could not read again."""
        names = sorted(self.frames)
        for name in names:
            if not all(map(math.isfinite, self.frames[name])):
                raise HarnessError(f"{name} is no number in some frame, which VMAF's own harness cannot read")
        cells: dict[str, list[object]] = {
            "dataset": [asset.dataset] * len(names),
            "content_id": [asset.content_id] * len(names),
            "asset_id": [asset.asset_id] * len(names),
            "ref_name": [asset.reference.path.name] * len(names),
            "dis_name": [asset.distorted.path.name] * len(names),
            "asset": [described(asset)] * len(names),
            "executor_id": [self.executor_id] * len(names),
            "scores_key": [f"{name}s" for name in names],
            "scores": [list(self.frames[name]) for name in names],
        }
        return str({column: dict(enumerate(values)) for column, values in cells.items()})

    def _numbered(self) -> Iterator[tuple[int, dict[str, float]]]:
        return ((index * self.subsample, row) for index, row in enumerate(self._rows()))

    def _rows(self) -> list[dict[str, float]]:
        columns = self._ordered(self.frames)
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def _ordered(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: values[name] for name in sorted(self.frames) if name in values}


def score_name(metric: str, extraction: Extraction) -> str:
    """What VMAF's own harness calls a metric of libvmaf: ``VMAF_score`` the score of a quality type, else a feature."""
    if metric == extraction.score and "_feature" not in extraction.type:
        return f"{_TYPES.get(extraction.type, extraction.type)}_score"
    if metric in _SPREADS:
        return _SPREADS[metric]
    if metric.endswith("_score"):  # imported, or of a plug-in
        return metric
    for pattern, kind in _KINDS:
        if (found := pattern.fullmatch(metric)) is not None:
            if kind == "Cambi_feature" and "full_ref=true" in dict(extraction.options).get("feature", ""):
                kind = "Cambi_FR_feature"  # which has this one, too
            return f"{kind}_{found['atom']}_score"
    return f"{metric}_score"


def pooled_by(frames: Mapping[str, Sequence[float]], method: str) -> dict[str, float]:
    """Each score of *frames* pooled; NaN where it has no such pool."""

    def pooled(scores: Sequence[float]) -> float:
        try:
            return POOLS[method](scores)
        except StatisticsError:
            return math.nan

    return {name: pooled(scores) for name, scores in frames.items()}


def read_results(paths: Sequence[Path]) -> list[UpstreamResult]:
    """Results that VMAF's own harness, or ours, wrote as JSON or XML, all of one of the two.

    Raises HarnessError, naming the file, for what is none.
    """
    kinds = {path.suffix.lower() for path in paths}
    if len(kinds) != 1 or not kinds <= _READERS.keys():
        named = ", ".join(sorted(kind or "none" for kind in kinds))
        raise HarnessError(f"results have to be all .json or all .xml files; the suffixes are {named or 'none'}")
    return [_read_result(path, _READERS[path.suffix.lower()]) for path in paths]


def assembled(results: Sequence[UpstreamResult], names: Sequence[object], method: str) -> UpstreamResult:
    """One result of the frames of several, in order; *names* are what errors call them.

    Raises HarnessError where they are of several executors, or do not have the same scores.
    """
    first = results[0]
    for result, name in zip(results, names, strict=True):
        if result.executor_id != first.executor_id:
            raise HarnessError(f"{name} is of {result.executor_id}, and {names[0]} of {first.executor_id}")
        if differing := sorted(result.frames.keys() ^ first.frames.keys()):
            raise HarnessError(f"{name} and {names[0]} do not have the same scores: {', '.join(differing)}")
    frames = {key: [score for result in results for score in result.frames[key]] for key in sorted(first.frames)}
    return UpstreamResult(
        executor_id=first.executor_id,
        identifier="combined_asset",  # as VMAF's own harness calls it
        frames=frames,
        method=method,
        pooled=pooled_by(frames, method),
    )


def identifier(asset: Asset) -> str:
    """What VMAF's own harness calls an asset (`str`), by the sha1 of which its store names the entry.

    Letters that ASCII lacks are left out where they have no base letter, for which it has a table of its own.
    """
    quality = _quality_size(asset)
    sides = [_side_text(video, asset, quality) for video in (asset.reference, asset.distorted)]
    name = f"{asset.dataset}_{asset.content_id}_{asset.asset_id}_{'_vs_'.join(sides)}"
    parts = [f"{quality[0]}x{quality[1]}"] if quality else []
    if asset.workfile_yuv_type not in (None, _DEFAULT_YUV):
        parts.append(f"wf_{asset.workfile_yuv_type}")
    name += f"_q_{'_'.join(parts)}" if parts else ""
    return _sha1(name) if len(name) > _MAX_LETTERS else name


def entry_name(asset: Asset) -> str:
    """The file that an asset's entry has in the store of VMAF's own harness."""
    return _sha1(identifier(asset))


def described(asset: Asset) -> str:
    """An asset as VMAF's own harness writes it down, to make it again (`repr`)."""
    about: dict[str, object] = {}
    for side, video in (("ref", asset.reference), ("dis", asset.distorted)):
        about[f"{side}_yuv_type"] = video.yuv_fmt
        about |= {f"{side}_{name}_cmd": given for name, given in video.filters}
        known = {"width": video.width_px, "height": video.height_px, "resampling_type": video.resampling_type}
        known |= {"start_frame": video.start_frame, "end_frame": video.end_frame}
        about |= {f"{side}_{name}": value for name, value in known.items() if value is not None}
    whole = {
        "quality_width": asset.quality_width_px,
        "quality_height": asset.quality_height_px,
        "workfile_yuv_type": asset.workfile_yuv_type,
        "groundtruth": asset.groundtruth,
        "groundtruth_std": asset.groundtruth_std,
    }
    about |= {name: value for name, value in whole.items() if value is not None}
    if asset.resampling_type != DEFAULT_RESAMPLING_TYPE:
        about["resampling_type"] = asset.resampling_type
    made = {
        "asset_dict": dict(sorted(about.items())),
        "asset_id": asset.asset_id,
        "content_id": asset.content_id,
        "dataset": asset.dataset,
        "dis_path": asset.distorted.path.name,
        "ref_path": asset.reference.path.name,
        "workdir": "",
    }
    return json.dumps(made)


def _scores_text(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{name}:{score:.6f}" for name, score in scores.items())


def _sha1(text: str) -> str:
    return hashlib.sha1(text.encode(errors="surrogateescape"), usedforsecurity=False).hexdigest()


def _quality_size(asset: Asset) -> tuple[int, int] | None:
    if asset.quality_width_px is not None and asset.quality_height_px is not None:
        return asset.quality_width_px, asset.quality_height_px
    raw = next((video for video in (asset.reference, asset.distorted) if video.yuv_fmt != NOTYUV), None)
    return _size(raw) if raw is not None else None


def _size(video: Video) -> tuple[int, int] | None:
    return None if video.width_px is None or video.height_px is None else (video.width_px, video.height_px)


def _side_text(video: Video, asset: Asset, quality: tuple[int, int] | None) -> str:
    parts, size = [video.path.stem], _size(video)
    parts += [f"{size[0]}x{size[1]}"] if size else []
    parts += [video.yuv_fmt] if video.yuv_fmt != _DEFAULT_YUV else []
    resampling = video.resampling_type or asset.resampling_type
    parts += [resampling] if resampling != DEFAULT_RESAMPLING_TYPE and size != quality else []
    if video.start_frame is not None and video.end_frame is not None:
        parts.append(f"{video.start_frame}to{video.end_frame}")
    parts += [f"{name}{given}" for name, given in video.filters if name in _FILTERS_NAMED]
    plain = unicodedata.normalize("NFKD", "_".join(parts)).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_")


def _read_result(path: Path, reader: Callable[[bytes], UpstreamResult]) -> UpstreamResult:
    try:
        result = reader(path.read_bytes())
    except OSError as error:
        raise HarnessError(f"{path}: {error.strerror}; correct the list of results") from error
    except (ValueError, KeyError, TypeError, AttributeError, ElementTree.ParseError, RecursionError) as error:
        raise HarnessError(
            f"{path}: no result as run_vmaf writes it with --out-fmt json or xml ({type(error).__name__}: {error})"
        ) from None
    lengths = {len(scores) for scores in result.frames.values()}
    if len(lengths) != 1:
        raise HarnessError(f"{path}: a result in which each frame has the same scores is needed")
    return result


def _of_json(content: bytes) -> UpstreamResult:
    data = json.loads(content)
    aggregate = data.get("aggregate", {})
    return _made(data["executorId"], data["asset"]["identifier"], data["frames"], aggregate.get("method", "mean"))


def _of_xml(content: bytes) -> UpstreamResult:
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:  # which can make gigabytes of a few bytes
        raise ValueError("it declares a document type")
    top = ElementTree.fromstring(content)  # noqa: S314 - without a document type nothing is expanded
    asset, frames, aggregate = (top.find(name) for name in ("asset", "frames", "aggregate"))
    if asset is None or frames is None:
        raise ValueError("it lacks asset, or frames")
    method = "mean" if aggregate is None else aggregate.get("method", "mean")
    return _made(top.attrib["executorId"], asset.attrib["identifier"], [each.attrib for each in frames], method)


def _made(executor_id: str, name: str, rows: Sequence[Mapping[str, Any]], method: str) -> UpstreamResult:
    frames: dict[str, list[float]] = {}
    for row in rows:
        for key, score in row.items():
            if key.endswith("_score"):
                frames.setdefault(key, []).append(float(score))
    return UpstreamResult(executor_id=str(executor_id), identifier=str(name), frames=frames, method=str(method))


_READERS: Mapping[str, Callable[[bytes], UpstreamResult]] = {".json": _of_json, ".xml": _of_xml}
