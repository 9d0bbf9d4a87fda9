"""A trained support vector machine: predicts, and is LIBSVM's text."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmaf_harness.errors import HarnessError

Floats = NDArray[np.float64]

# our name (scikit-learn's) -> LIBSVM's, and the parameters that its text has
KERNELS = {
    "rbf": ("rbf", ("gamma",)),
    "linear": ("linear", ()),
    "poly": ("polynomial", ("degree", "gamma", "coef0")),
    "sigmoid": ("sigmoid", ("gamma", "coef0")),
}
_KERNEL_OF_LIBSVM = {theirs: ours for ours, (theirs, _) in KERNELS.items()}
_MAX_DEGREE = 100
_CHUNK_ROWS = 1024  # rows at once: the kernel matrix of 1024 rows and 1000 vectors has 8 MB


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Svm:
    """A regression ``Σ coefs[i] · kernel(vectors[i], x) − rho`` over features that are rescaled already.

    `coefs` has the shape (n,), `vectors` (n, features).
    """

    kernel: str
    gamma: float
    rho: float
    coefs: Floats
    vectors: Floats
    degree: int = 3
    coef0: float = 0.0

    def predict(self, x: Floats) -> Floats:
        """Predict each row of *x*, shape (rows, features); the kernels as Chang and Lin 2011 define them, section 1.

        Products of rows are summed feature by feature, as LIBSVM does, and not by a matrix product: distances would
        lose digits where features are large and not rescaled.
        """
        made = [self._kernel(x[i : i + _CHUNK_ROWS]) @ self.coefs for i in range(0, len(x), _CHUNK_ROWS)]
        return (np.concatenate(made) if made else np.empty(0)) - self.rho

    def text(self) -> str:
        """LIBSVM's text of a ν-SVR, numbers with 17 significant digits, so that reading gives the same bits."""
        name, parameters = KERNELS[self.kernel]
        values = {"degree": str(self.degree), "gamma": _digits(self.gamma), "coef0": _digits(self.coef0)}
        lines = ["svm_type nu_svr", f"kernel_type {name}", *(f"{name} {values[name]}" for name in parameters)]
        lines += ["nr_class 2", f"total_sv {len(self.coefs)}", f"rho {_digits(self.rho)}", "SV"]
        for coef, vector in zip(self.coefs.tolist(), self.vectors.tolist(), strict=True):
            entries = (f"{index}:{_digits(value)} " for index, value in enumerate(vector, 1) if value)
            lines.append(f"{_digits(coef)} {''.join(entries)}")
        return "\n".join(lines) + "\n"

    @classmethod
    def of_text(cls, text: str, n_features: int, name: str) -> Svm:
        """Read LIBSVM's text of a regression; *name* is what an error calls it.

        Raises HarnessError, with the line, for anything that is not one over at most *n_features* features.
        """
        header, separator, body = text.replace("\r\n", "\n").partition("\nSV\n")
        fields = dict(line.partition(" ")[::2] for line in header.splitlines())
        if not separator or "svm_type" not in fields:
            raise HarnessError(f"{name}: not LIBSVM's text of a model: lacks svm_type, or the line SV")
        if fields["svm_type"] not in ("nu_svr", "epsilon_svr"):
            raise HarnessError(f"{name}: svm_type {fields['svm_type']} is no regression; expected nu_svr")
        if fields.get("kernel_type") not in _KERNEL_OF_LIBSVM:
            raise HarnessError(
                f"{name}: kernel_type {fields.get('kernel_type')}: expected one of {', '.join(_KERNEL_OF_LIBSVM)}"
            )
        kernel = _KERNEL_OF_LIBSVM[fields["kernel_type"]]
        for field in ("total_sv", "rho", *KERNELS[kernel][1]):
            if field not in fields:
                raise HarnessError(f"{name}: lacks {field}")
        total = int(_number(fields["total_sv"], f"{name}: total_sv"))
        lines = body.splitlines()
        if len(lines) != total:
            raise HarnessError(
                f"{name}: total_sv is {total}, but {len(lines)} support vectors follow; is it cut short?"
            )
        coefs, vectors = np.empty(total), np.zeros((total, n_features))
        first = header.count("\n") + 3
        for row, line in enumerate(lines):
            place = f"{name}, line {first + row}"
            coef, *entries = line.split() or [""]
            coefs[row] = _number(coef, place)
            for entry in entries:
                index, _, value = entry.partition(":")
                if not index.isdecimal() or len(index) > 9 or not 1 <= int(index) <= n_features:
                    raise HarnessError(f"{place}: {entry[:40]!r} is of no feature; the model has {n_features}")
                vectors[row, int(index) - 1] = _number(value, place)
        gamma = _number(fields.get("gamma", "0"), f"{name}: gamma")
        degree = _number(fields.get("degree", "3"), f"{name}: degree")
        if gamma < 0 or not 0 <= degree <= _MAX_DEGREE:
            raise HarnessError(f"{name}: expected a gamma from 0 and a degree from 0 to {_MAX_DEGREE}")
        return cls(
            kernel=kernel,
            gamma=gamma,
            rho=_number(fields["rho"], f"{name}: rho"),
            coefs=coefs,
            vectors=vectors,
            degree=int(degree),
            coef0=_number(fields.get("coef0", "0"), f"{name}: coef0"),
        )

    def _kernel(self, x: Floats) -> Floats:
        made = np.zeros((len(x), len(self.coefs)))
        for column, vector in zip(x.T, self.vectors.T, strict=True):
            made += (column[:, None] - vector) ** 2 if self.kernel == "rbf" else column[:, None] * vector
        if self.kernel == "rbf":
            return np.exp(-self.gamma * made)
        if self.kernel == "linear":
            return made
        made = self.gamma * made + self.coef0
        return np.tanh(made) if self.kernel == "sigmoid" else made**self.degree


def _digits(number: float) -> str:
    return f"{number:.17g}"


def _number(text: str, place: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise HarnessError(f"{place}: expected a number, got {text[:40]!r}")
    return number
