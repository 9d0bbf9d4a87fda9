"""What a person reads on a screen of 80 columns: no word broken, nothing of ours counted, colour with a meaning."""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from pathlib import Path

import pexpect
import pytest
from trees import live_run, workspace, write, ws

from vmaf_workspace.commands.table import print_table
from vmaf_workspace.commands.tables import _family
from vmaf_workspace.contract import SUBDIRS
from vmaf_workspace.wording import duration_text, filled

SPINNER = tuple("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
COLOUR = re.compile(r"\x1b\[(?:1;)?3[0-9]m")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VMAF_WORKSPACE", str(tmp_path / "ws"))
    monkeypatch.setenv("VMAF_BACKUPS", str(tmp_path / "backups"))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return workspace(tmp_path / "ws")


def screen(*args: str, columns: int = 80) -> tuple[int | None, str]:
    child = pexpect.spawn(
        sys.executable,
        ["-m", "vmaf_workspace.cli", *args],
        encoding="utf-8",
        timeout=60,
        dimensions=(60, columns),
        # COLUMNS would hold: pytest's readline, and xdist, may have set it, beneath `os.environ` or in it.
        env={name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")},
    )
    child.expect(pexpect.EOF)
    child.close()
    return child.exitstatus, str(child.before)


def plain(text: str) -> list[str]:
    """Its lines as they stand in the end, without what moves the cursor or colours them."""
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r\n", "\n").split("\n")
    return [line.split("\r")[-1].rstrip() for line in lines if not line.rstrip("\r").startswith(SPINNER)]


@pytest.mark.parametrize("columns", [80, 120])
def test_the_table_of_a_status_breaks_no_word(columns: int, root: Path) -> None:
    write(root / "encode" / "a.mp4", 10_000_000)
    code, out = screen("status", columns=columns)
    lines = plain(out)
    assert code == 0
    assert max(map(len, lines)) <= columns
    for subdir in SUBDIRS:
        (line,) = (line for line in lines if line.startswith(f"{subdir.name}/ "))
        assert (subdir.removed_by or "no task").partition(" ")[0].replace("ws.", "vmaf-ws ") in line
        assert f" {subdir.costs.partition(':')[0]}" in line


def test_an_empty_workspace_has_no_files_and_what_is_in_it_is_the_sum(root: Path) -> None:
    assert re.search(r"^total +0 ", ws("status").out, re.MULTILINE)
    write(root / "model" / "a.pkl", 10)
    write(root / "dataset" / "b.yuv", 10)
    out = ws("status").out
    counts = {name: int(n) for name, n in re.findall(r"^(\w+)/? +(\d+) ", out, re.MULTILINE)}
    assert (counts["model"], counts["workdir"], counts["total"]) == (1, 0, 2)


def test_a_checkouts_models_take_a_line_a_family(root: Path, nowhere: Path) -> None:
    write(nowhere / "compat" / "python-vmaf" / "config.py")
    (nowhere / ".git").mkdir()
    for name in ("vmaf_v0.6.1", "vmaf_v0.6.1neg", "vmaf_float_v0.6.1", "vmaf_float_v0.6.1neg", "vmaf_float_b_v0.6.3"):
        write(nowhere / "model" / f"{name}.json")
    code, out = screen("models")
    lines = plain(out)
    assert code == 0
    assert all(len(line) <= 80 or " " not in line.strip() for line in lines), lines  # a path is not broken
    families = [line.split("  ")[0] for line in lines if "shipped: " in line]
    assert sorted(families) == ["vmaf (2)", "vmaf_float (2)", "vmaf_float_b_v0.6.3"]
    assert "v0.6.1neg" in ws("models").out


def test_the_family_of_a_name_is_what_stands_before_its_version() -> None:
    assert [_family(name) for name in ("vmaf_4k_rb_v0.6.2", "tiny/v1", "other/vmaf_v0.6.1neg", "mine")] == [
        "vmaf_4k_rb",
        "tiny/v1",
        "other/vmaf",
        "mine",
    ]


def test_snapshots_say_when_where_of_what_and_how_many_models(root: Path) -> None:
    for name in ("a.pkl", "a.pkl.model", "b.json"):
        write(root / "model" / name, 10)
    write(root / "model_param" / "c.pkl", 10)
    assert ws("backup-models", "--note", "before tuning with everything").code == 0
    code, out = screen("snapshots")
    lines = plain(out)
    assert code == 0
    assert f"of {root} on " in " ".join(lines)  # which breaks where the path is long
    assert max(len(line) for line in lines if not line.startswith("of ")) <= 80
    row = next(n for n, line in enumerate(lines) if re.search(r"^\S{29}  [\d-]+ \d\d:\d\d +2 +4 +40 B$", line))
    assert lines[row + 1] == "    before tuning with everything"
    assert time.strftime("%Y-%m-%d") in lines[row]
    assert re.search(r" 40 B  before tuning with everything", screen("snapshots", columns=120)[1])


def test_a_duration_is_said_as_people_say_it(root: Path) -> None:
    assert [duration_text(s) for s in (3600, 5400, 60, 90, 7, 86400)] == [
        "1 h",
        "1.5 h",
        "1 min",
        "1.5 min",
        "7 s",
        "1 d",
    ]
    write(root / "workdir" / "probe" / "file")
    assert "within --min-age 1 h" in ws("clean-scratch", "--dry-run").out


def test_colour_means_an_error_a_warning_or_a_live_run_and_is_on_a_terminal_alone(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root / "model" / "a.pkl", 10)
    shutil.rmtree(root / "workdir")
    with live_run(root):
        shown = {words: screen(*words)[1] for words in (("status",), ("doctor",), ("verify", "--snapshot", "x"))}
        assert "\x1b[36min use:" in shown["status",]
        assert "\x1b[1;31merror" in shown["doctor",]
        assert "\x1b[33mwarning" in shown["doctor",]
        assert "\x1b[1;31mverify:" in shown["verify", "--snapshot", "x"]
        for words in shown:
            done = ws(*words)
            assert "\x1b" not in done.out + done.err
        monkeypatch.setenv("NO_COLOR", "1")
        assert not any(COLOUR.search(screen(*words)[1]) for words in shown)


LONG_NAME = "cross-validation-a_dataset_with_a_long_name-c783997c87462d2556c15486911ad107"


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_path_is_whole_and_no_line_is_cut_at_any_width(columns: int, root: Path) -> None:
    write(root / "checkpoints_dir" / LONG_NAME / "part.json", 10)
    write(root / "model" / "mine.pkl", 10)
    write(root / "dataset" / "big.yuv", 1)
    os.utime(root / "dataset" / "big.yuv", (time.time() - 100, time.time() - 100))  # "1.7 min", the longest age
    _, out = screen("status", columns=columns)
    assert len([line for line in plain(out) if line.endswith("vmaf-ws clean-scratch")]) == 2
    _, out = screen("wipe-models", "--dry-run", "--without-snapshot", columns=columns)
    lines = plain(out)
    assert f"checkpoints_dir/{LONG_NAME}/" in " ".join(lines).split()
    assert [line for line in lines if len(line) > columns and " " in line.strip()] == []
    assert any(re.search(r"^model/mine +1 +\d", line) for line in lines)


def test_without_a_terminal_a_row_of_a_table_is_a_line(root: Path) -> None:
    write(root / "checkpoints_dir" / LONG_NAME / "part.json", 10)
    write(root / "model" / "mine.pkl", 10)
    out = ws("wipe-models", "--dry-run", "--without-snapshot").out
    assert re.search(rf"^checkpoints_dir/{LONG_NAME}/ +1 +\d", out, re.MULTILINE)


def test_names_in_wide_characters_keep_the_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("|PATH", ">FILES"), [("model/模型", "1"), ("model/mine", "10")])
    assert capsys.readouterr().out == "PATH        FILES\nmodel/模型      1\nmodel/mine     10\n"


ERRORS = {
    "a flag that there is not": ("clean-scratch", "--only", "wrkdir"),
    "a unit that there is not": ("clean-scratch", "--min-age", "1hour"),
    "a workspace that is none": ("clean-scratch", "--workspace", "/usr"),
    "a snapshot that there is not": ("restore-models", "--snapshot", "nothing-of-this-name-is-there"),
    "a question without an answer": ("migrate", "--workspace", "/usr/share/doc", "--to", "/usr/share"),
}


@pytest.mark.parametrize("words", ERRORS.values(), ids=ERRORS.keys())
def test_an_error_is_broken_between_words_on_a_terminal_and_is_a_line_elsewhere(
    words: tuple[str, ...], root: Path
) -> None:
    write(root / "model" / "mine.pkl", 10)
    code, out = screen(*words)
    lines = plain(out)
    assert code not in (0, None)
    assert [line for line in lines if len(line) > 80 and " " in line] == []
    done = ws(*words)
    assert done.err.split() == " ".join(lines).split()
    assert done.err.startswith(f"{words[0]}: ")


def test_words_that_belong_together_are_not_broken() -> None:
    text = "take /a/path/that/is/longer/than/the/line and `vmaf-ws run -- pytest` (see the page)"
    assert filled(text, 24, "  ") == [
        "take",
        "  /a/path/that/is/longer/than/the/line",
        "  and",
        "  `vmaf-ws run -- pytest`",
        "  (see the page)",
    ]
    assert filled("", 24) == [""]
    assert filled("  indented  as it was", 40) == ["  indented  as it was"]
