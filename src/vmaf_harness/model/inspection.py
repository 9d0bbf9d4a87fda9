"""What `ws.models` and `ws.doctor` ask of a harness: what a model is, whether libvmaf loads it, what the engine can."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vmaf_harness.engine.binary import Engine, find_engine
from vmaf_harness.engine.ffmpeg import escape_option, run_probe
from vmaf_harness.errors import EngineError, HarnessError
from vmaf_harness.model import pickles
from vmaf_harness.model.files import is_collection, read_model
from vmaf_harness.model.model import check_model_info, num_models
from vmaf_harness.model.quality_type import BUILT_IN, WRITES_FILES, writes_files

_SOURCE = "testsrc2=s=640x360:d=0.04,format=yuv420p"  # VMAF v1 needs so many pixels


def read(path: Path) -> dict[str, Any]:
    """`kind`, `features`, `members`, `why_no_json` of a model file, read as data; HarnessError for one that is none."""
    model = read_model(path)
    about = {"kind": model.model_type, "features": list(model.feature_names), "members": len(model.members)}
    return {**about, "why_no_json": model.why_no_json}


def is_plain(path: Path) -> None:
    """Raise HarnessError unless the pickle *path* is data alone; nothing in it is run."""
    pickles.read(path)


def head(path: Path) -> dict[str, Any]:
    """`kind`, `features` and `members` as the `.pkl` alone says, whether or not its other files are there."""
    info = check_model_info(pickles.read(path), str(path))
    model = info["model_dict"]
    info.setdefault("param_dict", {})
    return {"kind": model["model_type"], "features": list(model["feature_names"]), "members": num_models(info)}


def engine() -> dict[str, Any]:
    """The engine: path, versions, what it lacks, why others are passed over; raises EngineError where there is none."""
    found = find_engine()
    return {**asdict(found), "passed_over": list(found.passed_over)}


def built_in() -> list[str]:
    """The built-in versions that libvmaf loads; EngineError where there is no engine. Tried on a frame."""
    found = find_engine()

    def loads(*names: str) -> bool:
        return _try_model(found, f"model={escape_option('|'.join(f'version={name}' for name in names))}") is None

    # All at once takes one ffmpeg, and it ends with an error for any that is not there.
    return list(BUILT_IN) if loads(*BUILT_IN) else [name for name in BUILT_IN if loads(name)]


def why_not_in_libvmaf(model: Path) -> str | None:
    """Why libvmaf does not load a `.json`; None where it does. Tried on a frame."""
    found = find_engine()
    try:
        content = model.read_bytes()
        if writes_files(content):
            return WRITES_FILES
        if is_collection(content, str(model)):
            return "a collection, which ffmpeg's filter does not load; its members load one by one"
        read_model(model)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    except HarnessError as error:
        return str(error)
    with tempfile.TemporaryDirectory(prefix="vmaf-inspect-") as place:
        shutil.copyfile(model, os.path.join(place, "m.json"))  # a name that needs no escaping
        return _try_model(found, "model=path=m.json", cwd=place)


def _try_model(found: Engine, options: str, *, cwd: str | None = None) -> str | None:
    graph = f"[0]split[a][b];[a][b]libvmaf={options}"
    command = [found.path, "-nostdin", "-v", "error", "-f", "lavfi", "-i", _SOURCE, "-filter_complex", graph]
    try:
        done = run_probe([*command, "-f", "null", "-"], cwd=cwd)
    except EngineError as error:
        return str(error)
    if done.returncode == 0:
        return None
    lines = done.stderr.strip().splitlines()
    return lines[0] if lines else f"ffmpeg ended with {done.returncode}"
