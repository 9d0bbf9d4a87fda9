"""Workspaces with models in them, and snapshots of these, for the tests of `vmaf_workspace.snapshot`."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trees import age, workspace, write

from vmaf_workspace.groups import BACKED_UP
from vmaf_workspace.snapshot.backup import BackupReport, backup
from vmaf_workspace.snapshot.locate import open_location
from vmaf_workspace.snapshot.location import Location
from vmaf_workspace.snapshot.restore import RestoreReport, plan_restore, restore
from vmaf_workspace.snapshot.store import find_id, load_snapshot


def models(root: Path) -> Path:
    """A workspace with a model of two files, its card, parameters and a checkpoint, written long ago."""
    workspace(root)
    write(root / "model" / "m.pkl", 1)
    write(root / "model" / "m.pkl.model", 10)
    write(root / "model" / "m.card.json", 100)
    write(root / "model_param" / "tuned" / "p.pkl", 1000)
    write(root / "checkpoints_dir" / "run" / "fold1", 10000)
    for subdir in BACKED_UP:
        age(root / subdir)
    return root


def place(url: Path | str) -> Location:
    """The location at *url*."""
    return open_location(str(url))


def take(root: Path, at: Path | str, **options: Any) -> BackupReport:
    """Back *root* up."""
    return backup(root, open_location(str(at), root=root), **options)


def bring_back(root: Path, at: Path | str, snapshot: str = "", only: str = "", **options: Any) -> RestoreReport:
    """Restore a snapshot, the latest by default, into *root*."""
    location = open_location(str(at))
    return restore(
        plan_restore(root, load_snapshot(location, find_id(location, snapshot)), only=only), location, **options
    )


def content_of(root: Path) -> dict[str, bytes | str]:
    """Content of every file, and target of every link, of the three subdirectories, by path."""
    found: dict[str, bytes | str] = {}
    for subdir in BACKED_UP:
        for directory, names, files in os.walk(root / subdir):
            for name in names + files:
                path = Path(directory, name)
                below = str(path.relative_to(root))
                if path.is_symlink():
                    found[below] = os.readlink(path)
                elif path.is_file() and below != f"{subdir}/.gitignore":
                    found[below] = path.read_bytes()
    return found


def object_of(at: Path, path: Path) -> Path:
    """Where the content of *path* lies in the location *at*."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return at / "objects" / sha256[:2] / sha256


def damage(at: Path, how: str, path: Path, snapshot: str) -> None:
    """Damage what a snapshot knows of the file *path*: the object (flipped, missing, truncated), or the manifest."""
    if how == "manifest":
        os.truncate(at / "snapshots" / f"{snapshot}.json", 200)
        return
    found = object_of(at, path)
    found.chmod(0o644)
    if how == "missing":
        found.unlink()
    elif how == "truncated":
        os.truncate(found, found.stat().st_size - 1)
    else:
        content = found.read_bytes()
        found.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def reforged(at: Path, snapshot: str, change: Callable[[Any], None]) -> str:
    """A manifest that somebody changed and gave the id that fits it; its id."""
    data = json.loads((at / "snapshots" / f"{snapshot}.json").read_bytes())
    change(data)
    content = json.dumps(data).encode()
    forged = f"20990101T000000.000Z-{hashlib.sha256(content).hexdigest()}"
    (at / "snapshots" / f"{forged}.json").write_bytes(content)
    return forged
