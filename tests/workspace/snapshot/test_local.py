"""Objects are files of ours: no links, no models under a second name, and nobody else's in our folders."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from snapshot_trees import bring_back, content_of, models, object_of, place, take
from trees import age, everything, in_a_mount_namespace, write, ws

from vmaf_workspace.disk.content import LARGE
from vmaf_workspace.errors import RefusedError, WorkspaceError
from vmaf_workspace.snapshot import store
from vmaf_workspace.snapshot.location import NAME_PATTERNS
from vmaf_workspace.snapshot.manifest import DamagedError, short_id
from vmaf_workspace.snapshot.verify import Depth, verify


def replaced(path: Path, how: str, model: Path) -> None:
    """Put something else in the place of the object *path*, which holds the content of *model*."""
    path.unlink()
    if how == "a link to the model":  # `jdupes -l`, `rdfind -makesymlinks true`
        path.symlink_to(model)
    elif how == "a link to a copy":
        path.symlink_to(write(path.parents[3] / "elsewhere" / "copy"))
        path.resolve().write_bytes(model.read_bytes())
    elif how == "the model's second name":  # `jdupes -L`
        os.link(model, path)
    elif how == "a FIFO":
        os.mkfifo(path)
    else:
        path.mkdir()


LINKS = ["a link to the model", "a link to a copy", "a FIFO"]


@pytest.mark.parametrize("size", [10, LARGE + 1], ids=["small", "large"])
@pytest.mark.parametrize("how", [*LINKS, "the model's second name"])
def test_an_object_that_is_no_file_of_its_own_counts_as_missing_and_is_stored_again(
    how: str, size: int, tmp_path: Path
) -> None:
    root, at = models(tmp_path / "ws"), tmp_path / "b"
    model = age(write(root / "model" / "m.pkl.model", size))
    taken = take(root, at)
    found = object_of(at, model)
    replaced(found, how, model)
    (problem,) = verify(place(at), root=root).problems
    assert "no file of its own" in problem[1], problem
    assert verify(place(at), root=root, depth=Depth.QUICK).whole == []
    done = ws("verify", "--workspace", root, "--at", at)
    assert (done.code, "m.pkl.model" in done.out) == (1, True), done
    before = content_of(root)
    done = ws("wipe-models", "--workspace", root, "--at", at, "--yes")
    assert (done.code, content_of(root)) == (3, before), done
    take(root, at)
    assert (found.is_symlink(), found.is_file(), found.stat().st_nlink) == (False, True, 1)
    assert verify(place(at), root=root).problems == []
    assert ws("wipe-models", "--workspace", root, "--at", at, "--yes").code == 0
    bring_back(root, at, taken.id)
    assert content_of(root) == before


@pytest.mark.parametrize("how", LINKS)
def test_a_restore_takes_no_object_through_a_link(how: str, tmp_path: Path) -> None:
    root, at = models(tmp_path / "ws"), tmp_path / "b"
    take(root, at)
    model = root / "model" / "m.pkl.model"
    replaced(object_of(at, model), how, model)
    with pytest.raises(DamagedError, match="no file of ours"):
        bring_back(tmp_path / "out", at)
    assert content_of(tmp_path / "out") == {}


@pytest.mark.parametrize("how", ["a link to a copy", "a FIFO", "a directory"])
@pytest.mark.parametrize("command", ["snapshots", "verify", "restore-models", "diff", "backup-models", "prune"])
def test_a_manifest_that_is_no_file_is_damaged_and_nobody_waits_for_it(command: str, how: str, tmp_path: Path) -> None:
    root, at = models(tmp_path / "ws"), tmp_path / "b"
    taken = take(root, at)
    manifest = at / "snapshots" / f"{taken.id}.json"
    (tmp_path / "kept").write_bytes(manifest.read_bytes())
    replaced(manifest, how, tmp_path / "kept")
    if how == "a directory":
        write(manifest / "x")
    done = ws(command, "--workspace", root, "--at", at)
    assert "Traceback" not in done.err, done
    if command == "snapshots" and how != "a directory":
        assert "DAMAGED" in done.out, done
    elif command != "snapshots" and not (command == "backup-models" and how != "a directory"):
        assert done.code in (1, 3), done


def test_hard_links_between_backup_places_are_nobodys_concern(tmp_path: Path) -> None:
    root, at = models(tmp_path / "ws"), tmp_path / "b"
    take(root, at)
    for directory, _, names in os.walk(at):  # `cp -al`, `rsync --link-dest`
        for name in names:
            path = Path(directory, name)
            target = tmp_path / "mirror" / path.relative_to(at)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, target)
    for where in (at, tmp_path / "mirror"):
        assert verify(place(where), root=root).problems == []


FOREIGN = [
    "objects/readme",
    "objects/ab/notes.txt",
    "objects/ab/cd/" + "ef" * 32,
    "snapshots/holiday.json",
    "pins/y",
    "verified/x",
    "damaged/photo.jpg",
    "running/marathon-times.csv",
    "running/2026/pb.gpx",
    "running/backup-mine.json",
    "parts/bolt.step",
]


@pytest.mark.parametrize("has_snapshot", [False, True], ids=["new", "with a snapshot"])
@pytest.mark.parametrize("name", FOREIGN)
def test_a_place_with_somebodys_files_in_our_folders_is_refused_before_anything_is_written(
    name: str, has_snapshot: bool, tmp_path: Path
) -> None:
    root, at = models(tmp_path / "ws"), tmp_path / "b"
    taken = take(root, at).id if has_snapshot else ""
    age(write(at / name), 1e6)
    before = everything(at)
    for call in (lambda: take(root, at), lambda: store.prune(place(at))):
        with pytest.raises(RefusedError, match=re.escape(repr(name))):
            call()
        assert everything(at) == before
    if has_snapshot:  # reading goes on
        assert [what for what, _ in verify(place(at)).problems] == [name] * name.startswith("snapshots/")
        bring_back(tmp_path / "out", at, short_id(taken))
        assert everything(at) == before


@pytest.mark.parametrize("name", [".nfs000000000012d68700000001", ".DS_Store", "@eaDir/a", "Thumbs.db"])
def test_what_systems_put_beside_files_stops_no_backup_and_stays(name: str, tmp_path: Path) -> None:
    root, at = models(tmp_path / "ws"), tmp_path / "b"
    take(root, at)
    for folder in NAME_PATTERNS:
        age(write(at / folder / name), 1e6)
    take(root, at)
    store.prune(place(at))
    assert all((at / folder / name).exists() for folder in NAME_PATTERNS)


@pytest.mark.parametrize("name", [*FOREIGN, "thesis.tex", "../x", "objects/aa/" + "ab" * 32, "snapshots/"])
def test_no_name_but_of_our_own_form_is_ever_removed(name: str, tmp_path: Path) -> None:
    at = tmp_path / "b"
    write(at / name.rstrip("/"))
    before = everything(tmp_path)
    for url in (str(at), f"memory://{re.sub('[^a-z]', '', str(at))}"):
        with pytest.raises(RefusedError, match="no name of ours"):
            place(tmp_path / "new" if url == str(at) else url).remove(name)
    assert everything(tmp_path) == before


@pytest.mark.parametrize("url", ["file://{}", "local://{}", "FILE://{}"])
def test_a_url_of_a_directory_is_that_directory(url: str, tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    with pytest.raises(RefusedError, match="inside the workspace"):
        take(root, url.format(root / "workdir" / "b"))
    take(root, url.format(tmp_path / "b"))
    assert len(store.list_ids(place(tmp_path / "b"))) == 1


@pytest.mark.parametrize("folder", sorted(NAME_PATTERNS))
def test_a_folder_of_the_location_that_leads_into_the_workspace_is_refused(folder: str, tmp_path: Path) -> None:
    root, at = models(tmp_path / "ws"), tmp_path / "b"
    (root / "model" / "inner").mkdir()
    at.mkdir()
    (at / folder).symlink_to(root / "model" / "inner")
    before = everything(root)
    with pytest.raises(RefusedError, match="inside the workspace"):
        take(root, at)
    assert everything(root) == before


def test_a_bind_mount_of_what_is_in_the_workspace_is_in_it(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    for below in ("model/kept here", "workdir/b"):
        (root / below).mkdir()
        (tmp_path / "b").mkdir(exist_ok=True)
        done = in_a_mount_namespace(
            """
