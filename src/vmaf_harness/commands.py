"""The commands of the harness; Invoke's tasks and `vmaf-harness` are made of them. What is slow loads when they run."""

# Without `from __future__ import annotations`: what they hold is read at every start.

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from vmaf_harness.script.options import (
    BitDepth,
    CrossValidation,
    Dataset,
    Encoding,
    Extraction,
    PairBy,
    Pool,
    Testing,
    Training,
    Tuning,
    VmafModel,
)
from vmaf_harness.script.options import quality_type as as_quality_type
from vmaf_workspace.commands.command import Command, Json, Workspace, located
from vmaf_workspace.commands.flags import Flag, path
from vmaf_workspace.errors import DONE, FAILED

if TYPE_CHECKING:
    from vmaf_harness.measure.extraction import Extraction as Measured


def score(
    *,
    reference: Annotated[str, Flag("the reference video, one that ffmpeg can open")],
    distorted: Annotated[str, Flag("the distorted video")],
    vmaf_model: VmafModel = None,
    quality_type: Annotated[str, Flag("VMAF, PSNR, SSIM, CAMBI, … (another word lists all)", as_quality_type)] = "VMAF",
    pool: Pool = "mean",
    pair_by: PairBy = None,
    bit_depth: BitDepth = None,
    save_plot: Annotated[Path | None, Flag("draw the score of each frame into this directory", path)] = None,
    workspace: Workspace = "",
    json: Json = False,
) -> int:
    """Score one distorted video against its reference; nothing is stored."""
    from vmaf_harness.engine.jobs import Stopped, stop_on_signals
    from vmaf_harness.measure.scoring import pooled_score, score_pair
    from vmaf_harness.model.predictor import resolve_quality_type
    from vmaf_workspace.live.lock import Run

    root = located(workspace).path
    wanted, predictor = resolve_quality_type(quality_type, root, model=vmaf_model, warn=_warn)
    if save_plot:
        from vmaf_harness.report.plot import check_directory

        check_directory(save_plot)
    try:
        with stop_on_signals(), Run(root) as run:
            pair = score_pair(Path(reference), Path(distorted), wanted, run, pairing=pair_by, least_depth=bit_depth)
    except Stopped as stopped:
        print(f"stopped by {stopped}", file=sys.stderr)
        return stopped.exit_code
    spread = None
    if predictor is not None:
        pair, spread = predictor.predicted_pair(pair, pool)
        wanted = predictor.extraction
    found = pair.result
    number = pooled_score(found, pool, distorted)
    videos = {"reference": reference, "distorted": distorted}
    for note in found.notes:
        _warn(f"{note.kind}: {videos[note.side]}: {note.text}")
    if json:
        from vmaf_workspace.commands import tables

        pools = {name: None if isnan(each) else each for name, each in found.pools.items()}  # NaN is no JSON
        notes = [{"kind": each.kind, "video": videos[each.side], "text": each.text} for each in found.notes]
        fields: dict[str, Any] = {"score": number, "pools": pools, "notes": notes, "frames": pair.frames}
        if spread is not None:
            fields["bootstrap"] = asdict(spread)
        print(tables.object_json("score", executor_id=wanted.executor_id, pool=pool, **fields))
    else:
        print(f"{wanted.type} {number:.6f}")
        if spread is not None:
            interval = f"95 % from {spread.low:.6f} to {spread.high:.6f}"
            print(f"bootstrap: mean {spread.mean:.6f}, sd {spread.sd:.6f}, {interval}")
        print(f"{pool} of {found.n_frames} frames, {wanted.executor_id}, {found.extraction_s:.1f} s", file=sys.stderr)
    if save_plot:  # after the score, which no plot is worth
        from vmaf_harness.report.plot import PlotError

        sys.stdout.flush()
        try:
            _plot_frames(save_plot, Path(distorted), pair.frames[wanted.score], found.pools, wanted)
        except PlotError as error:
            _warn(str(error))
            return FAILED
    return DONE


def _warn(message: str) -> None:
    from vmaf_workspace import wording

    print(wording.printable(message), file=sys.stderr)


def _plot_frames(
    directory: Path, distorted: Path, scores: list[float], pools: Mapping[str, float], wanted: "Measured"
) -> None:
    from vmaf_harness.report.plot import frames_plot
    from vmaf_workspace import wording

    path = directory / f"{distorted.stem}_{wanted.executor_id}_frames.png"
    pooled = {name: pools[name] for name in ("mean", "harmonic_mean", "perc5", "min")}
    frames_plot(path, scores, distorted.name, pooled, wanted.executor_id)
    print(wording.printable(str(path)), file=sys.stderr)


