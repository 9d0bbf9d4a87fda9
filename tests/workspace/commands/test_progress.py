"""How far a task is said to be: a line now and then without a terminal, a bar with one, nothing where quiet."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import pexpect
import pytest
from trees import workspace, write, ws

from vmaf_workspace.commands import progress
from vmaf_workspace.commands.progress import Progress

Printed = pytest.CaptureFixture[str]
SHOWN = """
import time
from vmaf_workspace.commands.progress import Progress
with Progress("encoded", 12, watch=lambda: (600, 0.5)) as shown:
    for done in range(4):
        shown.update(done, 12)
        time.sleep(0.8)
"""


def test_without_a_terminal_there_is_a_line_now_and_then_and_one_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    monkeypatch.setattr(progress, "EVERY_S", 0.2)
    monkeypatch.setattr(progress, "ENOUGH_S", 0.1)
    with Progress("encoded", 12, watch=lambda: (600, 0.5)) as shown:
        shown.update(1, 12)
        time.sleep(0.5)
        shown.update(3, 12)
        time.sleep(0.8)
    first, *_, last = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"encoded: 1 of 12, \d+ frames/s, \d s so far, about \d+ s left", first)
    assert re.fullmatch(r"encoded: 3 in \d+ s, \d+ frames/s", last)


def test_what_has_no_frames_is_counted_by_the_minute(capsys: Printed) -> None:
    with Progress("tried", 40) as shown:
        time.sleep(1.2)
        shown.update(1, 40)
        shown.update(20, 40)
        assert re.match(r"20 of 40, \d+ a minute, 1 s so far", shown.text())
    assert re.fullmatch(r"tried: 20 in 1 s, \d+ a minute\n", capsys.readouterr().err)


def test_frames_of_what_is_done_and_of_what_runs_make_the_rate(capsys: Printed) -> None:
    with Progress("encoded", 3, watch=lambda: (0, 0.0)) as shown:
        time.sleep(0.2)
        shown.update(1, 3)  # stored before
        shown.update(2, 3, 4000)
        shown.update(3, 3, 2000)
        time.sleep(1.0)
    (rate,) = re.findall(r"^encoded: 3 in \d+ s, (\d+) frames/s$", capsys.readouterr().err, re.MULTILINE)
    assert 100 < int(rate) <= 5000


def test_what_was_done_before_counts_for_no_rate_and_no_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    monkeypatch.setattr(progress, "ENOUGH_S", 0.0)
    with Progress("scored", 1002) as shown:
        time.sleep(0.5)
        shown.update(1001, 1002)  # a thousand were stored
        left = re.search(r"about (\d+) s left", shown.text())
    assert left is not None
    assert "1 001 of 1 002" in shown.text()
    assert 0 <= int(left[1]) <= 20


def test_quiet_says_nothing_and_what_ends_at_once_has_no_line(monkeypatch: pytest.MonkeyPatch, capsys: Printed) -> None:
    monkeypatch.setattr(progress, "EVERY_S", 0.1)
    with Progress("encoded", 2, quiet=True) as shown:
        time.sleep(1.2)
        shown.update(2, 2)
    with Progress("encoded", 2) as shown:
        shown.update(2, 2)
    assert capsys.readouterr().err == ""


def test_bytes_have_a_rate(monkeypatch: pytest.MonkeyPatch, capsys: Printed) -> None:
    with Progress("backing up", is_bytes=True) as shown:
        time.sleep(1.1)
        shown.update(8 << 10, 40 << 20)
        assert shown.text() == "8.0 KiB of 40.0 MiB, 1 s so far"  # small files first say nothing of a large one
        shown.update(10 << 20, 40 << 20)
        assert re.match(r"10\.0 MiB of 40\.0 MiB, \d+\.\d MiB/s, ", shown.text())
    assert re.fullmatch(r"backing up: 10\.0 MiB in \d+ s, \d+\.\d MiB/s\n", capsys.readouterr().err)


def test_a_terminal_of_80_columns_shows_all_of_it_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    child = pexpect.spawn(sys.executable, ["-c", SHOWN], encoding="utf-8", timeout=60, dimensions=(24, 80))
    child.expect(pexpect.EOF)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", str(child.before))
    assert re.search(r"encoded ╸━+ 0 of 12", shown), shown  # half of one, and the bar has begun
    assert re.search(r"encoded ━+╺?━* 3 of 12, \d+ frames/s, \d s so far, about \d+ s left", shown), shown
    assert re.search(r"encoded: 3 in \d s, \d+ frames/s\r\n$", shown), shown


@pytest.mark.parametrize("flags", [(), ("--quiet",)])
def test_commands_that_move_bytes_take_quiet(flags: tuple[str, ...], tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    write(root / "model" / "a.pkl", 1000)
    for words in (("backup-models",), ("verify",), ("clean-scratch",), ("purge-cache", "--yes")):
        where = ("--at", tmp_path / "b") if words[0] in ("backup-models", "verify") else ()
        done = ws(*words, "--workspace", root, *where, *flags)
        assert done.code == 0, done
    assert ws("migrate", "--workspace", root, "--to", tmp_path / "new", "--yes", *flags).code == 0
