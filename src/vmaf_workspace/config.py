"""Drop-in of the harness's own `vmaf.config`: `WORKSPACE` and `VmafConfig`, looked up each time they are asked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from vmaf_workspace.contract import ENCODE_STORE, FILE_RESULT_STORE
from vmaf_workspace.errors import RefusedError, WorkspaceError
from vmaf_workspace.locate import RESOURCE_VARIABLE, VARIABLE, current_directory, find_checkout, locate

WORKSPACE: str  # provided by __getattr__, so that a change of the variable is seen


def __getattr__(name: str) -> str:
    if name == "WORKSPACE":
        return str(locate().path)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def below(directory: Path, *components: str) -> Path:
    """*directory* joined with *components*, which must stay below it: RefusedError for `..` or an absolute one."""
    inside = os.path.normpath(os.path.join("", *components))  # `link/..` never reaches the disk, so no link leads out
    if os.path.isabs(inside) or inside.split(os.sep, 1)[0] == os.pardir:
        raise RefusedError(f"{os.path.join(*components)!r} would lie outside {directory}; give a path below it")
    return directory / inside


class VmafConfig:
    """Paths of the workspace and of the checkout's resources, each a str; nothing is made."""

    @classmethod
    def workspace_path(cls, *components: str) -> str:
        """The workspace, or what is below it."""
        return str(below(locate().path, *components))

    @classmethod
    def workdir_path(cls, *components: str) -> str:
        """`workdir/`: scratch of runs."""
        return str(below(locate().path / "workdir", *components))

    @classmethod
    def encode_path(cls, *components: str) -> str:
        """`encode/`: encoded videos."""
        return str(below(locate().path / "encode", *components))

    @classmethod
    def encode_store_path(cls, *components: str) -> str:
        """`result_store_dir/encode_store/`: what is known of each encode."""
        return str(below(locate().path / "result_store_dir" / ENCODE_STORE, *components))

    @classmethod
    def file_result_store_path(cls, *components: str) -> str:
        """`result_store_dir/file_result_store/`: extracted features."""
        return str(below(locate().path / "result_store_dir" / FILE_RESULT_STORE, *components))

    @classmethod
    def root_path(cls, *components: str) -> str:
        """What recipes call `config.ROOT`: the directory above `VMAF_RESOURCE`, else the enclosing checkout."""
        named = os.environ.get(RESOURCE_VARIABLE, "").strip()
        if named:
            return str(locate(named).path.parent.joinpath(*components))
        return cls._in_checkout((), components=components)

    @classmethod
    def resource_path(cls, *components: str) -> str:
        """The resource tree: `VMAF_RESOURCE`, else the checkout's own; a WorkspaceError where there is neither."""
        named = os.environ.get(RESOURCE_VARIABLE, "").strip()
        if named:
            return str(locate(named).path.joinpath(*components))
        # The fork has it beside its config.py, and pictures in a resource/ at the root.
        trees = ("compat", "python-vmaf", "resource"), ("python", "vmaf", "resource"), ("resource",)
        return cls._in_checkout(*trees, components=components)

    @classmethod
    def test_resource_path(cls, *components: str) -> str:
        """The resources of the harness's own tests, which only a checkout has."""
        return cls._in_checkout(("python", "test", "resource"), components=components)

    @staticmethod
    def _in_checkout(*trees: tuple[str, ...], components: tuple[str, ...]) -> str:
        checkout = find_checkout(current_directory())
        places = [checkout.root.joinpath(*tree) for tree in trees] if checkout else []
        for place in places:
            if os.path.isdir(place):
                return str(place.joinpath(*components))
        looked = " and ".join(map(str, places)) or f"no checkout encloses {current_directory()}"
        raise WorkspaceError(
            f"no directory for {os.path.join('', *components)!r} ({looked}); "
            f"set {RESOURCE_VARIABLE} to the directory that holds it (the workspace is {VARIABLE}, another thing)"
        )


FIVE = ("workspace_path", "workdir_path", "encode_path", "encode_store_path", "file_result_store_path")


def adopt(theirs: Any) -> None:
    """Give a harness's own `VmafConfig` the five paths of the workspace from here; all else stays its own.

    Two lines at the end of its `vmaf/config.py`, which cannot fall behind what else that module comes to offer:

        from vmaf_workspace.config import adopt
        adopt(VmafConfig)

    Where the module has a constant `WORKSPACE`, that stays what it was at import. Raises WorkspaceError, and changes
    nothing, where *theirs* lacks one of the five: then it is another class.
    """
    missing = [name for name in FIVE if not callable(getattr(theirs, name, None))]
    if missing:
        raise WorkspaceError(
            f"{theirs!r} has no {', '.join(missing)}; give adopt() the class VmafConfig of vmaf.config"
        )
    for name in FIVE:
        setattr(theirs, name, getattr(VmafConfig, name))
