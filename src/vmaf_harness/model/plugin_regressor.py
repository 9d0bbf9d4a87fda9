"""A regressor of a plug-in, as the plain data that it made of its fit; no code and no object of it is kept."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vmaf_harness.errors import HarnessError
from vmaf_harness.model.svm import Floats
from vmaf_harness.plugins import Plugin, PluginUse, checked_numbers

_DEEPEST = 100  # levels of a state; pickle and JSON end before a thousand


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PluginRegressor:
    """What the plug-in needs to predict."""

    use: PluginUse
    state: Any

    def predict(self, x: Floats) -> Floats:
        """Predict each row of *x*, shape (rows, features), features rescaled already.

        PluginError where the plug-in is missing, has another version, raises, or gives anything but a number a row.
        """
        found = self.use.load()
        given = found.call("predict", json.loads(json.dumps(self.state)), x.copy())
        return np.array(checked_numbers(found, "predict", given, len(x), f"{len(x)} rows"), dtype=np.float64)

    def as_dict(self) -> dict[str, Any]:
        """As it is pickled."""
        return {"state": self.state}

    @classmethod
    def of(cls, given: object, use: PluginUse, name: str) -> PluginRegressor:
        """Of pickled data; HarnessError where it is not."""
        if not isinstance(given, dict) or set(given) != {"state"} or not _is_plain(given["state"]):
            raise HarnessError(f"{name}: expected the state of the plug-in {use.what}, as plain data")
        return cls(use=use, state=given["state"])


def fit_by_plugin(use: PluginUse, x: Floats, y: Floats, parameters: Mapping[str, Any], seed: int) -> PluginRegressor:
    """Fit the regressor of a plug-in; PluginError where it raises, or makes no plain data."""
    found: Plugin = use.load()
    state = found.call("fit", x.copy(), y.copy(), json.loads(json.dumps(dict(parameters))), seed)
    if not _is_plain(state):
        raise found.error(
            "returns from fit what no model can store: dictionaries with text as keys, lists, text, finite numbers, "
            f"true, false and None are needed, got {type(state).__name__} {str(state)[:60]!r}"
        )
    return PluginRegressor(use=use, state=state)


def _is_plain(value: object, depth: int = 0) -> bool:
    """Whether JSON gives the same again, and no reader goes too deep."""
    if depth > _DEEPEST:
        return False
    if type(value) is dict:
        return all(type(key) is str and _is_plain(each, depth + 1) for key, each in value.items())
    if type(value) is list:
        return all(_is_plain(each, depth + 1) for each in value)
    return type(value) in (str, bool, int, type(None)) or (type(value) is float and math.isfinite(value))
