"""The commands of the harness; Invoke's tasks and `vmaf-harness` are made of them. What is slow loads when they run."""

# Without `from __future__ import annotations`: what they hold is read at every start.

import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from math import isnan
from pathlib import Path
from typing import Annotated, Any

from vmaf_harness.script.options import (
    Assembling,
    BdRating,
    BitDepth,
    Converting,
    CrossValidation,
    Dataset,
    DisHeight,
    DisWidth,
    DisYuvFmt,
    Encoding,
    Extraction,
    Height,
    PairBy,
    Pool,
    RefHeight,
    RefWidth,
    RefYuvFmt,
    Reporting,
    Testing,
    Training,
    Tuning,
    VmafModel,
    Width,
    YuvFmt,
)
from vmaf_harness.script.options import quality_type as as_quality_type
from vmaf_workspace.commands.command import Command, Json, Workspace, located
from vmaf_workspace.commands.flags import Flag, path
from vmaf_workspace.errors import DONE, FAILED


def score(
    *,
    reference: Annotated[str, Flag("the reference video, one that ffmpeg can open, or raw with --yuv-fmt")],
    distorted: Annotated[str, Flag("the distorted video")],
    yuv_fmt: YuvFmt = None,
    width: Width = None,
    height: Height = None,
    ref_yuv_fmt: RefYuvFmt = None,
    ref_width: RefWidth = None,
    ref_height: RefHeight = None,
    dis_yuv_fmt: DisYuvFmt = None,
    dis_width: DisWidth = None,
    dis_height: DisHeight = None,
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
    from vmaf_harness.script.pair import RawForm, plot_frames, scored_pair, video_of

    common = RawForm(yuv_fmt=yuv_fmt, width_px=width, height_px=height)
    own = RawForm(yuv_fmt=ref_yuv_fmt, width_px=ref_width, height_px=ref_height)
    of_reference = video_of(Path(reference), "ref", own, common)
    own = RawForm(yuv_fmt=dis_yuv_fmt, width_px=dis_width, height_px=dis_height)
    of_distorted = video_of(Path(distorted), "dis", own, common)
    if save_plot:
        from vmaf_harness.report.plot import check_directory

        check_directory(save_plot)
    root = located(workspace).path
    asked: dict[str, Any] = {"quality_type": quality_type, "model": vmaf_model, "pool": pool, "pair_by": pair_by}
    asked |= {"least_depth": bit_depth}
    try:
        with stop_on_signals():
            scored = scored_pair(of_reference, of_distorted, root=root, **asked)
    except Stopped as stopped:
        print(f"stopped by {stopped}", file=sys.stderr)
        return stopped.exit_code
    found, spread, name = scored.pair.result, scored.spread, scored.extraction.executor_id
    if json:
        from vmaf_workspace.commands import tables

        videos = {"reference": reference, "distorted": distorted}
        pools = {name: None if isnan(each) else each for name, each in found.pools.items()}  # NaN is no JSON
        notes = [{"kind": each.kind, "video": videos[each.side], "text": each.text} for each in found.notes]
        fields: dict[str, Any] = {"score": scored.score, "pools": pools, "notes": notes, "frames": scored.pair.frames}
        if spread is not None:
            fields["bootstrap"] = asdict(spread)
        print(tables.object_json("score", executor_id=name, pool=pool, **fields))
    else:
        print(f"{scored.extraction.type} {scored.score:.6f}")
        if spread is not None:
            interval = f"95 % from {spread.low:.6f} to {spread.high:.6f}"
            print(f"bootstrap: mean {spread.mean:.6f}, sd {spread.sd:.6f}, {interval}")
        print(f"{pool} of {found.n_frames} frames, {name}, {found.extraction_s:.1f} s", file=sys.stderr)
    if save_plot:  # after the score, which no plot is worth
        sys.stdout.flush()
        return DONE if plot_frames(save_plot, Path(distorted), scored) else FAILED
    return DONE


def _warn(message: str) -> None:
    from vmaf_workspace import wording

    print(wording.printable(message), file=sys.stderr)


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


def report(options: Reporting) -> int:
    """Show the statistics of models and runs, or report a dataset or a model, also as a page of HTML."""
    from vmaf_harness.script.reporting import run

    return run(options)


def bd_rate(options: BdRating) -> int:
    """Say how much bitrate a codec of a ladder saves against another at the same score; changes nothing."""
    from vmaf_harness.script.reporting import run_bd_rate

    return run_bd_rate(options)


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


def assemble_results(options: Assembling) -> int:
    """Put the results of several parts of a video together, as one of all their frames, on stdout."""
    from vmaf_harness.script.run_result_assembly import run

    return run(options)


def convert_model(options: Converting) -> int:
    """Write the JSON that libvmaf loads of a model in .pkl and .pkl.model; it scores the same."""
    from vmaf_harness.script.convert_model_from_pkl_to_json import run

    return run(options)


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
    Command("report", report),
    Command("bd-rate", bd_rate, reads=True),
    Command("import-results", import_results),
    Command("assemble-results", assemble_results, reads=True),
    Command("convert-model", convert_model),
    Command("demo", demo),
)
