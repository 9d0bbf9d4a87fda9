"""Every model that a person may mean, of the three surfaces: trained ones, shipped ones, Tiny-AI ones.

What is in the files of a model is for a harness to say: an installed package offers a module for that under the entry
point `vmaf_workspace.inspect` (an `Inspector`). Without one everything else is said all the same.
"""

from __future__ import annotations

import errno
import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from vmaf_workspace.disk.scan import BLOCK
from vmaf_workspace.errors import NotReadHereError, WorkspaceError
from vmaf_workspace.groups import group_of
from vmaf_workspace.locate import current_directory, find_checkout
from vmaf_workspace.sidecar import MOST_BYTES, REGISTRY, known_sha256, onnx_of, read_card, sidecar_of

if TYPE_CHECKING:
    from vmaf_workspace.snapshot.location import Location
    from vmaf_workspace.snapshot.manifest import File, Snapshot

INSPECTORS = "vmaf_workspace.inspect"
CARD = ".card.json"
_LIBSVM = b"LIBSVM"  # in the pickle of each model that has a text beside it
THREADS = 4
MOST_MISSING = 100  # missing files of a model that are named; how many there are, the name of a file may decide


class Inspector(Protocol):
    """What a harness knows of models, as `vmaf_harness.model.inspection` has it; each raises where it cannot say."""

    def read(self, path: Path) -> dict[str, Any]:
        """`kind`, `features`, `members`, `why_no_json` of a model; raises for one that does not load.

        NotReadHereError for one that is whole, and that only another harness reads.
        """

    def head(self, path: Path) -> dict[str, Any]:
        """The same as the `.pkl` alone says."""

    def is_plain(self, path: Path) -> None:
        """Raise unless a pickle is data alone; NotReadHereError for one of scikit-learn's objects."""

    def engine(self) -> dict[str, Any]:
        """`path`, `ffmpeg`, `libvmaf`, `no_float_features`."""

    def built_in(self) -> Sequence[str]:
        """The built-in versions that libvmaf loads."""

    def why_not_in_libvmaf(self, model: Path) -> str | None:
        """Why libvmaf does not load a `.json`."""


class Surface(StrEnum):
    """Where a model lives, which is who reads it."""

    TRAINED = "trained"  # the workspace's model/: the Python harness
    SHIPPED = "shipped"  # the checkout's model/: libvmaf
    BUILT_IN = "built-in"  # in libvmaf itself
    TINY = "tiny"  # the checkout's model/tiny/: ONNX Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model: all files of its group, and what is known of it; None is unknown, or does not apply."""

    surface: Surface
    name: str  # of the group, below the directory of its surface; of a built-in, its version
    files: tuple[str, ...] = ()
    apparent_bytes: int = 0
    disk_bytes: int = 0
    missing: tuple[str, ...] = ()  # files that the group should have
    problem: str | None = None  # why it does not load
    note: str | None = None  # what else a person should know: whole, but for another program; not checked
    kind: str | None = None
    features: tuple[str, ...] | None = None
    members: int | None = None
    made_at: str | None = None  # ISO 8601, from the card
    dataset: str | None = None
    label_source: str | None = None  # the model whose scores it was fitted to, in place of opinions
    srocc: float | None = None  # of training
    in_libvmaf: bool | None = None  # whether libvmaf loads it; tried
    why_not: str | None = None  # libvmaf loads it not
    in_snapshot: bool | None = None  # exactly these files, in the latest one


def installed_inspector() -> Inspector | None:
    """What an installed harness offers; None where there is none, or it lacks what it needs itself."""
    from importlib.metadata import entry_points

    for entry in entry_points(group=INSPECTORS):
        try:
            found: Inspector = entry.load()
        except ImportError:  # installed without its extra
            continue
        return found
    return None


def find_models(root: Path, *, at: str = "") -> list[Model]:
    """Every model of the workspace *root*, of the checkout that encloses it or us, and of libvmaf; each tried.

    *at* is the backup location, as in `ws.backup-models`.
    """
    asked = installed_inspector()
    found = trained_models(root)
    held = _backed_up_files(root, at) if found else None
    found = [replace(model, in_snapshot=None if held is None else _is_backed_up(root, model, held)) for model in found]
    checkout = find_checkout(current_directory()) or find_checkout(Path(os.path.realpath(root)).parent)
    top = checkout.root / "model" if checkout else None
    if top is not None:
        found += _groups(top, Surface.SHIPPED)
    places = {Surface.TRAINED: root / "model", Surface.SHIPPED: top}
    if asked is not None:
        harness = asked
        with ThreadPoolExecutor(THREADS) as pool:
            found = list(pool.map(lambda model: _inspected(model, places.get(model.surface), harness), found))
        found += [Model(surface=Surface.BUILT_IN, name=name, in_libvmaf=True) for name in _built_in(asked)]
    if top is not None:
        found += _tiny_models(top / "tiny")
    return found


def trained_models(root: Path) -> list[Model]:
    """The models in `model/` of the workspace, by group; what their cards and names say, nothing loaded.

    Raises WorkspaceError for a directory that cannot be read: what is in it would look as if it were gone.
    """
    return _groups(root / "model", Surface.TRAINED)


