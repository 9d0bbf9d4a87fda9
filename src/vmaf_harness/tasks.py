"""The Invoke collection `harness`: ``from vmaf_harness.tasks import harness`` in a `tasks.py`."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke.collection import Collection

from vmaf_harness.training_tasks import DATASET, TRAINING, flags, positional, running
from vmaf_workspace.commands.command import Command
from vmaf_workspace.errors import DONE, FAILED, UsageError
from vmaf_workspace.tasks import as_task

if TYPE_CHECKING:
    from vmaf_harness.measure.extraction import Extraction


def score(
    *,
    reference: str = "",
    distorted: str = "",
    vmaf_model: str = "",
    quality_type: str = "VMAF",
    pool: str = "mean",
    pair_by: str = "",
    save_plot: str = "",
    workspace: str = "",
    json: bool = False,
) -> int:
    """Score one distorted video against its reference; nothing is stored."""
    from vmaf_harness.engine.jobs import Stopped, stop_on_signals
    from vmaf_harness.measure.scoring import pooled_score, score_pair
    from vmaf_harness.model.predictor import resolve_quality_type
    from vmaf_harness.model.quality_type import QUALITY_TYPES
    from vmaf_harness.recipe.asset import PAIRINGS
    from vmaf_harness.statistics import POOLS
    from vmaf_workspace.live.lock import Run
    from vmaf_workspace.locate import locate

    for flag, given in (("--reference", reference), ("--distorted", distorted)):
        if not given:
            raise UsageError(f"{flag} is missing; name a video that ffmpeg can open")
    choices = (("--pool", pool, POOLS), ("--quality-type", quality_type, QUALITY_TYPES))
    for flag, given, known in (*choices, *([("--pair-by", pair_by, PAIRINGS)] if pair_by else [])):
        if given not in known:
            raise UsageError(f"{flag}: expected one of {', '.join(known)}, got {given!r}")
    root = locate(workspace).path
    wanted, predictor = resolve_quality_type(quality_type, root, model=vmaf_model or None, warn=_warn)
    if save_plot:
        from vmaf_harness.report.plot import check_directory

        check_directory(Path(save_plot))
    try:
        with stop_on_signals(), Run(root) as run:
            pair = score_pair(Path(reference), Path(distorted), wanted, run, pairing=pair_by or None)
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
            _plot_frames(Path(save_plot), Path(distorted), pair.frames[wanted.score], found.pools, wanted)
        except PlotError as error:
            _warn(str(error))
            return FAILED
    return DONE


def _warn(message: str) -> None:
    from vmaf_workspace import wording

    print(wording.printable(message), file=sys.stderr)


def _plot_frames(
    directory: Path, distorted: Path, scores: list[float], pools: Mapping[str, float], wanted: Extraction
) -> None:
    from vmaf_harness.report.plot import frames_plot
    from vmaf_workspace import wording

    path = directory / f"{distorted.stem}_{wanted.executor_id}_frames.png"
    pooled = {name: pools[name] for name in ("mean", "harmonic_mean", "perc5", "min")}
    frames_plot(path, scores, distorted.name, pooled, wanted.executor_id)
    print(wording.printable(str(path)), file=sys.stderr)


def encode(
    *,
    ref_dataset: str = "",
    output_dataset: str = "",
    codec: str = "libx264",
    crf: str = "",
    bitrate: str = "",
    height: str = "",
    preset: str = "",
    option: str = "",
    label_with: str = "",
    processes: str = "",
    workspace: str = "",
    keep_going: bool = False,
    dry_run: bool = False,
) -> int:
    """Encode the references of a recipe by a ladder; what is there already stays, and is not encoded again."""
    from vmaf_harness.script.run_encode import main

    for flag, given in (("--ref-dataset", ref_dataset), ("--output-dataset", output_dataset)):
        if not given:
            raise UsageError(f"{flag} is missing; name a recipe, a *_dataset.py")
    arguments = [ref_dataset, output_dataset]
    several = {"codec": codec, "crf": crf, "bitrate": bitrate, "height": height, "preset": preset, "option": option}
    for name, text in several.items():
        values = text.split() if name == "option" else text.replace(",", " ").split()
        arguments += [f"--{name}={value}" for value in values]
    for name, value in (("label-with", label_with), ("processes", processes), ("workspace", workspace)):
        if value:
            arguments.append(f"--{name}={value}")
    arguments += ["--keep-going"] * keep_going + ["--dry-run"] * dry_run
    return main(arguments)


def score_dataset(
    *,
    dataset: str = "",
    quality_type: str = "VMAF",
    vmaf_model: str = "",
    subj_model: str = "",
    pool: str = "",
    pair_by: str = "",
    save_plot: str = "",
    processes: str = "",
    workspace: str = "",
    cache_result: bool = False,
    print_result: bool = False,
    suppress_plot: bool = False,
    keep_going: bool = False,
    refuse_damaged: bool = False,
) -> int:
    """Score a dataset, and say how well the scores follow its labels."""
    from vmaf_harness.script.run_testing import main

    values = {"vmaf_model": vmaf_model, "subj_model": subj_model, "pool": pool, "save_plot": save_plot}
    values["pair_by"] = pair_by
    switches = {"cache_result": cache_result, "print_result": print_result, "suppress_plot": suppress_plot}
    return main(
        [
            *positional(quality_type=quality_type, dataset=dataset),
            *flags(**values, processes=processes, workspace=workspace),
            *flags(**switches, keep_going=keep_going, refuse_damaged=refuse_damaged),
        ]
    )


def report(*, workspace: str = "", json: bool = False) -> int:
    """Show the statistics of the models in model/ and of the runs in output/; changes nothing."""
    from vmaf_harness.report.summary import read_entries
    from vmaf_harness.statistics import statistics_text
    from vmaf_workspace import wording
    from vmaf_workspace.commands import tables
    from vmaf_workspace.locate import locate

    found = read_entries(locate(workspace).path)
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
    *, dataset: str = "", store: str = "", workspace: str = "", dry_run: bool = False, json: bool = False
) -> int:
    """Take results of VMAF's own harness into our store, as measured by it; its entries stay as they are."""
    from dataclasses import asdict

    from vmaf_harness.measure import import_results as _import
    from vmaf_harness.measure.store import store_directory
    from vmaf_harness.recipe.dataset import read_recipe
    from vmaf_workspace import wording
    from vmaf_workspace.commands import tables
    from vmaf_workspace.locate import locate

    if not dataset:
        raise UsageError("--dataset is missing; name the recipe, a *_dataset.py, that says which videos were measured")
    root = locate(workspace).path
    recipe = read_recipe(Path(os.path.expanduser(dataset)), search=[root / "dataset"])
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


