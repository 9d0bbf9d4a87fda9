"""Advice names a command as the person calls it: `vmaf-ws setup`, `invoke ws.setup`; from Python `ws.setup`."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeGuard

import pytest
from invoke.collection import Collection
from invoke.program import Program
from trained_models import model
from trees import workspace, write

from vmaf_harness.cli import main as harness_main
from vmaf_harness.commands import COMMANDS as HARNESS
from vmaf_harness.script.run_testing import main as run_testing
from vmaf_harness.script.run_vmaf import main as run_vmaf
from vmaf_harness.tasks import harness
from vmaf_workspace import wording
from vmaf_workspace.cli import main as ws_main
from vmaf_workspace.commands.configuration import CONFIGURED, LIMITS
from vmaf_workspace.commands.tables import object_json
from vmaf_workspace.commands.workspace import COMMANDS
from vmaf_workspace.contract import MARKER
from vmaf_workspace.identity import MIGRATION
from vmaf_workspace.tasks import ws
from vmaf_workspace.wording import SCRIPTS

Scene = Callable[[Path], None]
Printed = pytest.CaptureFixture[str]
SRC = Path(__file__).parents[3] / "src"
MAINS = {"ws": ws_main, "harness": harness_main}
TASKS = {f"ws.{each.name}" for each in COMMANDS} | {f"harness.{each.name}" for each in HARNESS}
KEYS = {f"ws.{name}" for name in (*CONFIGURED.values(), *LIMITS.values())}  # of Invoke's configuration
NAMED = re.compile(r"(?<![\w/.-])(?:ws|harness)\.[a-z][\w-]*")
RECIPE = """dataset_name = "d"
yuv_fmt = "yuv420p"
width, height, quality_width, quality_height = 16, 16, 16, 16
ref_videos = [{"content_id": 0, "path": "a.mp4"}]
dis_videos = [{"content_id": 0, "asset_id": 0, "dmos": 1.0, "path": "a.mp4"}]
"""


def nothing(root: Path) -> None:
    """No workspace is there."""


def unmarked(root: Path) -> None:
    write(root / "workdir" / "a")


def fresh(root: Path) -> None:
    write(workspace(root) / "workdir" / "theirs" / "a.yuv")


def trained(root: Path) -> None:
    model(workspace(root), "mine")
    (root.parent / "backups").mkdir()


def backed_up(root: Path) -> None:
    trained(root)
    assert ws_main(["backup-models", "--workspace", str(root), "--at", str(root.parent / "backups")]) == 0


def twice(root: Path) -> None:
    backed_up(root)
    model(root, "second")
    assert ws_main(["backup-models", "--workspace", str(root), "--at", str(root.parent / "backups")]) == 0


def damaged(root: Path) -> None:
    backed_up(root)
    for path in (root.parent / "backups" / "objects").glob("*/*"):
        path.chmod(0o644)
        path.write_bytes(b"")
    shutil.rmtree(root / "model")


def half_moved(root: Path) -> None:
    journal = workspace(root) / MARKER / MIGRATION
    journal.write_text(json.dumps({"from": "/a", "to": "/b", "state": "begun"}))


def recipe(root: Path) -> None:
    (workspace(root) / "dataset" / "d_dataset.py").write_text(RECIPE)
    write(root / "dataset" / "a.mp4")


AT = ("--at", "backups")
ONE = ("--quality-type", "VMAF", "--dataset", "d_dataset.py")
SITUATIONS: list[tuple[Scene, str, tuple[str, ...], str]] = [  # what lies there, what is called, what is advised
    (nothing, "ws.doctor", AT, "ws.setup"),
    (nothing, "ws.backup-models", AT, "ws.where"),
    (nothing, "ws.backup-models", (*AT, "--json"), "ws.where"),
    (nothing, "ws.migrate", ("--to", "elsewhere"), "ws.where"),
    (nothing, "ws.run", (), "ws.run -- python"),
    (unmarked, "ws.clean-scratch", (), "ws.setup"),
    (half_moved, "ws.doctor", AT, "ws.migrate --from"),
    (half_moved, "ws.doctor", (*AT, "--json"), "ws.migrate --from"),
    (fresh, "ws.clean-scratch", (), "ws.clean-scratch --force"),
    (fresh, "ws.status", (), "ws.purge-cache"),
    (trained, "ws.snapshots", AT, "ws.backup-models"),
    (trained, "ws.wipe-models", (*AT, "--yes"), "ws.backup-models"),
    (backed_up, "ws.restore-models", (*AT, "--snapshot", "19990101"), "ws.snapshots"),
    (backed_up, "ws.diff", (*AT, "--snapshot", "19990101"), "ws.snapshots"),
    (twice, "ws.forget", (*AT, "--keep-last", "1", "--yes", "--drop-last-copies"), "ws.prune"),
    (damaged, "ws.verify", AT, "ws.backup-models"),
    (damaged, "ws.restore-models", AT, "ws.verify"),
    (recipe, "harness.report", ("--vmaf-model", "mine"), "ws.models"),
    (recipe, "harness.test", (*ONE, "--vmaf-model", "none"), "ws.models"),
]
each_situation = pytest.mark.parametrize(
    ("scene", "task", "flags", "advised"), SITUATIONS, ids=lambda each: each if isinstance(each, str) else None
)


@pytest.fixture
def root(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VMAF_WORKSPACE", str(nowhere / "vmaf"))
    return nowhere / "vmaf"


def scripted(task: str) -> str:
    """What the console scripts call a task, or a line that begins with one."""
    collection, _, rest = task.partition(".")
    return f"{SCRIPTS[collection]} {rest}"


@each_situation
def test_a_console_script_advises_what_can_be_typed_at_it(
    scene: Scene, task: str, flags: Sequence[str], advised: str, root: Path, capsys: Printed
) -> None:
    scene(root)
    capsys.readouterr()
    collection, _, name = task.partition(".")
    MAINS[collection]([name, *flags])
    said = "".join(capsys.readouterr())
    assert scripted(advised) in said
    assert not set(NAMED.findall(said)) & TASKS, said


@each_situation
@pytest.mark.parametrize("program", ["/usr/bin/invoke", "inv", "/lib/invoke/__main__.py", "/home/invoke/mine.py"])
def test_an_invoke_task_advises_tasks_and_invoke_what_is_typed(
    scene: Scene,
    task: str,
    flags: Sequence[str],
    advised: str,
    program: str,
    root: Path,
    capsys: Printed,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene(root)
    capsys.readouterr()
    is_own = program.endswith("mine.py")
    monkeypatch.setattr(sys, "argv", [program, task, *flags])
    Program(namespace=Collection(ws, harness)).run(["invoke", task, *flags], exit=False)
    said = "".join(capsys.readouterr())
    assert f"{'' if is_own else 'invoke '}{advised}" in said
    assert ("invoke " in said) != is_own, said
    assert not any(f"{prog} " in said for prog in SCRIPTS.values()), said


@each_situation
def test_what_is_advised_is_for_the_workspace_and_the_backups_that_were_named(
    scene: Scene, task: str, flags: Sequence[str], advised: str, root: Path, capsys: Printed
) -> None:
    there = root.with_name("it's a `vmaf`")
    scene(there)
    capsys.readouterr()
    collection, _, name = task.partition(".")
    MAINS[collection]([name, "--workspace", str(there), *flags])
    out, err = capsys.readouterr()
    if "--json" in flags:
        out = " ".join(map(str, flattened(json.loads(out))))
    commands = re.findall(r"`vmaf-(ws|harness) ([a-z-]+)([^`]*)`", out + err)
    assert commands, out + err
    for prog, called, rest in commands:
        parameters = next(each for each in {"ws": COMMANDS, "harness": HARNESS}[prog] if each.name == called).parameters
        given = shell_words(rest)
        if "--from" not in given:
            assert given[given.index("--workspace") + 1] == str(there)
        assert ("--at" in given) == ("at" in parameters and "--at" in flags), rest


def flattened(data: object) -> Iterator[object]:
    for each in data.values() if isinstance(data, dict) else data if isinstance(data, list) else ():
        yield from flattened(each) if isinstance(each, (dict, list)) else [each]


def shell_words(line: str) -> list[str]:
    """As Bash parts them; a name with a backquote in it stands in Bash's own quotes."""
    done = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True, text=True)
    return done.stdout.split("\0")[:-1]


