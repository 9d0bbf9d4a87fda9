"""The encodes of a dataset and their scores, as the two stores have them, where no recipe is left or at hand.

An entry of the encode store has the hashes of its reference and of the encode; so has the key of each stored result.
Where both are the same, the result is that of the encode, in whatever dataset it was scored.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from glob import escape, glob
from pathlib import Path
from typing import Any

from vmaf_harness.encode.store import StoredEncode
from vmaf_harness.engine.binary import find_engine
from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.extraction import Extraction
from vmaf_harness.measure.scoring import Outcome, PairScore, check_pool
from vmaf_harness.measure.store import CONTENT_HASHES, ContentHashes, result_of, store_directory, stored_entry
from vmaf_harness.model.predictor import Predictor, resolve_quality_type
from vmaf_harness.model.quality_type import extraction
from vmaf_harness.model.v1 import MODELS as V1_MODELS
from vmaf_harness.model.v1 import STANDARD, choose, means_v1, shown_of
from vmaf_harness.recipe.asset import DEFAULT_RESAMPLING_TYPE, NOTYUV, Asset, Video
from vmaf_harness.recipe.dataset import Recipe
from vmaf_harness.recipe.labels import Labels
from vmaf_harness.report.clips import UNKNOWN_REFERENCE
from vmaf_harness.report.testing import ScoredDataset
from vmaf_workspace.contract import RESULT_FORMAT
from vmaf_workspace.disk.atomic import open_regular
from vmaf_workspace.wording import count_text

Pair = tuple[str, str]  # hashes of a reference and of an encode


def stored_ladder(
    root: Path,
    dataset: str,
    stored: Mapping[Path, StoredEncode],
    *,
    quality_type: str = "VMAF",
    model: str | None = None,
    pool: str = "mean",
    warn: Callable[[str], None],
) -> ScoredDataset:
    """The *stored* encodes of a *dataset* with their scores; there are no labels. Of several results the newest.

    They are compared in one way, that of most. Raises HarnessError where none is stored, naming the datasets that are,
    and as `resolve_quality_type` does.
    """
    chosen = [(path, each) for path, each in stored.items() if each.dataset == dataset and path.is_file()]
    if not chosen:
        known = ", ".join(sorted({each.dataset for each in stored.values()})) or "none at all"
        raise HarnessError(f"no encodes are stored of a dataset {dataset!r}; there are {known}")
    chosen.sort(key=lambda pair: (_number(pair[1].content_id), pair[0].name))
    is_chosen = means_v1(model, root)  # a model for each encode
    wanted, predictor = resolve_quality_type(quality_type, root, model=STANDARD if is_chosen else model, warn=warn)
    pairs = {_pair(each) for _, each in chosen}
    of_models = {name: extraction("VMAF", model=name) for name in V1_MODELS} if is_chosen else {"": wanted}
    found = {name: _results(root, own, pairs) for name, own in of_models.items()}
    if others := sum(n for _, n in found.values()):
        warn(
            f"not shown: {count_text(others, 'stored result')} compared otherwise than most (at another size, of other "
            "frames, by another ffmpeg); a curve has one way, and a recipe (--dataset) says which"
        )
    hashes = ContentHashes(store_directory(root) / CONTENT_HASHES)
    outcomes, unknown, used = [], 0, set()
    for asset_id, (path, each) in enumerate(chosen):
        reference = _reference(each, hashes)
        unknown += reference == UNKNOWN_REFERENCE
        entries = {
            name: entry
            for name, (results, _) in found.items()
            if (result := results.get(_pair(each))) is not None and (entry := stored_entry(result)) is not None
        }
        assets = {
            name: _asset(asset_id, each, path, reference, about["key_of"]) for name, (about, _) in entries.items()
        }
        name = _meant_of(assets) if is_chosen else next(iter(assets), None)
        if name is None:
            outcomes.append(Outcome(asset=_asset(asset_id, each, path, reference, {})))
            continue
        used.add(name)
        outcomes.append(_scored(Outcome(asset=assets[name]), *entries[name], of_models[name], predictor, pool))
    if unknown:
        what = count_text(unknown, "encode")
        warn(
            f"the references of {what} are not known: their entries are of before those were written down, or the "
            f"file is gone or another now; commands say {UNKNOWN_REFERENCE}, and no frames are shown"
        )
    if is_chosen and used:
        wanted = shown_of([name for name in V1_MODELS if name in used])
    return ScoredDataset(
        recipe=Recipe(
            name=dataset,
            path=root / "encode" / dataset,
            assets=tuple(outcome.asset for outcome in outcomes),
            missing=(),
            label_kind=None,
            ref_score=None,
        ),
        labels=Labels(kind=None),
        extraction=predictor.extraction if predictor is not None else wanted,
        pool=pool,
        outcomes=outcomes,
    )


def _meant_of(assets: Mapping[str, Asset]) -> str | None:
    """The one of v1's models that is meant for this encode, of those that scored it; *assets* are as each scored it."""
    for name, asset in assets.items():
        try:
            if choose(asset, find_engine().path).model == name:
                return name
        except HarnessError:  # its reference is not there, and nothing else says which is meant
            return name if len(assets) == 1 else None
    return None


