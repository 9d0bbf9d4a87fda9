"""Results of our store, written as VMAF's own harness keeps them, so that it finds them and computes none again.

What that harness looks for is the result of a feature extractor, whole: of a result that lacks an atom, it does not
compute the rest, but stops (VMAF_feature for want of ``vif_num_scale0``, whatever was asked). So a result of ours is
written only under those kinds of features of which it has every atom, measured without options, at the version that
the extractor has there; and only where that harness would compare the same samples.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vmaf_harness.engine.binary import Engine
from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.extraction import Extraction
from vmaf_harness.measure.features import FEATURES
from vmaf_harness.measure.import_results import UNKNOWN
from vmaf_harness.measure.store import FileResultStore, store_directory, stored_entry, write_in_directory
from vmaf_harness.measure.upstream_form import UpstreamResult, entry_name, identifier
from vmaf_harness.recipe.asset import Asset
from vmaf_harness.recipe.dataset import Recipe
from vmaf_workspace.config import below
from vmaf_workspace.contract import FILE_RESULT_STORE
from vmaf_workspace.disk.atomic import write_atomically
from vmaf_workspace.errors import RefusedError

# VERSION of each extractor in python/vmaf/core/*feature_extractor.py of 2026-08. Moment_feature is computed in Python
# there, of other numbers where samples have more than 8 bits.
VERSIONS: Mapping[str, str] = {
    "VMAF_feature": "0.2.21",
    "VMAF_integer_feature": "0.2.21",
    "float_ADM_feature": "1.3",
    "float_VIF_feature": "1.3",
    "float_motion_feature": "1.3",
    "integer_ADM_feature": "1.4",
    "integer_VIF_feature": "1.3",
    "integer_motion_feature": "1.4",
    "ANSNR_feature": "1.0",
    "PSNR_feature": "1.1",
    "integer_PSNR_feature": "1.0",
    "SSIM_feature": "1.3",
    "MS_SSIM_feature": "1.3",
    "CIEDE2000_feature": "1.0",
    "Cambi_feature": "0.8",
    "Cambi_FR_feature": "0.8",
    "Speed_chroma_feature": "0.9",
    "Speed_temporal_feature": "0.1",
}
_ENTRY = re.compile(r"[0-9a-f]{64}\.json")
_OTHER_SAMPLES = ("depth", "range", "rgb", "gray")  # notes of what that harness converts in another way
_NO_OPTIONS = ("debug", "enable_lcs", "full_ref")  # which add metrics, as it asks for them, too
_SHOWN = 3  # atoms that a line names


@dataclass(slots=True)
class ExportReport:
    """What became of our results of a dataset."""

    written: int = 0
    known: int = 0  # entries that were there before, ours or not
    results: int = 0  # of ours that they were written from
    left: dict[str, int] = field(default_factory=dict)  # why -> how many of ours
    problems: list[tuple[str, str]] = field(default_factory=list)  # (entry of ours, why it could not be written)


def export_results(recipe: Recipe, store: Path, root: Path, *, dry_run: bool = False) -> ExportReport:
    """Write what the workspace *root* has of the assets of *recipe* into *store*, in the form of VMAF's own harness.

    *store* is a `file_result_store`, or a workspace that has one; a directory that is not there yet is made. An entry
    that is there stays. Raises RefusedError where *store* is a file, HarnessError where it cannot be written.
    """
    if os.path.lexists(store) and not store.is_dir():
        raise RefusedError(f"{store} is no directory; name a new one, a file_result_store, or a workspace that has one")
    inside = (store / "result_store_dir" / FILE_RESULT_STORE, store / FILE_RESULT_STORE)
    store = next((place for place in inside if place.is_dir()), store)
    done = ExportReport()
    assets = _assets_by_key(recipe, root)
    newest: dict[tuple[str, str], tuple[Asset, Path]] = {}
    for path in _entries(root, recipe.name):
        found = stored_entry(path)
        if found is None:
            continue  # whoever reads it next sets it aside
        about, metrics = found
        made_of = about["key_of"]
        of_asset = assets.get(_asset_text(made_of), ())
        kinds = _whole_kinds(metrics)
        if not of_asset:
            why: str | None = "of other videos, or compared in another way, than the recipe says now"
        else:
            why = _why_left(about) or (None if kinds else _lack(path, root, metrics))
        if why is not None:
            done.left[why] = done.left.get(why, 0) + 1
            continue
        done.results += 1
        for asset in of_asset:
            for kind in kinds:
                newest[kind, identifier(asset)] = (asset, path)  # the one that was used last
    for (kind, _), (asset, path) in newest.items():
        executor_id = f"{kind}_V{VERSIONS[kind]}"
        place = below(store, executor_id, asset.dataset, str(asset.content_id), entry_name(asset))
        if os.path.lexists(place):
            done.known += 1
            continue
        try:
            text = _entry_text(kind, executor_id, asset, path)
        except HarnessError as error:
            done.problems.append((str(path.relative_to(store_directory(root))), str(error)))
            continue
        if not dry_run:
            _write(place, text.encode("utf-8", "surrogateescape"))
        done.written += 1
    return done


def _write(place: Path, content: bytes) -> None:
    try:
        write_in_directory(place, lambda: write_atomically(place, content))
    except OSError as error:
        raise HarnessError(
            f"{place}: cannot be written: {error.strerror}; what was written before is whole: make room there, or name "
            "another --store, then export again"
        ) from error


def _assets_by_key(recipe: Recipe, root: Path) -> dict[str, list[Asset]]:
    """The assets by what a key says of them, with and without what CAMBI is told of a video."""
    nobody = Engine(path="", ffmpeg=UNKNOWN, libvmaf=UNKNOWN)
    found: dict[str, list[Asset]] = {}
    for feature in ("psnr", "cambi"):
        of = Extraction(type="export", version="", options=(("feature", f"name={feature}"),), score="")
        ours = FileResultStore(root, of, nobody, warn=lambda _: None)
        ours.hash_contents(recipe.assets)
        for asset in recipe.assets:
            ours.path(asset)  # refused for a name that is none of a directory
            found.setdefault(_asset_text(ours.asset_key(asset)), []).append(asset)
        ours.save_hashes()
    return found


def _asset_text(made_of: Mapping[str, Any]) -> str:
    """What a key says of an asset, as text."""
    others = ("executor_id", "options", "model_sha256", "plugins", "engine")
    return json.dumps({name: value for name, value in made_of.items() if name not in others}, sort_keys=True)


def _entries(root: Path, dataset: str) -> Iterator[Path]:
    """Our entries of a dataset, the one that was used last at the end."""
    found = []
    for executor in sorted(_listed(store_directory(root))):
        for content in sorted(_listed(executor / dataset)):
            found += [path for path in _listed(content) if _ENTRY.fullmatch(path.name)]
    times: list[tuple[int, Path]] = []
    for path in found:
        try:
            times.append((path.stat().st_mtime_ns, path))
        except FileNotFoundError:  # purged meanwhile
            continue
    return (path for _, path in sorted(times))


def _listed(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise HarnessError(f"cannot read {directory} ({error.strerror}); make it readable, then try again") from error


def _why_left(about: Mapping[str, Any]) -> str | None:
    """Why VMAF's own harness would have another number for an entry of ours; None where it would not."""
    made_of = about["key_of"]
    options = dict(made_of["options"])
    if "imported" in options:
        return "imported from VMAF's own harness"
    if made_of["pairing"] != "index":
        return "paired by time, and VMAF's own harness pairs by number"
    if others := sorted(options.keys() - {"model", "feature"}):
        return f"measured with {', '.join(others)}"
    asked = [part.partition("=")[0] for each in options.get("feature", "").split("|") for part in each.split(":")[1:]]
    if others := sorted({*asked} - {*_NO_OPTIONS}):
        return f"measured with options of features ({', '.join(others[:_SHOWN])})"
    if kinds := [note["kind"] for note in about["notes"] if note["kind"] in _OTHER_SAMPLES]:
        return f"converted in another way than VMAF's own harness does ({kinds[0]})"
    return None


