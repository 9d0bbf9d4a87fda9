"""What a person should know of a number: what was converted, what differs, what was damaged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from vmaf_harness.recipe.asset import Asset

DAMAGE, PAIRING, RATE, SHIFT, CONTENT = "damage", "pairing", "rate", "shift", "content"
Side = Literal["reference", "distorted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One thing to know of one video of a pair. `kind` is a word to select by; `text` does not name the file."""

    kind: str
    side: Side
    text: str


def relevant_notes(asset: Asset, notes: Iterable[Note]) -> list[Note]:
    """The notes that a person wants of *asset*: not those of its pairing by number where that is meant so."""
    return [note for note in notes if note.kind not in (PAIRING, RATE, SHIFT) or asset.pairing != "index"]


def noted_path(asset: Asset, note: Note) -> str:
    """The file that a note of *asset* is of."""
    return str((asset.reference if note.side == "reference" else asset.distorted).path)


def summarize_notes(of_assets: Iterable[tuple[Asset, Iterable[Note]]]) -> list[str]:
    """The notes of many assets, each text once: the first file that it is of, and how many more there are."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for asset, notes in of_assets:
        for note in relevant_notes(asset, notes):
            found.setdefault((note.kind, note.text), {})[noted_path(asset, note)] = None
    made = []
    for (kind, text), paths in found.items():
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        made.append(f"{kind}: {next(iter(paths))}{more}: {text}")
    return made
