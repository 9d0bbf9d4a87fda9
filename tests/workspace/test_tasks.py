"""The tasks as people call them: `invoke ws.…` and `vmaf-ws …`, their exit codes, output and help."""

from __future__ import annotations

import json
import os
import shutil
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from trees import Ended, age, ended_run, everything, left, live_run, run, stored, subprocess_env, workspace, write, ws

from vmaf_workspace.commands import COMMANDS

TASKS = """
from invoke.collection import Collection
from vmaf_workspace.tasks import ws
namespace = Collection(ws)
"""
NAMES = [command.name for command in COMMANDS]
ALWAYS = {"where", "setup", "status", "clean-scratch", "purge-cache"}


@pytest.fixture
def project(nowhere: Path) -> Path:
    """Another project's directory, with a `tasks.py` that takes our collection; the current one."""
    (nowhere / "tasks.py").write_text(TASKS)
    return nowhere


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VMAF_WORKSPACE", str(tmp_path / "ws"))
    return workspace(tmp_path / "ws")


def invoke(*args: str | os.PathLike[str], **options: Any) -> Ended:
    return run([sys.executable, "-m", "invoke", *args], **options)


def both(name: str, *flags: str | os.PathLike[str], **options: Any) -> list[Ended]:
    """The task through Invoke, then through the console script."""
    return [invoke(f"ws.{name}", *flags, **options), ws(name, *flags, **options)]


def test_the_console_script_is_installed_and_is_the_module() -> None:
    script = shutil.which("vmaf-ws", path=str(Path(sys.executable).parent))
    assert script is not None
    assert run([script, "where", "--workspace", "/a"]).out == "/a\n"


def test_the_console_script_says_its_version() -> None:
    done = ws("--version")
    assert (done.code, done.out, done.err) == (0, f"vmaf-ws {version('vmaf-workspace')}\n", "")


def test_the_console_script_knows_a_task_by_the_name_that_messages_give_it(root: Path) -> None:
    assert ws("ws.where").out == f"{root}\n"
    assert ws("ws.run", "--", "echo", "a", "--help").out == "a --help\n"


def test_run_without_its_dashes_says_where_the_command_goes(root: Path) -> None:
    for words in ((), ("ls",), ("ls", "-l"), ("--workspace", root, "run")):
        done = ws("run", *words)
        assert (done.code, "no command; give it after `--`" in done.err) == (2, True), done
    assert "[--workspace WORKSPACE] -- PROGRAM ...\n" in ws("run", "--help").out


def test_another_projects_tasks_file_lists_every_task_with_its_consequence(project: Path) -> None:
    done = invoke("--list")
    assert done.code == 0
    for command in COMMANDS:
        assert f"ws.{command.name} " in done.out
    assert "costs nothing, live runs are kept" in " ".join(done.out.split())
    assert set(NAMES) >= ALWAYS


@pytest.mark.parametrize("name", NAMES)
def test_help_names_the_same_flags_both_ways_and_no_short_ones(name: str, project: Path) -> None:
    command = next(command for command in COMMANDS if command.name == name)
    for done in (invoke("--help", f"ws.{name}"), ws(name, "--help")):
        assert done.code == 0
        for flag in command.flags:
            assert f"--{flag.rstrip('_').replace('_', '-')}" in done.out
        assert " -f" not in done.out
        assert " -y" not in done.out


def test_where_prints_the_path_alone_on_stdout_and_the_reason_on_stderr(project: Path, root: Path) -> None:
    for done in both("where"):
        assert (done.code, done.out) == (0, f"{root}\n")
        assert "VMAF_WORKSPACE is set" in done.err


def test_where_prints_bytes_that_are_no_utf8_as_they_are(project: Path) -> None:
    name = os.fsdecode(b"/w\xff\xfe\n")
    for done in both("where", env=subprocess_env(VMAF_WORKSPACE=name + "x")):
        assert os.fsencode(done.out) == b"/w\xff\xfe\nx\n"
    (found,) = [
        json.loads(done.out) for done in both("where", "--json", env=subprocess_env(VMAF_WORKSPACE=name + "x"))
    ][:1]
    assert os.fsencode(found["workspace"]) == b"/w\xff\xfe\nx"


