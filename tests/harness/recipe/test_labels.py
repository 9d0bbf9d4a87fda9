from __future__ import annotations

from pathlib import Path

import pytest

from vmaf_harness.recipe.dataset import Recipe
from vmaf_harness.recipe.labels import Labels, labels_from_dict, labels_of


def a_recipe(kind: str | None, source: str | None = None) -> Recipe:
    return Recipe(
        name="d", path=Path("d.py"), assets=(), missing=(), label_kind=kind, ref_score=None, label_source=source
    )


@pytest.mark.parametrize(
    ("kind", "source", "model", "said"),
    [
        ("dmos", None, None, "DMOS"),
        ("mos", None, "MLE", "MOS"),  # a subjective model is not used then
        ("groundtruth", None, None, "groundtruth"),
        ("groundtruth", "VMAF_V0.6.1", None, "scores of the model VMAF_V0.6.1 (no opinions)"),
        ("os", None, None, "raw scores by MLE_CO_AP2"),
        ("os", None, "MOS", "MOS of raw scores"),
        ("os", "VMAF_V0.6.1", "DMOS", "DMOS of raw scores"),  # a model has no opinions
        (None, "VMAF_V0.6.1", None, "no labels"),
    ],
)
def test_an_axis_says_what_labels_are_and_a_file_keeps_it(
    kind: str | None, source: str | None, model: str | None, said: str
) -> None:
    labels = labels_of(a_recipe(kind, source), model)
    assert str(labels) == said
    assert labels_from_dict(labels.as_dict()) == (labels if kind else None)


def test_only_labels_from_raw_scores_have_standard_errors_for_certain() -> None:
    assert Labels(kind="os", subjective_model="MOS").bar == "label ± 1 standard error"
    assert Labels(kind="mos").bar == "label ± its groundtruth_std"


@pytest.mark.parametrize("about", [{}, {"label": 3}, {"label": "stars"}, {"label": ["mos"]}])
def test_a_file_that_says_nothing_of_labels_has_none(about: dict[str, object]) -> None:
    assert labels_from_dict(about) is None
