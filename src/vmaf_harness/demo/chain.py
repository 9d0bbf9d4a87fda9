"""`harness.demo`: the whole chain on small clips, from their encodes to a model that libvmaf loads."""

from __future__ import annotations

import io
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmaf_harness.demo.clips import NAME, DemoClip, choose_clips, copy_own, references_text
from vmaf_harness.demo.record import Record, alone
from vmaf_harness.demo.screen import Done, closing_screen
from vmaf_harness.report.drawing import why_no_plot
from vmaf_harness.script import (
    reporting,
    run_encode,
    run_testing,
    run_vmaf_cross_validation,
    run_vmaf_training,
    run_vmaf_tuning,
)
from vmaf_harness.script.options import CrossValidation, Encoding, Reporting, Testing, Training, Tuning
from vmaf_workspace.commands import tables
from vmaf_workspace.commands.command import Command
from vmaf_workspace.disk.atomic import read_regular, write_atomically
from vmaf_workspace.errors import DONE, FAILED, RefusedError
from vmaf_workspace.live.lock import MIN_AGE_S, RUN_FILE, holder_of
from vmaf_workspace.removal.candidates import CLEAN, plan_clean
from vmaf_workspace.removal.execution import execute
from vmaf_workspace.removal.plan import make_plan
from vmaf_workspace.setup import ensure, write_errors_explained
from vmaf_workspace.wording import duration_text, printable, say

