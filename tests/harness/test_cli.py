"""`vmaf-harness`, Invoke and the scripts have the same flags, and say of each mistake the same."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from copy import deepcopy
from dataclasses import MISSING
from pathlib import Path
from typing import Any

import pytest
from trainable import Trainable

from vmaf_harness.cli import main
from vmaf_harness.commands import COMMANDS
from vmaf_harness.script import run_vmaf_training
from vmaf_harness.script.options import Encoding, Tuning
from vmaf_harness.tasks import harness
from vmaf_workspace.commands import parser
from vmaf_workspace.commands.command import Command

BY_NAME = {command.name: command for command in COMMANDS}
Printed = pytest.CaptureFixture[str]


def test_the_console_script_is_installed_and_says_each_command() -> None:
    script = shutil.which("vmaf-harness", path=str(Path(sys.executable).parent))
    assert script is not None
    done = subprocess.run([script, "--help"], capture_output=True, text=True, check=True)
    assert all(f"\n  {name} " in done.stdout for name in BY_NAME)


@pytest.mark.parametrize("name", BY_NAME)
def test_the_help_of_a_command_names_each_flag_as_its_task_does(name: str, capsys: Printed) -> None:
    assert main([name, "--help"]) == 0
    out = capsys.readouterr().out
    arguments = deepcopy(harness[name]).get_arguments()  # which takes the help out of its task
    for parameter, argument in zip(BY_NAME[name].parameters.values(), arguments, strict=True):
        assert parameter.flag in out
        assert argument.name == parameter.name
        assert argument.help == parameter.help


def test_tasks_load_nothing_that_is_slow() -> None:
    code = "import sys, vmaf_harness.tasks; print([name for name in ('numpy', 'scipy', 'rich') if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


def given(command: str, *words: str) -> dict[str, Any]:
    found = parser.given(BY_NAME[command], words, prog="x")
    return {name: value for name, value in found.items() if value not in (None, False)}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("PSNR", "d.py"), {"quality_type": "PSNR", "dataset": "d.py"}),
        (("d.py",), {"dataset": "d.py"}),  # what has a default may stay out
        (("--quality-type", "PSNR", "d.py"), {"quality_type": "PSNR", "dataset": "d.py"}),
        (("d.py", "--cache-result", "--pool", "min"), {"dataset": "d.py", "cache_result": True, "pool": "min"}),
        (("PSNR", "--cache-result", "d.py"), {"quality_type": "PSNR", "dataset": "d.py", "cache_result": True}),
    ],
)
def test_what_is_positional_may_be_a_flag_too(words: tuple[str, ...], found: dict[str, Any]) -> None:
    assert given("test", *words) == found


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("test", "d.py", "--processes", "0"), "test: --processes: expected an integer of 1 or more, got '0'"),
        (("test", "d.py", "--subj-model", " "), "test: --subj-model: blank; leave the flag out"),
        (("train", "d.py", "f.py", "m.py"), "train: --output-model is missing: the model that is written"),
        (("test", "PSNR", "d.py", "e.py"), "test: unrecognized arguments: e.py"),
        (("test", "d.py", "--model", "m"), "is --vmaf-model or --vmaf-phone-model or --subj-model meant?"),
        (("test", "d.py", "--pol=min"), "unrecognized arguments: --pol=min; is --pool meant?"),
        (("score", "-r", "a", "-d", "b"), "is --reference meant?; is --distorted meant?"),
        (("score", "--ref", "a", "-distorted", "b"), "is --reference meant?; is --distorted meant?"),
        (("score", "a.mp4", "b.mp4"), "each value needs its flag: --reference VIDEO --distorted VIDEO"),
        (("score", "-i", "a.mp4"), "each value needs its flag: --reference VIDEO --distorted VIDEO"),
        (("train", *"abcd", "--supress-plot"), "unrecognized arguments: --supress-plot; is --suppress-plot meant?"),
        (("test", "SSIM", "d.py", "--vmaf-model", "m"), "--vmaf-model and --vmaf-phone-model are for VMAF, not for"),
        (("tune", *"abcd", "--seed", "4294967296"), "tune: --seed: expected an integer from 0 to 4294967295"),
        (("no-such-command",), "there is no command 'no-such-command'"),
    ],
)
def test_a_mistyped_flag_is_2_and_is_named(words: tuple[str, ...], said: str, capsys: Printed) -> None:
    assert main(words) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.out == ""


@pytest.mark.parametrize(
    "words",
    [
        ("--reference", "a"),
        ("--reference", "a", "--distorted", " "),
        ("--reference", "a", "--distorted", "b", "--pool", "mode"),
        ("--reference", "a", "--distorted", "b", "--forse"),
    ],
)
def test_an_error_before_the_command_begins_is_json_too(words: tuple[str, ...], capsys: Printed) -> None:
    assert main(["score", *words, "--json"]) == 2
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert (found["version"], found["task"], found["exit_code"]) == (1, "score", 2)
    assert found["error"] in printed.err


def test_what_a_command_line_stands_for_is_read_from_the_words_that_say_it() -> None:
    encoding = Encoding(
        ref_dataset=Path("r.py"), output_dataset="o.py", crf=("22", "libx264=28"), option=("a:b=c d",), dry_run=True
    )
    recipe, features, model = map(Path, ("d.py", "f.py", "m.py"))
    tuning = Tuning(dataset=recipe, feature_param=features, model_param=model, output_param="t", cost=(1.0, 4.0))
    for name, options in (("encode", encoding), ("tune", tuning)):
        command = BY_NAME[name]
        words = command.words(options)
        for strict in (False, True):
            values = command.values(parser.given(command, words, prog="x", strict=strict))
            assert vars(type(options)(**values)) == vars(options)


def test_a_task_has_the_flags_that_upstreams_scripts_have() -> None:
    for name, flags in {
        "test": {"scheduler", "keep_workfiles", "plot_wh", "vmaf_phone_model", "parallelize"},
        "train": {"parallelize"},
    }.items():
        assert flags < {argument.name for argument in deepcopy(harness[name]).get_arguments()}
    places = {name: [each.name for each in command.places] for name, command in BY_NAME.items()}
    assert places["test"] == ["quality_type", "dataset"]
    assert places["train"] == ["dataset", "feature_param", "model_param", "output_model"]
    assert places["tune"] == ["dataset", "feature_param", "model_param", "output_param"]
    assert places["encode"] == ["ref_dataset", "output_dataset"]
    assert all(each.default is MISSING for each in BY_NAME["train"].places)


def test_the_console_script_trains_as_the_script_does(small: Trainable, vmaf_workspace: Path, capsys: Printed) -> None:
    flags = ("--cache-result", "--suppress-plot")
    assert main(["train", *small.inputs, "a", *flags]) == 0
    assert run_vmaf_training.main([*small.inputs, "b", *flags]) == 0
    models = vmaf_workspace / "model"
    assert (models / "a.pkl.model").read_bytes() == (models / "b.pkl.model").read_bytes()


def test_a_script_wants_each_of_its_places(capsys: Printed) -> None:
    command = Command("run_testing", BY_NAME["test"].function)
    with pytest.raises(SystemExit, match="2"):
        parser.script(command, ["VMAF"], "")
    assert "run_testing: the following arguments are required: dataset" in capsys.readouterr().err