def _groups(top: Path, surface: Surface) -> list[Model]:
    groups: dict[str, dict[str, os.stat_result]] = {}
    pending = [""]
    while pending:  # os.walk calls itself for each level before Python 3.12
        below = pending.pop()
        try:
            with os.scandir(os.path.join(top, below)) as found:
                entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]
        except OSError as error:
            if isinstance(error, FileNotFoundError) or error.errno == errno.ENAMETOOLONG:  # no model of ours is so deep
                continue
            raise WorkspaceError(
                f"cannot read {error.filename} ({error.strerror}), so nobody can tell which models are there;\n"
                "make it readable, then try again"
            ) from error
        for name, is_directory in entries:
            path = f"{below}{name}"
            if name.startswith(".") or (surface is Surface.SHIPPED and path == "tiny" and is_directory):
                continue
            if is_directory:
                pending.append(f"{path}/")
            elif group_of(path) != path and not is_special(top / path) and onnx_of(top / path) is None:
                groups.setdefault(group_of(path), {})[path] = os.lstat(top / path)
    return [_model_of_group(top, surface, name, files) for name, files in sorted(groups.items())]


def is_special(path: Path) -> bool:
    """Whether *path* is, or leads to, a FIFO, socket or device: no model, and reading it may never end."""
    return os.path.exists(path) and not os.path.isfile(path)


def _model_of_group(top: Path, surface: Surface, name: str, files: Mapping[str, os.stat_result]) -> Model:
    about = read_card(top / f"{name}{CARD}")
    statistics, dataset = _part(about, "statistics"), _part(about, "dataset")
    features = about.get("features")
    return Model(
        surface=surface,
        name=name,
        files=tuple(sorted(files)),
        apparent_bytes=sum(each.st_size for each in files.values()),
        disk_bytes=sum(each.st_blocks * BLOCK for each in files.values()),
        missing=tuple(_missing(top, name, files)),
        kind=_text(about.get("model_type")),
        features=tuple(map(str, features)) if isinstance(features, list) else None,
        made_at=_text(about.get("made_at")),
        dataset=_text(dataset.get("name")),
        label_source=_text(dataset.get("label_source")),
        srocc=_number(statistics.get("srocc")),
    )


def _missing(top: Path, name: str, files: Mapping[str, object]) -> list[str]:
    """Files that this group should have beside those that it has; which members there are, their numbers say."""
    pickles = sorted(path for path in files if path.startswith(f"{name}.pkl"))
    if not pickles:
        return [] if {f"{name}.json", f"{name}.bootstrap.json"} & set(files) else [f"{name}.pkl"]
    rest = {path.removeprefix(f"{name}.pkl").removesuffix(".model") for path in pickles}
    highest = max((int(number.removeprefix(".")) for number in rest if number), default=0)
    has_text = any(path.endswith(".model") for path in pickles) or _is_libsvm(top / f"{name}.pkl")
    numbers = chain([""], (f".{number:04d}" for number in range(1, highest + 1)))
    wanted = (f"{name}.pkl{number}{suffix}" for number in numbers for suffix in (("", ".model") if has_text else ("",)))
    found = list(islice((path for path in wanted if path not in files), MOST_MISSING + 1))
    return [*found[:MOST_MISSING], "…"] if len(found) > MOST_MISSING else found  # as many as a name likes to say


def _is_libsvm(path: Path) -> bool:
    """Whether a pickle is of a model whose text lies beside it: forests, of either harness, are one file."""
    try:
        with path.open("rb") as file:
            return _LIBSVM in file.read(MOST_BYTES)
    except OSError:
        return True


def _inspected(model: Model, top: Path | None, asked: Inspector) -> Model:
    if top is None:
        return model
    main = next((path for path in (f"{model.name}.pkl", f"{model.name}.json") if path in model.files), None)
    if main is None:
        return model
    try:
        about: Mapping[str, Any] = asked.read(top / main)
    except NotReadHereError as error:
        about, model = {}, replace(model, note=str(error))
    except Exception as error:  # whatever a harness raises for a model that does not load
        about = {}
        if main.endswith(".pkl"):
            try:
                about = asked.head(top / main)
            except Exception:  # the first error says it
                about = {}
        model = replace(model, problem=str(error))
    why_not = about.get("why_no_json") or "libvmaf reads .json, and there is none"
    if f"{model.name}.json" in model.files:
        why_not = _why_not(asked, top / f"{model.name}.json")
    return replace(
        model,
        kind=about.get("kind", model.kind),
        features=tuple(about["features"]) if "features" in about else model.features,
        members=about.get("members"),
        in_libvmaf=why_not is None,
        why_not=why_not,
    )


def _built_in(asked: Inspector) -> Sequence[str]:
    try:
        return asked.built_in()
    except Exception:  # no engine, most likely; `ws.doctor` says why
        return ()


def _why_not(asked: Inspector, model: Path) -> str | None:
    try:
        return asked.why_not_in_libvmaf(model)
    except Exception as error:  # no engine, most likely
        return str(error)