TEACHER = "version=vmaf_v0.6.1neg"  # its scores are the labels: nobody has watched these encodes
# Four rates a codec, as a BD-rate needs, that overlap in quality; the fastest presets: 24 encodes take 5 s on 2 cores.
RATES = {"libx264": (24, 30, 36, 42), "libsvtav1": (40, 50, 57, 63)}
PRESETS = {"libx264": "veryfast", "libsvtav1": "11"}
FEATURES = """feature_dict = {
    "VMAF_integer_feature": ["adm2", "motion2", "vif_scale0", "vif_scale1", "vif_scale2", "vif_scale3"],
}
"""
MODEL = """model_type = "BOOTSTRAP_LIBSVMNUSVR"
model_param_dict = {"norm_type": "clip_0to1", "score_clip": [0.0, 100.0], "num_models": 11}
"""
_STATISTICS = "SROCC"  # in the lines that say how well scores follow labels
_LAST_LINES = 30  # of a command that failed: its error, and the log of an ffmpeg
_BY_A_SIGNAL = 128  # exit codes above it
_RULE = "\n== {}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A command of the chain with its options, and the subdirectories that it writes what stays into.

    *about* says in a few words what it is there for.
    """

    name: str
    about: str
    function: Callable[[Any], int]
    options: Any
    subdirs: tuple[str, ...]

    @property
    def line(self) -> str:
        """As a person would type it."""
        return shlex.join(["vmaf-harness", self.name, *Command(self.name, self.function).words(self.options)])


def run_demo(root: Path, given: Sequence[Path] = (), *, dry_run: bool = False, verbose: bool = False) -> int:
    """Run the chain in the workspace *root*, a line a command; the exit code of the first that fails.

    Where *verbose*, each is printed whole, with all that it prints; else that of one that fails alone.

    Where no plot can be drawn, the rest is done all the same, and the exit code is 1 at the end. *given* are clips as
    `choose_clips` takes them. Raises InUseError where another demo runs there, and RefusedError, before anything is
    made, where something of a person's own would have to be replaced.
    """
    if (problem := why_no_plot()) is not None:
        print(problem, file=sys.stderr, flush=True)
    clips = choose_clips(given)
    if dry_run:
        for step in steps(root, Record.read(root), draws=problem is None):
            print(step.line)
        print("dry run: nothing was changed", file=sys.stderr)
        return DONE
    began, began_s = time.monotonic(), time.time()
    ensure(root)
    with alone(root):
        record = Record.read(root)
        was_stopped = record.begin()
        print(f"The workspace is {printable(str(root))}; paths below are in it", flush=True)
        if verbose:
            print(_RULE.format("Clips into dataset/"), flush=True)
        for name in _write_inputs(root, record, clips, copies=not given, was_stopped=was_stopped):
            if verbose:
                print(f"clip    {name}", flush=True)
        for step in steps(root, record, draws=problem is None):
            if verbose:
                print(_RULE.format(printable(_shortened(step.line, root))), flush=True)
                code = step.function(step.options)
            else:
                code = run_quietly(step)
            if code != DONE:
                return code
            record.note(*step.subdirs)
        code = _clean_own_output(root, since_s=began_s)
        record.end()
        done = Done(
            root=root,
            clips=tuple(clips),
            rates=RATES,
            teacher=TEACHER,
            files=tuple(record.files),
            seconds=time.monotonic() - began,
        )
    print()
    print("\n".join(closing_screen(done)), flush=True)
    return code if problem is None else code or FAILED


def steps(root: Path, record: Record, *, draws: bool) -> Iterator[Step]:
    """The commands of the chain, in order; nothing is written here."""
    directory = root / "dataset" / NAME
    recipe = directory / f"{NAME}_dataset.py"
    tuned = root / "model_param" / f"{NAME}.pkl"
    of_all: dict[str, Any] = {"dataset": recipe, "workspace": str(root)}
    plots: dict[str, Any] = {"save_plot": directory} if draws else {"suppress_plot": True}
    fitting: dict[str, Any] = {**of_all, "feature_param": directory / f"{NAME}_features.py", "cache_result": True}
    encoding = Encoding(
        ref_dataset=directory / f"{NAME}_references_dataset.py",
        output_dataset=str(recipe),
        codec=tuple(RATES),
        crf=tuple(f"{codec}={crf}" for codec, crfs in RATES.items() for crf in crfs),
        preset=tuple(f"{codec}={preset}" for codec, preset in PRESETS.items()),
        label_with=TEACHER,
        workspace=str(root),
        **plots,
    )
    yield Step(
        name="encode",
        about="the clips by two codecs, and score them",
        function=run_encode.run,
        options=encoding,
        subdirs=("dataset", "encode", "result_store_dir"),
    )
    tuning = Tuning(
        **fitting,
        model_param=directory / f"{NAME}_model.py",
        output_param=NAME,
        gamma=(0.05, 0.2),
        cost=(4.0, 16.0),
        nu=(0.5, 0.9),
        leave_one_source_out=True,
        overwrite=record.owns(f"model_param/{NAME}"),
    )
    fitted = ("dataset", "result_store_dir", "checkpoints_dir")
    yield Step(
        name="tune",
        about="eight sets of parameters by cross-validation",
        function=run_vmaf_tuning.run,
        options=tuning,
        subdirs=(*fitted, "model_param"),
    )
    validation = CrossValidation(**fitting, model_param=tuned, leave_one_source_out=True, **plots)
    yield Step(
        name="cross-validate",
        about="the best set",
        function=run_vmaf_cross_validation.run,
        options=validation,
        subdirs=fitted,
    )
    training = Training(
        **fitting, model_param=tuned, output_model=NAME, overwrite=record.owns(f"model/{NAME}"), **plots
    )
    yield Step(
        name="train",
        about="a bootstrap model",
        function=run_vmaf_training.run,
        options=training,
        subdirs=(*fitted, "model"),
    )
    scored = ("dataset", "result_store_dir")
    built_in = Testing(**of_all, cache_result=True, suppress_plot=True)
    yield Step(name="test", about="VMAF's own model", function=run_testing.run, options=built_in, subdirs=scored)
    by_libvmaf = Testing(**of_all, vmaf_model=str(root / "model" / f"{NAME}.json"), print_result=True, **plots)
    yield Step(
        name="test", about="the model that was trained", function=run_testing.run, options=by_libvmaf, subdirs=scored
    )
    if draws:
        page = directory / f"{NAME}.html"
        told = Reporting(dataset=recipe, vmaf_model=NAME, anchor="libx264", html=page, workspace=str(root))
        yield Step(name="report", about="a page of it all", function=reporting.run, options=told, subdirs=scored)


def run_quietly(step: Step) -> int:
    """Its exit code; of what it prints its statistics are shown, or its last lines where it fails."""
    print(f"{step.name:15} {step.about}", end="", flush=True)
    began_s, out, err = time.monotonic(), io.StringIO(), io.StringIO()
    code = FAILED
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = step.function(step.options)
    finally:
        print(
            f": {'done in' if code == DONE else 'ended after'} {duration_text(time.monotonic() - began_s)}", flush=True
        )
        if code != DONE:
            said = [*out.getvalue().splitlines(), *err.getvalue().splitlines()]
            is_stopped = code > _BY_A_SIGNAL  # which says in its last line what stays
            print("\n".join(said[-1 if is_stopped else -_LAST_LINES :]), file=sys.stderr, flush=True)
    for line in out.getvalue().splitlines():
        if _STATISTICS in line and not line.startswith("fold "):
            say(f"  {line.partition(';')[0]}", flush=True)
    return code


def _write_inputs(
    root: Path, record: Record, clips: Sequence[DemoClip], *, copies: bool, was_stopped: bool
) -> list[str]:
    """Write the clips, the recipe of them, and what says how to train; the names of clips that were copied.

    RefusedError where a person's own is in the way.
    """
    directory = root / "dataset" / NAME
    texts = {
        f"{NAME}_references_dataset.py": references_text(clips),
        f"{NAME}_features.py": FEATURES,
        f"{NAME}_model.py": MODEL,
    }
    in_the_way = [f"dataset/{NAME}/{name}" for name, text in texts.items() if not _may_write(record, name, text)]
    if not was_stopped:  # else it may have made them: `train` and `tune` refuse what is not the same
        in_the_way += [group for group in (f"model/{NAME}", f"model_param/{NAME}") if not record.owns(group)]
    if in_the_way:
        raise RefusedError(
            f"{', '.join(in_the_way)} {'are' if len(in_the_way) > 1 else 'is'} in {root} already, and not as a demo "
            "made it, so nothing was changed\nmove it away, or give the demo a --workspace of its own"
        )
    record.save()
    with write_errors_explained(root):
        directory.mkdir(exist_ok=True)
        copied = [*copy_own(directory)] if copies else []
        for name, text in texts.items():
            write_atomically(directory / name, text.encode())
    record.note("dataset")
    return copied


def _may_write(record: Record, name: str, text: str) -> bool:
    path = f"dataset/{NAME}/{name}"
    there = record.root / path
    return path in record.files or not there.exists() or there.read_bytes() == text.encode()


def _clean_own_output(root: Path, *, since_s: float) -> int:
    """Remove what the runs of this demo left in `output/`, as `ws.clean-scratch` would; a person's own runs stay."""
    own = set()
    for file in (root / "output").glob(f"*/{RUN_FILE}"):
        with suppress(OSError):
            holder = holder_of(read_regular(file))
            if holder is None or (holder.pid, holder.host) != (os.getpid(), os.uname().nodename):
                continue
            if holder.since_s >= since_s - 0.001:  # it is written in milliseconds
                own.add(f"output/{file.parent.name}")
    found = plan_clean(root, only=("output",), min_age_s=MIN_AGE_S)
    entries = [entry for entry in found.entries if entry.path.rstrip("/") in own]
    plan = make_plan(CLEAN, root, entries, [], subdirs=("output",))
    report = execute(plan)
    tables.print_report(plan, report)
    return DONE if report.is_complete else FAILED


def _shortened(line: str, root: Path) -> str:
    """A command line with the paths as they are below the workspace."""
    return line.replace(f" --workspace {shlex.quote(str(root))}", "").replace(f"{root}/", "")