def demo(*, clips: str = "", workspace: str = "") -> int:
    """Run the whole chain on real clips: encodes, features, tuning, a model, scores, clean-scratch; the rest stays."""
    from vmaf_harness.demo import run_demo
    from vmaf_workspace.locate import locate

    return run_demo(locate(workspace).path, [Path(clip) for clip in shlex.split(clips)])


COMMANDS = (
    Command(
        "score",
        score,
        {
            "reference": "the reference video",
            "distorted": "the distorted video",
            "vmaf_model": "name of one in model/, built-in version (vmaf_4k_v0.6.1), or path of .json, .pkl, .onnx",
            "quality_type": "VMAF, PSNR, SSIM or MS_SSIM",
            "pool": "how scores of frames become one: mean, harmonic_mean, min, median, perc5, perc10, perc20",
            "pair_by": "pair frames by time, or by index, also where their times say that this pairs others",
            "save_plot": "draw the score of each frame into this directory",
        },
    ),
    Command(
        "encode",
        encode,
        {
            "ref_dataset": "the recipe whose ref_videos are encoded",
            "output_dataset": "the recipe that is written; a bare name goes to dataset/",
            "codec": "encoders of ffmpeg, such as 'libx264 libsvtav1'",
            "crf": "constant qualities: '22 28', or for one encoder 'libx264=28 libsvtav1=45'",
            "bitrate": "average bitrates, such as '500k 1.5M'",
            "height": "heights, such as '360 720 source'; the width follows",
            "preset": "speeds, such as 'libx264=fast libsvtav1=8'",
            "option": "other options of an encoder, such as libx264:tune=psnr",
            "label_with": "label with a model's scores, such as version=vmaf_v0.6.1; no opinions",
            "processes": "ffmpegs at once",
            "keep_going": "make the other encodes where one fails",
            "dry_run": "print the ffmpeg commands, change nothing",
        },
        several=frozenset({"codec", "crf", "bitrate", "height", "preset", "option"}),
    ),
    Command(
        "test",
        score_dataset,
        {
            "dataset": DATASET,
            "quality_type": "VMAF, PSNR, SSIM or MS_SSIM",
            "vmaf_model": "name of one in model/, built-in version, or path of .json, .pkl, .onnx",
            "pool": "how scores of frames become one",
            "pair_by": "pair frames by time, or by index, also where their times say that this pairs others",
            **running("subj_model", "save_plot", "processes"),
            **running("cache_result", "print_result", "suppress_plot", "keep_going", "refuse_damaged"),
        },
    ),
    *TRAINING,
    Command("report", report, reads=True),
    Command(
        "import-results",
        import_results,
        {
            "dataset": "the recipe that says which videos were measured",
            "store": "a file_result_store of VMAF's own harness, or its workspace, instead of ours",
            "dry_run": "say what would be imported, change nothing",
        },
    ),
    Command(
        "demo",
        demo,
        {"clips": "videos to take instead of its own, such as 'a.mp4 b.mp4'"},
        several=frozenset({"clips"}),
    ),
)

harness = Collection("harness", *(as_task(command) for command in COMMANDS))
namespace = harness  # what Invoke looks for in a module
