"""A trained random forest as plain arrays of its trees; no object of the library that grew them is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmaf_harness.errors import HarnessError
from vmaf_harness.model.svm import Floats

Integers = NDArray[np.int64]
_LEAF = -1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Forest:
    """Regression trees, all nodes of all trees in a row; the prediction is the mean over the trees.

    `roots` has the index of each tree's first node. `children`, shape (nodes, 2), has the indices of a node's children,
    −1 in a leaf; a row goes to the first where its `feature` is at most the `threshold`, else to the second. `value` is
    what a leaf predicts.
    """

    roots: Integers
    feature: Integers
    threshold: Floats
    children: Integers
    value: Floats

    def predict(self, x: Floats) -> Floats:
        """Predict each row of *x*, shape (rows, features), features rescaled already.

        They are compared as 32-bit numbers, as they were when the trees grew (scikit-learn's `DTYPE`).
        """
        x = x.astype(np.float32)
        rows = np.arange(len(x))
        total = np.zeros(len(x))
        for root in self.roots:
            node = np.full(len(x), root)
            while (inner := self.children[node, 0] != _LEAF).any():
                at = node[inner]
                right = x[rows[inner], self.feature[at]] > self.threshold[at]
                node[inner] = self.children[at, right.astype(np.int64)]
            total += self.value[node]
        return total / len(self.roots)

    def as_dict(self) -> dict[str, Any]:
        """The arrays by name, as they are pickled."""
        return {name: getattr(self, name) for name in _FIELDS}

    @classmethod
    def of(cls, given: object, n_features: int, name: str) -> Forest:
        """Of pickled arrays; HarnessError where they are no forest over *n_features* features that ends in leaves."""
        if not isinstance(given, dict) or set(given) != set(_FIELDS):
            raise HarnessError(f"{name}: expected the arrays {', '.join(_FIELDS)} of a forest")
        arrays: dict[str, NDArray[Any]] = {field: given[field] for field in _FIELDS}
        if not all(isinstance(array, np.ndarray) for array in arrays.values()):
            raise HarnessError(f"{name}: expected arrays of numpy")
        n = arrays["value"].size
        for field, array in arrays.items():
            kind = "i" if field in ("feature", "roots", "children") else "f"
            shapes: dict[str, tuple[int, ...]] = {"roots": (array.size,), "children": (n, 2)}
            shape = shapes.get(field, (n,))
            if array.dtype.kind != kind or array.shape != shape or not np.isfinite(array).all():
                raise HarnessError(f"{name}.{field}: expected finite numbers of the shape {shape}, got {array.shape}")
        forest = cls(**arrays)
        inner = forest.children[:, 0] != _LEAF
        roots, at = forest.roots.astype(np.int64), np.arange(n)
        begins = len(roots) and roots[0] == 0 and roots[-1] < n and (np.diff(roots) > 0).all()
        # Children come after their parent, in their own tree, so that all walks together end after as many steps as
        # there are nodes.
        ends = np.append(roots[1:], n)[np.searchsorted(roots, at, side="right") - 1] if begins else at
        children = forest.children[inner]
        after = (children > at[inner, None]).all() and (children < ends[inner, None]).all()
        fits = (forest.feature[inner] >= 0).all() and (forest.feature[inner] < n_features).all()
        if not (after and fits and begins):
            raise HarnessError(f"{name}: not a forest over {n_features} features: a node leads nowhere")
        return forest


_FIELDS = ("roots", "feature", "threshold", "children", "value")