def test_each_command_is_said_with_those_of_the_named_places_that_it_takes() -> None:
    every = {f"ws.{each.name}": each for each in COMMANDS} | {f"harness.{each.name}": each for each in HARNESS}
    with wording.of_a_console():
        wording.name_places(workspace="W 1", at="B")
        for task, command in every.items():
            typed = wording.as_typed(f"`{task} --x`")
            assert ("--workspace 'W 1'" in typed) == ("workspace" in command.parameters), task
            assert ("--at B" in typed) == ("at" in command.parameters), task
            assert typed.startswith(f"`{scripted(task)} ")
            assert typed.endswith(" --x`")
        own = " ".join(["`ws.restore-models", "--at C --workspace V`"])
        assert wording.as_typed(own) == "`vmaf-ws restore-models --at C --workspace V`"


def test_a_command_that_is_advised_and_pasted_acts_on_the_workspace_that_was_named(
    root: Path, nowhere: Path, capsys: Printed
) -> None:
    named = nowhere / "my other"
    for each in (root, named):
        fresh(each)
    assert ws_main(["clean-scratch", "--workspace", "my other"]) == 0
    (advised,) = re.findall("`(vmaf-ws clean-scratch [^`]*--force)`", capsys.readouterr().out)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(["bash", "-c", advised], check=True, cwd=nowhere, env={**os.environ, "PATH": path})
    assert not list((named / "workdir").glob("*/a.yuv"))
    assert list((root / "workdir").glob("*/a.yuv"))


