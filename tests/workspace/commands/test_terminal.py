"""What a person at a terminal sees: the question, its default, Ctrl-C, no leftovers of a progress bar."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pytest
from trees import ended_run, everything, left, stored, workspace, write, ws

from vmaf_workspace.contract import SUBDIRS
from vmaf_workspace.snapshot.manifest import short_id

SHM = Path("/dev/shm")  # noqa: S108 - memory, as a second file system


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VMAF_WORKSPACE", str(tmp_path / "ws"))
    monkeypatch.setenv("TERM", "xterm")
    root = workspace(tmp_path / "ws")
    stored(root, "NFLX/c1/one.json", 10)
    return root


@contextmanager
def terminal(*args: str, columns: int = 160, rows: int = 40) -> Iterator[pexpect.spawn]:
    child = pexpect.spawn(
        sys.executable, ["-m", "vmaf_workspace.cli", *args], encoding="utf-8", timeout=30, dimensions=(rows, columns)
    )
    try:
        yield child
    finally:
        child.close(force=True)


def ended(child: pexpect.spawn) -> tuple[int | None, str]:
    child.expect(pexpect.EOF)
    child.close()
    return child.exitstatus, str(child.before)


@pytest.mark.parametrize("answer", ["", "n", "N", "no", "nonsense", "yy", "0"])
def test_anything_but_yes_removes_nothing(answer: str, root: Path) -> None:
    before = everything(root)
    with terminal("purge-cache") as child:
        child.expect_exact("NFLX")
        child.expect(r"Delete 1 .*\? \[y/N\] ")
        child.sendline(answer)
        code, rest = ended(child)
    assert code == 1
    assert "nothing was removed" in rest
    assert everything(root) == before


@pytest.mark.parametrize("answer", ["y", "Y", "yes", " yes "])
def test_yes_removes(answer: str, root: Path) -> None:
    with terminal("purge-cache") as child:
        child.expect_exact("[y/N] ")
        child.sendline(answer)
        code, rest = ended(child)
    assert code == 0
    assert "removed 1 " in rest
    assert left(root, "result_store_dir") == []


@pytest.mark.parametrize("by", ["vmaf_workspace.cli", "invoke"])
def test_ctrl_c_at_the_question_ends_with_130_and_removes_nothing_and_says_so(
    by: str, root: Path, nowhere: Path
) -> None:
    (nowhere / "tasks.py").write_text("from vmaf_workspace.tasks import ws as namespace\n")
    before = everything(root)
    child = pexpect.spawn(sys.executable, ["-m", by, "purge-cache"], encoding="utf-8", timeout=30)
    child.expect_exact("[y/N] ")
    child.sendintr()
    code, rest = ended(child)
    assert code == 130
    assert rest.splitlines()[-1] == "purge-cache: interrupted; nothing was removed"
    assert "Traceback" not in rest
    assert everything(root) == before


def test_the_end_of_input_at_the_question_is_no(root: Path) -> None:
    before = everything(root)
    with terminal("purge-cache") as child:
        child.expect_exact("[y/N] ")
        child.sendeof()
        code, _ = ended(child)
    assert code == 1
    assert everything(root) == before


def test_invoke_asks_the_same_question(root: Path, nowhere: Path) -> None:
    (nowhere / "tasks.py").write_text("from vmaf_workspace.tasks import ws as namespace\n")
    child = pexpect.spawn(sys.executable, ["-m", "invoke", "purge-cache"], encoding="utf-8", timeout=30)
    child.expect_exact("[y/N] ")
    child.sendline("y")
    assert ended(child)[0] == 0
    assert left(root, "result_store_dir") == []


def test_with_yes_and_for_scratch_nothing_is_asked(root: Path) -> None:
    ended_run(root)
    with terminal("purge-cache", "--yes") as child:
        code, rest = ended(child)
        assert (code, "[y/N]" in rest) == (0, False)
    with terminal("clean-scratch") as child:
        code, rest = ended(child)
        assert (code, "[y/N]" in rest) == (0, False)
    assert left(root) == []


def test_odd_names_do_not_reach_the_terminal_raw(root: Path) -> None:
    os.mkdir(root / "workdir" / "\x1b]0;title\x07\r")
    write(root / "result_store_dir" / "file_result_store" / "\x1b[2J" / "d" / "c" / "k")
    with terminal("clean-scratch") as child:
        _, shown = ended(child)
    assert "\x1b]0;title" not in shown
    with terminal("purge-cache", "--dry-run") as child:
        _, shown = ended(child)
    assert "\x1b[2J" not in shown


def test_a_narrow_terminal_still_shows_every_row(root: Path) -> None:
    child = pexpect.spawn(
        sys.executable, ["-m", "vmaf_workspace.cli", "status"], encoding="utf-8", timeout=30, dimensions=(24, 60)
    )
    code, shown = ended(child)
    assert code == 0
    for name in ("dataset", "checkpoints_dir", "workdir", "total"):
        assert name in shown


def test_eighty_columns_break_no_name_that_a_person_copies(root: Path, tmp_path: Path) -> None:
    write(root / "model" / "vmaf_of_a_longer_name_v1.json", 10)
    with terminal("backup-models", "--at", str(tmp_path / "b"), columns=80) as child:
        assert ended(child)[0] == 0
    (snapshot,) = os.listdir(tmp_path / "b" / "snapshots")
    seen = {}
    for words in (("status",), ("models",), ("snapshots", "--at", str(tmp_path / "b"))):
        with terminal(*words, columns=80) as child:
            code, text = ended(child)
        seen[words[0]] = text
        assert code == 0, text
    for subdir in SUBDIRS:
        assert f"{subdir.name}/ " in seen["status"]
    assert "vmaf-ws clean-scratch" in seen["status"]
    assert "vmaf_of_a_longer_name_v1 " in seen["models"]
    assert f"{short_id(snapshot.removesuffix('.json'))} " in seen["snapshots"]


def test_a_pipe_gets_no_blanks_at_the_ends_of_lines(root: Path) -> None:
    out = ws("status", "--stores", "--workspace", root).out
    assert "NFLX" in out
    assert [line for line in out.splitlines() if line != line.rstrip()] == []


def test_the_models_are_on_the_screen_where_a_name_is_typed(root: Path, tmp_path: Path) -> None:
    for n in range(3):
        for suffix in (".pkl", ".pkl.model", ".json"):
            write(root / "model" / f"vmaf_v0.6.1_of_my_own_videos_{n}{suffix}", 10_000 * (n + 1))
    for n in range(40):
        write(root / "checkpoints_dir" / f"run{n}" / "c.pkl", 100_000)
        write(root / "model_param" / f"aa{n}.pkl", 200_000)
    at = str(tmp_path / "bk")
    assert ws("backup-models", "--at", at).code == 0
    with terminal("wipe-models", "--at", at, columns=80, rows=24) as child:
        child.expect(r"Type model to empty it \(9 files.*\): ")
        shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", str(child.before))  # colours, and what a spinner wipes out
        child.sendline("no")
        ended(child)
    lines = shown.rstrip("\n").splitlines()
    assert len(lines) + 3 <= 24, shown
    assert [line for line in lines if len(line) > 80] == []
    names = [line.split()[0] for line in lines if line.startswith(("model", "checkpoints", "model_param"))]
    assert names[:3] == [f"model/vmaf_v0.6.1_of_my_own_videos_{n}" for n in (2, 1, 0)]
    assert names[3].startswith("checkpoints_dir/run")
    assert "more" in shown


def test_a_purge_shows_first_what_took_longest_to_compute(root: Path) -> None:
    for n, seconds in enumerate((5, 500, 50)):
        path = stored(root, f"set{n}/c/k.json")
        path.write_text(json.dumps({"extraction_s": seconds}) + "\n")
    done = ws("purge-cache", "--dry-run")
    lines = [line for line in done.out.splitlines() if "/VMAF_V1/" in line]
    assert [line.split()[0].split("/")[-2] for line in lines] == ["set1", "set2", "set0", "NFLX"]


def test_what_a_move_would_lose_is_shown_at_its_question(root: Path, tmp_path: Path) -> None:
    if not SHM.is_dir() or os.stat(SHM).st_dev == os.stat(tmp_path).st_dev:
        pytest.skip(f"{SHM} is no other file system here")
    os.mkfifo(root / "dataset" / "pipe")
    with tempfile.TemporaryDirectory(dir=SHM) as place, terminal("migrate", "--to", f"{place}/moved") as child:
        child.expect_exact("dataset/pipe")
        child.expect(r"Move [\s\S]*\?\s+\[y/N\] ")
        child.sendline("n")
        assert ended(child)[0] == 1
    assert (root / "dataset" / "pipe").exists()


def test_what_is_live_is_listed_once_and_in_lines_that_fit(root: Path, tmp_path: Path) -> None:
    write(root / "model" / "m.json")
    at = ["--at", str(tmp_path / "b")]
    assert ws("backup-models", *at, "--workspace", root).code == 0
    script = f"touch {root}/workdir/f; echo begun; read x"
    session = [sys.executable, "-m", "vmaf_workspace.cli", "run", "--workspace", str(root), "--", "sh", "-c", script]
    with subprocess.Popen(session, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as live:
        assert live.stdin is not None
        assert live.stdout is not None
        assert live.stdout.readline() == b"begun\n"
        with terminal("restore-models", *at, "--workspace", str(root), columns=80) as child:
            code, said = ended(child)
        live.stdin.close()
    assert code == 4
    lines = said.splitlines()
    assert "'workdir/f'" not in said, "of the session, which is listed"
    (first,) = (i for i, line in enumerate(lines) if line.startswith("- "))
    assert lines[first + 1].startswith("  ")
    listed = [line for line in lines[first:] if line.startswith(("- ", "  "))]
    assert all(len(line) <= 80 or " " not in line.strip() for line in listed), said
