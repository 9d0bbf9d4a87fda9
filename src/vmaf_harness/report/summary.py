"""What is known of the models and runs in a workspace: the cards in `model/`, the statistics in `output/`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any

from vmaf_harness.recipe.labels import labels_from_dict
from vmaf_harness.statistics import statistics_text
from vmaf_harness.training.card import SUFFIX

# Of files that do not say it themselves: older than the field.
_OLD_KINDS = {"training": "training", "cross-validation": "cross-validated", "tuning": "cross-validated"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryEntry:
    """A model, or a run, with its statistics; `n` is 0 where it has none.

    `kind` is ``training`` where they are of what the model was fitted to, and ``cross-validated`` where each content
    was predicted by a model that had not seen it. `labels` says what they are, and who made them, where that is known.
    """

    path: str  # below the workspace
    what: str  # such as "demo, LIBSVMNUSVR"
    kind: str | None
    labels: str | None
    statistics: dict[str, Any]


def read_entries(root: Path) -> list[SummaryEntry]:
    """Models by name, then runs, the oldest first; files that are not ours are passed over."""
    cards = sorted((root / "model").glob(f"*{SUFFIX}"))
    output = root / "output"
    runs = sorted((output / name for name in glob("*/statistics.json", root_dir=output)), key=_mtime_ns)
    return [entry for path in (*cards, *runs) for entry in _read_entry(path, root)]


def _read_entry(path: Path, root: Path) -> Iterator[SummaryEntry]:
    try:
        about = json.loads(path.read_bytes())
        dataset = about["dataset"]
        name = dataset["name"] if isinstance(dataset, dict) else dataset
        kind = next(about[key] for key in ("model_type", "executor_id", "kind") if key in about)
        if about.get("pool", "mean") != "mean":
            kind = f"{kind}, {about['pool']}"
        numbers = {"n": 0} | (about["statistics"] or {})
        labels = labels_from_dict(dataset if isinstance(dataset, dict) else about)
        of = about.get("statistics_kind", _OLD_KINDS.get(kind, "training" if "model_type" in about else None))
        statistics_text(name, numbers)  # as it will be said: not of text, nor of what no float holds
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, StopIteration, RecursionError):
        return
    yield SummaryEntry(
        path=str(path.relative_to(root)),
        what=f"{name}, {kind}",
        kind=of if isinstance(of, str) else None,
        labels=str(labels) if labels else None,
        statistics=numbers,
    )


def _mtime_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # cleaned in this moment
        return 0
