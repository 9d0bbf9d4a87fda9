"""What is known of the models and runs in a workspace: the cards in `model/`, the statistics in `output/`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any

from vmaf_harness.recipe.labels import labels_from_dict
from vmaf_harness.statistics import statistics_text
from vmaf_harness.training.card import SUFFIX
from vmaf_workspace.disk.atomic import read_regular
from vmaf_workspace.wording import printable

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
    made_s: float  # when it was written, in seconds since 1970
    run: str  # what it is called: the model, or what was run
    dataset: str
    model: str
    kind: str | None
    labels: str | None
    statistics: dict[str, Any]
    is_taught: bool = False  # whether the labels are a model's scores, nobody's opinions


def read_entries(root: Path) -> list[SummaryEntry]:
    """Models by name, then runs, the oldest first; files that are not ours are passed over."""
    cards = sorted((root / "model").glob(f"*{SUFFIX}"))
    output = root / "output"
    runs = sorted((output / name for name in glob("*/statistics.json", root_dir=output)), key=_mtime_ns)
    return [entry for path in (*cards, *runs) for entry in _read_entry(path, root)]


def _read_entry(path: Path, root: Path) -> Iterator[SummaryEntry]:
    try:
        about = json.loads(read_regular(path, follow=True))
        dataset = about["dataset"]
        name = dataset["name"] if isinstance(dataset, dict) else dataset
        kind = next(about[key] for key in ("kind", "executor_id", "model_type") if key in about)
        if about.get("pool", "mean") != "mean":
            kind = f"{kind}, {about['pool']}"
        is_card = path.name.endswith(SUFFIX)
        run = path.name.removesuffix(SUFFIX) if is_card else about.get("kind", "test")
        model = kind if is_card or "kind" not in about else about.get("model", about.get("model_type", ""))
        numbers = {"n": 0} | (about["statistics"] or {})
        labels = labels_from_dict(dataset if isinstance(dataset, dict) else about)
        of = about.get("statistics_kind", _OLD_KINDS.get(kind, "training" if "model_type" in about else None))
        statistics_text(name, numbers)  # as it will be said: not of text, nor of what no float holds
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, StopIteration, RecursionError):
        return
    yield SummaryEntry(
        path=str(path.relative_to(root)),
        what=f"{name}, {kind}",
        made_s=_mtime_ns(path) / 1e9,
        run=str(run),
        dataset=str(name),
        model=str(model),
        kind=of if isinstance(of, str) else None,
        labels=str(labels) if labels else None,
        statistics=numbers,
        is_taught=labels is not None and labels.source is not None,
    )


HEADER = ("WHEN", "|RUN", "DATASET", "MODEL", ">N", ">SROCC", ">PLCC", ">RMSE")
_NAMES = (1, 2, 3)  # columns that are cut where the table would be wider than a terminal
_COLUMNS, _BETWEEN = 80, 2  # of a terminal, and blanks between two columns
_RUNS = {"cross-validation": "cross-valid."}


def table(entries: Sequence[SummaryEntry]) -> tuple[list[tuple[str, ...]], list[str]]:
    """Rows for `HEADER`, the newest first, and what the marks in them mean."""
    ordered = sorted(entries, key=lambda each: -each.made_s)
    rows = _fitted([_row(each) for each in ordered])
    notes = []
    if any(each.kind == "training" and each.statistics["n"] for each in entries):
        notes.append("t: of what the model was fitted to, which flatters it")
    if any(_is_cross_validated(each) for each in entries):
        notes.append("c: each content predicted by a model that has not seen it")
    notes += [f"*: labels are {each}" for each in dict.fromkeys(e.labels for e in ordered if e.labels and e.is_taught)]
    return rows, [printable(note) for note in notes]


def _row(entry: SummaryEntry) -> tuple[str, ...]:
    when = time.strftime("%m-%d %H:%M", time.localtime(entry.made_s))
    mark = "c" if _is_cross_validated(entry) else "t" if entry.kind == "training" else ""
    mark += "*" if entry.is_taught else ""
    found = entry.statistics

    def number(name: str, digits: int) -> str:
        return f"{found[name]:.{digits}f}" if found.get(name) is not None else "-"

    names = (_RUNS.get(entry.run, entry.run), entry.dataset, entry.model)
    cells = (when, *map(printable, names), str(found["n"]))
    return (*cells, number("srocc", 4) + mark, number("plcc", 4), number("rmse", 3))


def _is_cross_validated(entry: SummaryEntry) -> bool:
    return entry.kind == "cross-validated" and bool(entry.statistics["n"])


def _fitted(rows: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The rows, with the longest names cut as far as the width of a terminal asks for."""
    widths = [max(map(len, column)) for column in zip([name.lstrip(">|") for name in HEADER], *rows, strict=True)]
    while sum(widths) + _BETWEEN * (len(widths) - 1) > _COLUMNS and max(widths[n] for n in _NAMES) > 1:
        widths[max(_NAMES, key=lambda n: widths[n])] -= 1
    return [
        tuple(
            cell if len(cell) <= width or n not in _NAMES else f"{cell[: width - 1]}…"
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _mtime_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # cleaned in this moment
        return 0
