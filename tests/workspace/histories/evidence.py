"""What is on disk, read with the standard library alone: an oracle must not believe the code that it judges."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from histories.step import SUBDIRS

Fact = tuple[str, str]  # (path below a workspace, sha256 of its content)
HIDDEN = ".vmaf-"  # rests of what was killed
STAGED = ".vmaf-restore-"  # of a restore: copies of what a snapshot holds, or held until somebody broke it
OURS = (".gitignore", "CACHEDIR.TAG")


@dataclass(slots=True)
class Models:
    """The models of one workspace."""

    files: set[Fact] = field(default_factory=set)
    rests: set[str] = field(default_factory=set)  # hashes of what lies under hidden names
    aside: set[str] = field(default_factory=set)  # of these, what is no copy that a restore made


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One snapshot that is listed."""

    id: str
    is_readable: bool  # its bytes have the hash in its name
    is_safety: bool
    time_s: float
    facts: frozenset[Fact]
    whole: frozenset[Fact]  # those of *facts* whose object is a regular file with that content

    @property
    def is_whole(self) -> bool:
        return self.is_readable and self.facts == self.whole


def work(root: Path) -> dict[str, float]:
    """The runs in scratch, and the stored results, that people's work left in *root*: their times, by their paths."""
    found = {}
    for subdir in ("workdir", "output"):
        for place in (root / subdir).glob("made-*"):
            found[f"{subdir}/{place.name}"] = max(path.lstat().st_mtime for path in (place, *place.rglob("part")))
    for place in (root / "result_store_dir").rglob("made-*"):
        found[str(place.relative_to(root))] = place.lstat().st_mtime
    return found


def models(root: Path) -> Models:
    """What *root* has; nothing where there is nothing."""
    found = Models()
    for subdir in SUBDIRS:
        for directory, _, names in os.walk(root / subdir):
            below = os.path.relpath(directory, root)
            for name in names:
                path = f"{below}/{name}"
                sha256 = _sha256(os.path.join(directory, name))
                if sha256 is None or (name in OURS and below == subdir):
                    continue
                parts = path.split("/")
                if any(part.startswith(HIDDEN) for part in parts):
                    found.rests.add(sha256)
                    found.aside |= set() if any(part.startswith(STAGED) for part in parts) else {sha256}
                else:
                    found.files.add((path, sha256))
    return found


def shots(location: Path) -> dict[str, Shot]:
    """Every snapshot that is listed, by id, oldest first."""
    there: dict[str, bool] = {}
    found = {}
    for manifest in sorted(_names(location / "snapshots")):
        if manifest.endswith(".json"):
            shot = _shot(location, manifest.removesuffix(".json"), there)
            found[shot.id] = shot
    return found


def pins(location: Path) -> set[str]:
    """Ids that are pinned."""
    return set(_names(location / "pins"))


def objects(location: Path) -> list[Path]:
    """Where every object lies, by name."""
    return [location / "objects" / a / b for a in sorted(_names(location / "objects")) for b in _objects(location, a)]


def _objects(location: Path, folder: str) -> list[str]:
    return sorted(_names(location / "objects" / folder))


def _shot(location: Path, snapshot_id: str, there: dict[str, bool]) -> Shot:
    content = (location / "snapshots" / f"{snapshot_id}.json").read_bytes()
    if hashlib.sha256(content).hexdigest() != snapshot_id.rpartition("-")[2]:
        nothing: frozenset[Fact] = frozenset()
        return Shot(id=snapshot_id, is_readable=False, is_safety=False, time_s=0.0, facts=nothing, whole=nothing)
    data = json.loads(content)
    facts = frozenset((file["path"], file["sha256"]) for file in data["files"])
    for _, sha256 in facts:
        if sha256 not in there:
            there[sha256] = _sha256(str(location / "objects" / sha256[:2] / sha256)) == sha256
    return Shot(
        id=snapshot_id,
        is_readable=True,
        is_safety=bool(data.get("safety")),
        time_s=data["time_s"],
        facts=facts,
        whole=frozenset(fact for fact in facts if there[fact[1]]),
    )


def _sha256(path: str) -> str | None:
    """The hash of a regular file; None for a link and whatever else, and where there is nothing."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return None
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except FileNotFoundError:
        return None


def _names(directory: Path) -> list[str]:
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []
