"""What the labels of a dataset are, and who made them: people, or a model in their place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vmaf_harness.recipe.dataset import Recipe
from vmaf_harness.recipe.subjective import DEFAULT_MODEL

_KIND_NAMES = {"dmos": "DMOS", "mos": "MOS", "groundtruth": "groundtruth"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """The labels of a dataset. `kind` as in `Recipe.label_kind`; None where there are none.

    `source` is the model whose scores they are, such as ``VMAF_V0.6.1``, None where the recipe names none, which should
    mean opinions; `subjective_model` is what made them from raw scores, None for other kinds.
    """

    kind: str | None
    source: str | None = None
    subjective_model: str | None = None

    def __str__(self) -> str:
        """What they are, for the title of an axis."""
        if self.kind is None:
            return "no labels"
        if self.source is not None:
            return f"scores of the model {self.source} (no opinions)"
        if self.kind != "os":
            return _KIND_NAMES[self.kind]
        if self.subjective_model in ("MOS", "DMOS"):
            return f"{self.subjective_model} of raw scores"
        return f"raw scores by {self.subjective_model}"

    @property
    def bar(self) -> str:
        """What the standard deviations of these labels (`Asset.groundtruth_std`) are, for a legend."""
        return "label ± 1 standard error" if self.kind == "os" else "label ± its groundtruth_std"

    def as_dict(self) -> dict[str, str | None]:
        """As cards and `statistics.json` carry them."""
        return {"label": self.kind, "label_source": self.source, "subjective_model": self.subjective_model}


def labels_of(recipe: Recipe, subjective_model: str | None) -> Labels:
    """The labels that `subjective.label_assets` gives the assets of *recipe*."""
    model = (subjective_model or DEFAULT_MODEL) if recipe.label_kind == "os" else None
    source = recipe.label_source if recipe.label_kind not in (None, "os") else None
    return Labels(kind=recipe.label_kind, source=source, subjective_model=model)


def labels_from_dict(about: Mapping[str, object]) -> Labels | None:
    """The same from what `as_dict` left in a file; None where it says nothing."""
    kind, *rest = (about.get(name) for name in ("label", "label_source", "subjective_model"))
    if kind not in (*_KIND_NAMES, "os"):
        return None
    source, model = (each if isinstance(each, str) else None for each in rest)
    return Labels(kind=str(kind), source=source, subjective_model=model)
