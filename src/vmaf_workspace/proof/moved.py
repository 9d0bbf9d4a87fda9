"""Moves a harness within this Python: for one test, or for a session of pytest."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from vmaf_workspace.live.session import REDIRECT, redirected_environment
from vmaf_workspace.locate import VARIABLE

MODULE = "vmaf.config"
PROOF = "VMAF_WORKSPACE_PROOF"
ALL = "VMAF_WORKSPACE_FOR_ALL"  # for the workers of a session: what the controller made
_given: list[str] = []  # the workspaces of earlier tests, which a harness imported by one of them may still name


class NotMovedWarning(UserWarning):
    """Some of the harness still leads elsewhere: it was imported before, and keeps paths of its own."""


def session(base: str | None) -> Callable[[], None]:
    """Move this process and its children into a workspace of their own, made below *base*; what is returned ends it.

    A harness that is imported already is moved as far as that goes, and a warning says where it does not.
    """
    # A worker's lies in its controller's, which ends a worker before that could take its own away.
    place = Path(os.path.realpath(tempfile.mkdtemp(prefix="vmaf-ws-", dir=os.environ.get(ALL) or base)))
    workspace = place / "workspace"
    tell_given(place, os.environ.get(PROOF, ""), at="override")
    end = ExitStack()
    end.callback(shutil.rmtree, place, ignore_errors=True)
    end.enter_context(harness(workspace))
    told = redirected_environment(workspace, os.environ) | {ALL: str(place)}
    for name in (VARIABLE, "PYTHONPATH", ALL):
        end.callback(_set, name, os.environ.get(name))
        os.environ[name] = told[name]
    return end.close


@contextmanager
def harness(workspace: Path) -> Iterator[None]:
    """While the block runs, `vmaf.config` leads to *workspace*, imported before or then; afterwards it is as it was.

    One that is imported then is run as if nothing was moved, so that it does not keep *workspace* for later.
    """
    others = [*_given, *([os.environ[VARIABLE]] if os.environ.get(VARIABLE) else [])]
    _given.append(str(workspace))
    tools = _sitecustomize()
    undo: list[Callable[[], None]] = []

    def move(module: types.ModuleType) -> None:
        undo.append(_remembered(module))
        tools.redirect(module, str(workspace), others)

    def run(loader: Any, module: types.ModuleType) -> None:
        now = os.environ.get(VARIABLE)
        _set(VARIABLE, before)
        try:
            loader.exec_module(module)
        finally:
            _set(VARIABLE, now)
        move(module)

    before = os.environ.get(VARIABLE)
    finder = tools.Redirect(run)
    imported = sys.modules.get(MODULE)
    if imported is not None:
        olds = _places(imported, others)
        move(imported)
        if kept := _kept(olds, str(workspace)):
            warnings.warn(
                f"vmaf_workspace: {', '.join(kept[:3])}{' and more' if len(kept) > 3 else ''} took a path of the "
                "workspace when imported, and keeps it; run pytest with --vmaf-workspace-for-all",
                NotMovedWarning,
                stacklevel=2,
            )
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        with suppress(ValueError):
            sys.meta_path.remove(finder)
        for again in reversed(undo):
            again()


def tell_given(place: Path, proof: str, *, at: str) -> None:
    """Say to *proof*, the directory of one, or blank, that a test was given a workspace of its own in *place*."""
    tell(proof, b"given", os.fsencode(os.path.realpath(place)), at.encode())


def tell(proof: str, kind: bytes, path: bytes = b"", detail: bytes = b"") -> None:
    """Add a line to the record of *proof*, as the Pythons that are redirected do."""
    if proof:
        with suppress(OSError), open(os.path.join(proof, "record"), "ab", buffering=0) as file:
            file.write(b"\0".join((kind, b"", path, detail, b"")))


def _sitecustomize() -> Any:
    """The module of the redirection, which is no part of a package; run once, under a name of its own."""
    name = "vmaf_workspace_redirect"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, REDIRECT / "vmaf_workspace_redirect.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def _set(variable: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(variable, None)
    else:
        os.environ[variable] = value


def _remembered(module: types.ModuleType) -> Callable[[], None]:
    """What makes *module* again what it is now: its names, those of its classes, and defaults of its functions."""
    own = [value for value in vars(module).values() if isinstance(value, type) and value.__module__ == module.__name__]
    names = {space: dict(vars(space)) for space in (module, *own)}
    functions = [
        (function, function.__defaults__, dict(function.__kwdefaults__ or {}) or None)
        for space in names.values()
        for value in space.values()
        if isinstance(function := getattr(value, "fget", None) or getattr(value, "__func__", value), types.FunctionType)
    ]

    def again() -> None:
        for space, kept in names.items():
            for name, value in kept.items():
                if vars(space).get(name) is not value and (not name.startswith("__") or name == "__getattr__"):
                    setattr(space, name, value)
        for function, defaults, keywords in functions:
            function.__defaults__, function.__kwdefaults__ = defaults, keywords

    return again


def _places(module: types.ModuleType, others: list[str]) -> list[str]:
    """Where *module* may lead now."""
    package = os.path.dirname(os.path.abspath(module.__file__ or ""))
    root = os.path.dirname(os.path.dirname(package))
    return [os.path.join(package, "workspace"), os.path.join(root, "workspace"), *others]


def _kept(olds: list[str], workspace: str) -> list[str]:
    """What of the harness's other modules holds a path below one of *olds*: constants and default arguments."""
    found, is_below = [], _sitecustomize().is_below
    for name, module in list(sys.modules.items()):
        if not name.startswith("vmaf.") or name == MODULE or module is None:
            continue
        for attribute, value in list(vars(module).items()):
            spaces = vars(value).values() if isinstance(value, type) else [value]
            for inner in spaces:
                function = getattr(inner, "__func__", inner)
                defaults = getattr(function, "__defaults__", None) or ()
                held = [value, *defaults] if isinstance(defaults, tuple) else [value]
                if any(
                    isinstance(h, str) and any(is_below(h, old) for old in olds) and not is_below(h, workspace)
                    for h in held
                ):
                    found.append(f"{name}.{attribute}")
                    break
    return found
