"""Results of VMAF's own harness, taken over into our store.

Its entries are the text of a Python dictionary, one row a metric, named by a hash of how the asset was described; ours
are named by the content of both videos. So a recipe has to say which videos those were. What such an entry does not say
is which libvmaf measured it: it is stored under its own executor and engine, where nothing that we measure is looked
for, and a run of ours never takes an imported number for its own.
"""

from __future__ import annotations

import ast
import json
import math
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vmaf_harness.engine.binary import Engine
from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.extraction import Extraction
from vmaf_harness.measure.measurement import Measurement
from vmaf_harness.measure.store import FileResultStore
from vmaf_harness.recipe.asset import Asset
from vmaf_harness.recipe.dataset import Recipe
from vmaf_harness.recipe.plain_data import short_text
from vmaf_workspace.contract import FILE_RESULT_STORE, KEPT_NAMES, executor_and_dataset
from vmaf_workspace.disk.atomic import read_regular
from vmaf_workspace.errors import RefusedError

MAX_BYTES = 64 << 20  # of an entry: 20 features of 100 000 frames
MAX_LETTERS = 150  # of a name; a file system takes 255 bytes
UNKNOWN = "unknown (imported)"
NOT_FINITE = {"nan": math.nan, "inf": math.inf}
_UPSTREAM_ENTRY = re.compile(r"[0-9a-f]{40}")  # they name an entry by a sha1, we by a sha256
_OWN_ENTRY = re.compile(r"[0-9a-f]{64}\.json.*")  # one that was set aside included
NUMPY_CALLS = frozenset({"array", "float64", "float32", "int64", "int32"})  # numpy's lists and numbers


@dataclass(slots=True)
class ImportReport:
    """What became of the entries of a store of VMAF's own harness."""

    stored: int = 0
    known: int = 0  # stored by an earlier import
    of_other_datasets: int = 0
    of_several_models: int = 0  # metrics that were left out of entries whose others were taken
    others: int = 0  # files that are no entry of VMAF's own harness, and none of ours
    problems: list[tuple[str, str]] = field(default_factory=list)  # (entry, why it was left)


def import_results(recipe: Recipe, store: Path, root: Path, *, dry_run: bool = False) -> ImportReport:
    """Take over what *store* has of the assets of *recipe*, into the workspace *root*.

    *store* is a `file_result_store`, or a workspace that has one. Nothing in an entry is evaluated, and no entry is
    changed. Raises HarnessError where *store* is neither.
    """
    inside = (store / "result_store_dir" / FILE_RESULT_STORE, store / FILE_RESULT_STORE)
    store = next((place for place in inside if place.is_dir()), store)
    done = ImportReport()
    assets = {(asset.content_id, asset.asset_id): asset for asset in recipe.assets}
    stores: dict[tuple[str, str], FileResultStore] = {}
    for path in _entries(store, done):
        name = str(path.relative_to(store))
        executor_id, dataset = executor_and_dataset(path.relative_to(store).parts) or ("", "")
        if dataset != recipe.name:
            done.of_other_datasets += 1
            continue
        try:
            rows = _rows(path)
            asset = _asset_of(rows, assets, dataset, executor_id)
            frames = _frames(rows)
            of_several_models = len(rows) - len(frames)
            kind, _, version = executor_id.partition("_V")
            version = version.replace("/", "_")[-MAX_LETTERS:]  # a name of one directory; the key has all of it
            score = f"{kind}_score" if f"{kind}_score" in frames else min(frames)
            if (executor_id, score) not in stores:
                extraction = Extraction(type=kind, version=version, options=(("imported", executor_id),), score=score)
                engine = Engine(path="", ffmpeg=UNKNOWN, libvmaf=UNKNOWN)
                stores[executor_id, score] = FileResultStore(root, extraction, engine, warn=lambda _: None)
            ours = stores[executor_id, score]
            place = ours.path(asset)
            if os.path.exists(place):
                done.known += 1
                continue
            if not dry_run:
                means = {metric: _mean(metric, values) for metric, values in frames.items()}
                ours.put(asset, Measurement(frames=frames, means=means, extraction_s=0.0), place)
            done.stored += 1
            done.of_several_models += of_several_models
        except (HarnessError, RefusedError) as error:
            done.problems.append((name, str(error)))
    for each in stores.values():
        if not dry_run:
            each.save_hashes()
    return done


