"""Redirects the paths of another harness into the workspace; every Python that `ws.run` starts imports this.

Standard library alone, and syntax of 2018: the interpreter of the other harness need not have this package. It is
imported by each of them, so it imports next to nothing. `vmaf.config` is left to run as it is; whatever it then gives
as a path in its own workspace, as a constant, a default argument or the result of a function, is given as the same path
in ours. A harness that reads VMAF_WORKSPACE itself never gives one.
"""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
import os
import sys
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.abc import Loader as AnyLoader
    from importlib.machinery import ModuleSpec
    from typing import Any

MODULE = "vmaf.config"


class Redirect:
    """Finds `vmaf.config` as it would have been found, to be run by somebody else."""

    def __init__(self, run: Callable[[AnyLoader, types.ModuleType], None]) -> None:
        """*run* is given the loader that was found, which has not run yet, and the module."""
        self.run, self.busy = run, False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec that others find, with our loader around theirs."""
        if fullname != MODULE or self.busy:  # asked by another one of this class, which this one asks itself
            return None
        self.busy = True
        try:
            for finder in sys.meta_path:
                find = None if finder is self else getattr(finder, "find_spec", None)
                spec: ModuleSpec | None = find(fullname, path, target) if find is not None else None
                if spec is not None:
                    if spec.loader is not None and hasattr(spec.loader, "exec_module"):
                        spec.loader = Loader(spec.loader, self.run)  # type: ignore[assignment]  # its verbs, not its class
                    return spec
            return None
        finally:
            self.busy = False


class Loader:
    """Another loader, and who runs the module with it."""

    def __init__(self, loader: AnyLoader, run: Callable[[AnyLoader, types.ModuleType], None]) -> None:
        """*run* is called in place of *loader*."""
        self.loader, self.run = loader, run

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Have the module run."""
        self.run(self.loader, module)


def redirect(module: types.ModuleType, workspace: str, others: Sequence[str] = ()) -> None:
    """Let every path that *module* gives below its own workspace, or one of *others*, be one below *workspace*."""
    places = set(others)
    found = module.__file__ or ""
    for file in (found, os.path.realpath(found)):
        package = os.path.dirname(os.path.abspath(file))
        root = os.path.dirname(os.path.dirname(package))
        places |= {os.path.join(root, "workspace"), os.path.join(package, "workspace")}
    olds = sorted(places - {workspace}, key=len)

    def moved(value: Any) -> Any:
        if isinstance(value, str):
            plain = os.path.normpath(value) if value else value
            if is_below(plain, workspace):
                return value
            for old in olds:
                if is_below(plain, old):
                    return workspace + plain[len(old) :]
        elif isinstance(value, os.PathLike) and hasattr(value, "parts"):
            path = os.fspath(value)
            new = moved(path)
            kind: Any = type(value)
            return value if new is path else kind(new)
        elif type(value) in (list, tuple, set):
            return type(value)(moved(item) for item in value)
        elif type(value) is dict:
            return {key: moved(item) for key, item in value.items()}
        return value

    def moving(function: types.FunctionType) -> Any:
        if function.__defaults__:
            function.__defaults__ = moved(function.__defaults__)
        if function.__kwdefaults__:
            function.__kwdefaults__ = moved(function.__kwdefaults__)

        @functools.wraps(function)
        def inner(*args: Any, **kwargs: Any) -> Any:
            return moved(function(*args, **kwargs))

        return inner

    def changed(value: Any) -> Any:
        if isinstance(value, (classmethod, staticmethod)):
            inner = value.__func__
            return type(value)(moving(inner)) if isinstance(inner, types.FunctionType) else value
        if isinstance(value, property):
            get: Any = value.fget
            return property(get and moving(get), value.fset, value.fdel, value.__doc__)
        return moving(value) if isinstance(value, types.FunctionType) else moved(value)

    for name, value in list(vars(module).items()):
        if name.startswith("__") and name != "__getattr__":
            continue
        if isinstance(value, type) and value.__module__ == module.__name__:
            for attribute, inner in list(vars(value).items()):
                if not attribute.startswith("__"):
                    setattr(value, attribute, changed(inner))
        elif not isinstance(value, types.FunctionType) or value.__module__ == module.__name__:
            setattr(module, name, changed(value))


def is_below(path: str, top: str) -> bool:
    """Whether *path* is *top* or lies in it, by name."""
    return path == top or path.startswith(top.rstrip(os.sep) + os.sep)