def _tiny_models(top: Path) -> list[Model]:
    found = []
    for path in sorted(path for path in top.glob("*.onnx") if not is_special(path)):
        sidecar, weights = sidecar_of(path), path.with_name(f"{path.name}.data")
        about = read_card(sidecar)
        features = about.get("feature_order", about.get("features"))
        files = [each for each in (path, weights, sidecar) if each.is_file()]
        known, problem = known_sha256(path, about), None
        if known is not None and known[0] != (sha256 := hashlib.sha256(path.read_bytes()).hexdigest()):
            problem = f"its sha256 is {sha256}, not the one in {known[1]}"
        elif sidecar.is_file() and not about:
            problem = f"{sidecar.name} is no JSON object"
        is_listed = known is not None and known[1] == REGISTRY
        found.append(
            Model(
                surface=Surface.TINY,
                name=f"tiny/{path.stem}",
                files=tuple(f"tiny/{each.name}" for each in files),
                apparent_bytes=sum(each.stat().st_size for each in files),
                disk_bytes=sum(each.stat().st_blocks * BLOCK for each in files),
                missing=() if sidecar.is_file() or is_listed else (f"tiny/{sidecar.name}",),
                problem=problem,
                note=_note_of_tiny(path, sidecar, about, is_known=known is not None),
                kind=_text(about.get("kind")),
                features=tuple(map(str, features)) if isinstance(features, list) else None,
            )
        )
    return found


def _note_of_tiny(path: Path, sidecar: Path, about: Mapping[str, Any], *, is_known: bool) -> str | None:
    """Whether it is for `run_testing`, as its sidecar says, and whether it could be checked."""
    inputs = about.get("input_names")
    said = []
    if not sidecar.is_file():
        said.append(f"not for run_testing: there is no {sidecar.name}, which names its features")
    elif about.get("kind") not in (None, "fr"):
        said.append(f"not for run_testing: it is of the kind {_text(about['kind']) or '?'}, and scores no pairs")
    elif isinstance(inputs, list) and len(inputs) > 1:
        others = ", ".join(map(str, inputs[1:]))
        said.append(f"not for run_testing: beside the features it asks for {others}")
    elif about and not isinstance(about.get("feature_order", about.get("features")), list):
        said.append("not for run_testing: its sidecar names no features of libvmaf")
    if not is_known and path.is_file():
        said.append(f"not checked: neither {sidecar.name} nor {REGISTRY} has its sha256")
    return "; ".join(said) or None


@dataclass(frozen=True, slots=True, kw_only=True)
class LatestBackup:
    """What the latest snapshot of a workspace has of it."""

    snapshot: Snapshot | None  # None: this workspace was never backed up there
    lost: frozenset[str] = frozenset()  # paths whose object is missing, short, or known to be damaged


def latest_backup(root: Path, place: Location, *, read: bool = False) -> LatestBackup:
    """What the backup location *place* holds of the workspace *root*; raises WorkspaceError where nobody can tell.

    Damaged are the objects that a verify found so; with *read*, each is read now.
    """
    from vmaf_workspace.disk.workers import cores, map_unordered
    from vmaf_workspace.snapshot import store
    from vmaf_workspace.snapshot.manifest import object_name

    snapshot = store.latest_snapshot(place, root)
    if snapshot is None:
        return LatestBackup(snapshot=None)
    objects = snapshot.objects
    sizes = place.sizes_of([object_name(sha256) for sha256 in objects])
    lost = {sha256 for sha256, size in zip(objects, sizes, strict=True) if size != objects[sha256]}
    if read:
        there = sorted(objects.keys() - lost)
        found = map_unordered(
            there, lambda sha256: place.sha256(object_name(sha256)), at_most=cores(), may_fork=place.may_fork
        )
        lost |= {there[n] for n, sha256 in found if sha256 != there[n]}
    else:
        lost |= store.noted_names(place, "damaged")
    return LatestBackup(
        snapshot=snapshot,
        lost=frozenset(file.path for file in snapshot.files if file.link is None and file.sha256 in lost),
    )


def _backed_up_files(root: Path, at: str) -> dict[str, File] | None:
    """The files of the latest snapshot by path, empty where there is none; None where nobody can tell."""
    from vmaf_workspace.snapshot.locate import open_location

    try:
        held = latest_backup(root, open_location(at, root=root))
    except WorkspaceError:
        return None
    files = held.snapshot.files if held.snapshot else ()
    return {file.path: file for file in files if file.path not in held.lost}


def _is_backed_up(root: Path, model: Model, held: Mapping[str, File]) -> bool:
    """Whether *held* has exactly these files; each is read, as its size and time prove nothing."""
    from vmaf_workspace.snapshot.restore import is_same

    for path in model.files:
        file = held.get(f"model/{path}")
        try:
            if file is None or not is_same(root, file, os.lstat(root / "model" / path)):
                return False
        except (OSError, WorkspaceError):
            return False
    return True


def _part(about: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = about.get(name)
    return part if isinstance(part, dict) else {}


def _number(value: object) -> float | None:
    """A finite number; None for anything else, one that no float holds too."""
    try:
        return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
    except OverflowError:
        return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
