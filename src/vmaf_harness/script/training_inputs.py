"""What all scripts that train begin with: a recipe, two parameter files, and the feature table of them."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vmaf_harness.engine.jobs import Stopped
from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.scoring import RunOptions
from vmaf_harness.model.parameters import FeatureParam, ModelParam, read_feature_param, read_model_param
from vmaf_harness.recipe.asset import Asset
from vmaf_harness.recipe.dataset import Recipe, read_recipe
from vmaf_harness.recipe.labels import Labels, labels_of
from vmaf_harness.recipe.subjective import DEFAULT_MODEL, MODELS, label_assets
from vmaf_harness.report.testing import printable_lines
from vmaf_harness.script.progress import Progress
from vmaf_harness.training.feature_table import ExtractedFeatures, asset_name, extract_features
from vmaf_workspace.cli import given
from vmaf_workspace.live.lock import Run
from vmaf_workspace.locate import locate

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


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """The arguments of every command that trains."""
    add = parser.add_argument
    add("train_dataset", help="the recipe, a *_dataset.py; it is read, not executed")
    add("feature_param", help="the file that says which features (feature_dict)")
    add(
        "model_param",
        help="the file that says how to fit (model_type, model_param_dict), or a tuned .pkl of model_param/",
    )


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of every command that extracts features."""
    add = parser.add_argument
    add("--subj-model", metavar="NAME", choices=MODELS, help=f"makes labels from raw scores (default: {DEFAULT_MODEL})")
    add(
        "--cache-result", action="store_true", help="read stored features, store new ones; table and numbers in output/"
    )
    add("--parallelize", action="store_true", help="accepted; every core is used anyway (--processes 1: one)")
    add("--processes", type=count, metavar="N", help="ffmpegs, and fits, at once (default: one a core)")
    add("--keep-going", action="store_true", help="leave out assets that are missing or fail; the exit code says so")
    add("--refuse-damaged", action="store_true", help="no features of a damaged distorted video (default: a warning)")
    add("--workspace", type=given, metavar="PATH", help="instead of VMAF_WORKSPACE or the checkout's")


def add_overwrite(parser: argparse.ArgumentParser, what: str) -> None:
    """The flags of every command that writes under a name."""
    add = parser.add_argument
    add(
        "--overwrite",
        action="store_true",
        help=f"replace {what} of this name, after a snapshot of it; without this, exit code 3 where it is another one",
    )
    add("--at", type=given, metavar="URL", help="where that snapshot goes, instead of VMAF_BACKUPS")


def add_folds(parser: argparse.ArgumentParser) -> None:
    """The flags of every command that cross-validates."""
    add = parser.add_argument
    add("--folds", type=count, default=5, metavar="N", help="folds, each of whole contents (default: %(default)s)")
    add("--leave-one-source-out", action="store_true", help="a fold for each content, instead of --folds")
    add("--seed", type=seed, default=0, help="of what is drawn: folds, sets, forests (default: %(default)s)")


def folds_of(content_ids: Sequence[int], options: argparse.Namespace) -> list[Fold]:
    """The folds that the command line asks for; HarnessError where there are too few contents."""
    from vmaf_harness.training.cross_validation import folds_by_content, leave_one_source_out

    if options.leave_one_source_out:
        return leave_one_source_out(content_ids)
    return folds_by_content(content_ids, options.folds, options.seed)


def read_inputs(options: argparse.Namespace) -> Inputs:
    """Read what the command line names; everything that can be wrong before videos are opened is said here.

    Raises HarnessError for a missing video (unless `--keep-going`), a missing label, fewer than two assets.
    """
    location = locate(options.workspace)
    for warning in location.warnings:
        warn(warning)
    features = read_feature_param(Path(options.feature_param))
    parameters = read_model_param(_model_param_path(Path(options.model_param), location.path))
    if unknown := sorted(parameters.custom_ranges.keys() - set(features.feature_names)):
        warn(
            f"{options.model_param}: custom_clip_0to1_map names {', '.join(unknown)}, which is none of the features "
            f"{', '.join(features.feature_names)}; it is not used"
        )
    for warning in features.warnings:
        warn(warning)
    recipe, assets = read_assets(options, location.path)
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
    return Inputs(
        root=location.path, recipe=recipe, labels=labels, assets=assets, features=features, parameters=parameters
    )


def read_assets(options: argparse.Namespace, root: Path) -> tuple[Recipe, Sequence[Asset]]:
    """The recipe and its labelled assets; HarnessError where videos are missing, unless `--keep-going`."""
    recipe = read_recipe(Path(options.train_dataset), search=[root / "dataset"])
    for warning in recipe.warnings:
        warn(warning)
    for problem in recipe.missing:
        warn(f"asset {problem.asset_id}: {problem.message}")
    if recipe.missing and not options.keep_going:
        raise HarnessError(f"missing assets: {len(recipe.missing)}, so nothing was made; see --keep-going")
    return recipe, label_assets(recipe, options.subj_model, warn=warn)


def extracted_of(
    assets: Sequence[Asset], features: FeatureParam, run: Run, options: argparse.Namespace
) -> ExtractedFeatures:
    """The feature table, with progress on stderr."""
    how = RunOptions(
        cache=options.cache_result,
        processes=options.processes,
        keep_going=options.keep_going,
        refuse_damaged=options.refuse_damaged,
    )
    try:
        with Progress(len(assets)) as progress:
            return extract_features(
                assets,
                features,
                run,
                how,
                warn=warn,
                progress=lambda done, total, outcome: progress.show(
                    done,
                    total,
                    f"asset {outcome.asset.asset_id}: {'failed' if outcome.result is None else 'extracted'}",
                ),
            )
    except Stopped:
        shutil.rmtree(run.root / "output" / run.id, ignore_errors=True)
        raise


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


def warn(message: str) -> None:
    """A line on stderr."""
    print(printable_lines(message), file=sys.stderr, flush=True)


def count(text: str) -> int:
    """An integer from 1, for argparse."""
    with suppress(ValueError):
        if int(text) >= 1:
            return int(text)
    raise argparse.ArgumentTypeError(f"expected an integer of 1 or more, got {text!r}")


def seed(text: str) -> int:
    """A seed of numpy's generator, for argparse."""
    with suppress(ValueError):
        if 0 <= int(text) < 1 << 32:
            return int(text)
    raise argparse.ArgumentTypeError(f"expected an integer from 0 to 4294967295, got {text!r}")


def _model_param_path(given: Path, root: Path) -> Path:
    """A bare name that is not here is one of `model_param/`."""
    tuned = root / "model_param" / given.name
    return tuned if given.name == str(given) and not given.exists() and tuned.exists() else given
