"""What people are told who ask for help, or mistype: the list of commands, each command's help, the nearest name."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import MISSING
from pathlib import Path

import pytest
from trees import ended_run, run, workspace, write, ws

from vmaf_harness.cli import main as harness_main
from vmaf_harness.commands import COMMANDS as HARNESS
from vmaf_workspace.cli import main as ws_main
from vmaf_workspace.commands.command import Command
from vmaf_workspace.commands.completion import SHELLS
from vmaf_workspace.commands.workspace import COMMANDS

Printed = pytest.CaptureFixture[str]
SCRIPTS = {"vmaf-ws": (ws_main, COMMANDS), "vmaf-harness": (harness_main, HARNESS)}
EACH = [(prog, command) for prog, (_, commands) in SCRIPTS.items() for command in commands]


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def said(prog: str, *words: str, printed: Printed) -> tuple[int, str, str]:
    code = SCRIPTS[prog][0](words)
    out, err = printed.readouterr()
    return code, out, err


@pytest.mark.parametrize("prog", SCRIPTS)
def test_without_a_command_the_list_of_them_goes_to_stderr_and_the_code_is_2(prog: str, capsys: Printed) -> None:
    bare = said(prog, printed=capsys)
    asked = said(prog, "--help", printed=capsys)
    assert said(prog, "help", printed=capsys) == asked
    assert bare == (2, "", asked[1])
    assert asked[0] == 0


@pytest.mark.parametrize("prog", SCRIPTS)
def test_the_list_has_each_command_once_in_a_line_of_80_columns_under_a_headline(prog: str, capsys: Printed) -> None:
    _, listed, _ = said(prog, "--help", printed=capsys)
    assert max(map(len, listed.splitlines())) <= 80
    for command in SCRIPTS[prog][1]:
        assert len(re.findall(rf"^  {command.name} +\S.*$", listed, re.MULTILINE)) == 1
        assert len(command.summary) <= 70
        assert f"\n\n{command.group}:\n" in listed


@pytest.mark.parametrize(("prog", "command"), EACH, ids=lambda each: getattr(each, "name", each))
def test_the_help_of_a_command_fits_80_columns_and_has_an_example_that_can_be_read(
    prog: str, command: Command, capsys: Printed
) -> None:
    code, out, _ = said(prog, command.name, "--help", printed=capsys)
    assert (code, said(prog, "help", command.name, printed=capsys)[1]) == (0, out)
    text, _, example = out.partition("example:\n")
    assert max(map(len, text.splitlines())) <= 80
    assert example.startswith(f"  {prog} {command.name}")
    check_words(command, example.split()[2:])


def check_words(command: Command, words: Sequence[str]) -> None:
    """The flags of an example are its command's, and what has to be given is there."""
    flags = {each.flag for each in command.parameters.values()} | {"--"}
    own = words[: words.index("--")] if "--" in words else words
    assert {word for word in own if word.startswith("--")} <= flags
    required = [each.flag for each in command.parameters.values() if each.default is MISSING]
    without_flag = [word for word in own if not word.startswith("-")]
    assert len([flag for flag in required if flag not in own]) <= len(without_flag)


@pytest.mark.parametrize(("prog", "command"), EACH, ids=lambda each: getattr(each, "name", each))
def test_what_stands_after_a_flag_is_named_by_what_it_is(prog: str, command: Command) -> None:
    for each in command.parameters.values():
        if not each.is_switch:
            assert each.about.metavar, each.flag


@pytest.mark.parametrize(("prog", "command"), EACH, ids=lambda each: getattr(each, "name", each))
def test_help_breaks_no_flag_and_no_default(prog: str, command: Command, capsys: Printed) -> None:
    _, out, _ = said(prog, command.name, "--help", printed=capsys)
    for line in out.partition("example:\n")[0].splitlines()[1:]:
        assert not re.search(r"\w-$", line)
        assert line.count("[default: ") + line.count("[env: ") <= line.count("]"), line


