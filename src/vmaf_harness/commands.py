"""The commands of the harness; Invoke's tasks and `vmaf-harness` are made of them. What is slow loads when they run."""

# Without `from __future__ import annotations`: what they hold is read at every start.

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

from vmaf_harness.script.options import (
    Assembling,
    BdRating,
    BitDepth,
    Converting,
    CrossValidation,
    Dataset,
    DisHeight,
    DisStartFrame,
    DisWidth,
    DisYuvFmt,
    Drafting,
    Encoding,
    Extraction,
    Fps,
    Height,
    NFrames,
    PairBy,
    Pool,
    RefHeight,
    RefStartFrame,
    RefWidth,
    RefYuvFmt,
    Reporting,
    Subsample,
    Testing,
    Training,
    Tuning,
    VmafModel,
    Width,
    YuvFmt,
)
from vmaf_harness.script.options import quality_type as as_quality_type
from vmaf_workspace.commands.command import Command, Json, Quiet, Workspace, Yes, located
from vmaf_workspace.commands.flags import Flag, path
from vmaf_workspace.errors import DONE, FAILED, UsageError

_Report = TypeVar("_Report")


def score(
    *,
    reference: Annotated[
        str, Flag("the reference video, one that ffmpeg can open, or raw with --yuv-fmt", metavar="VIDEO")
    ],
    distorted: Annotated[
        Sequence[str],
        Flag("the distorted video; give it again for another", several=True, repeated=True, metavar="VIDEO"),
    ],
    yuv_fmt: YuvFmt = None,
    width: Width = None,
    height: Height = None,
    fps: Fps = None,
    ref_yuv_fmt: RefYuvFmt = None,
    ref_width: RefWidth = None,
    ref_height: RefHeight = None,
    dis_yuv_fmt: DisYuvFmt = None,
    dis_width: DisWidth = None,
    dis_height: DisHeight = None,
    ref_start_frame: RefStartFrame = 0,
    dis_start_frame: DisStartFrame = 0,
    n_frames: NFrames = None,
    vmaf_model: VmafModel = None,
    quality_type: Annotated[
        str, Flag("VMAF, PSNR, SSIM, CAMBI, … (all: `--quality-type list`)", as_quality_type, metavar="TYPE")
    ] = "VMAF",
    pool: Pool = "mean",
    pair_by: PairBy = None,
    bit_depth: BitDepth = None,
    subsample: Subsample = 1,
    save_plot: Annotated[
        Path | None, Flag("draw the score of each frame into this directory", path, metavar="DIR")
    ] = None,
    quiet: Quiet = False,
    workspace: Workspace = "",
    json: Json = False,
) -> int:
    """Score distorted videos against their reference.

    Nothing is stored. Of several there is a table; one that fails is named, the others are scored.
    """
    from vmaf_harness.script.pair import Asked, RawForm, part_of, score_videos, video_of

    common = RawForm(yuv_fmt=yuv_fmt, width_px=width, height_px=height, fps=fps)
    own = RawForm(yuv_fmt=ref_yuv_fmt, width_px=ref_width, height_px=ref_height)
    of_reference = part_of(video_of(Path(reference), "ref", own, common), ref_start_frame, n_frames)
    own = RawForm(yuv_fmt=dis_yuv_fmt, width_px=dis_width, height_px=dis_height)
    distorted = [distorted] if isinstance(distorted, str) else distorted  # one is a sequence of letters, too
    of_distorted = [part_of(video_of(Path(each), "dis", own, common), dis_start_frame, n_frames) for each in distorted]
    asked = Asked(
        quality_type=quality_type,
        model=vmaf_model,
        pool=pool,
        pair_by=pair_by,
        least_depth=bit_depth,
        subsample=subsample,
        quiet=quiet,
    )
    return score_videos(of_reference, of_distorted, asked, root=located(workspace).path, save_plot=save_plot, json=json)


def new_dataset(options: Drafting) -> int:
    """Write the recipe of a directory of videos, to be filled in.

    A video whose name begins with that of another is an encode of it: a_crf28.mp4 of a.y4m, in the directory or in one
    right below it. What only you know, such as labels, is marked; no run accepts a recipe with marks. A recipe that
    somebody has filled in is never replaced.
    """
    from vmaf_harness.script.new_dataset import run

    return run(options)


