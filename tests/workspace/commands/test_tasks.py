"""The tasks as people call them: `invoke ws.…` and `vmaf-ws …`, their exit codes, output and help."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from trees import Ended, age, ended_run, everything, left, live_run, run, stored, subprocess_env, workspace, write, ws

from vmaf_workspace.commands.workspace import COMMANDS

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
    assert "usage: vmaf-ws run [flags] -- PROGRAM ...\n" in ws("run", "--help").out


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
        for parameter in command.parameters.values():
            assert parameter.flag in done.out
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
        age(write(root / "workdir" / "young"), 0 if name != "purge-cache" else 7200)  # a purge waits for it
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


@pytest.mark.parametrize(
    "flags",
    [("--max-size", "5"), ("--dataset", " "), ("--store", "none"), ("--max-files", "-1")],
    ids=" ".join,
)
def test_json_of_a_flag_that_cannot_be_read_is_the_same_both_ways(
    flags: tuple[str, ...], project: Path, root: Path
) -> None:
    by_invoke, by_script = both("purge-cache", "--json", *flags)
    assert (by_invoke.code, by_script.code) == (2, 2)
    assert by_invoke.json == by_script.json
    assert by_script.json["error"].startswith(f"{flags[0]}: ")


def test_json_of_a_refused_configuration_is_one_object(project: Path, root: Path) -> None:
    (project / "invoke.yaml").write_text("ws: {path: relative}\nrun: {dry: true}\n")
    for name, code in (("where", 2), ("setup", 3)):
        for done in both(name, "--json"):
            assert (done.code, done.json["exit_code"]) == (code, code), done
    done = ws("purge-cache", "--json", "--forse")
    assert (done.code, done.json["exit_code"]) == (2, 2)


def test_results_go_to_stdout_and_what_failed_to_stderr(project: Path, root: Path) -> None:
    age(ended_run(root, size=1000))
    write(root / "workdir" / "young")
    done = ws("clean-scratch", "--quiet")  # else a slow removal says how long it took
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
    done = run(["sh", "-c", f"{sys.executable} -m vmaf_workspace.cli clean-scratch --quiet | true"])
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
        ["sh", "-c", f"exec {sys.executable} -m vmaf_workspace.cli clean-scratch --quiet {flag} > /dev/full"],
        env=buffered,
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


def test_a_tasks_package_is_a_project_for_both_and_its_own_directory_too(nowhere: Path) -> None:
    (nowhere / "tasks").mkdir()
    (nowhere / "tasks" / "__init__.py").write_text(TASKS)
    (nowhere / "invoke.yaml").write_text("ws:\n  path: /of/the/project\n")
    (nowhere / "tasks" / "below").mkdir()
    for here in (nowhere, nowhere / "tasks", nowhere / "tasks" / "below"):
        assert [done.out for done in both("where", cwd=here)] == ["/of/the/project\n"] * 2


def test_every_source_that_invoke_knows_decides_the_same_for_both(nowhere: Path, tmp_path: Path) -> None:
    (nowhere / "jobs.py").write_text(TASKS)  # by the user's configuration, and not from here
    (nowhere / "invoke.yaml").write_text("ws: {path: /of/the/project}\n")
    (tmp_path / "home" / ".invoke.yaml").write_text(f"tasks: {{collection_name: jobs, search_root: {nowhere}}}\n")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "runtime.json").write_text('{"ws": {"path": "/of/the/runtime"}}')
    runtime = subprocess_env(INVOKE_RUNTIME_CONFIG=str(tmp_path / "runtime.json"))
    named = subprocess_env(INVOKE_WS_PATH="/of/the/environment")
    for env, path in ((None, "/of/the/project"), (named, "/of/the/environment"), (runtime, "/of/the/runtime")):
        done = both("where", cwd=tmp_path / "elsewhere", env=env)
        assert [each.out for each in done] == [f"{path}\n"] * 2, done


@pytest.mark.parametrize("text", ["ws:\n", "ws: /path\n", "ws: [1]\n"])
def test_a_runtime_config_of_another_shape_is_no_traceback(text: str, project: Path, root: Path) -> None:
    (project / "x.yaml").write_text(text)
    env = subprocess_env(INVOKE_RUNTIME_CONFIG=str(project / "x.yaml"))
    for done in (invoke("-f", "x.yaml", "ws.where"), *both("where", env=env)):
        assert done.code == (0 if text == "ws:\n" else 2), done
        assert "Traceback" not in done.err


def test_where_invoke_is_dry_a_task_does_nothing_or_says_that_it_cannot(project: Path, root: Path) -> None:
    stored(root, "d/c/k", 10)
    write(root / "model" / "m.json")
    before = everything(root)
    env = subprocess_env(INVOKE_RUN_DRY="1", VMAF_BACKUPS=str(project / "bk"))
    acts = [command.name for command in COMMANDS if not command.reads and "dry_run" not in command.parameters]
    assert set(acts) == {"setup", "backup-models", "verify", "run"}
    for name in acts:
        for done in both(name, env=env):
            assert done.code == 3, done
            assert "has no dry run" in done.err
    assert invoke("--dry", "ws.run", "--", "touch", "made").code == 3
    (project / "invoke.yaml").write_text("run: {dry: true}\n")
    for done in both("purge-cache", "--yes"):
        assert done.code == 0
        assert "dry run: nothing was changed" in done.out
    assert [done.code for done in both("where")] == [0, 0]
    assert everything(root) == before
    assert not (project / "made").exists()
    assert not (project / "bk").exists()


def called(code: str, **options: Any) -> Ended:
    """What a Python caller gets: `ws` is the collection, `c` a context, `root` the workspace of the variable."""
    start = "import os, sys\nfrom pathlib import Path\nfrom invoke.context import Context\n"
    start += "from vmaf_workspace.tasks import ws\nc, root = Context(), Path(os.environ['VMAF_WORKSPACE'])\n"
    start += "from invoke.exceptions import Exit\ntry:\n    "
    end = "\nexcept Exit as error:\n    print(error, file=sys.stderr)\n    sys.exit(error.code)\n"
    return run([sys.executable, "-c", start + code.replace("\n", "\n    ") + end], **options)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ("ws['clean-scratch'](c, min_age=0, only=['workdir'], workspace=root, plan=None)", 0),
        ("ws['purge-cache'](c, max_files=100, yes=True)", 0),
        ("ws['purge-cache'](c, max_size='1G', store=('file_result_store',), yes=True)", 0),
        ("ws['migrate'](c, to=root / 'b', from_=root, dry_run=True)", 3),
        ("ws['migrate'](c, to=root.parent / 'b', from_=root, yes=True)", 0),
        ("ws['wipe-models'](c, only=['model', 'model_param'], at=root.parent / 'bk')", 0),
        ("ws['snapshots'](c, at=root.parent / 'bk')", 0),
        ("ws['purge-cache'](c, older_than=0, yes=True)", 2),  # without its unit: not everything, silently
        ("ws['purge-cache'](c, max_size=100, yes=True)", 2),
        ("ws['purge-cache'](c, yes='no')", 2),
        ("ws['purge-cache'](c, yes=1)", 2),
        ("ws['purge-cache'](c, dataset=['a', 'b'], yes=True)", 2),
        ("ws['purge-cache'](c, dataset=[], yes=True)", 2),
        ("ws['purge-cache'](c, dataset={'a': 1}, yes=True)", 2),
        ("ws['purge-cache'](c, older_than=True, yes=True)", 2),
        ("ws['clean-scratch'](c, only=Path('workdir'))", 0),
        ("ws['run'](c, command=['sh', '-c', 'exit $1', 'sh', '0'])", 0),
        ("ws['run'](c, command=[sys.executable, '-c', 'import sys; sys.exit(sys.argv[1] != \"a  b\")', 'a  b'])", 0),
        ("ws['run'](c, command=None)", 2),
    ],
)
def test_python_callers_pass_numbers_paths_lists_and_none(call: str, code: int, root: Path) -> None:
    stored(root, "d/c/k", 10)
    done = called(call)
    assert done.code == code, done
    assert "Traceback" not in done.err


def test_run_takes_the_command_that_it_was_given_and_no_other_programs(project: Path, root: Path) -> None:
    (project / "tasks.py").write_text(
        TASKS + "from invoke import task\n@task\ndef lint(c):\n    ws['run'](c)\nnamespace.add_task(lint)\n"
    )
    done = invoke("lint", "--", "touch", "outer")
    assert done.code == 2
    assert not (project / "outer").exists()
    program = "from invoke import Collection, Program\nProgram(namespace=Collection(ws)).run("
    done = called(program + "['tool', 'ws.run', '--', 'echo', 'hello'])")
    # Before its version 3, Invoke does not say what follows `--` in a program that it was given as a list.
    says_it = int(version("invoke").partition(".")[0]) >= 3
    assert (done.code, done.out) == ((0, "hello\n") if says_it else (2, ""))
    done = called("from vmaf_workspace.cli import main\nsys.exit(main(['run', '--', 'echo', 'a  b']))")
    assert (done.code, done.out) == (0, "a  b\n")
    assert [done.out for done in both("run", "--command", "echo 'a  b'")] == ["a  b\n"] * 2


def test_the_module_is_a_collection_by_itself(nowhere: Path, root: Path) -> None:
    (nowhere / "tasks.py").write_text(
        "from invoke import Collection\nfrom vmaf_workspace import tasks\nnamespace = Collection(tasks)\n"
    )
    assert invoke("ws.where").out == f"{root}\n"
    (nowhere / "tasks.py").write_text("from vmaf_workspace.tasks import namespace\n")
    assert invoke("where").out == f"{root}\n"
    import vmaf_workspace

    assert "clean-scratch" in invoke("-l", cwd=Path(vmaf_workspace.__file__).parent).out


def test_without_docstrings_every_command_works(root: Path) -> None:
    for flag in ("-OO", "-O"):
        done = run([sys.executable, flag, "-m", "vmaf_workspace", "where"])
        assert (done.code, done.out) == (0, f"{root}\n"), done


def test_a_stdout_that_takes_no_bytes_still_gets_the_paths(root: Path, tmp_path: Path) -> None:
    code = "import contextlib, io\nout = io.StringIO()\nwith contextlib.redirect_stdout(out):\n    "
    code += "ws['where'](c)\n    ws['migrate'](c, to=root.parent / 'b', yes=True)\nsys.stderr.write(out.getvalue())"
    done = called(code)
    assert done.code == 0, done
    assert f"{root}\n" in done.err
    assert done.err.endswith(f"export VMAF_WORKSPACE={tmp_path / 'b'}\n")


def test_version_and_help_that_find_no_room_are_1_without_a_traceback() -> None:
    for flags in (("--version",), ("--help",), ("where", "--help")):
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                [sys.executable, "-m", "vmaf_workspace", *flags], stdout=full, stderr=subprocess.PIPE, check=False
            )
        assert done.returncode == 1, done
        assert b"Traceback" not in done.stderr


def test_a_dry_run_ends_as_the_real_run_would(root: Path, tmp_path: Path) -> None:
    stored(root, "d/c/k", 10)
    with live_run(root):
        for flags in (("purge-cache", "--yes"), ("migrate", "--to", str(tmp_path / "b"), "--yes")):
            dry, real = ws(*flags, "--dry-run"), ws(*flags)
            assert (dry.code, real.code) == (4, 4), (dry, real)
        assert ws("purge-cache", "--plan", tmp_path / "plan").code == 0  # for later, when the run has ended
    write(root / "workdir" / "nested" / ".vmaf-workspace" / "workspace.json")
    clean = ("clean-scratch", "--min-age", "0")
    assert [ws(*clean, *flags).code for flags in (("--dry-run",), ())] == [1, 1]


def test_a_dry_run_of_a_restore_that_would_be_refused_is_3_too(root: Path, tmp_path: Path) -> None:
    at = ("--at", tmp_path / "bk")
    model = write(root / "model" / "m.json", 10)
    age(model)
    assert ws("backup-models", *at).code == 0
    write(model, 20)
    assert [ws("restore-models", *at, *flags).code for flags in (("--dry-run",), ())] == [3, 3]
    assert [ws("restore-models", *at, "--overwrite", *flags).code for flags in (("--dry-run",), ())] == [0, 0]


def test_a_directorys_escapes_do_not_reach_the_terminal_in_a_reason_or_a_plans_name(root: Path, tmp_path: Path) -> None:
    odd = tmp_path / "\x1b]0;x\x07"
    (odd / "compat" / "python-vmaf").mkdir(parents=True)
    env = subprocess_env(VMAF_WORKSPACE=None)
    for name in ("where", "status"):
        done = ws(name, cwd=odd, env=env)
        assert "\x1b" not in done.err + (done.out if name == "status" else "")
    assert "\x1b" not in ws("clean-scratch", "--plan", odd / "plan").out