def _atoms(kind: str) -> dict[str, str]:
    """The atoms of a kind, without those that it makes of others, and their metrics."""
    return {atom: feature.metric for atom, feature in FEATURES[kind].items() if not feature.mean_of}


def _whole_kinds(metrics: Mapping[str, object]) -> list[str]:
    """The kinds of features of which these metrics are all."""
    return [kind for kind in VERSIONS if metrics.keys() >= {*_atoms(kind).values()}]


def _lack(path: Path, root: Path, metrics: Mapping[str, object]) -> str:
    """What a result lacks to be whole under the kind that it has most of."""
    executor = path.relative_to(store_directory(root)).parts[0]
    share = {kind: len(metrics.keys() & {*_atoms(kind).values()}) for kind in VERSIONS}
    kind = max(share, key=lambda each: share[each])
    if not share[kind]:
        return f"{executor} has nothing that VMAF's own harness keeps"
    lacking = [atom for atom, metric in _atoms(kind).items() if metric not in metrics]
    more = f" and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else ""
    return (
        f"{executor} lacks {', '.join(lacking[:_SHOWN])}{more} of {kind}, without which VMAF's own harness stops; "
        f"extract with feature_dict = {{{kind!r}: 'all'}}"
    )


def _entry_text(kind: str, executor_id: str, asset: Asset, path: Path) -> str:
    found = stored_entry(path)
    if found is None:
        raise HarnessError("gone, or changed, while it was read; export again")
    frames = {f"{kind}_{atom}_score": found[1][metric] for atom, metric in _atoms(kind).items()}
    result = UpstreamResult(executor_id=executor_id, identifier=identifier(asset), frames=frames)
    return result.entry(asset)