def test_what_may_be_left_out_stands_in_brackets_and_own_flags_come_first(capsys: Printed) -> None:
    _, out, _ = said("vmaf-harness", "new-dataset", "--help", printed=capsys)
    assert out.startswith("usage: vmaf-harness new-dataset directory [output_dataset] [flags]\n")
    _, out, _ = said("vmaf-harness", "tune", "--help", printed=capsys)
    order = [out.index(f"\n  {flag} ") for flag in ("--gamma", "--overwrite", "--folds", "--seed", "--scheduler")]
    assert order == sorted(order)


def test_help_names_defaults_and_variables(capsys: Printed) -> None:
    _, clean, _ = said("vmaf-ws", "clean-scratch", "--help", printed=capsys)
    assert "--min-age AGE" in clean
    assert "[default: 1h]" in clean
    _, backup, _ = said("vmaf-ws", "backup-models", "--help", printed=capsys)
    assert "--at LOCATION" in backup
    assert "[env: VMAF_BACKUPS]" in " ".join(backup.split())
    _, test, _ = said("vmaf-harness", "test", "--help", printed=capsys)
    assert "[default: mean]" in test


@pytest.mark.parametrize(
    ("words", "nearest"),
    [
        (("claen-scratch",), "clean-scratch"),
        (("clean",), "clean-scratch"),
        (("restore",), "restore-models"),
        (("snapshot",), "snapshots"),
        (("scratch",), "clean-scratch"),
    ],
)
def test_a_mistyped_command_gets_the_nearest_name(words: tuple[str, ...], nearest: str, capsys: Printed) -> None:
    code, out, err = said("vmaf-ws", *words, printed=capsys)
    assert (code, out) == (2, "")
    assert f"there is no command {words[0]!r}; is {nearest} meant?" in err
    assert "`vmaf-ws --help` lists the commands" in err


def test_a_flag_before_the_command_is_told_its_place(capsys: Printed) -> None:
    code, _, err = said("vmaf-ws", "--workspace", "/a", "status", printed=capsys)
    assert code == 2
    assert "'--workspace' stands where a COMMAND is expected; flags come after it" in err


@pytest.mark.parametrize(
    ("prog", "words", "nearest", "usage"),
    [
        ("vmaf-ws", ("clean-scratch", "--dryrun"), "--dry-run", "vmaf-ws clean-scratch [flags]"),
        ("vmaf-ws", ("clean-scratch", "-json"), "--json", "vmaf-ws clean-scratch [flags]"),
        ("vmaf-ws", ("clean-scratch", "--only", "wrkdir"), "workdir", ""),
        ("vmaf-ws", ("migrate", "--too", "/a"), "--to", "vmaf-ws migrate --to DIR [flags]"),
        ("vmaf-harness", ("test", "a.py", "--pool", "harmonic"), "harmonic_mean", ""),
        ("vmaf-harness", ("score", "--distored", "a"), "--distorted", "vmaf-harness score --reference VIDEO "),
    ],
)
def test_a_mistyped_flag_or_value_gets_the_nearest_one_and_the_usage_of_its_command(
    prog: str, words: tuple[str, ...], nearest: str, usage: str, capsys: Printed
) -> None:
    code, _, err = said(prog, *words, printed=capsys)
    assert code == 2
    assert f"; is {nearest} meant?" in err
    if usage:
        assert f"\nusage: {usage}" in err
        assert f"\nflags: {next(iter(dict(EACH_BY_NAME)[words[0]].parameters.values())).flag} " in err
        assert max(map(len, err.splitlines())) <= 80


EACH_BY_NAME = [(command.name, command) for _, command in EACH]


def test_everything_that_is_missing_is_said_at_once(capsys: Printed) -> None:
    _, _, err = said("vmaf-harness", "train", printed=capsys)
    for flag in ("--dataset", "--feature-param", "--model-param", "--output-model"):
        assert f"{flag} is missing: " in err


