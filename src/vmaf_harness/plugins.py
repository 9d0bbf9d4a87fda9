"""Plug-ins: features and regressors of other packages, found by their entry points when somebody asks for one.

A package names them in its ``pyproject.toml``; the value is a module or an object that has what is listed here:

    [project.entry-points."vmaf_harness.features"]
    Sharpness_feature = "my_package.sharpness"
    [project.entry-points."vmaf_harness.regressors"]
    MYFOREST = "my_package.forest"

A kind of features (its name ends in ``_feature``):

    VERSION = "1"                # text; raise it when the numbers change: stored results of before are not taken then
    ATOMS = ("edges", "noise")   # names of the features, each a number a frame
    SCALES = {"edges": (0.0, 1.0, "higher")}   # may be left out: least, greatest, and which is better, or ""
    def extract(pairs): ...      # atom -> as many numbers as there are pairs

`pairs` gives a `FramePair` for each frame, once and in order; both videos are in the common form that libvmaf gets.

A regressor, which a `model_param` file names by ``model_type``:

    VERSION = "1"
    def fit(x, y, parameters, seed): ...   # state: dictionaries, lists, text, numbers, as JSON has them
    def predict(state, x): ...             # a number a row

`x` has a row an asset (a frame, in `predict`) and a column a feature, in the order of their names, rescaled as
``norm_type`` says; `y` has the labels, rescaled alike; `parameters` are those of ``model_param_dict`` that are the
regressor's own, `seed` is ``--seed``. The state is stored as data in the model; code never is.

Nothing of a plug-in is imported before it is used, and a broken one harms nothing else.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple, TypeVar

from vmaf_harness.errors import HarnessError

FEATURES, REGRESSORS = "vmaf_harness.features", "vmaf_harness.regressors"
_WORDS = {FEATURES: "kind of features", REGRESSORS: "regressor"}
_Result = TypeVar("_Result")


class PluginError(HarnessError):
    """A plug-in that is missing, broken, or another than before; names its package."""


class FramePair(NamedTuple):
    """One frame of both videos: the planes Y, U and V of each, as arrays (rows, columns) of `depth` bits a sample."""

    reference: tuple[Any, Any, Any]  # of numpy: uint8, or uint16 where depth is more than 8
    distorted: tuple[Any, Any, Any]
    depth: int
    is_full_range: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginUse:
    """A plug-in that a result or a model was made by: its entry point, package and version; `atoms` of features."""

    group: str
    name: str
    package: str
    version: str
    atoms: tuple[str, ...] = ()

    @property
    def what(self) -> str:
        """The plug-in, as errors call it."""
        return f"{self.name} of the package {self.package}"

    def as_dict(self) -> dict[str, str]:
        """As a model stores it."""
        return {"group": self.group, "name": self.name, "package": self.package, "version": self.version}

    @classmethod
    def of(cls, given: object) -> PluginUse:
        """Of what `as_dict` made; ValueError for anything else."""
        if not isinstance(given, dict) or {*given} != {"group", "name", "package", "version"}:
            raise ValueError("group, name, package and version of each")
        if given["group"] not in _WORDS or not all(isinstance(text, str) for text in given.values()):
            raise ValueError(f"text, and {FEATURES} or {REGRESSORS} as group")
        return cls(**given)

    def load(self) -> Plugin:
        """The plug-in itself. PluginError where it is missing, broken, of another package, or of another version."""
        found = load(self.group, self.name, package=self.package)
        if found.use.package != self.package:
            raise PluginError(
                f"the plug-in {self.what} is needed, and here {self.name} is of the package {found.use.package}; "
                f"install {self.package} instead of it"
            )
        if found.use.version != self.version:
            raise PluginError(
                f"the plug-in {self.what} has version {found.use.version} here, and {self.version} is needed, whose "
                f"numbers may be others; install that version of {found.use.package}, or extract and train again"
            )
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """A plug-in that was loaded: what it is, and the module or object that does the work."""

    use: PluginUse
    code: Any

    def call(self, name: str, *arguments: Any) -> Any:
        """Call one of its functions; PluginError where that raises."""
        return guarded(self.use, name, lambda: getattr(self.code, name)(*arguments))

    def error(self, problem: str) -> PluginError:
        """What to raise where it did something wrong."""
        return PluginError(f"the plug-in {self.use.what} (version {self.use.version}) {problem}; correct the package")


def guarded(use: PluginUse, name: str, work: Callable[[], _Result]) -> _Result:
    """What *work*, code of a plug-in, returns; PluginError where it raises. Errors of ours pass."""
    try:
        return work()
    except HarnessError:  # of what it was given to iterate, as after a stop
        raise
    except (Exception, SystemExit) as error:  # whatever it raises is about the plug-in
        at = traceback.extract_tb(error.__traceback__)[-1]
        raise PluginError(
            f"the plug-in {use.what} (version {use.version}) failed in {name}: {type(error).__name__}: {error} "
            f"({at.filename}:{at.lineno}); correct the package, or do without it"
        ) from error


def installed(group: str) -> list[str]:
    """The names of all plug-ins of a group; nothing of them is imported."""
    return sorted({point.name for point in _points(group, tuple(sys.path))})


def find(group: str, name: str) -> EntryPoint | None:
    """The entry point of a plug-in; None where no package has it. PluginError where several have."""
    found = [point for point in _points(group, tuple(sys.path)) if point.name == name]
    if len(found) > 1:
        raise PluginError(
            f"the {_WORDS[group]} {name} is in several packages: {', '.join(map(_package, found))}; uninstall all but "
            "the one that is meant"
        )
    return found[0] if found else None


@lru_cache(maxsize=8)
def _points(group: str, _: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Those of every package on the path, read once: of 160 packages it takes 25 ms, and a search asks for each set."""
    return tuple(entry_points(group=group))