def test_a_blank_variable_is_warned_of_on_stderr(project: Path) -> None:
    for done in both("where", env=subprocess_env(VMAF_WORKSPACE=" ")):
        assert done.code == 0
        assert "warning: VMAF_WORKSPACE is set but blank" in done.err
        assert "warning" not in done.out


# Where Invoke's configuration says.


@pytest.mark.parametrize("ending", ["yaml", "json"])
def test_invokes_project_config_is_read_by_both_before_the_variable(ending: str, project: Path, root: Path) -> None:
    text = {"yaml": "ws:\n  path: /from/config\n", "json": '{"ws": {"path": "/from/config"}}'}
    (project / f"invoke.{ending}").write_text(text[ending])
    for done in both("where"):
        assert done.out == "/from/config\n"
    for done in both("where", "--workspace", "/flag"):
        assert done.out == "/flag\n"


def test_the_project_config_is_found_from_a_directory_below(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "invoke.yaml").write_text("ws: {path: /from/config}\n")
    (project / "src" / "deep").mkdir(parents=True)
    monkeypatch.chdir(project / "src" / "deep")
    for done in both("where"):
        assert (done.out, done.err) == ("/from/config\n", "ws.path is set in Invoke's configuration\n")
    for done in both("where", "--workspace", "/flag"):
        assert done.err == "given explicitly\n"


def test_the_users_config_and_invokes_own_variable_are_read_by_both(project: Path) -> None:
    Path("~/.invoke.yaml").expanduser().write_text("ws: {path: /users}\n")
    for done in both("where"):
        assert done.out == "/users\n"
    for done in both("where", env=subprocess_env(INVOKE_WS_PATH="/variable")):
        assert done.out == "/variable\n"


def test_a_blank_path_in_the_config_counts_as_none(project: Path, root: Path) -> None:
    (project / "invoke.yaml").write_text("ws: {path: }\nother: 1\n")
    for done in both("where"):
        assert done.out == f"{root}\n"


@pytest.mark.parametrize("text", ["ws: [", "ws: text", "ws: {path: [a]}", "ws: {path: 5}", "ws: {path: scratch}"])
def test_a_config_that_cannot_be_read_is_a_usage_error_without_a_traceback(text: str, project: Path) -> None:
    (project / "invoke.yaml").write_text(text + "\n")
    done = ws("where")
    assert (done.code, done.out) == (2, "")
    assert done.err.count("Invoke's configuration") == 1
    assert "Traceback" not in done.err


# Exit codes, the same both ways.


