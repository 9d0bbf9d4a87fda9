"""Tiny-AI models of the full-reference kind: an `.onnx` over libvmaf's features, with a sidecar `.json` beside it."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from vmaf_harness.errors import HarnessError
from vmaf_harness.model.feature_param import FeatureParam, feature_name
from vmaf_harness.recipe.plain_data import is_number
from vmaf_workspace.disk.atomic import read_regular
from vmaf_workspace.installation import install_command
from vmaf_workspace.sidecar import REGISTRY, known_sha256, sidecar_of

MAX_BYTES = 1 << 28  # such a model has some kilobytes
_NAME = re.compile(r"(?:VMAF_integer_feature_|integer_)?(?P<atom>\w+?)(?:_score)?")
_NEGATION = re.compile(r"\b(?:not|no|never|none|without|outside|before)\b|n['’]t\b")
_KNOWN_ATOMS = re.compile(r"adm|adm2|motion|motion2|(?:adm|vif)_scale[0-3]|vif")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TinyModel:
    """A model that is ready to run; `order` has the names of its features, in the order of its columns.

    `mean` and `sd` standardise the features, None where the graph does that; `notes` say which of the two was chosen
    where the sidecar leaves it open, and where nothing tells whether the file is the one that is meant. `sha256` is of
    all that its scores depend on: graph, weights, order, mean and sd.
    """

    features: FeatureParam
    order: tuple[str, ...]
    mean: tuple[float, ...] | None
    sd: tuple[float, ...] | None
    sha256: str
    name: str
    session: Any
    notes: tuple[str, ...] = ()

    def predict(self, frames: Mapping[str, Sequence[float]]) -> list[float]:
        """The score of each frame, from the features by their names in a model.

        Raises HarnessError where the model cannot be run, or gives no number for some frame.
        """
        import numpy as np

        x = np.stack([np.asarray(frames[name], dtype=np.float64) for name in self.order], axis=1)
        if self.mean is not None and self.sd is not None:
            x = (x - np.array(self.mean)) / np.array(self.sd)
        given = {self.session.get_inputs()[0].name: x.astype(np.float32)}
        try:
            made = np.asarray(self.session.run(None, given)[0], dtype=np.float64)
        except Exception as error:  # ONNX Runtime raises classes of its own, without a common base
            raise HarnessError(f"{self.name}: ONNX Runtime cannot run it: {_first_line(error)}") from error
        if made.size != len(x):
            raise HarnessError(
                f"{self.name}: expected a number for each of {len(x)} frames, got the shape {made.shape}"
            )
        if not np.isfinite(made).all():
            raise HarnessError(f"{self.name}: predicts no number for some of {len(x)} frames; is it damaged?")
        scores: list[float] = made.reshape(-1).tolist()
        return scores


def read_tiny(path: Path) -> TinyModel:
    """Read an `.onnx` and its sidecar.

    The file is checked against the sha256 in its sidecar or in the register beside it, and weights in other files are
    read from its own folder only. Features without a prefix are libvmaf's fixed-point ones. Raises HarnessError for all
    that does not fit together, and where ONNX Runtime is not installed.
    """
    sidecar = sidecar_of(path)
    try:
        content = _read_content(path)
        about = json.loads(_read_content(sidecar))
    except (ValueError, RecursionError) as error:
        raise HarnessError(f"{sidecar}: not JSON: {error}") from None
    if not isinstance(about, dict) or about.get("kind") != "fr":
        kind = about.get("kind") if isinstance(about, dict) else None
        raise HarnessError(f"{sidecar}: kind: expected fr, a model over features of a pair, got {kind!r}")
    digest = hashlib.sha256(content)
    sha256, known, notes = digest.hexdigest(), known_sha256(path, about), list[str]()
    if known is None:
        notes.append(f"{path}: not checked: neither {sidecar.name} nor {REGISTRY} beside it has its sha256")
    elif known[0] != sha256:
        raise HarnessError(
            f"{path} is not the file that {known[1]} describes: its sha256 is {sha256}, "
            f"not {known[0]}; bring both again"
        )
    names = _feature_atoms(about, sidecar)
    kind, mean, sd = _standardisation(about, len(names), sidecar)
    graph, weights = _load_graph(path, content)
    session = _start_session(path, graph)
    _check_inputs(session, len(names), path, sidecar)
    order = tuple(feature_name(*atom) for atom in names)
    if kind == "input_mean" and mean is not None and sd is not None:
        why = _standardised_by(mean, sd, about, graph)
        chosen = "features are standardised by its input_mean and input_std: neither its graph nor its notes does it"
        chosen = chosen if why is None else f"features are given as they are: {why} standardises them"
        notes.append(f"{path}: {chosen}")
        mean, sd = (mean, sd) if why is None else (None, None)
    for part in (*weights, json.dumps([order, mean, sd]).encode()):
        digest.update(part)
    features = FeatureParam(atoms=tuple(sorted(names, key=lambda atom: feature_name(*atom))))
    return TinyModel(
        features=features,
        order=order,
        mean=mean,
        sd=sd,
        sha256=digest.hexdigest(),
        name=str(path),
        session=session,
        notes=tuple(notes),
    )


def _read_content(path: Path) -> bytes:
    try:
        return read_regular(path, follow=True, at_most=MAX_BYTES)
    except OSError as error:
        raise HarnessError(f"{path}: {error.strerror}; a Tiny-AI model is an .onnx and a .json of one name") from error


def _feature_atoms(about: Mapping[str, Any], sidecar: Path) -> list[tuple[str, str]]:
    given = about.get("feature_order", about.get("features"))
    if not isinstance(given, list) or not given or not all(isinstance(name, str) for name in given):
        raise HarnessError(f"{sidecar}: feature_order (or features): expected a list of names, got {given!r}")
    if len(set(given)) != len(given):
        raise HarnessError(f"{sidecar}: feature_order: each feature once")
    atoms = []
    for name in given:
        is_float = name.startswith(("float_", "VMAF_feature_"))
        bare = re.sub(r"^(float_|VMAF_feature_)", "", name) if is_float else name
        found = _NAME.fullmatch(bare)
        atom = found["atom"] if found is not None else ""
        if not _KNOWN_ATOMS.fullmatch(atom):
            raise HarnessError(f"{sidecar}: feature_order: libvmaf extracts no {name!r} for models")
        atoms.append(("VMAF_feature" if is_float else "VMAF_integer_feature", atom))
    return atoms


def _standardisation(
    about: Mapping[str, Any], n: int, sidecar: Path
) -> tuple[str | None, tuple[float, ...] | None, tuple[float, ...] | None]:
    """Mean and deviation of each feature, and what the sidecar calls the mean."""
    for mean, sd in (("feature_mean", "feature_std"), ("input_mean", "input_std")):
        if mean not in about and sd not in about:
            continue
        for name in (mean, sd):
            values = about.get(name)
            if not isinstance(values, list) or len(values) != n or not all(map(is_number, values)):
                raise HarnessError(f"{sidecar}: {name}: expected {n} numbers, one of each feature")
        if not all(value > 0 for value in about[sd]):
            raise HarnessError(f"{sidecar}: {sd}: expected positive numbers")
        return mean, tuple(map(float, about[mean])), tuple(map(float, about[sd]))
    return None, None, None


def _standardised_by(mean: Sequence[float], sd: Sequence[float], about: Mapping[str, Any], graph: Any) -> str | None:
    """What says that the graph standardises by these numbers itself; None where nothing does.

    Published models have `input_mean` either way. The numbers are looked for among the graph's constants, and only
    then its notes are asked: int8 versions have notes without a word of it.
    """
    import numpy as np

    m, s = np.array(mean), np.array(sd)
    constants = list(_constants(graph, len(mean)))

    def has(*either: Any) -> bool:
        return any(np.allclose(found, wanted, rtol=1e-4, atol=1e-7) for found in constants for wanted in either)

    if has(m, -m, -m / s) and has(s, 1 / s):
        return "its graph, which has input_mean and input_std,"
    sentences = re.split(r"[.;\n]+\s+|[.;\n]+$", str(about.get("notes", "")).lower())
    if any("graph" in sentence and not _NEGATION.search(sentence) for sentence in sentences):
        return "its graph, as its notes say,"
    return None


def _constants(graph: Any, n: int) -> Iterator[Any]:
    """The arrays of *n* floating-point numbers in a model."""
    from onnx import AttributeProto, TensorProto, numpy_helper

    for message in _messages(graph):
        if isinstance(message, TensorProto):
            if math.prod(message.dims) == n and message.data_type in (TensorProto.FLOAT, TensorProto.DOUBLE):
                yield numpy_helper.to_array(message).reshape(-1)
        elif isinstance(message, AttributeProto) and len(message.floats) == n:
            yield message.floats


def _load_graph(path: Path, content: bytes) -> tuple[Any, list[bytes]]:
    """The model with all its weights in memory, and those that came from other files."""
    onnx = _library("onnx", path)
    try:
        graph = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's DecodeError, or whatever a damaged file leads it to
        raise HarnessError(f"{path}: not an ONNX model: {_first_line(error)}") from error
    elsewhere = []
    for message in _messages(graph):
        for entry in message.external_data if isinstance(message, onnx.TensorProto) else ():
            if entry.key == "location":
                _check_inside(entry.value, path)
                elsewhere.append(message)
    try:
        if elsewhere:
            onnx.external_data_helper.load_external_data_for_model(graph, os.fspath(path.parent))
    except Exception as error:  # classes without a common base
        raise HarnessError(f"{path}: its data cannot be loaded: {_first_line(error)}") from error
    return graph, [tensor.raw_data for tensor in elsewhere]


def _start_session(path: Path, graph: Any) -> Any:
    onnxruntime = _library("onnxruntime", path)
    try:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # it logs to stderr on its own what it raises, too
        options.intra_op_num_threads = 1
        # From memory, so that what was checked is what is run, and no file is opened any more.
        return onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # classes without a common base
        raise HarnessError(f"{path}: ONNX Runtime cannot load it: {_first_line(error)}") from error


def _library(name: str, path: Path) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        needs = f".onnx models need ONNX Runtime: `{install_command('onnx')}`"
        raise HarnessError(f"{path}: {needs} ({error})") from error


def _messages(message: Any) -> Iterator[Any]:
    """A protobuf message, and every message in it."""
    yield message
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for each in value if isinstance(value, Sequence) or hasattr(value, "add") else [value]:
                if hasattr(each, "ListFields"):
                    yield from _messages(each)


def _check_inside(location: str, path: Path) -> None:
    folder = Path(os.path.realpath(path.parent))
    target = Path(os.path.realpath(folder / location))
    if os.path.isabs(location) or not target.is_relative_to(folder):
        raise HarnessError(f"{path} asks for data at {location!r}, outside its folder; it was not read")
    if not target.is_file():
        raise HarnessError(f"{path} asks for data in {location!r}, which is not beside it; bring both")


def _check_inputs(session: Any, n: int, path: Path, sidecar: Path) -> None:
    inputs = session.get_inputs()
    if len(inputs) != 1:
        names = ", ".join(each.name for each in inputs)
        raise HarnessError(f"{path} asks for the inputs {names}; only one, of features, can be given")
    shape = inputs[0].shape
    if len(shape) != 2 or (isinstance(shape[1], int) and shape[1] != n):
        raise HarnessError(f"{path} takes an input of the shape {shape}, but {sidecar.name} has {n} features")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]
