"""What is said of cards and statistics that somebody else wrote: nothing, and the others all the same."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from vmaf_harness.script.options import Reporting
from vmaf_harness.script.reporting import run

CARD = {"dataset": {"name": "some"}, "model_type": "LIBSVMNUSVR", "statistics": {"n": 9, "srocc": 0.5}}


@pytest.mark.parametrize(
    "change",
    [
        {"statistics": {"n": 9, "srocc": 10**400}},
        {"statistics": {"n": 9, "srocc": "high"}},
        {"statistics": {"n": 9, "logistic": 3}},
        {"statistics": {"n": 9, "logistic": {"plcc": 1}}},
        {"statistics": [3]},
        {"model_type": ["LIBSVMNUSVR"]},
        {"dataset": 3},
        {"dataset": None, "kind": None},
    ],
)
def test_a_card_of_which_no_line_can_be_made_does_not_hide_the_others(
    change: dict[str, Any], vmaf_workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = vmaf_workspace / "model"
    model.mkdir(parents=True)
    (model / "a.card.json").write_text(json.dumps(CARD | change))
    (model / "b.card.json").write_text(json.dumps(CARD))
    assert run(Reporting()) == 0
    header, *rows, note = capsys.readouterr().out.splitlines()
    assert header.split() == ["WHEN", "RUN", "DATASET", "MODEL", "N", "SROCC", "PLCC", "RMSE"]
    assert ["b", "some", "LIBSVMNUSVR", "9", "0.5000t", "-", "-"] in [row.split()[2:] for row in rows]
    assert note == "t: of what the model was fitted to, which flatters it"


def write_run(output: Path, name: str, made_s: float, **fields: Any) -> None:
    (output / name).mkdir(parents=True)
    path = output / name / "statistics.json"
    about = {"dataset": "some", "label": "groundtruth", "statistics": {"n": 9, "srocc": 0.5, "plcc": 0.25, "rmse": 1.5}}
    path.write_text(json.dumps(about | fields))
    os.utime(path, (made_s, made_s))


def test_the_table_has_the_newest_first_and_marks_what_flatters(
    vmaf_workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = vmaf_workspace / "output"
    write_run(output, "a", 2e9, kind="cross-validation", model_type="LIBSVMNUSVR", statistics_kind="cross-validated")
    write_run(output, "b", 1e9, kind="training", model="m.pkl", statistics_kind="training")
    write_run(output, "c", 3e9, executor_id="VMAF_V0.6.1", label_source="VMAF_V0.6.1neg")
    assert run(Reporting()) == 0
    _, *rows = capsys.readouterr().out.splitlines()
    assert [row.split()[2:6] for row in rows[:3]] == [
        ["test", "some", "VMAF_V0.6.1", "9"],
        ["cross-valid.", "some", "LIBSVMNUSVR", "9"],
        ["training", "some", "m.pkl", "9"],
    ]
    assert [row.split()[6] for row in rows[:3]] == ["0.5000*", "0.5000c", "0.5000t"]
    assert [row[:2] for row in rows[3:]] == ["t:", "c:", "*:"]
    assert rows[-1].endswith("scores of the model VMAF_V0.6.1neg (no opinions)")


def test_the_table_fits_80_columns_whatever_the_names(vmaf_workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    numbers = {"n": 10_000, "srocc": -0.12345, "plcc": -0.12345, "rmse": 12.3456}
    long = {"dataset": "a very long name of a dataset" * 3, "executor_id": "VMAF_V" + "x" * 80, "statistics": numbers}
    write_run(vmaf_workspace / "output", "a", 1e9, **long, label_source="VMAF_V0.6.1neg")
    write_run(vmaf_workspace / "output", "b", 1e9, **long, kind="cross-validation", statistics_kind="cross-validated")
    assert run(Reporting()) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines[:3])) <= 80
    assert all("\x1b" not in line for line in lines)