mount("--bind", sys.argv[2], sys.argv[3])
code, _, err = ws("backup-models", "--workspace", sys.argv[1], "--at", sys.argv[3])
print(code, "inside the workspace" in err, os.listdir(sys.argv[3]))
""",
            root,
            root / below,
            tmp_path / "b",
        )
        assert done.out == "3 True []\n", done


@pytest.mark.parametrize("marks", ["pins", "verified"])
def test_a_prune_asks_for_a_snapshot_that_a_listing_leaves_out(
    marks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, at = models(tmp_path / "ws"), tmp_path / "b"
    first = take(root, at, pin=marks == "pins").id
    if marks == "verified":
        verify(place(at))
    age(write(root / "model" / "m.pkl", 2))
    take(root, at)
    location = place(at)
    listing = location.sizes
    monkeypatch.setattr(
        location,
        "sizes",
        lambda folder: {n: s for n, s in listing(folder).items() if first not in n or not n.startswith("snapshots/")},
    )
    for dry_run in (True, False):
        with pytest.raises(RefusedError, match=first):
            store.prune(location, dry_run=dry_run)
    monkeypatch.undo()
    assert verify(place(at)).problems == []
    os.unlink(at / "snapshots" / f"{first}.json")  # a mark of what is gone stops nobody
    assert store.prune(place(at)).objects == 1


def test_a_place_that_loses_what_is_written_is_no_place_for_a_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = models(tmp_path / "ws")
    location = place(tmp_path / "b")
    write_there = location.write
    monkeypatch.setattr(location, "write", lambda name, content: write_there(name, content[:-1]))
    from vmaf_workspace.snapshot.backup import backup

    with pytest.raises(WorkspaceError, match="cannot be read again"):
        backup(root, location)


ASKING = {  # commands that want a snapshot, and their exit code where there is none
    "snapshots": 0,
    "verify": 1,
    "restore-models": 1,
    "diff": 1,
    "forget --keep-last 1 --yes": 0,
    "prune": 3,
    "wipe-models --yes": 3,
}


@pytest.mark.parametrize(("command", "code"), ASKING.items())
def test_a_backup_location_that_does_not_exist_is_told_from_an_empty_one(
    command: str, code: int, tmp_path: Path
) -> None:
    root = models(tmp_path / "ws")
    (tmp_path / "empty").mkdir()
    missing = ws(*command.split(), "--workspace", root, "--at", tmp_path / "missing")
    empty = ws(*command.split(), "--workspace", root, "--at", tmp_path / "empty")
    assert (missing.code, empty.code) == (code, code)
    assert "does not exist" in missing.out + missing.err
    assert "does not exist" not in empty.out + empty.err
    if not command.startswith("wipe"):  # which needs a snapshot, wherever it lies
        assert "vmaf-ws backup-models" not in missing.out + missing.err
    assert not (tmp_path / "missing").exists()
