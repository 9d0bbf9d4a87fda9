"""Models that are one formula, as plain numbers: a line over all features, or a curve of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vmaf_harness.errors import HarnessError
from vmaf_harness.model.svm import Floats
from vmaf_harness.recipe.plain_data import is_number, to_plain


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Line:
    """``coefs · x + intercept``."""

    coefs: Floats
    intercept: float

    def predict(self, x: Floats) -> Floats:
        """Predict each row of *x*, shape (rows, features), features rescaled already."""
        return np.asarray(x @ self.coefs + self.intercept)

    def as_dict(self) -> dict[str, Any]:
        """The numbers by name, as they are pickled."""
        return {"coefs": self.coefs.tolist(), "intercept": self.intercept}

    @classmethod
    def of(cls, given: object, n_features: int, name: str) -> Line:
        """Of pickled numbers; HarnessError where they are no line over *n_features* features."""
        found = _plain(given, ("coefs", "intercept"), name)
        coefs = found["coefs"]
        fits = isinstance(coefs, list) and len(coefs) == n_features and all(map(is_number, coefs))
        if not fits or not is_number(found["intercept"]):
            raise HarnessError(f"{name}: expected an intercept, and coefs of {n_features} features")
        return cls(coefs=np.array(coefs, dtype=np.float64), intercept=float(found["intercept"]))


FIVE = ("b1", "b2", "b3", "b4", "b5")


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """``b1 + 1/2 − 1 / (1 + exp(b2 (x − b3))) + b4 x + b5`` of one feature x.

    Sheikh, Sabir, Bovik: A statistical evaluation of recent full reference image quality assessment algorithms, 2006,
    as VMAF's own harness has it, which reads and writes these five names, too.
    """

    b1: float
    b2: float
    b3: float
    b4: float
    b5: float

    def predict(self, x: Floats) -> Floats:
        """Predict each row of *x*, shape (rows, 1), the feature rescaled already."""
        return curve_values(np.ravel(x), self.b1, self.b2, self.b3, self.b4, self.b5)

    def as_dict(self) -> dict[str, Any]:
        """The numbers by name, as they are pickled."""
        return {name: getattr(self, name) for name in FIVE}

    @classmethod
    def of(cls, given: object, n_features: int, name: str) -> Curve:
        """Of pickled numbers; HarnessError where they are no curve, or there is more than one feature."""
        found = _plain(given, FIVE, name)
        if n_features != 1 or not all(map(is_number, found.values())):
            raise HarnessError(f"{name}: expected the numbers {', '.join(FIVE)} of a curve of one feature")
        return cls(**{key: float(value) for key, value in found.items()})


def curve_values(x: Floats, b1: float, b2: float, b3: float, b4: float, b5: float) -> Floats:
    """The curve at each x; tanh, since the exponential function overflows."""
    return np.asarray(b1 + 0.5 * np.tanh(0.5 * b2 * (x - b3)) + b4 * x + b5)


def _plain(given: object, names: tuple[str, ...], name: str) -> Mapping[str, Any]:
    if not isinstance(given, dict) or set(given) != set(names):
        raise HarnessError(f"{name}: expected the numbers {', '.join(names)}")
    try:
        return {key: to_plain(value) for key, value in given.items()}
    except ValueError as error:
        raise HarnessError(f"{name}: expected numbers, got {error}") from None
