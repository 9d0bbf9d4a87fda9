"""From a recipe to a feature table: each feature pooled over the frames of each asset, measured once by libvmaf."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.common_form import FORM_VERSION
from vmaf_harness.measure.scoring import Outcome, RunOptions, note_lines, score_assets
from vmaf_harness.measure.store import CONTENT_HASHES, ContentHashes, store_directory
from vmaf_harness.model import pickles
from vmaf_harness.model.feature_param import FeatureParam
from vmaf_harness.recipe.asset import Asset, Video
from vmaf_harness.statistics import pool_all
from vmaf_workspace.live.lock import Run

if TYPE_CHECKING:
    from vmaf_harness.model.svm import Floats
    from vmaf_harness.training.fit import Table

    Column = Sequence[float | None] | Sequence[float] | Floats

TABLE = "features.pkl"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractedFeatures:
    """A feature table, the assets of its rows, and how the extraction ended for every asset, those left out too."""

    table: Table
    assets: tuple[Asset, ...]
    outcomes: Sequence[Outcome]

    @property
    def content_ids(self) -> list[int]:
        """The content of each row."""
        return [asset.content_id for asset in self.assets]

    @property
    def versions(self) -> dict[str, str]:
        """Of ffmpeg and libvmaf."""
        return dict(next(outcome.result.versions for outcome in self.outcomes if outcome.result is not None))


def extract_features(
    assets: Sequence[Asset],
    features: FeatureParam,
    run: Run,
    how: RunOptions,
    *,
    warn: Callable[[str], None],
    progress: Callable[[int, int, Outcome], None],
    pool: str = "mean",
) -> ExtractedFeatures:
    """Extract *features* of *assets*: a row an asset in the order given, a column a feature by its name in a model.

    A feature's frames become one number by *pool*; NaN where they have no such pool. What is stored is read where *how*
    says `cache`. *warn* gets a line for each asset that failed; with `keep_going` those are left out of the table.
    Raises HarnessError where one failed and the others do not go on, and where none is left.
    """
    how = replace(how, frames=how.frames or pool != "mean")
    outcomes = score_assets(assets, features.extraction, run, how, warn=warn, progress=progress)
    for outcome in outcomes:
        if outcome.error is not None:
            warn(str(outcome.error))
    for line in note_lines(outcomes):
        warn(line)
    rows = [outcome for outcome in outcomes if outcome.result is not None]
    if len(rows) < len(outcomes) and not how.keep_going:
        lacking = len(outcomes) - len(rows)
        raise HarnessError(f"assets without features: {lacking}, so nothing was made; see --keep-going")
    if not rows:
        raise HarnessError("no asset has features")
    measured = tuple(row.asset for row in rows)
    return ExtractedFeatures(table=_build_table(rows, features, pool), assets=measured, outcomes=outcomes)


def content_hash(assets: Sequence[Asset], root: Path) -> str:
    """sha256 of what a dataset is: the content of each video, how it is read and compared, and each label.

    Names and paths do not count. Hashes of files that the result store of the workspace *root* remembers are not
    computed again. Raises HarnessError where a video cannot be read.
    """
    hashes = ContentHashes(store_directory(root) / CONTENT_HASHES)
    hashes.hash_files({video.path: None for asset in assets for video in (asset.reference, asset.distorted)})

    def about(video: Video) -> list[object]:
        size_px, frames = [video.width_px, video.height_px], [video.start_frame, video.end_frame, video.duration_s]
        scaled = [] if video.resampling_type is None else [video.resampling_type]
        return [hashes.of(video.path), video.yuv_fmt, size_px, video.fps, frames, video.filters, *scaled]

    digest = hashlib.sha256()
    for asset in assets:
        compared: list[object] = [asset.quality_width_px, asset.quality_height_px]
        compared += [asset.resampling_type, asset.workfile_yuv_type, FORM_VERSION, asset.pairing or "index"]
        compared += [] if asset.least_depth is None else [asset.least_depth]
        encode = [asset.encode_width_px, asset.encode_height_px, asset.encode_depth]
        compared += encode if any(encode) else []
        ids = [asset.content_id, asset.asset_id, asset.groundtruth]
        digest.update(json.dumps([ids, about(asset.reference), about(asset.distorted), compared]).encode() + b"\n")
    return digest.hexdigest()


def write_table(extracted: ExtractedFeatures, directory: Path) -> list[Path]:
    """Write the table into *directory*: `features.pkl`, a dictionary of lists and arrays, and `features.csv`."""
    return write_columns(directory, extracted.assets, extracted.table.labels, extracted.table.features)


def write_columns(
    directory: Path, assets: Sequence[Asset], labels: Column, features: Mapping[str, Column]
) -> list[Path]:
    """Write these columns, with a row for each of *assets*, as `write_table` does."""
    ids: dict[str, Sequence[object]] = {
        "asset_id": [asset.asset_id for asset in assets],
        "content_id": [asset.content_id for asset in assets],
        "distorted": [asset.distorted.path.name for asset in assets],
    }
    pickled, text = directory / TABLE, directory / "features.csv"
    pickles.write(pickled, {**ids, "label": labels, "features": dict(features)})
    with text.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*ids, "label", *features])
        columns: list[Sequence[object]] = [*ids.values(), list(labels), *map(list, features.values())]
        writer.writerows(zip(*columns, strict=True))
    return [pickled, text]


def _build_table(rows: Sequence[Outcome], features: FeatureParam, pool: str) -> Table:
    import numpy as np

    from vmaf_harness.training.fit import Table

    pooled = [_pooled(row, features, pool) for row in rows]
    return Table(
        features={name: np.array([each[name] for each in pooled]) for name in features.feature_names},
        labels=np.array([row.asset.groundtruth for row in rows], dtype=np.float64),  # None becomes NaN
        assets=[asset_name(row.asset) for row in rows],
    )


def _pooled(row: Outcome, features: FeatureParam, pool: str) -> dict[str, float]:
    """Each feature of one asset; means are libvmaf's own, of values that its log has not rounded yet."""
    assert row.result is not None
    if pool == "mean":
        return features.columns(row.result.means)
    assert row.frames is not None
    return {name: pool_all(values)[pool] for name, values in features.columns(row.frames).items()}


def asset_name(asset: Asset) -> str:
    """What an error calls an asset."""
    return f"asset {asset.asset_id} ({asset.distorted.path.name})"