def encode(options: Encoding) -> int:
    """Encode the references of a recipe by a ladder.

    Each codec is combined with each rate, height and preset. An encode that is there already is not made again. It
    writes the recipe of the encodes.
    """
    from vmaf_harness.script.run_encode import run

    return run(options)


def test(options: Testing) -> int:
    """Score a dataset, and say how well scores follow its labels."""
    from vmaf_harness.script.run_testing import run

    return run(options)


def extract(options: Extraction) -> int:
    """Extract the features of a dataset into the result store.

    What is stored already is not extracted again.
    """
    from vmaf_harness.script.run_extraction import run

    return run(replace(options, cache_result=True))


def train(options: Training) -> int:
    """Train a model into model/; one of the same name stays.

    --overwrite replaces it, after a snapshot of it. A bootstrap that was killed continues where it stopped.
    """
    from vmaf_harness.script.run_vmaf_training import run

    return run(options)


def cross_validate(options: CrossValidation) -> int:
    """Say how well a model predicts contents that it has not seen.

    No model is written.
    """
    from vmaf_harness.script.run_vmaf_cross_validation import run

    return run(options)


def tune(options: Tuning) -> int:
    """Search gamma, C and nu by cross-validation; writes a set.

    It writes the best set into model_param/. A set of the same name stays, unless --overwrite.
    """
    from vmaf_harness.script.run_vmaf_tuning import run

    return run(options)


def report(options: Reporting) -> int:
    """Report models, runs, a ladder or a dataset, also as a page.

    Without --dataset and --vmaf-model it prints the statistics of all models and runs; --html writes one file to send.
    """
    from vmaf_harness.script.reporting import run

    return run(options)


def bd_rate(options: BdRating) -> int:
    """Say how much bitrate a codec saves against another (BD-rate)."""
    from vmaf_harness.script.reporting import run_bd_rate

    return run_bd_rate(options)


def import_results(
    *,
    dataset: Dataset,
    store: Annotated[
        str, Flag("a file_result_store of VMAF's own harness, or its workspace", metavar="DIR", default="ours")
    ] = "",
    workspace: Workspace = "",
    dry_run: Annotated[bool, Flag("say what would be imported, change nothing")] = False,
    json: Json = False,
) -> int:
    """Take results of VMAF's own harness into our result store.

    They are marked as measured by it; its entries stay as they are.
    """
    from vmaf_harness.measure import import_results as _import
    from vmaf_workspace import wording

    name, done = _exchanged(_import.import_results, dataset, store, workspace, dry_run=dry_run)
    if json:
        return _print_json("import-results", done, dry_run=dry_run)
    verb = "would import" if dry_run else "imported"
    print(f"{verb} {wording.count_text(done.stored, 'result')}; {done.known} were imported before")
    if done.of_other_datasets:
        print(f"left: {wording.count_text(done.of_other_datasets, 'result')} of other datasets than {name}")
    if done.of_several_models:
        print(f"left: {wording.count_text(done.of_several_models, 'metric')} of several models at once")
    if done.others:
        print(f"left: {wording.count_text(done.others, 'file')} that are no results")
    wording.print_list("left, because they cannot be imported:", done.problems, file=sys.stderr)
    return FAILED if done.problems else DONE


def export_results(
    *,
    dataset: Dataset,
    store: Annotated[
        str,
        Flag(
            "a file_result_store of VMAF's own harness, its workspace, or a new directory",
            metavar="DIR",
            default="ours",
        ),
    ] = "",
    workspace: Workspace = "",
    dry_run: Annotated[bool, Flag("say what would be exported, change nothing")] = False,
    json: Json = False,
) -> int:
    """Write our results as VMAF's own harness stores them.

    An entry that is there already stays as it is.
    """
    from vmaf_harness.measure import export_results as _export
    from vmaf_workspace import wording

    _, done = _exchanged(_export.export_results, dataset, store, workspace, dry_run=dry_run)
    if json:
        return _print_json("export-results", done, dry_run=dry_run)
    verb = "would write" if dry_run else "wrote"
    entries = wording.count_text(done.written, "entry")
    print(f"{verb} {entries}, of {wording.count_text(done.results, 'result')}; {done.known} were there before")
    for why, count in sorted(done.left.items()):
        print(wording.printable(f"left: {wording.count_text(count, 'result')}: {why}"))
    wording.print_list("left, because they cannot be exported:", done.problems, file=sys.stderr)
    return FAILED if done.problems else DONE


