"""What a long run has finished, kept in `checkpoints_dir/`, so that the same run goes on where it was killed.

A directory a run, named by a hash of everything that its results depend on; a file a finished part, written whole or
not at all. A run with other data or parameters has another name, so it never finds the parts of this one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from glob import escape
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmaf_harness.errors import HarnessError
from vmaf_harness.model import pickles
from vmaf_workspace.setup import ensure, write_errors_explained

if TYPE_CHECKING:
    from vmaf_harness.model.feature_param import FeatureParam
    from vmaf_harness.model.model_param import ModelParam
    from vmaf_harness.training.fit import Table

FORMAT = 1  # raise it when the same table and parameters begin to give another result
ABOUT = "about.json"


class Checkpoints:
    """The finished parts of one run in the workspace *root*; nothing is made before the first one."""

    def __init__(self, root: Path, kind: str, dataset: str, key: str, *, warn: Callable[[str], None]) -> None:
        """*kind* and *dataset* are for people; *key* is a `checkpoint_key`. *warn* gets a line for a damaged part."""
        self._root, self._warn = root, warn
        self._about = {"format": FORMAT, "kind": kind, "dataset": dataset, "key": key}
        self.directory = root / "checkpoints_dir" / f"{kind}-{_name_part(dataset)}-{key[:32]}"

    def get(self, part: str) -> Any:
        """What was put under this name; None where there is nothing whole."""
        path = self._path(part)
        if not path.exists():
            return None
        try:
            return pickles.read(path)
        except HarnessError as error:
            self._warn(f"{error}; made again")
            return None

    def put(self, part: str, value: object) -> None:
        """Keep plain data under this name, whole or not at all.

        Raises WorkspaceError where the workspace cannot be written, HarnessError where the part cannot.
        """
        if not self.directory.is_dir():
            ensure(self._root)
            with write_errors_explained(self._root):
                self.directory.mkdir(exist_ok=True)
                pickles.write_bytes(self.directory / ABOUT, json.dumps(self._about, indent=1).encode() + b"\n")
        pickles.write(self._path(part), value)

    @property
    def kept(self) -> str:
        """Where they stay once all is done, what for, and what frees them."""
        return (
            f"checkpoints are kept in {self.directory} for the same run; "
            "`ws.wipe-models --only checkpoints_dir` removes all of them"
        )

    def _path(self, part: str) -> Path:
        return self.directory / f"{part}.pkl"


def has_checkpoints(root: Path, kind: str, dataset: str) -> bool:
    """Whether some run of this kind and dataset has left checkpoints."""
    return any((root / "checkpoints_dir").glob(f"{kind}-{escape(_name_part(dataset))}-*"))


def _name_part(dataset: str) -> str:
    return re.sub(r"[^\w.-]", "_", dataset)[:80].lstrip(".")


def checkpoint_key(
    table: Table,
    features: FeatureParam,
    parameters: ModelParam,
    *,
    seed: int,
    others: Mapping[str, object] | None = None,
) -> str:
    """sha256 of all that a fit depends on: table, features, parameters, seed, versions; *others* as JSON has them."""
    import numpy as np

    from vmaf_harness.model.model_param import plugins_of
    from vmaf_harness.training.fit import LIBRARIES

    digest = hashlib.sha256()
    made_of = {
        "format": FORMAT,
        "features": [list(atom) for atom in features.atoms],
        "options": features.feature_options,
        "model_type": parameters.model_type,
        "parameters": dict(parameters.param_dict),
        "seed": seed,
        "versions": {library: version(library) for library in LIBRARIES},
        **(others or {}),
    }
    if uses := plugins_of(features, parameters):
        made_of["plugins"] = [use.as_dict() for use in uses]
    digest.update(json.dumps(made_of, sort_keys=True).encode() + b"\n")
    for column in (table.labels, *(table.features[name] for name in features.feature_names)):
        digest.update(np.ascontiguousarray(column, dtype="<f8").tobytes())
    return digest.hexdigest()