def read_literal(text: str) -> Any:
    """The value that *text* spells: containers, text, numbers, `nan`, `inf`, and numpy's `array([…])`, `float64(…)`.

    Nothing is evaluated. Raises HarnessError for anything else, and for text that was cut short.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of strange escapes in names of files
            return _value(ast.parse(text.strip(), mode="eval").body)
    except SyntaxError as error:
        if error.msg.startswith("Exceeds the limit"):  # of digits, which are all there
            raise HarnessError(f"a number of too many digits: {error.msg.partition(';')[0]}") from None
        raise HarnessError(f"not a whole dictionary ({error.msg}, line {error.lineno}): cut short?") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise HarnessError(f"not the text of a dictionary ({type(error).__name__}: {str(error)[:200]})") from None


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=value) if isinstance(value, (str, int, float, bool, type(None))):
            return value
        case ast.Dict(keys=keys, values=values):
            return {_key(key): _value(value) for key, value in zip(keys, values, strict=True)}
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return [_value(element) for element in elements]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_number(operand)
        case ast.Name(id=name) if name in NOT_FINITE:
            return NOT_FINITE[name]
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=[argument]) if name in NUMPY_CALLS:
            return _value(argument)
    raise HarnessError(f"line {node.lineno}: {ast.unparse(node)[:60]!r} is no data, and was not evaluated")


def _key(node: ast.expr | None) -> str | int:
    value = None if node is None else _value(node)
    if not isinstance(value, (str, int)):
        raise HarnessError(f"a key {short_text(value)}: expected text or a number")
    return value


def _number(node: ast.expr) -> float:
    value = _value(node)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise HarnessError(f"line {node.lineno}: a minus before something that is no number")
    return value


def _entries(store: Path, done: ImportReport) -> Iterator[Path]:
    """`<executor>/<dataset>/<content>/<sha1>`, read from the right: an executor may hold a path of its model.

    What stands beside them and is neither theirs nor ours (work files, say) is counted in *done*.
    """
    if not store.is_dir():
        raise HarnessError(f"{store} is not there; name a file_result_store, or the workspace that has one")

    def say(error: OSError) -> None:
        raise HarnessError(f"cannot read {error.filename} ({error.strerror}); make it readable, then try again")

    has_contents = has_others = False
    for directory, names, files in os.walk(store, onerror=say):
        names.sort()
        is_content = len(Path(directory).relative_to(store).parts) >= 3
        has_contents |= is_content
        found = sorted(name for name in files if name not in KEPT_NAMES and not name.startswith("."))
        has_others |= bool(set(files) - KEPT_NAMES) and not is_content
        for name in found:
            if is_content and _UPSTREAM_ENTRY.fullmatch(name):
                yield Path(directory, name)
            elif not (is_content and _OWN_ENTRY.fullmatch(name)):
                done.others += 1
    if has_others and not has_contents:  # a purge may leave a store without either
        raise HarnessError(
            f"{store} holds no <executor>/<dataset>/<content>/; name a file_result_store, or the workspace that has one"
        )


def _rows(path: Path) -> list[dict[str, Any]]:
    """The rows of the table that an entry holds, each a metric."""
    try:
        content = read_regular(path, follow=True, at_most=MAX_BYTES)
    except OSError as error:
        raise HarnessError(f"cannot be read: {error.strerror}") from error
    if not content.strip():
        raise HarnessError("empty")
    try:
        table = read_literal(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise HarnessError("not text") from None
    columns = ("dataset", "content_id", "asset_id", "scores_key", "scores")
    if not isinstance(table, dict) or not all(isinstance(table.get(name), dict) for name in columns):
        raise HarnessError(f"not a table with the columns {', '.join(columns)}")
    rows = [
        {name: cells.get(index) for name, cells in table.items() if isinstance(cells, dict)}
        for index in table["scores"]
    ]
    if not rows:
        raise HarnessError("a table without rows")
    return rows


def _asset_of(
    rows: list[dict[str, Any]], assets: Mapping[tuple[int, int], Asset], dataset: str, executor_id: str
) -> Asset:
    """The asset of the recipe that all *rows* are of; HarnessError where the recipe has another, or describes it so."""
    first = rows[0]
    for row in rows:
        if (row["dataset"], row["content_id"], row["asset_id"]) != (dataset, first["content_id"], first["asset_id"]):
            raise HarnessError("its rows are of several assets, or of another dataset")
        if row.get("executor_id", executor_id) != executor_id:
            raise HarnessError(f"it says that {row['executor_id']} made it")
    try:
        asset = assets.get((first["content_id"], first["asset_id"]))
    except TypeError:
        asset = None
    if asset is None:
        which = f"content {short_text(first['content_id'])}, asset {short_text(first['asset_id'])}"
        raise HarnessError(f"{which}: no such video in the recipe, or it is missing")
    for column, video in (("ref_name", asset.reference), ("dis_name", asset.distorted)):
        if isinstance(first.get(column), str) and first[column] != video.path.name:
            raise HarnessError(f"it is of {first[column]!r}, and the recipe has {video.path.name!r} there")
    described: Any = None
    with suppress(ValueError, TypeError, KeyError, RecursionError):
        described = json.loads(first["asset"])["asset_dict"] if isinstance(first.get("asset"), str) else None
    ours = {
        "quality_width": asset.quality_width_px,
        "quality_height": asset.quality_height_px,
        "resampling_type": asset.resampling_type,
        "ref_resampling_type": asset.reference.resampling_type or asset.resampling_type,
        "dis_resampling_type": asset.resampling_type,
    }
    for name, value in ours.items() if isinstance(described, dict) else ():
        if value is not None and described.get(name, value) != value:
            raise HarnessError(f"it was measured with {name} {described[name]!r}, and the recipe says {value!r}")
    return asset


def _mean(metric: str, values: list[float]) -> float:
    try:
        return math.fsum(values) / len(values)
    except (OverflowError, ValueError):  # of 1e308 twice; of both infinities
        raise HarnessError(f"{metric}: its scores have no mean that is a number") from None


def _frames(rows: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Metric -> its value in each frame; metrics of several models at once are left out."""
    frames: dict[str, list[float]] = {}
    for row in rows:
        key, scores = row["scores_key"], row["scores"]
        if not (isinstance(key, str) and key.endswith("_scores") and isinstance(scores, list)):
            raise HarnessError(f"a row {str(key)[:60]!r} that has no list of scores")
        if scores and all(isinstance(score, list) for score in scores):
            continue
        if not all(isinstance(score, (int, float)) and not isinstance(score, bool) for score in scores):
            raise HarnessError(f"{key}: something that is no number")
        try:
            frames[key.removesuffix("s")] = [float(score) for score in scores]
        except OverflowError:
            raise HarnessError(f"{key}: a number of hundreds of digits") from None
    counts = {len(scores) for scores in frames.values()}
    if counts and (len(counts) > 1 or counts == {0}):
        raise HarnessError(f"its metrics have {' and '.join(map(str, sorted(counts)))} frames")
    if not frames:
        raise HarnessError("no score of a single model")
    return frames
