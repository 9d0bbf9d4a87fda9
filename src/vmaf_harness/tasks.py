"""The Invoke collection `harness`: ``from vmaf_harness.tasks import harness`` in a `tasks.py`."""

from __future__ import annotations

import sys
from pathlib import Path

from invoke.collection import Collection

from vmaf_workspace import commands
from vmaf_workspace.commands import Command
from vmaf_workspace.errors import DONE, UsageError
from vmaf_workspace.tasks import as_task

_RULE = "\n== {}"


def score(
    *,
    reference: str = "",
    distorted: str = "",
    vmaf_model: str = "",
    quality_type: str = "VMAF",
    pool: str = "mean",
    workspace: str = "",
    json: bool = False,
) -> int:
    """Score one distorted video against its reference; nothing is stored."""
    from vmaf_harness.execute import Stopped, stop_on_signals
    from vmaf_harness.features import QUALITY_TYPES, extraction
    from vmaf_harness.scoring import score_pair
    from vmaf_harness.statistics import POOLS
    from vmaf_workspace.locate import locate
    from vmaf_workspace.lock import Run

    for flag, given in (("--reference", reference), ("--distorted", distorted)):
        if not given:
            raise UsageError(f"{flag} is missing; name a video that ffmpeg can open")
    for flag, given, known in (("--pool", pool, POOLS), ("--quality-type", quality_type, QUALITY_TYPES)):
        if given not in known:
            raise UsageError(f"{flag}: expected one of {', '.join(known)}, got {given!r}")
    wanted = extraction(quality_type, model=vmaf_model or None)
    try:
        with stop_on_signals(), Run(locate(workspace).path) as run:
            pair = score_pair(Path(reference), Path(distorted), wanted, run)
    except Stopped as stopped:
        print(f"stopped by {stopped}", file=sys.stderr)
        return stopped.exit_code
    found = pair.result
    if json:
        from vmaf_workspace import render

        fields = {"score": found.pools[pool], "pools": dict(found.pools), "frames": pair.frames}
        print(render.object_json("score", executor_id=wanted.executor_id, pool=pool, **fields))
    else:
        print(f"{wanted.type} {found.pools[pool]:.6f}")
        print(f"{pool} of {found.n_frames} frames, {wanted.executor_id}, {found.extraction_s:.1f} s", file=sys.stderr)
    return DONE


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


def demo(*, workspace: str = "") -> int:
    """Run the main job on real clips: encodes, scores, plot, status, clean-scratch; models and caches stay."""
    from vmaf_harness.demo import LADDER, NAME, TEACHER, make_references
    from vmaf_harness.script.run_encode import main as run_encode
    from vmaf_harness.script.run_testing import main as run_testing
    from vmaf_workspace.locate import locate

    root = locate(workspace).path
    print(f"The workspace is {root}", flush=True)
    print(_RULE.format("Clips into dataset/"), flush=True)
    references = make_references(root, said=lambda line: print(line, flush=True))
    recipe = references.with_name(f"{NAME}_dataset.py")
    print(_RULE.format(f"run_encode {references} {recipe} {' '.join(LADDER)} --label-with {TEACHER}"), flush=True)
    code = run_encode([str(references), str(recipe), *LADDER, "--label-with", TEACHER, "--workspace", str(root)])
    if code != DONE:
        return code
    print(_RULE.format(f"run_testing VMAF {recipe}"), flush=True)
    print(f"(its labels are the scores of {TEACHER}, nobody's opinions)", flush=True)
    plot = ["--save-plot", str(root / "dataset" / NAME)]
    code = run_testing(
        ["VMAF", str(recipe), "--cache-result", "--print-result", "--keep-workfiles", *plot, "--workspace", str(root)]
    )
    if code != DONE:
        return code
    print(_RULE.format("ws.status"), flush=True)
    code = commands.status(workspace=str(root))
    print(_RULE.format("ws.clean-scratch"), flush=True)
    code = commands.clean_scratch(workspace=str(root)) or code
    where = f"{root / 'dataset' / NAME}, the encodes in {root / 'encode' / NAME}"
    print(f"\nThe plot, the clips and the recipe are in {where}; encodes and scores are stored: run it again.")
    return code


COMMANDS = (
    Command(
        "score",
        score,
        {
            "reference": "the reference video",
            "distorted": "the distorted video",
            "vmaf_model": "built-in version, such as vmaf_4k_v0.6.1, or the path of a .json model",
            "quality_type": "VMAF, PSNR, SSIM or MS_SSIM",
            "pool": "how scores of frames become one: mean, harmonic_mean, min, median, perc5, perc10, perc20",
            "workspace": commands.WORKSPACE,
            "json": commands.JSON,
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
            "workspace": commands.WORKSPACE,
            "keep_going": "make the other encodes where one fails",
            "dry_run": "print the ffmpeg commands, change nothing",
        },
    ),
    Command("demo", demo, {"workspace": commands.WORKSPACE}),
)

harness = Collection("harness", *(as_task(command) for command in COMMANDS))
