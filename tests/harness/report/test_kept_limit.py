"""A run keeps the stored results within the limit of a flag, of Invoke's configuration, or of the environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from clips import Clips, recipe

from vmaf_harness.cli import main as vmaf_harness
from vmaf_harness.measure.store import store_directory
from vmaf_harness.script import run_testing
from vmaf_workspace.contract import MARKER
from vmaf_workspace.live.lock import CLEANER

Printed = pytest.CaptureFixture[str]


@pytest.fixture
def dataset(clips: Clips, tmp_path: Path) -> Path:
    reference = str(clips.mp4("reference"))
    return recipe(tmp_path, reference, [reference])


@pytest.fixture
def old(vmaf_workspace: Path) -> Path:
    """A result that nobody used for long."""
    path = store_directory(vmaf_workspace) / "VMAF_V0" / "old" / "c" / "old.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x" * 100_000)
    os.utime(path, (1_600_000_000, 1_600_000_000))
    (vmaf_workspace / MARKER).mkdir(exist_ok=True)
    return path


def scored(dataset: Path, *flags: str) -> int:
    return run_testing.main(["PSNR", str(dataset), "--cache-result", "--suppress-plot", *flags])


def test_the_environment_s_limit_is_kept_and_what_went_is_said_in_a_line(
    dataset: Path, old: Path, vmaf_workspace: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMAF_MAX_STORE", "50K")
    assert scored(dataset) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "kept within" in line]
    assert len(said) == 1
    assert said[0].startswith("stored results are kept within 50.0 KiB; 1 file, ")
    assert not old.exists()
    assert len(list(store_directory(vmaf_workspace).rglob("*.json"))) == 1  # its own


def test_a_run_that_stores_nothing_removes_nothing(dataset: Path, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert scored(dataset) == 0
    monkeypatch.setenv("VMAF_MAX_STORE", "50K")
    assert scored(dataset) == 0
    assert old.exists()


def test_a_limit_too_small_for_the_run_itself_keeps_what_it_used(
    dataset: Path, old: Path, vmaf_workspace: Path, capsys: Printed
) -> None:
    assert scored(dataset, "--max-store-files", "0") == 0
    assert not old.exists()
    assert len(list(store_directory(vmaf_workspace).rglob("*.json"))) == 1
    assert "1 file over it stay, in use by this run" in capsys.readouterr().err


def test_a_purge_that_cannot_be_costs_a_run_nothing(
    dataset: Path, old: Path, vmaf_workspace: Path, capsys: Printed
) -> None:
    (vmaf_workspace / MARKER / CLEANER).mkdir()  # where a lock file belongs
    assert scored(dataset, "--max-store", "1K") == 0
    err = capsys.readouterr().err
    assert "stored results could not be kept within 1.0 KiB" in err
    assert "1 asset scored" in err
    assert old.exists()


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("VMAF_MAX_STORE", "10", "VMAF_MAX_STORE: '10' needs a unit: B, K, M, G, T"),
        ("VMAF_MAX_STORE", "much", "VMAF_MAX_STORE: expected a size such as 500M or 1.5GiB, got 'much'"),
        ("VMAF_MAX_STORE_FILES", "-1", "VMAF_MAX_STORE_FILES: expected an integer of 0 or more, got '-1'"),
    ],
)
def test_a_wrong_value_is_refused_by_name_and_nothing_is_measured(
    variable: str, value: str, says: str, dataset: Path, old: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    assert scored(dataset) == 2
    assert says in capsys.readouterr().err
    assert old.exists()


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("ws: {max_size: 50K}", 0, "kept within 50.0 KiB"),
        ("ws: {max_files: 1}", 0, "kept within 1.0 TiB and 1 file; "),
        ("ws: {max_size: 50}", 2, "Invoke's configuration, ws.max_size: '50' needs a unit"),
        ("ws: {max_files: true}", 2, "Invoke's configuration, ws.max_files: expected text, a number or a path"),
    ],
)
def test_invokes_configuration_sets_it_before_the_environment_and_after_a_flag(
    text: str,
    code: int,
    says: str,
    dataset: Path,
    old: Path,
    vmaf_workspace: Path,
    tmp_path: Path,
    capsys: Printed,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VMAF_WORKSPACE", str(vmaf_workspace))  # the default is that of another directory
    (tmp_path / "tasks.py").write_text("")
    (tmp_path / "invoke.yaml").write_text(text + "\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VMAF_MAX_STORE", "1T")
    command = ["test", "PSNR", str(dataset), "--cache-result", "--suppress-plot"]
    assert vmaf_harness(command) == code
    assert says in capsys.readouterr().err
    assert old.exists() == (code != 0)
