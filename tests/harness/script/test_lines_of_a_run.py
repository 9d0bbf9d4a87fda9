"""What a run prints with and without a terminal: a line a thing, but not hundreds of them, or a table."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from trainable import Trainable

from vmaf_harness.script import run_testing, run_vmaf_training
from vmaf_harness.script.progress import Progress
from vmaf_harness.script.run_vmaf_cross_validation import _show_folds
from vmaf_harness.statistics import statistics_json


@pytest.mark.parametrize(("total", "lines"), [(3, 3), (300, 0)])
def test_a_line_a_thing_is_for_few_things(total: int, lines: int, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(total, what="tried") as progress:
        for _ in range(total):
            progress.step("gamma 0.05")
    assert capsys.readouterr().err.count("gamma 0.05\n") == lines


def test_progress_of_a_trained_model_shows_its_scores_and_not_a_feature(
    small: Trainable, vmaf_workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_vmaf_training.main([*small.inputs, "m", "--cache-result", "--suppress-plot"]) == 0
    capsys.readouterr()
    assert run_testing.main(["VMAF", str(small.dataset), "--vmaf-model", "m", "--print-result", "--suppress-plot"]) == 0
    said = capsys.readouterr()
    shown = dict(re.findall(r"^\d+/12 asset (\d+): (\S+)$", said.err, re.MULTILINE))
    scores = dict(re.findall(r"^asset (\d+): VMAF (\S+) ", said.out, re.MULTILINE))
    assert len(shown) == 12
    assert shown == scores


def test_folds_are_a_table_on_a_terminal_and_a_line_each_elsewhere(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folds = [
        {"contents": list(range(30)), **statistics_json([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])},
        {"contents": [30], **statistics_json([1.0], [2.0])},
    ]
    _show_folds(folds)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("fold 1, contents 0, 1, ")
    assert "3 assets: cross-validated SROCC 1.0000" in first
    assert second.startswith("fold 2, contents 30, 1 assets: no statistics")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    _show_folds(folds)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["FOLD", "CONTENTS", "ASSETS", "SROCC", "PLCC", "KROCC", "RMSE"]
    assert re.match(r" +1  0, 1, .* 3  1\.0000  0\.98", lines[1])
    assert any(re.match(r" +2  30 .* 1 +- +- +- +(1\.0000|-)", line) for line in lines)