def test_the_table_of_a_named_workspace_names_commands_alone(root: Path, capsys: Printed) -> None:
    trained(root)
    assert ws_main(["status", "--workspace", str(root)]) == 0
    table = capsys.readouterr().out
    assert "vmaf-ws clean-scratch" in table
    assert "--workspace" not in table


def test_a_script_of_the_harness_advises_console_scripts(root: Path, capsys: Printed) -> None:
    recipe(root)
    assert run_testing(["VMAF", "d_dataset.py", "--vmaf-model", "none"]) == 1
    assert "`vmaf-ws models`" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run_vmaf(["yuv420p", "16", "16", "a.yuv", "b.yuv", "--local-explain"])
    assert "(`vmaf-ws run -- …`)" in capsys.readouterr().err


@pytest.mark.parametrize("prog", SCRIPTS.values())
def test_no_help_of_a_console_script_names_a_task(prog: str, capsys: Printed) -> None:
    main, commands = (ws_main, COMMANDS) if prog == "vmaf-ws" else (harness_main, HARNESS)
    for words in (["--help"], *([each.name, "--help"] for each in commands)):
        assert main(words) == 0
        said = capsys.readouterr().out
        assert not set(NAMED.findall(said)) & TASKS, said


def test_a_path_or_a_note_that_reads_like_a_task_is_said_as_it_is(root: Path, nowhere: Path, capsys: Printed) -> None:
    trained(root)
    write(root / "workdir" / "ws.setup" / "a")
    at = ["--at", str(nowhere / "my ws.setup")]
    assert ws_main(["backup-models", *at, "--note", "before `ws.migrate`"]) == 0
    assert f"in {nowhere}/my ws.setup," in capsys.readouterr().out
    assert ws_main(["clean-scratch", "--min-age", "0"]) == 0
    assert ws_main(["snapshots", *at]) == 0
    assert "before `ws.migrate`" in capsys.readouterr().out
    ws_main(["snapshots", *at, "--json"])
    assert "before `ws.migrate`" in capsys.readouterr().out
    with wording.of_a_console():
        told = json.loads(object_json("t", why='"why": "`ws.setup`" \\', note='"why": "`ws.setup`"'))
    assert (told["why"], told["note"]) == ('"why": "`vmaf-ws setup`" \\', '"why": "`ws.setup`"')


def test_a_python_caller_reads_tasks_also_after_a_console_script_ran(root: Path, capsys: Printed) -> None:
    assert ws_main(["status"]) == 0
    capsys.readouterr()
    wording.say("`ws.setup`")
    assert capsys.readouterr().out == "`ws.setup`\n"


def strings(tree: ast.Module) -> Iterator[str]:
    """Each text of a module but docstrings."""
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docs = {id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, holders) and is_text(node.body[0])}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.value


def is_text(node: ast.AST) -> TypeGuard[ast.Expr]:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def test_a_task_that_a_message_names_is_there_and_stands_in_backquotes() -> None:
    """So that each is translated, and into a command that there is. Keys of Invoke's configuration stand without."""
    named = set()
    for path in SRC.rglob("*.py"):
        for text in strings(ast.parse(path.read_text())):
            for found in NAMED.finditer(text):
                is_marked = text[: found.start()].endswith("`") or path.name == "contract.py"
                assert found[0] in (TASKS if is_marked else KEYS), f"{path}: {text!r}"
                named |= {found[0]}
            assert not re.search("`vmaf-(ws|harness) ", text), f"{path}: {text!r}"
    assert len(named & TASKS) > 12