def encode(options: Encoding) -> int:
    """Encode the references of a recipe by a ladder; what is there already stays, and is not encoded again."""
    from vmaf_harness.script.run_encode import run

    return run(options)


def test(options: Testing) -> int:
    """Score a dataset, and say how well the scores follow its labels."""
    from vmaf_harness.script.run_testing import run

    return run(options)


def extract(options: Extraction) -> int:
    """Extract the features of a dataset into the result store; what is stored already stays."""
    from vmaf_harness.script.run_extraction import run

    return run(replace(options, cache_result=True))


def train(options: Training) -> int:
    """Train a model into model/; one of the same name stays, unless --overwrite; a killed bootstrap goes on."""
    from vmaf_harness.script.run_vmaf_training import run

    return run(options)


def cross_validate(options: CrossValidation) -> int:
    """Say how well a model predicts contents that it has not seen; no model is written."""
    from vmaf_harness.script.run_vmaf_cross_validation import run

    return run(options)


def tune(options: Tuning) -> int:
    """Search gamma, C and nu by cross-validation into model_param/; a set of that name stays, unless --overwrite."""
    from vmaf_harness.script.run_vmaf_tuning import run

    return run(options)


def report(*, workspace: Workspace = "", json: Json = False) -> int:
    """Show the statistics of the models in model/ and of the runs in output/; changes nothing."""
    from vmaf_harness.report.summary import read_entries
    from vmaf_harness.statistics import statistics_text
    from vmaf_workspace import wording
    from vmaf_workspace.commands import tables

    found = read_entries(located(workspace).path)
    if json:
        listed = [asdict(each) for each in found]
        print(tables.object_json("report", entries=listed))
        return DONE
    for each in found:
        line = statistics_text(f"{each.path}: {each.what}", each.statistics, each.kind or "")
        print(wording.printable(f"{line}; labels: {each.labels}" if each.labels else line))
    if not found:
        print("no model and no run has statistics here", file=sys.stderr)
    return DONE


def import_results(
    *,
    dataset: Dataset,
    store: Annotated[str, Flag("a file_result_store of VMAF's own harness, or its workspace, instead of ours")] = "",
    workspace: Workspace = "",
    dry_run: Annotated[bool, Flag("say what would be imported, change nothing")] = False,
    json: Json = False,
) -> int:
    """Take results of VMAF's own harness into our store, as measured by it; its entries stay as they are."""
    from vmaf_harness.measure import import_results as _import
    from vmaf_harness.measure.store import store_directory
    from vmaf_harness.recipe.dataset import read_recipe
    from vmaf_workspace import wording
    from vmaf_workspace.commands import tables
    from vmaf_workspace.locate import locate

    root = located(workspace).path
    recipe = read_recipe(dataset, search=[root / "dataset"])
    for warning in recipe.warnings:
        _warn(warning)
    done = _import.import_results(recipe, locate(store).path if store else store_directory(root), root, dry_run=dry_run)
    code = FAILED if done.problems else DONE
    if json:
        print(tables.object_json("import-results", dry_run=dry_run, **asdict(done), exit_code=code))
        return code
    verb = "would import" if dry_run else "imported"
    print(f"{verb} {wording.count_text(done.stored, 'result')}; {done.known} were imported before")
    if done.of_other_datasets:
        print(f"left: {wording.count_text(done.of_other_datasets, 'result')} of other datasets than {recipe.name}")
    if done.of_several_models:
        print(f"left: {wording.count_text(done.of_several_models, 'metric')} of several models at once")
    if done.others:
        print(f"left: {wording.count_text(done.others, 'file')} that are no results")
    wording.print_list("left, because they cannot be imported:", done.problems, file=sys.stderr)
    return code


def demo(
    *,
    clips: Annotated[
        Sequence[Path],
        Flag("videos to take instead of its own, such as 'a.mp4 b.mp4'", path, several=True, quoted=True),
    ] = (),
    workspace: Workspace = "",
) -> int:
    """Run the whole chain on real clips: encodes, features, tuning, a model, scores, clean-scratch; the rest stays."""
    from vmaf_harness.demo import run_demo

    return run_demo(located(workspace).path, clips)


COMMANDS = (
    Command("score", score),
    Command("encode", encode),
    Command("test", test),
    Command("extract", extract),
    Command("train", train),
    Command("cross-validate", cross_validate),
    Command("tune", tune),
    Command("report", report, reads=True),
    Command("import-results", import_results),
    Command("demo", demo),
)
