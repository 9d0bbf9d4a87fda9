"""What all scripts that train begin with: a recipe, two parameter files, and the feature table of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vmaf_harness.engine.cluster import Cluster
from vmaf_harness.engine.jobs import Stopped
from vmaf_harness.engine.shard import PartDone
from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.scoring import Outcome, are_all_stored, score_assets
from vmaf_harness.model.feature_param import FeatureParam, read_feature_param
from vmaf_harness.model.model_param import read_model_param
from vmaf_harness.recipe.asset import Asset
from vmaf_harness.recipe.dataset import Recipe
from vmaf_harness.recipe.labels import labels_of
from vmaf_harness.script.assets import files_named, read_assets, run_options
from vmaf_harness.script.options import Extraction, Fitting, Folds
from vmaf_harness.script.progress import Progress, frames_of, warn
from vmaf_harness.script.spreading import cluster_of, said_part
from vmaf_harness.training.card import Inputs
from vmaf_harness.training.doubts import clip_doubt, content_doubts, feature_direction_doubt, residual_doubt
from vmaf_harness.training.feature_table import ExtractedFeatures, asset_name, extract_features
from vmaf_workspace.commands.command import located
from vmaf_workspace.errors import DONE, FAILED
from vmaf_workspace.live.lock import Run
from vmaf_workspace.removal.limit import UNLIMITED

if TYPE_CHECKING:
    from vmaf_harness.training.checkpoints import Checkpoints
    from vmaf_harness.training.cross_validation import Fold
    from vmaf_harness.training.fit import Table, Workers

_SHOWN = 5  # assets that an error names


def folds_of(content_ids: Sequence[int], options: Folds) -> list[Fold]:
    """The folds that the command line asks for; HarnessError where there are too few contents."""
    from vmaf_harness.training.cross_validation import folds_by_content, leave_one_source_out

    if options.leave_one_source_out:
        return leave_one_source_out(content_ids)
    return folds_by_content(content_ids, options.folds, options.seed)


def read_inputs(options: Fitting) -> Inputs:
    """Read what the command line names; everything that can be wrong before videos are opened is said here.

    Raises HarnessError for a missing video (unless `--keep-going`), a missing label, fewer than two assets, and a file
    of another kind than its argument is.
    """
    root = located(options.workspace).path
    with files_named(options, root):
        return _read_inputs(options, root)


def _read_inputs(options: Fitting, root: Path) -> Inputs:
    features = replace(read_feature_param(options.feature_param), subsample=options.subsample)
    given, tuned = options.model_param, root / "model_param" / options.model_param.name
    is_tuned = given.name == str(given) and not given.exists() and tuned.exists()  # a bare name that is not here
    parameters = read_model_param(tuned if is_tuned else given)
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
        remedy = "give each asset one (dmos, mos, groundtruth or os), or leave it out"
        if len(unlabelled) == len(assets):
            remedy = (
                "give each asset one (dmos, mos, groundtruth or os); of a ladder, `harness.encode` with the same "
                "arguments and --label-with version=vmaf_v0.6.1 labels its encodes with a model's scores"
            )
        raise HarnessError(f"{recipe.path}: there is no label for {', '.join(unlabelled[:_SHOWN])}{more}; {remedy}")
    if len(assets) < 2:
        raise HarnessError(f"{recipe.path}: a model needs at least two assets to be fitted to, got {len(assets)}")
    numbers = [asset.groundtruth for asset in assets if asset.groundtruth is not None]
    if (outside := parameters.outside_clip(numbers)) is not None:
        if parameters.is_other_scale(numbers):
            raise HarnessError(f"{options.model_param}: {outside}; nothing was extracted")
        warn(f"{options.model_param}: {outside}")
    if (doubt := clip_doubt(numbers, parameters.score_clip)) is not None:
        warn(f"{options.model_param}: {doubt}")
    for line in content_doubts(assets, root):
        warn(f"{recipe.path}: {line}")
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
                progress=lambda done, total, outcome: progress.show(
                    done, total, extraction_line(outcome), frames_of(outcome)
                ),
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
    with Progress(len(assets), what="extracted", run=run, quiet=options.quiet) as progress:
        outcomes = score_assets(
            assets,
            features.extraction,
            run,
            how,
            warn=warn,
            progress=lambda done, total, outcome: progress.show(
                done, total, extraction_line(outcome), frames_of(outcome)
            ),
        )
    return said_part(options, outcomes, "extracted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A run of a command that trains: what it was given, and where it works."""

    inputs: Inputs
    options: Fitting
    run: Run
    cluster: Cluster | None

    @property
    def workers(self) -> Workers:
        """Who fits, as the flags say."""
        from vmaf_harness.training.fit import Workers

        return Workers(threads=self.options.processes, cluster=self.cluster, shard=self.options.shard)

    def extracted(self) -> ExtractedFeatures:
        """The feature table."""
        found = extracted_of(self.inputs.assets, self.inputs.features, self.run, self.options, self.cluster)
        columns = {name: list(map(float, column)) for name, column in found.table.features.items()}
        doubt = feature_direction_doubt(found.content_ids, _labels(found), columns)
        if doubt is not None:
            warn(f"{self.inputs.recipe.path}: {doubt}")
        return found

    def warn_of_predictions(self, extracted: ExtractedFeatures, predictions: Sequence[float]) -> None:
        """Name a content of which they are far more wrong than of the others."""
        names = {asset.content_id: asset.shown_content for asset in extracted.assets}
        doubt = residual_doubt(extracted.content_ids, names, _labels(extracted), predictions)
        if doubt is not None:
            warn(f"{self.inputs.recipe.path}: {doubt}")

    def do_part(self, fits: Callable[[ExtractedFeatures], object]) -> int:
        """Do this run's part of the extraction, and of *fits* where all parts of that are done; the exit code."""
        assets, features, root = self.inputs.assets, self.inputs.features, self.inputs.root
        if not extract_part(assets, features, self.run, self.options, self.cluster):
            return FAILED
        if not are_all_stored(assets, features.extraction, root, warn=warn, frames=self.options.pool != "mean"):
            why = "other parts have not extracted all features yet"
            warn(f"nothing is fitted: {why}; run this part again when they have")
            return DONE
        with suppress(PartDone):
            fits(extracted_of(assets, features, self.run, self.options, None))
        return DONE

    def checkpoints(self, kind: str, table: Table, folds: Sequence[Fold] = ()) -> Checkpoints:
        """Those of this run, which it shares with every other one of the same inputs."""
        from vmaf_harness.training.checkpoints import Checkpoints, checkpoint_key

        inputs, others = self.inputs, {"folds": [asdict(fold) for fold in folds]} if folds else None
        key = checkpoint_key(table, inputs.features, inputs.parameters, seed=self.options.seed, others=others)
        return Checkpoints(inputs.root, kind, inputs.recipe.name, key, warn=warn)


def _labels(extracted: ExtractedFeatures) -> list[float]:
    return [float(label or 0.0) for label in extracted.table.labels]


@contextmanager
def working(inputs: Inputs, options: Fitting) -> Iterator[Work]:
    """The run, on the cluster that the command line names, if any."""
    with Run(inputs.root) as run, cluster_of(options, run) as cluster:
        yield Work(inputs=inputs, options=options, run=run, cluster=cluster)


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
