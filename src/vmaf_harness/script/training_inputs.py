"""What all scripts that train begin with: a recipe, two parameter files, and the feature table of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vmaf_harness.engine.cluster import Cluster
from vmaf_harness.engine.jobs import Stopped
from vmaf_harness.engine.shard import PartDone
from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.scoring import Outcome, are_all_stored, score_assets
from vmaf_harness.model.parameters import FeatureParam, ModelParam, read_feature_param, read_model_param
from vmaf_harness.recipe.asset import Asset
from vmaf_harness.recipe.dataset import Recipe
from vmaf_harness.recipe.labels import Labels, labels_of
from vmaf_harness.script.assets import read_assets, run_options
from vmaf_harness.script.options import Extraction, Fitting, Folds
from vmaf_harness.script.progress import Progress, warn
from vmaf_harness.script.spreading import said_part
from vmaf_harness.training.feature_table import ExtractedFeatures, asset_name, extract_features
from vmaf_workspace.commands.command import located
from vmaf_workspace.errors import DONE, FAILED
from vmaf_workspace.live.lock import Run
from vmaf_workspace.removal.limit import UNLIMITED

if TYPE_CHECKING:
    from vmaf_harness.training.cross_validation import Fold

_SHOWN = 5  # assets that an error names


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What a command names, read and checked; no video was opened yet."""

    root: Path
    recipe: Recipe
    labels: Labels
    assets: Sequence[Asset]
    features: FeatureParam
    parameters: ModelParam

    @property
    def of_frames(self) -> str:
        """What follows the name of a number where not every frame was measured."""
        return f", one frame in {self.features.subsample}" if self.features.subsample > 1 else ""


def folds_of(content_ids: Sequence[int], options: Folds) -> list[Fold]:
    """The folds that the command line asks for; HarnessError where there are too few contents."""
    from vmaf_harness.training.cross_validation import folds_by_content, leave_one_source_out

    if options.leave_one_source_out:
        return leave_one_source_out(content_ids)
    return folds_by_content(content_ids, options.folds, options.seed)


def read_inputs(options: Fitting) -> Inputs:
    """Read what the command line names; everything that can be wrong before videos are opened is said here.

    Raises HarnessError for a missing video (unless `--keep-going`), a missing label, fewer than two assets.
    """
    root = located(options.workspace).path
    features = replace(read_feature_param(options.feature_param), subsample=options.subsample)
    parameters = read_model_param(_model_param_path(options.model_param, root))
    if unknown := sorted(parameters.custom_ranges.keys() - set(features.feature_names)):
        warn(
            f"{options.model_param}: custom_clip_0to1_map names {', '.join(unknown)}, which is none of the features "
            f"{', '.join(features.feature_names)}; it is not used"
        )
    for warning in features.warnings:
        warn(warning)
    recipe, assets = read_assets(options, root)
    unlabelled = [asset_name(asset) for asset in assets if asset.groundtruth is None]
    if unlabelled:
        more = f" and {len(unlabelled) - _SHOWN} more" if len(unlabelled) > _SHOWN else ""
        raise HarnessError(
            f"{recipe.path}: there is no label for {', '.join(unlabelled[:_SHOWN])}{more}; "
            "give each asset one (dmos, mos, groundtruth or os), or leave it out"
        )
    if len(assets) < 2:
        raise HarnessError(f"{recipe.path}: a model needs at least two assets to be fitted to, got {len(assets)}")
    numbers = [asset.groundtruth for asset in assets if asset.groundtruth is not None]
    if (outside := parameters.outside_clip(numbers)) is not None:
        warn(f"{options.model_param}: {outside}")
    labels = labels_of(recipe, options.subj_model)
    return Inputs(root=root, recipe=recipe, labels=labels, assets=assets, features=features, parameters=parameters)


def extracted_of(
    assets: Sequence[Asset], features: FeatureParam, run: Run, options: Extraction, cluster: Cluster | None
) -> ExtractedFeatures:
    """The feature table, with progress on stderr; features pooled as commands that fit are told to."""
    try:
        with Progress(len(assets), what="extracted", run=run, quiet=options.quiet) as progress:
            return extract_features(
                assets,
                features,
                run,
                run_options(options, cluster),
                pool=options.pool if isinstance(options, Fitting) else "mean",
                warn=warn,
                progress=lambda done, total, outcome: progress.show(done, total, extraction_line(outcome)),
            )
    except Stopped:
        shutil.rmtree(run.root / "output" / run.id, ignore_errors=True)
        raise


def extraction_line(outcome: Outcome) -> str:
    """What is said when an asset is done."""
    return f"asset {outcome.asset.asset_id}: {'failed' if outcome.result is None else 'extracted'}"


def extract_part(
    assets: Sequence[Asset], features: FeatureParam, run: Run, options: Extraction, cluster: Cluster | None
) -> bool:
    """Extract and store the features of this run's part of *assets*; whether all of those have some now."""
    frames = isinstance(options, Fitting) and options.pool != "mean"
    how = replace(run_options(options, cluster), shard=options.shard, frames=frames, limit=UNLIMITED)
    with Progress(len(assets)) as progress:
        outcomes = score_assets(
            assets,
            features.extraction,
            run,
            how,
            warn=warn,
            progress=lambda done, total, outcome: progress.show(done, total, extraction_line(outcome)),
        )
    return said_part(options, outcomes, "extracted")


def fit_part(
    inputs: Inputs, run: Run, options: Fitting, cluster: Cluster | None, fits: Callable[[ExtractedFeatures], object]
) -> int:
    """Do this run's part of the extraction, and of *fits* where all parts of the extraction are done; the exit code."""
    assets, features = inputs.assets, inputs.features
    if not extract_part(assets, features, run, options, cluster):
        return FAILED
    if not are_all_stored(assets, features.extraction, inputs.root, warn=warn, frames=options.pool != "mean"):
        warn("nothing is fitted: other parts have not extracted all features yet; run this part again when they have")
        return DONE
    with suppress(PartDone):
        fits(extracted_of(assets, features, run, options, None))
    return DONE


def is_partial(recipe: Recipe, extracted: ExtractedFeatures) -> bool:
    """Whether assets of the recipe were left out."""
    return bool(recipe.missing) or len(extracted.assets) < len(extracted.outcomes)


def writable(path: Path, what: str) -> None:
    """Raise HarnessError where no file can be made at *path*; found out by making one, and before the extraction."""
    directory = path.parent
    if not directory.is_dir():
        raise HarnessError(f"{directory} is not there; make it first, or correct the path of {what}")
    probe = directory / f".{os.getpid()}.probe"
    try:
        with suppress(FileNotFoundError):
            os.lstat(path)  # its name may be too long
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise HarnessError(f"{path}: cannot write {what} there: {error.strerror}; nothing was extracted") from error


def _model_param_path(given: Path, root: Path) -> Path:
    """A bare name that is not here is one of `model_param/`."""
    tuned = root / "model_param" / given.name
    return tuned if given.name == str(given) and not given.exists() and tuned.exists() else given