def _exchanged(
    work: Callable[..., _Report], dataset: Path, store: str, workspace: str, *, dry_run: bool
) -> tuple[str, _Report]:
    """The name of the recipe, and what *work* did with it and a store, ours where none is named."""
    from vmaf_harness.measure.store import store_directory
    from vmaf_harness.recipe.dataset import read_recipe
    from vmaf_harness.script.progress import warn
    from vmaf_workspace.locate import locate

    root = located(workspace).path
    recipe = read_recipe(dataset, search=[root / "dataset"])
    for warning in recipe.warnings:
        warn(warning)
    return recipe.name, work(recipe, locate(store).path if store else store_directory(root), root, dry_run=dry_run)


def _print_json(name: str, done: Any, *, dry_run: bool) -> int:
    from vmaf_workspace.commands.tables import object_json

    code = FAILED if done.problems else DONE
    print(object_json(name, dry_run=dry_run, **asdict(done), exit_code=code))
    return code


def assemble_results(options: Assembling) -> int:
    """Put the results of several parts of a video together."""
    from vmaf_harness.script.run_result_assembly import run

    return run(options)


def convert_model(options: Converting) -> int:
    """Write a .pkl model as the JSON that libvmaf loads."""
    from vmaf_harness.script.convert_model_from_pkl_to_json import run

    return run(options)


def demo(
    *,
    clips: Annotated[
        Sequence[Path],
        Flag(
            "videos to take instead of its own, three or more: 'a.mp4 b.mp4 c.mp4'",
            path,
            several=True,
            quoted=True,
            metavar="VIDEO",
        ),
    ] = (),
    clean: Annotated[bool, Flag("remove what demos made in this workspace, and nothing else")] = False,
    yes: Yes = False,
    dry_run: Annotated[bool, Flag("print the commands, or with --clean the plan; change nothing")] = False,
    verbose: Annotated[bool, Flag("print each command, and all that it prints")] = False,
    workspace: Workspace = "",
) -> int:
    """Run the whole chain on real clips, from encodes to scores.

    Encodes, features, tuning, a model, scores and a page. What it makes stays until --clean, which keeps
    what you have changed since or name in a recipe in dataset/. Of clips of yours at most 48 frames are taken.
    """
    root = located(workspace).path
    if clean:
        from vmaf_harness.demo.removal import clean as clean_demo

        if clips:
            raise UsageError("--clean removes what any demo made here; leave --clips out")
        return clean_demo(root, dry_run=dry_run, yes=yes)
    from vmaf_harness.demo.chain import run_demo

    if yes:
        raise UsageError("--yes is for --clean")
    return run_demo(root, clips, dry_run=dry_run, verbose=verbose)


COMMANDS = (
    Command("score", score, group="score", example="--reference a.y4m --distorted a_crf22.mp4 a_crf32.mp4"),
    Command("test", test, group="score"),
    Command("report", report, group="score"),
    Command("bd-rate", bd_rate, reads=True, group="score"),
    Command("new-dataset", new_dataset, group="make a dataset"),
    Command("encode", encode, group="make a dataset"),
    Command("extract", extract, group="train"),
    Command("tune", tune, group="train"),
    Command("train", train, group="train"),
    Command("cross-validate", cross_validate, group="train"),
    Command("import-results", import_results, group="take over", example="--dataset my_dataset.py --dry-run"),
    Command("export-results", export_results, group="take over", example="--dataset my_dataset.py --dry-run"),
    Command("assemble-results", assemble_results, reads=True, group="take over"),
    Command("convert-model", convert_model, group="take over"),
    Command("demo", demo, group="try", example="--clips 'a.mp4 b.mp4 c.mp4'"),
)
