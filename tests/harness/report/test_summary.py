"""What is said of cards and statistics that somebody else wrote: nothing, and the others all the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vmaf_harness.commands import report

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
    assert report() == 0
    assert "model/b.card.json: some, LIBSVMNUSVR, 9 assets: training SROCC 0.5000" in capsys.readouterr().out
