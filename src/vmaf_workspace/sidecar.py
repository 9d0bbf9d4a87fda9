"""What describes a Tiny-AI `.onnx`: its sidecar, and the register of all of them, which knows the hash of each."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vmaf_workspace.disk.json_file import read_object

REGISTRY = "registry.json"  # beside the models
INT8 = ".int8"  # m.int8.onnx is m.onnx, quantised, and shares its sidecar
MOST_BYTES = 64 << 20  # of a card, a sidecar or the register


def sidecar_of(onnx: Path) -> Path:
    """Where the sidecar of a model is, or would be: a quantised one may share that of its base."""
    own = onnx.with_suffix(".json")
    base = onnx.with_name(f"{onnx.stem.removesuffix(INT8)}.json")
    return base if not os.path.lexists(own) and base != own and os.path.lexists(base) else own


def onnx_of(path: Path) -> Path | None:
    """The model beside it that a `.json` describes; None where that is a model itself, or something else."""
    onnx = path.with_suffix(".onnx")
    return onnx if path.suffix == ".json" and os.path.lexists(onnx) and "model_dict" not in read_card(path) else None


def known_sha256(onnx: Path, about: Mapping[str, Any]) -> tuple[str, str] | None:
    """The sha256 that *onnx* should have, and the name of the file that says so; None where none does.

    *about* is the content of its sidecar. A sidecar may lack it; then the register beside it is asked.
    """
    sidecar = sidecar_of(onnx)
    field = "sha256" if sidecar == onnx.with_suffix(".json") else "int8_sha256"
    if about.get(field) is not None:
        return str(about[field]), sidecar.name
    listed = read_card(onnx.with_name(REGISTRY)).get("models")
    base = f"{onnx.stem.removesuffix(INT8)}.onnx"
    for each in listed if isinstance(listed, list) else ():
        for name, key in ((onnx.name, "sha256"), (base if base != onnx.name else None, "int8_sha256")):
            if isinstance(each, dict) and each.get("onnx") == name and each.get(key) is not None:
                return str(each[key]), REGISTRY
    return None


def read_card(path: Path) -> dict[str, Any]:
    """The JSON object in a card, a sidecar or the register; empty for whatever else is there."""
    return read_object(path, follow=True, at_most=MOST_BYTES)
