"""Imports of `src/` point down only: from folder to folder, and from module to module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

SRC = Path(__file__).parents[1] / "src"

# Floors from the ground up: a folder, or a module that lies beside the folders. What stands later may import what
# stands earlier. `vmaf_workspace` knows nothing of `vmaf_harness`.
FLOORS = (
    *(
        f"vmaf_workspace.{name}"
        for name in ("errors", "contract", "installation", "wording", "disk", "sidecar", "locate", "config")
    ),
    *(f"vmaf_workspace.{name}" for name in ("guard", "groups", "identity", "setup", "live", "proof", "nox", "removal")),
    *(f"vmaf_workspace.{name}" for name in ("snapshot", "migration", "report", "commands", "tasks", "cli", "__main__")),
    "vmaf_workspace.pytest_plugin",
    *(
        f"vmaf_harness.{name}"
        for name in ("errors", "memory", "plugins", "statistics", "engine", "recipe", "measure", "model")
    ),
    *(
        f"vmaf_harness.{name}"
        for name in ("encode", "training", "report", "script", "demo", "commands", "tasks", "cli")
    ),
)


def modules() -> dict[str, Path]:
    return {".".join(path.relative_to(SRC).with_suffix("").parts): path for path in sorted(SRC.rglob("*.py"))}


def imports(path: Path, known: dict[str, Path]) -> Iterator[tuple[str, int]]:
    """What a file imports of `src/`, anywhere in it, with the line."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else node.module for name in inner]
        else:
            continue
        for name in names:
            if name in known:
                yield name, node.lineno


def floor(module: str) -> int:
    return FLOORS.index(".".join(module.split(".")[:2]))


def test_every_module_has_a_floor() -> None:
    assert {".".join(name.split(".")[:2]) for name in modules() if not name.endswith("__init__")} == set(FLOORS)


def test_imports_point_down_between_folders() -> None:
    known = modules()
    up = [
        f"{path.relative_to(SRC)}:{line} imports {wanted}, which is above it"
        for name, path in known.items()
        if not name.endswith("__init__")
        for wanted, line in imports(path, known)
        if floor(wanted) > floor(name)
    ]
    assert not up, "\n".join(up)


def test_imports_point_down_between_modules() -> None:
    known = modules()
    below = {name: {wanted for wanted, _ in imports(path, known)} for name, path in known.items()}
    while below:  # whoever imports nothing that is left is taken away; a circle stays
        ground = {name for name, wanted in below.items() if not wanted & below.keys() - {name}}
        assert ground, f"these import each other in a circle: {', '.join(sorted(below))}"
        below = {name: wanted for name, wanted in below.items() if name not in ground}
