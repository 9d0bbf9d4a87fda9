"""Packages of the tests' own with plug-ins, installed as pip leaves them: modules and a `.dist-info` on the path."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from pathlib import Path

FEATURES, REGRESSORS = "vmaf_harness.features", "vmaf_harness.regressors"
_numbers = count()

# The mean squared error of luma: libvmaf's PSNR tells whether it was given the right frames, in the right pairs.
ERRORS = """
import numpy as np

VERSION = "1"
ATOMS = ("mse", "mean")
SCALES = {"mse": (0.0, 65025.0, "lower")}


def extract(pairs):
    found = {"mse": [], "mean": []}
    for pair in pairs:
        reference, distorted = pair.reference[0].astype(float), pair.distorted[0].astype(float)
        found["mse"].append(np.square(reference - distorted).mean())
        found["mean"].append(distorted.mean())
    return found
"""

# The label of the nearest row of training, or of the mean of some.
NEAREST = """
import numpy as np

VERSION = "1"


def fit(x, y, parameters, seed):
    return {"x": x.tolist(), "y": y.tolist(), "neighbours": parameters.get("neighbours", 1), "seed": seed}


def predict(state, x):
    known, labels = np.array(state["x"]), np.array(state["y"])
    apart = np.square(x[:, None] - known).sum(axis=2)
    return labels[np.argsort(apart, axis=1, kind="stable")[:, : state["neighbours"]]].mean(axis=1)
"""


def install(
    directory: Path,
    package: str,
    points: Mapping[str, Mapping[str, str]],
    *,
    version: str = "1.0",
) -> Path:
    """Install a package whose entry points (group -> name -> text of a module) are these; where it was installed.

    Each module has a name of its own, since Python imports a module of one name once.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lines, record = [], []
    for group, modules in points.items():
        lines.append(f"[{group}]")
        for name, text in modules.items():
            module = f"{package.replace('-', '_')}_{next(_numbers)}"
            (directory / f"{module}.py").write_text(text)
            lines.append(f"{name} = {module}")
            record.append(f"{module}.py,,")
    info = directory / f"{package.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    (info / "RECORD").write_text("\n".join(record) + "\n")
    (info / "INSTALLER").write_text("pip\n")
    return directory
