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


def demo(*, workspace: str = "") -> int:
    """Run the main job on real clips: dataset, scores, plot, status, clean-scratch; models and caches stay."""
    from vmaf_harness.demo import NAME, make_dataset
    from vmaf_harness.engine import Engines
    from vmaf_harness.execute import Stopped, stop_on_signals
    from vmaf_harness.script.run_testing import main as run_testing
    from vmaf_workspace.locate import locate

    root = locate(workspace).path
    print(f"The workspace is {root}", flush=True)
    print(_RULE.format("Clips and encodes into dataset/"), flush=True)
    try:
        with stop_on_signals():
            recipe = make_dataset(root, Engines().find(), said=lambda line: print(line, flush=True))
    except Stopped as stopped:
        print(f"stopped by {stopped}", file=sys.stderr)
        return stopped.exit_code
    print(_RULE.format(f"run_testing VMAF {recipe}"), flush=True)
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
    print(
        f"\nThe plot, the clips and the recipe are in {root / 'dataset' / NAME}; the scores are stored: run it again."
    )
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
    Command("demo", demo, {"workspace": commands.WORKSPACE}),
)

harness = Collection("harness", *(as_task(command) for command in COMMANDS))
