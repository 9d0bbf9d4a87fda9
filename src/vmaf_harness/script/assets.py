"""What every command that measures a dataset begins with: its labelled assets, and a place for its plots."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import get_type_hints

from vmaf_harness.engine.cluster import Cluster
from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.scoring import RunOptions
from vmaf_harness.recipe.asset import Asset
from vmaf_harness.recipe.dataset import Recipe, read_recipe
from vmaf_harness.recipe.file_kind import Kind, kinds_named
from vmaf_harness.recipe.subjective import label_assets
from vmaf_harness.report.drawing import check_directory
from vmaf_harness.script.options import Drawing, Measuring
from vmaf_harness.script.progress import warn
from vmaf_workspace.commands.flags import integer, size_bytes
from vmaf_workspace.removal.limit import Limit


def read_assets(options: Measuring, root: Path) -> tuple[Recipe, Sequence[Asset]]:
    """The recipe and its labelled assets; HarnessError where videos are missing, unless `--keep-going`."""
    recipe = read_recipe(options.dataset, search=[root / "dataset"])
    for warning in recipe.warnings:
        warn(warning)
    for problem in recipe.missing:
        warn(f"asset {problem.asset_id}: {problem.message}")
    if recipe.missing and not options.keep_going:
        raise HarnessError(f"missing assets: {len(recipe.missing)}, so nothing was made; see --keep-going")
    assets = label_assets(recipe, options.subj_model, warn=warn)
    return recipe, [replace(asset, least_depth=options.bit_depth) for asset in assets] if options.bit_depth else assets


def run_options(options: Measuring, cluster: Cluster | None) -> RunOptions:
    """How the assets are measured, as the flags say.

    What stored results may take, where no flag says it, is in the environment: UsageError, which names what is wrong.
    """
    flags = {"max_store": ("VMAF_MAX_STORE", size_bytes), "max_store_files": ("VMAF_MAX_STORE_FILES", integer(0))}
    values: list[int | None] = []
    for name, (variable, kind) in flags.items():
        given, set_here = getattr(options, name), os.environ.get(variable, "").strip()
        values.append(kind(set_here, variable) if given is None and set_here else given)
    return RunOptions(
        cache=options.cache_result or options.shard is not None,
        processes=options.processes,
        keep_going=options.keep_going,
        refuse_damaged=options.refuse_damaged,
        limit=Limit(max_disk_bytes=values[0], max_files=values[1]),
        cluster=cluster,
    )


def check_plots(options: Drawing, *names: str) -> None:
    """Raise HarnessError, before anything is extracted, where `--save-plot` names no place for files.

    RefusedError where a file that is no plot of ours has one of *names* there: patterns, without what they end in.
    """
    if options.save_plot and not options.suppress_plot:
        check_directory(options.save_plot, *(f"{name}.{options.plot_format}" for name in names))


@contextmanager
def files_named(options: Measuring, root: Path) -> Iterator[None]:
    """Where what is inside fails, say which argument is a file of another kind: two that were swapped."""
    kinds = {"dataset": Kind.RECIPE, "feature_param": Kind.FEATURES, "model_param": Kind.PARAMETERS}
    given = [(getattr(options, name), kind) for name, kind in kinds.items() if hasattr(options, name)]
    with kinds_named(given, [root / "dataset", root / "model_param"], takes=_places_text(options)):
        yield


def _places_text(options: Measuring) -> str:
    """`RECIPE FEATURE_PARAM MODEL_PARAM MODEL`: what the command takes, in its order."""
    of_flags: list[tuple[int, str]] = []
    for name, hint in get_type_hints(type(options), include_extras=True).items():
        for flag in getattr(hint, "__metadata__", ()):
            if flag.positional:
                of_flags.append((flag.positional, name))
    names = [name for _, name in sorted(of_flags)]
    return " ".join("RECIPE" if name == "dataset" else name.removeprefix("output_").upper() for name in names)