def test_a_script_says_the_nearest_flag_and_its_own_usage() -> None:
    words = ["VMAF", "d.py", "--cache-results"]
    done = run([sys.executable, "-m", "vmaf_harness.script.run_testing", *words])
    assert done.code == 2
    assert "--cache-results; is --cache-result meant?\nusage: run_testing quality_type dataset [flags]" in done.err
    done = run([sys.executable, "-m", "vmaf_harness.script.run_testing", "--help"])
    assert "example:\n  run_testing VMAF my_dataset.py" in done.out


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("prog", SCRIPTS)
def test_completion_knows_every_command_and_flag(prog: str, shell: str, capsys: Printed) -> None:
    code, out, _ = said(prog, "completion", shell, printed=capsys)
    assert code == 0
    for command in SCRIPTS[prog][1]:
        assert command.name in out
        for each in command.parameters.values():
            assert (f"-l {each.flag[2:]} " if shell == "fish" else each.flag) in out


def completed(*words: str) -> list[str]:
    """What bash offers for the last of *words*."""
    script = Path("completion.bash")
    script.write_text(ws("completion", "bash").out)
    quoted = " ".join(f"'{word}'" for word in words)
    code = f"""
        PATH={Path(sys.executable).parent}:$PATH; source ./{script}; COMP_WORDS=({quoted})
        COMP_CWORD={len(words) - 1}; _shtab_vmaf_ws vmaf-ws '{words[-1]}' '{words[-2]}'; echo "${{COMPREPLY[@]}}"
    """
    return subprocess.check_output(["bash", "-c", code], text=True).split()


def test_bash_completes_commands_flags_values_and_ids_of_snapshots(
    tmp_path: Path, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = workspace(tmp_path / "ws")
    monkeypatch.setenv("VMAF_WORKSPACE", str(root))
    monkeypatch.setenv("VMAF_BACKUPS", str(tmp_path / "backups"))
    write(root / "model" / "a.pkl", 10)
    ended_run(root)
    (taken,) = re.findall(r"^snapshot (\S+):", ws("backup-models").out)
    assert completed("vmaf-ws", "clean") == ["clean-scratch"]
    assert completed("vmaf-ws", "clean-scratch", "--mi") == ["--min-age"]
    assert set(completed("vmaf-ws", "clean-scratch", "--only", "")) == {"workdir", "output"}
    assert set(completed("vmaf-ws", "purge-cache", "--store", "")) == {"file_result_store", "encode_store"}
    assert completed("vmaf-ws", "restore-models", "--snapshot", taken[:4]) == [taken]


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes_the_same(tmp_path: Path, nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = workspace(tmp_path / "ws")
    monkeypatch.setenv("VMAF_WORKSPACE", str(root))
    monkeypatch.setenv("VMAF_BACKUPS", str(tmp_path / "backups"))
    write(root / "model" / "a.pkl", 10)
    (taken,) = re.findall(r"^snapshot (\S+):", ws("backup-models").out)
    Path("completion.fish").write_text(ws("completion", "fish").out)
    typed = {
        "vmaf-ws clean": {"clean-scratch"},
        "vmaf-ws clean-scratch --mi": {"--min-age"},
        "vmaf-ws clean-scratch --only ": {"workdir", "output"},
        "vmaf-ws restore-models --snapshot ": {taken},
    }
    for words, offered in typed.items():
        code = f"set PATH {Path(sys.executable).parent} $PATH; source completion.fish; complete -C '{words}'"
        out = subprocess.check_output(["fish", "--no-config", "-c", code], text=True)
        assert {line.partition("\t")[0] for line in out.splitlines()} == offered


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_reads_the_script_and_looks_for_ids_only_when_they_are_wanted(
    tmp_path: Path, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMAF_WORKSPACE", str(workspace(tmp_path / "ws")))
    Path("_vmaf-ws").write_text(ws("completion", "zsh").out)
    Path("vmaf-ws").write_text("#!/bin/sh\ntouch looked\necho one two\n")
    Path("vmaf-ws").chmod(0o755)
    code = """
        PATH=$PWD:$PATH; autoload -Uz compinit && compinit -u -D; source ./_vmaf-ws
        [[ -e looked ]] && exit 1
        spec=${_shtab_vmaf_ws_restore_models_options[(r)--snapshot*]}; action=${spec##*:}
        eval "offered=( ${action[2,-2]} )"  # as _arguments does with what stands in brackets
        print -l $offered
    """
    assert subprocess.check_output(["zsh", "-fc", code], text=True).split() == ["one", "two"]
    assert Path("looked").exists()
