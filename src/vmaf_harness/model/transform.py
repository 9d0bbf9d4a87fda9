"""The score transform of a model: a polynomial, a line of straight pieces, and a bound, in this order.

What VMAF's phone model is; its definition is libvmaf's (`libvmaf/src/predict.c`), and so are the limits.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vmaf_harness.recipe.plain_data import is_number

if TYPE_CHECKING:  # numpy takes 0.1 s, which reading parameters need not wait for
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

MAX_KNOTS = 10  # libvmaf reads no more
_FIELDS = ("p0", "p1", "p2", "knots", "out_lte_in", "out_gte_in", "enabled")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreTransform:
    """How scores are bent after the prediction; None for what is not part of it.

    `enabled`: applied unasked; else only where somebody asks for it.
    """

    p0: float | None = None
    p1: float | None = None
    p2: float | None = None
    knots: tuple[tuple[float, float], ...] | None = None
    out_lte_in: bool = False
    out_gte_in: bool = False
    enabled: bool = False

    @classmethod
    def of(cls, given: object) -> ScoreTransform:
        """From the dictionary of a parameter file or a model; ValueError, naming the field, where that is wrong."""
        if not isinstance(given, Mapping):
            raise ValueError(f"expected a dictionary with {', '.join(_FIELDS)}")
        for field in given:
            if field not in _FIELDS:
                raise ValueError(f"{field!r} is not known; a transform has {', '.join(_FIELDS)}")
        p0, p1, p2 = (_number(given.get(name), name) for name in ("p0", "p1", "p2"))
        lte, gte, enabled = (_flag(given.get(name), name) for name in ("out_lte_in", "out_gte_in", "enabled"))
        knots = _knots(given.get("knots"))
        return cls(p0=p0, p1=p1, p2=p2, knots=knots, out_lte_in=lte, out_gte_in=gte, enabled=enabled)

    def as_dict(self) -> dict[str, Any]:
        """As libvmaf reads it from JSON: flags of the bound as text, nothing that is null."""
        coefficients = (("p0", self.p0), ("p1", self.p1), ("p2", self.p2))
        made: dict[str, Any] = {name: value for name, value in coefficients if value is not None}
        if self.knots is not None:
            made["knots"] = [list(knot) for knot in self.knots]
        made |= {name: "true" for name in ("out_lte_in", "out_gte_in") if getattr(self, name)}
        return made | ({"enabled": True} if self.enabled else {})

    def apply(self, scores: ArrayLike) -> NDArray[np.float64]:
        """The transformed scores, in the shape given, whether `enabled` or not.

        y = p0 + p1 x + p2 x², an absent coefficient being 0 unless all are; then between the knots, the outermost
        pieces going on beyond them; then no more (`out_lte_in`), no less (`out_gte_in`) than x was.
        """
        import numpy as np

        x = np.asarray(scores, dtype=np.float64)
        y = x
        if (self.p0, self.p1, self.p2) != (None, None, None):
            y = (self.p0 or 0.0) + (self.p1 or 0.0) * x + (self.p2 or 0.0) * x * x
        if self.knots is not None:
            at = np.array(self.knots)
            piece = np.clip(np.searchsorted(at[:, 0], y) - 1, 0, len(at) - 2)
            rise = np.diff(at[:, 1]) / np.diff(at[:, 0])
            y = at[piece, 1] + rise[piece] * (y - at[piece, 0])
        if self.out_lte_in:
            y = np.minimum(x, y)
        if self.out_gte_in:
            y = np.maximum(x, y)
        return y


def _number(value: object, name: str) -> float | None:
    if value is None:
        return None
    if not is_number(value):
        raise ValueError(f"{name}: expected a number")
    return float(value)


def _flag(value: object, name: str) -> bool:
    if value not in (None, True, False, "true", "false"):
        raise ValueError(f"{name}: expected true or false")
    return value in (True, "true")


def _knots(value: object) -> tuple[tuple[float, float], ...] | None:
    if value is None:
        return None
    if not isinstance(value, (list, tuple)) or not 2 <= len(value) <= MAX_KNOTS:
        raise ValueError(f"knots: expected 2 to {MAX_KNOTS} pairs [x, y]")
    knots = []
    for knot in value:
        if not isinstance(knot, (list, tuple)) or len(knot) != 2:
            raise ValueError("knots: expected pairs [x, y]")
        x, y = (_number(number, "knots") for number in knot)
        if x is None or y is None:
            raise ValueError("knots: expected pairs of numbers")
        knots.append((x, y))
    for (x0, y0), (x1, y1) in itertools.pairwise(knots):
        if x1 <= x0 or y1 < y0:
            raise ValueError("knots: x must rise from knot to knot, and y must not fall")
    return tuple(knots)