def test_exit_codes(root: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    stored(root, "d/c/k", 10)
    for flags, code in {
        ("clean-scratch",): 0,
        ("clean-scratch", "--only", "model"): 2,
        ("clean-scratch", "--only", "workdir/"): 0,
        ("clean-scratch", "--only", "workdir, output"): 2,
        ("clean-scratch", "--min-age", "soon"): 2,
        ("clean-scratch", "--apply", "/nowhere"): 2,
        ("clean-scratch", "--plan", "/nowhere/plan"): 2,
        ("clean-scratch", "--workspace", "~nobody-of-this-name"): 2,
        ("clean-scratch", "--workspace", str(tmp_path / "mine")): 3,
        ("purge-cache",): 3,
        ("purge-cache", "--max-files", "x"): 2,
        ("setup", "--workspace", "/"): 3,
        ("status", "--workspace", str(tmp_path / "missing")): 0,
    }.items():
        done = ws(*flags)
        assert done.code == code, (flags, done)
        assert "Traceback" not in done.err


@pytest.mark.parametrize("flag", ["--dataset", "--older-than", "--store", "--max-size", "--workspace", "--apply"])
@pytest.mark.parametrize("blank", ["", " "])
def test_a_blank_flag_is_an_error_and_never_everything(flag: str, blank: str, project: Path, root: Path) -> None:
    stored(root, "d/c/k", 10)
    before = everything(root)
    for done in both("purge-cache", "--yes", flag, blank):
        assert (done.code, done.out) == (2, "")
        assert f"{flag}: blank" in done.err
    assert everything(root) == before


def test_a_negative_time_is_explained_as_any_other_mistake(root: Path) -> None:
    for flags in (("forget", "--keep-within", "-3d"), ("clean-scratch", "--min-age", "-3h")):
        done = ws(*flags)
        assert (done.code, f"{flags[1]}: expected a time such as 90s" in done.err) == (2, True), done


def test_exit_codes_are_the_same_in_invoke(project: Path, root: Path) -> None:
    stored(root, "d/c/k", 10)
    assert invoke("ws.clean-scratch").code == 0
    assert invoke("ws.clean-scratch", "--only", "model").code == 2
    assert invoke("ws.clean-scratch", "--workspace", "/").code == 3
    with live_run(root):
        assert invoke("ws.purge-cache", "--yes").code == 4
    (root / "workdir" / "ended").mkdir()
    done = invoke("ws.clean-scratch", "--apply", "/nowhere")
    assert (done.code, done.out) == (2, "")
    assert "Traceback" not in done.err


def test_an_unknown_flag_is_1_in_invoke_and_2_in_the_script(project: Path, root: Path) -> None:
    by_invoke, by_script = both("clean-scratch", "--forse")
    assert (by_invoke.code, by_script.code) == (1, 2)
    assert ws("clean-scratch", "--dry").code == 2  # no abbreviations: `--for` is no `--force`
    assert ws().code == 2


def test_invokes_dry_is_a_dry_run(project: Path, root: Path) -> None:
    age(ended_run(root))
    stored(root, "d/c/k", 10)
    before = everything(root)
    for name in ("clean-scratch", "purge-cache"):
        done = invoke("--dry", f"ws.{name}")
        assert done.code == 0, done
        assert "nothing was changed" in done.out
    assert everything(root) == before
    assert invoke("ws.clean-scratch").code == 0
    assert left(root) == []


# JSON.


def integers(data: object) -> None:
    if isinstance(data, dict):
        for key, value in data.items():
            if key.endswith("_bytes"):
                assert type(value) is int, (key, value)
            integers(value)
    elif isinstance(data, list):
        for value in data:
            integers(value)


@pytest.mark.parametrize("name", sorted(ALWAYS))
@pytest.mark.parametrize("state", ["full", "empty", "missing"])
def test_json_is_one_versioned_object_with_integer_bytes(name: str, state: str, project: Path, root: Path) -> None:
    if state == "full":
        age(ended_run(root, os.fsdecode(b"\xff\n"), size=1000))
        stored(root, "d/c/k.json", 10)
        write(root / "workdir" / "young")
    elif state == "missing":
        shutil.rmtree(root)
    flags = ["--yes", "--dry-run"] if name == "purge-cache" else []
    for done in both(name, "--json", *flags):
        assert done.code == 0, done
        data = done.json
        assert (data["version"], data["task"]) == (1, name)
        assert data["workspace"] == str(root)
        assert len(done.out.splitlines()) == 1
        integers(data)
        json.dumps(data, allow_nan=False)


@pytest.mark.parametrize("name", sorted(ALWAYS - {"where", "status"}))
def test_json_of_an_error_carries_its_exit_code(name: str, project: Path) -> None:
    for done in both(name, "--json", "--workspace", "/"):
        assert done.code == done.json["exit_code"] == 3
        assert done.json["version"] == 1
        assert done.json["error"] in done.err


def test_results_go_to_stdout_and_what_failed_to_stderr(project: Path, root: Path) -> None:
    age(ended_run(root, size=1000))
    write(root / "workdir" / "young")
    done = ws("clean-scratch")
    assert done.err == ""
    assert "removed 1 " in done.out
    assert "workdir/young" in done.out
    refused = ws("clean-scratch", "--workspace", "/")
    assert refused.out == ""
    assert refused.err.startswith("clean-scratch: ")


def test_errors_do_not_carry_a_names_control_characters_to_the_terminal(project: Path, tmp_path: Path) -> None:
    root = write(tmp_path / "\x1b[31mred" / "file").parent
    for name in ("clean-scratch", "setup"):
        done = ws(name, "--workspace", root)
        assert done.code == 3
        assert "\x1b" not in done.err


def test_output_that_cannot_carry_a_character_escapes_it(root: Path) -> None:
    for number in range(25):
        write(root / "workdir" / f"über☃{number}")
    done = ws("clean-scratch", env=subprocess_env(PYTHONIOENCODING="ascii"))
    assert done.code == 0, done
    assert "u2603" in done.out


def test_a_reader_that_leaves_early_is_no_error_of_ours(root: Path) -> None:
    for number in range(25):
        write(root / "workdir" / f"young{number}")
    done = run(["sh", "-c", f"{sys.executable} -m vmaf_workspace.cli clean-scratch | true"])
    assert done.err == ""


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_standard_stream_changes_no_exit_code(closed: str, root: Path) -> None:
    stored(root, "d/1/k")
    codes = {"where": 0, "status": 0, "status --json": 0, "clean-scratch": 0, "purge-cache": 3, "setup --json": 0}
    for command, code in codes.items():
        done = run(["sh", "-c", f"exec {sys.executable} -m vmaf_workspace.cli {command} {closed}"])
        assert (done.code, "Traceback" in done.err) == (code, False), (command, done)


def test_a_stderr_without_room_changes_no_exit_code_and_leaves_nothing_undone(root: Path, tmp_path: Path) -> None:
    model, at = write(root / "model" / "m.json", 10), tmp_path / "backups"
    for command, code in (
        ("where", 0),
        ("clean-scratch --only x", 2),
        (f"clean-scratch --workspace {tmp_path}", 3),
        ("purge-cache", 0),
        (f"backup-models --at {at}", 0),
        (f"wipe-models --yes --at {at}", 0),
        (f"restore-models --at {at}", 0),
        ("no-such-command", 2),
        ("run -- false", 1),
    ):
        age(root)
        done = run(["sh", "-c", f"exec {sys.executable} -m vmaf_workspace.cli {command} 2> /dev/full"])
        assert done.code == code, (command, done)
        assert model.exists() == (not command.startswith("wipe")), command
    stored(root, "d/1/k")
    assert run(["sh", "-c", f"exec {sys.executable} -m vmaf_workspace.cli purge-cache 2> /dev/full"]).code == 3


@pytest.mark.parametrize("flag", ["", "--json"])
def test_output_that_finds_no_room_is_1_and_says_that_the_task_itself_ended_well(flag: str, root: Path) -> None:
    age(ended_run(root))
    buffered = subprocess_env(PYTHONUNBUFFERED=None)
    done = run(
        ["sh", "-c", f"exec {sys.executable} -m vmaf_workspace.cli clean-scratch {flag} > /dev/full"], env=buffered
    )
    assert (done.code, left(root)) == (1, [])
    assert done.err == ("clean-scratch: ended with 0, but its output could not be written (No space left on device)\n")


def test_a_table_that_finds_no_room_is_1_and_no_traceback(root: Path) -> None:
    buffered = subprocess_env(PYTHONUNBUFFERED=None)
    done = run(["sh", "-c", f"exec {sys.executable} -m vmaf_workspace.cli status > /dev/full"], env=buffered)
    why = "its output could not be written (No space left on device)"
    assert (done.code, done.err) in [(1, f"status: stopped where {why}\n"), (1, f"status: ended with 0, but {why}\n")]


def test_a_file_in_place_of_a_subdirectory_is_refused(project: Path, root: Path) -> None:
    shutil.rmtree(root / "output")
    write(root / "output")
    age(ended_run(root))
    for done in both("clean-scratch", "--force"):
        assert done.code == 3
        assert "not a directory" in done.err
    assert left(root) == ["ended"]


def test_setup_says_what_it_made_and_then_that_there_is_nothing_to_make(project: Path, tmp_path: Path) -> None:
    first, second = both("setup", "--workspace", tmp_path / "new")
    assert first.code == second.code == 0
    assert first.out.startswith("made ")
    assert "set up already" in second.out
    assert ws("setup", "--json", "--workspace", tmp_path / "new").json["made"] == []