def _pair(each: StoredEncode) -> Pair:
    return each.source_sha256, each.encoded.sha256


def _number(content_id: str) -> int:
    return int(content_id) if content_id.isdecimal() else -1


def _results(root: Path, wanted: Extraction, pairs: set[Pair]) -> tuple[dict[Pair, Path], int]:
    """The result of each pair, in whatever dataset, all compared in one way; and of how many pairs there are others.

    The way is that of most pairs, then of the newest result; of several results of a pair the newest.
    """
    top = store_directory(root)
    found: dict[str, dict[Pair, tuple[int, Path]]] = {}
    for name in glob(f"{escape(wanted.executor_id)}/*/*/*.json", root_dir=top):
        with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            path = top / name
            with open_regular(path, follow=True) as fd, open(fd, "rb", closefd=False) as file:
                about = json.loads(file.readline())
                key = about["key_of"]
                if about["format"] != RESULT_FORMAT:  # of an older rule of comparing
                    continue
                newest_ns = os.fstat(file.fileno()).st_mtime_ns
            pair = (key["reference"]["sha256"], key["distorted"]["sha256"])
            same_way = found.setdefault(_way(key), {})
            if pair in pairs and (pair not in same_way or same_way[pair][0] < newest_ns):
                same_way[pair] = (newest_ns, path)
    if not found:
        return {}, 0
    most = max(found.values(), key=lambda results: (len(results), max(results.values(), default=(0, top))))
    others = {pair for results in found.values() if results is not most for pair in results}
    return {pair: path for pair, (_, path) in most.items()}, len(others)


def _way(key: Mapping[str, Any]) -> str:
    """How a result was compared: its key without what is of the one encode."""
    videos = {side: {**key[side], "sha256": None} for side in ("reference", "distorted")}
    return json.dumps({**key, **videos, "encode": None}, sort_keys=True)


def _reference(each: StoredEncode, hashes: ContentHashes) -> Path:
    """The reference, where it is still the file that was encoded."""
    with suppress(HarnessError):
        if each.reference is not None and hashes.of(each.reference) == each.source_sha256:
            return each.reference
    return UNKNOWN_REFERENCE


def _asset(asset_id: int, each: StoredEncode, path: Path, reference: Path, key: Mapping[str, Any]) -> Asset:
    """The pair as it was scored, so that its frames can be shown as they were compared."""
    width_px, height_px = key.get("quality_size_px", (None, None))
    return Asset(
        dataset=each.dataset,
        content_id=_number(each.content_id),
        content_name=each.content_name or path.stem.partition(f"_{each.encoder}_")[0],
        asset_id=asset_id,
        reference=_video(reference, key.get("reference", {})),
        distorted=_video(path, key.get("distorted", {})),
        quality_width_px=width_px,
        quality_height_px=height_px,
        resampling_type=key.get("resampling_type", DEFAULT_RESAMPLING_TYPE),
        workfile_yuv_type=key.get("workfile_yuv_type"),
        pairing=key.get("pairing"),
        least_depth=key.get("least_depth"),
    )


def _video(path: Path, key: Mapping[str, Any]) -> Video:
    first, last, duration_s = key.get("frames", (None, None, None))
    width_px, height_px = key.get("size_px", (None, None))
    return Video(
        path=path,
        yuv_fmt=key.get("yuv_fmt", NOTYUV),
        width_px=width_px,
        height_px=height_px,
        fps=key.get("fps"),
        start_frame=first,
        end_frame=last,
        duration_s=duration_s,
        filters=tuple((name, given) for name, given in key.get("filters", ())),
        resampling_type=key.get("resampling_type"),
    )


def _scored(
    outcome: Outcome,
    about: Mapping[str, Any],
    frames: dict[str, list[float]],
    wanted: Extraction,
    predictor: Predictor | None,
    pool: str,
) -> Outcome:
    try:
        result, spread, score = result_of(about), None, wanted.score
        if predictor is not None:
            pair, spread = predictor.predicted_pair(PairScore(result=result, frames=frames), pool)
            result, frames, score = pair.result, pair.frames, predictor.extraction.score
        shown = {score: frames[score]}
        return check_pool(replace(outcome, result=result, cached=True, frames=shown, spread=spread), pool)
    except HarnessError as error:
        return replace(outcome, error=error)