def record_made_scratch(workspace: str, record: str) -> None:
    """Write down what this Python makes right below the scratch of *workspace*: so a clean knows whose it was."""
    tops = [os.path.join(workspace, name, "") for name in ("workdir", "output")]
    tops += [os.path.join(os.path.realpath(top), "") for top in tops]

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event != "os.mkdir" and event != "open":
            return
        try:
            if event == "open" and not args[2] & os.O_CREAT:
                return
            path = os.path.abspath(os.fsdecode(args[0]))
            for top in tops:
                if path.startswith(top) and not os.path.lexists(top + path[len(top) :].split(os.sep)[0]):
                    entry = os.path.relpath(path, top).split(os.sep)[0]
                    subdir = ("workdir", "output")[tops.index(top) % 2]
                    fd = os.open(record, os.O_WRONLY | os.O_APPEND)
                    os.write(fd, os.fsencode(subdir + "/" + entry) + b"\0")
                    os.close(fd)
                    return
        except (OSError, TypeError, ValueError):  # nothing of the harness fails for this
            pass

    sys.addaudithook(hook)


class Witness:
    """Tells a proof what this Python imported as `vmaf.config`, and what it wrote where, in which test.

    Below *directory*, `tops` holds the directories that are watched, `record` what was seen: four texts each, all with
    a NUL after them.
    """

    def __init__(self, directory: str) -> None:
        """*directory* is the proof's."""
        self.record = os.path.join(directory, "record")
        with open(os.path.join(directory, "tops"), "rb") as file:
            self.tops = [os.fsdecode(top) for top in file.read().split(b"\0") if top]
        self.seen: set[str] = set()

    def say(self, kind: str, path: str, detail: str = "") -> None:
        """Write one line of the record; nothing of the harness fails for it."""
        test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]
        line = b"".join(os.fsencode(text) + b"\0" for text in (kind, test, path, detail))
        try:
            fd = os.open(self.record, os.O_WRONLY | os.O_APPEND)
            try:
                os.write(fd, line)
            finally:
                os.close(fd)
        except OSError:
            pass

    def saw_config(self, module: types.ModuleType) -> None:
        """Say which `vmaf.config` this is, and which workspace it gives."""
        given: Any = getattr(getattr(module, "VmafConfig", None), "workspace_path", None)
        try:
            place = given() if given else getattr(module, "WORKSPACE", "")
        except Exception:  # the harness's own, which it will meet itself
            place = ""
        self.say("config", os.path.abspath(module.__file__ or ""), str(place))

    def hook(self, event: str, args: tuple[Any, ...]) -> None:
        """Say what is made, written, moved or removed below what is watched, each path once.

        Python asks before it is done: what will not come about, as in a directory that is not there, is not told.
        """
        descriptors: tuple[Any, ...] = ()
        if event == "open":
            if not isinstance(args[2], int) or not args[2] & (os.O_CREAT | os.O_WRONLY | os.O_RDWR):
                return
            paths = args[:1]
        elif event == "os.truncate":
            paths = args[:1]
        elif event in ("os.mkdir", "os.remove", "os.rmdir"):
            paths, descriptors = args[:1], args[-1:]
        elif event == "os.rename":
            paths, descriptors = args[:2], args[2:]
        elif event in ("os.link", "os.symlink"):
            paths, descriptors = args[1:2], args[2:]
        else:
            return
        if any(descriptor != -1 for descriptor in descriptors):
            return  # a name in a directory that is open, as rmtree has it: in which one is not told
        try:
            for given in paths:
                path = os.path.abspath(os.fsdecode(given))
                if path in self.seen or not any(is_below(path, top) for top in self.tops):
                    continue
                there = os.path.lexists(path)
                if event in ("os.mkdir", "os.link", "os.symlink"):
                    there = not there
                elif event in ("open", "os.rename"):
                    there = True
                if not there or not os.path.isdir(os.path.dirname(path)):
                    continue
                self.seen.add(path)
                self.say("wrote", path)
        except (OSError, TypeError, ValueError):  # a descriptor, or a current directory that is gone
            pass


def run_hidden_sitecustomize() -> None:
    """Run the `sitecustomize` that ours hides, as if it had been found.

    Ours may be on the path more than once: of two installations, where one's `ws.run` starts the other's.
    """
    name = os.path.basename(__file__)
    rest = [place for place in sys.path if not os.path.exists(os.path.join(place, name))]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", rest)
    if spec is None or spec.loader is None:
        return
    module = importlib.util.module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


def begin() -> None:
    """Do what the environment asks for, and then let the `sitecustomize` run that ours hides."""
    workspace, proof = os.environ.get("VMAF_WORKSPACE"), os.environ.get("VMAF_WORKSPACE_PROOF")
    hooks = hasattr(sys, "addaudithook")  # Python 3.8
    witness = None
    if proof and hooks:
        try:
            witness = Witness(proof)
        except OSError:  # the proof is over
            pass
        else:
            sys.addaudithook(witness.hook)

    def run(loader: AnyLoader, module: types.ModuleType) -> None:
        loader.exec_module(module)
        if workspace:
            redirect(module, workspace)
        if witness:
            witness.saw_config(module)

    if workspace or witness:
        sys.meta_path.insert(0, Redirect(run))
    if workspace and hooks and os.environ.get("VMAF_WORKSPACE_MADE"):
        record_made_scratch(workspace, os.environ["VMAF_WORKSPACE_MADE"])
    run_hidden_sitecustomize()