def refuse_taken_names(group: str, names: Collection[str], taken: Collection[str]) -> None:
    """Raise PluginError where one of *names*, which a person wrote, is *taken* and that of a plug-in, too."""
    for point in _points(group, tuple(sys.path)):
        if point.name in names and point.name in taken:
            raise PluginError(
                f"the package {_package(point)} has a {_WORDS[group]} {point.name}, a name of our own: which is "
                "meant cannot be told; uninstall the package, or give its entry point another name"
            )


def load(group: str, name: str, *, package: str = "") -> Plugin:
    """The plug-in of this name. *package* is the one that it was last seen in, for the error where it is missing.

    PluginError where no package has it or several do, and where it cannot be imported or lacks something.
    """
    return _load(group, name, package, tuple(sys.path))


@lru_cache(maxsize=64)
def _load(group: str, name: str, package: str, _: tuple[str, ...]) -> Plugin:
    point = find(group, name)
    if point is None:
        remedy = f"install the package {package}" if package else "install the package that has it"
        raise PluginError(f"no package that is installed has the {_WORDS[group]} {name}; {remedy}")
    use = PluginUse(group=group, name=name, package=_package(point), version="unknown")
    code = guarded(use, "its import", point.load)
    functions = ("extract",) if group == FEATURES else ("fit", "predict")
    found = Plugin(use=use, code=code)
    if lacking := [each for each in functions if not callable(getattr(code, each, None))]:
        raise found.error(f"has no function {' and no '.join(lacking)}")
    version = getattr(code, "VERSION", None)
    if not isinstance(version, str) or not version:
        raise found.error(f"has no VERSION that is text: {version!r}")
    use = PluginUse(group=group, name=name, package=use.package, version=version, atoms=_atoms(found))
    return Plugin(use=use, code=code)


def _atoms(found: Plugin) -> tuple[str, ...]:
    if found.use.group != FEATURES:
        return ()
    name, atoms = found.use.name, getattr(found.code, "ATOMS", None)
    if not (name.isidentifier() and name.isascii() and name.endswith("_feature") and "_feature" not in name[:-8]):
        raise found.error("has a name that no kind of features can have: letters, digits and _, ending in _feature")
    names = [each for each in atoms if isinstance(each, str)] if isinstance(atoms, (list, tuple)) else []
    is_named = all(each.isascii() and f"_{each}".isidentifier() for each in names)
    if not names or atoms is None or len(set(names)) < len(atoms) or not is_named:
        raise found.error(f"has no ATOMS that are names, each once: {atoms!r}")
    return tuple(names)


def scale_of(found: Plugin, atom: str) -> tuple[float, float, str]:
    """Least and greatest value of a plug-in's feature, and which is better; infinite and blank where it is not said."""
    scales = getattr(found.code, "SCALES", {})
    try:
        low, high, better = scales[atom] if atom in scales else (float("-inf"), float("inf"), "")
        if not float(low) < float(high) or better not in ("higher", "lower", ""):
            raise ValueError(atom)
    except (TypeError, ValueError):
        raise found.error(f"has SCALES without (least, greatest, higher or lower or blank) of {atom}") from None
    return float(low), float(high), better


def checked_numbers(found: Plugin, name: str, values: object, count: int, what: str) -> list[float]:
    """What a function of a plug-in returned, as *count* finite numbers; PluginError where it is none."""
    try:
        numbers = [float(value) for value in values]  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise found.error(f"returns no numbers from {name} for {what}: {str(values)[:60]!r}") from None
    if len(numbers) != count:
        raise found.error(f"returns {len(numbers)} numbers from {name} for {what}, and {count} are needed")
    wrong = [index for index, number in enumerate(numbers) if number != number or abs(number) == float("inf")]
    if wrong:
        raise found.error(
            f"returns {numbers[wrong[0]]} from {name} for {what}, {len(wrong)} times of {count} (first {wrong[0]})"
        )
    return numbers


def uses_of(given: Mapping[str, Any], wrong: Callable[[str, str], Any]) -> tuple[PluginUse, ...]:
    """The plug-ins that a stored model names; *wrong* raises, given the field and what was expected."""
    listed = given.get("plugins") or []
    try:
        if not isinstance(listed, (list, tuple)):
            raise ValueError("a list")
        return tuple(PluginUse.of(each) for each in listed)
    except ValueError as error:
        wrong("plugins", str(error))
        raise


def _package(point: EntryPoint) -> str:
    """The name of a plug-in's package, spelled as package indexes do: tools write one name in several ways."""
    name = point.dist.name if point.dist is not None else "unknown"
    return re.sub(r"[-_.]+", "-", name).lower()
