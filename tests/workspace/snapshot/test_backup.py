"""Backup, verify and the list of snapshots, on real trees; every snapshot that is listed can be restored."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shlex
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pexpect
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from snapshot_trees import bring_back, content_of, damage, models, place, reforged, take
from trees import age, everything, workspace, write, ws

from vmaf_workspace.contract import MARKER
from vmaf_workspace.disk.content import LARGE
from vmaf_workspace.errors import RefusedError
from vmaf_workspace.identity import Owner, Place
from vmaf_workspace.snapshot import store
from vmaf_workspace.snapshot.backup import NEWEST
from vmaf_workspace.snapshot.manifest import DamagedError, File, new_manifest, parse_manifest, short_id
from vmaf_workspace.snapshot.verify import Depth, verify


def test_a_snapshot_can_be_restored_with_cp_and_sha256sum(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    take(root, tmp_path / "b")
    (manifest,) = (tmp_path / "b" / "snapshots").iterdir()
    out = tmp_path / "by hand"
    for file in json.loads(manifest.read_text())["files"]:
        target = out / file["path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", tmp_path / "b" / "objects" / file["sha256"][:2] / file["sha256"], target], check=True)
        said = subprocess.run(["sha256sum", target], check=True, capture_output=True, text=True).stdout
        assert said.startswith(file["sha256"])
    assert content_of(out) == content_of(root)
    assert manifest.stem.endswith(hashlib.sha256(manifest.read_bytes()).hexdigest())


def test_backup_changes_nothing_in_the_workspace_but_its_turn_in_the_marker(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    before = everything(root)
    take(root, tmp_path / "b")
    after = everything(root)
    assert {path for path in after if after[path] != before.get(path)} == {
        str(root / MARKER),
        str(root / MARKER / "workspace.json"),
    }
    assert after.keys() == before.keys()


def test_the_second_backup_reads_nothing_and_stores_nothing(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    age_all_times(root)
    assert take(root, tmp_path / "b").read_files == 5
    again = take(root, tmp_path / "b")
    assert (again.read_files, again.stored_objects, again.files) == (0, 0, 5)
    assert verify(place(tmp_path / "b")).whole == store.list_ids(place(tmp_path / "b"))


def test_what_other_workspaces_back_up_to_the_same_place_makes_nothing_be_stored_again(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    age(write(root / "model" / "own.pkl", 7))
    take(root, tmp_path / "b")
    for n in range(NEWEST + 1):
        take(models(tmp_path / f"other{n}"), tmp_path / "b")
    assert take(root, tmp_path / "b").stored_objects == 0
    moved = root.rename(tmp_path / "moved")
    for n in range(NEWEST + 1):
        take(tmp_path / f"other{n}", tmp_path / "b")
    assert take(moved, tmp_path / "b").stored_objects == 0


def age_all_times(root: Path) -> None:
    """Nothing is known of files whose change time is too fresh, so let it age."""
    import time

    age(root)
    time.sleep(2.1)


def test_a_file_of_equal_size_and_restored_mtime_is_read_again(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    age_all_times(root)
    take(root, tmp_path / "b")
    path = root / "model" / "m.pkl"
    about = path.stat()
    path.write_bytes(b"y" * about.st_size)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    take(root, tmp_path / "b")
    found = store.load_snapshot(place(tmp_path / "b"), store.find_id(place(tmp_path / "b")))
    assert {f.path: f.sha256 for f in found.files}["model/m.pkl"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_equal_files_are_one_object(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    for name in ("a", "b", "c"):
        age(write(root / "model" / name, 100))
    assert take(root, tmp_path / "b").stored_objects == 1


def test_placeholders_and_other_subdirectories_are_left_out(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    write(root / "dataset" / "video.yuv")
    write(root / "result_store_dir" / "x")
    assert take(root, tmp_path / "b").files == 0


def test_verify_says_what_is_damaged(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    taken = take(root, tmp_path / "b")
    sha256 = hashlib.sha256((root / "model" / "m.pkl").read_bytes()).hexdigest()
    path = tmp_path / "b" / "objects" / sha256[:2] / sha256
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    assert verify(place(tmp_path / "b"), depth=Depth.QUICK).problems == []
    ((what, problem),) = verify(place(tmp_path / "b")).problems
    assert "model/m.pkl" in what
    assert "content" in problem
    path.unlink()
    ((what, problem),) = verify(place(tmp_path / "b"), depth=Depth.QUICK).problems
    assert "model/m.pkl" in what
    assert "missing" in problem
    assert verify(place(tmp_path / "b"), [taken.id]).whole == []


def test_a_truncated_manifest_is_named_by_verify_and_listed_as_damaged(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    taken = take(root, tmp_path / "b")
    manifest = tmp_path / "b" / "snapshots" / f"{taken.id}.json"
    os.truncate(manifest, 100)
    ((what, problem),) = verify(place(tmp_path / "b")).problems
    assert taken.id in what
    assert "damaged" in problem
    (listed,) = store.list_snapshots(place(tmp_path / "b"))
    assert listed.snapshot is None
    done = ws("verify", "--workspace", root, "--at", tmp_path / "b")
    assert done.code == 1
    assert taken.id in done.out


def test_a_backup_says_that_a_wrong_clock_dated_another_one_later(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    first = take(root, tmp_path / "b")
    later = reforged(tmp_path / "b", first.id, lambda data: data.update(time_s=4e9))
    reforged(tmp_path / "b", first.id, lambda data: data.update(identity="of another", workspace="/elsewhere"))
    done = ws("backup-models", "--workspace", root, "--at", tmp_path / "b", "--json")
    assert (done.code, done.json["dated_later"]) == (0, later), done
    done = ws("backup-models", "--workspace", root, "--at", tmp_path / "b")
    assert f"{tmp_path / 'b'}/snapshots/{later}.json" in done.err
    (tmp_path / "b" / "snapshots" / f"{later}.json").unlink()
    done = ws("backup-models", "--workspace", root, "--at", tmp_path / "b", "--json")
    assert (done.code, done.json["dated_later"]) == (0, None), done


def test_an_id_can_be_copied_from_a_narrow_terminal(tmp_path: Path) -> None:
    root = models(tmp_path / "a_workspace_with_a_long_name" / "and_another_one_below_it")
    taken = take(root, tmp_path / "b", note="before the long training on the big machine")
    arguments = ["-m", "vmaf_workspace.cli", "snapshots", "--at", str(tmp_path / "b")]
    screen = pexpect.run(shlex.join([sys.executable, *arguments]), dimensions=(50, 80)).decode()
    assert short_id(taken.id) in screen.split(), screen
    assert "before the long training" in screen  # with the room that is left


def test_large_files_and_other_file_systems_make_no_difference(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    (root / "model" / "large").write_bytes(os.urandom(LARGE + 12345))
    age(root / "model" / "large")
    shm = Path("/dev/shm")  # noqa: S108  # another file system, where there is one
    with tempfile.TemporaryDirectory(prefix="vmaf-ws-", dir=shm if shm.is_dir() else None) as elsewhere:
        at = Path(elsewhere) / "b"
        take(root, at)
        assert verify(place(at)).problems == []
        bring_back(tmp_path / "out", at)
        assert content_of(tmp_path / "out") == content_of(root)
        damage(at, "flipped", root / "model" / "large", "")
        assert len(verify(place(at)).problems) == 1
        with pytest.raises(DamagedError):
            bring_back(tmp_path / "other", at)
        assert content_of(tmp_path / "other") == {}


def test_a_new_location_is_for_its_owner_alone(tmp_path: Path) -> None:
    take(models(tmp_path / "ws"), tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(change=st.data())
def test_no_manifest_however_broken_is_more_than_refused(change: st.DataObject) -> None:
    files = [File(path=f"model/{n}", mtime_ns=n, size=n, mode=0o644, sha256=f"{n:064x}") for n in range(3)]
    files.append(File(path="model/l", mtime_ns=1, link="x"))
    snapshot_id, content = new_manifest(time_s=0.0, owner=Owner(place=Place("h", "m", "/ws")), note="n", files=files)
    assert parse_manifest(snapshot_id, content).files == tuple(sorted(files, key=lambda file: file.path))
    data = json.loads(content)
    junk = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    )
    target = change.draw(st.sampled_from([data, *data["files"]]))
    key = change.draw(st.sampled_from([*target]))
    if change.draw(st.booleans()):
        target[key] = change.draw(junk)
    else:
        del target[key]
    broken = json.dumps(data).encode()
    with suppress(DamagedError, RefusedError):
        parse_manifest(hashlib.sha256(broken).hexdigest(), broken)
    cut = content[: change.draw(st.integers(0, len(content) - 1))]
    with pytest.raises(DamagedError):
        parse_manifest(snapshot_id, cut)


NAMES = st.binary(min_size=1, max_size=40).filter(lambda name: not {0, 47} & set(name) and name not in (b".", b".."))


@settings(deadline=None, max_examples=25)
@given(files=st.dictionaries(st.lists(NAMES, min_size=1, max_size=3).map(tuple), st.binary(max_size=50), max_size=8))
def test_any_tree_comes_back_as_it_was(files: dict[tuple[bytes, ...], bytes]) -> None:
    with tempfile.TemporaryDirectory() as top:
        root = workspace(Path(top) / "ws")
        for parts, content in files.items():
            path = Path(os.fsdecode(b"/".join([os.fsencode(root), b"model", *parts])))
            with suppress(FileExistsError, NotADirectoryError, IsADirectoryError):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        age(root / "model")
        (root / "model" / ".gitignore").unlink(missing_ok=True)
        was = content_of(root)
        take(root, Path(top) / "b")
        assert verify(place(Path(top) / "b")).problems == []
        bring_back(Path(top) / "out", Path(top) / "b")
        assert content_of(Path(top) / "out") == was


@pytest.mark.parametrize("below", ["backups", "workdir/b", "model", "."])
def test_a_location_inside_the_workspace_is_refused(below: str, tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    before = everything(root)
    done = ws("backup-models", "--workspace", root, "--at", root / below)
    assert (done.code, "inside the workspace" in done.err) == (3, True)
    assert everything(root) == before


def test_a_location_with_somebodys_files_is_refused(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    write(tmp_path / "home" / "thesis.tex")
    with pytest.raises(RefusedError, match=r"thesis\.tex"):
        take(root, tmp_path / "home")
    for name in ("objects/chair/mesh.obj", "objects/a.stl", "parts/bolt.step", "snapshots/holiday.json"):
        write(tmp_path / "cad" / name)
        with pytest.raises(RefusedError, match=name.split("/")[1]):
            take(root, tmp_path / "cad")
        shutil.rmtree(tmp_path / "cad")


def test_a_location_in_the_default_place_of_a_checkout_is_refused(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    write(tmp_path / "up" / "python" / "vmaf" / "config.py")
    at = tmp_path / "up" / "workspace" / "workdir" / "b"
    with pytest.raises(RefusedError, match="inside the workspace"):
        take(root, at)
    assert not at.exists()
    take(root, tmp_path / "up" / "b")


# Broken models


def with_files(root: Path, files: dict[str, bytes]) -> Path:
    workspace(root)
    for name, content in files.items():
        (root / "model" / name).write_bytes(content)
    age(root / "model")
    return root


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("m.pkl", b"", "it is empty"),
        ("m.pkl", b"nobody's pickle\n", "no whole pickle"),
        ("m.pkl", pickle.dumps({"model_type": "x" * 100})[:50], "no whole pickle"),
        ("m.pkl", pickle.dumps(list(range(1 << 20)))[:-7], "no whole pickle"),  # of which the ends alone are read
        ("m.pkl.0003.model", b"svm_type nu_svr\nkernel_ty", "no whole text of LIBSVM"),
        ("m.json", b'{"model_dict": ', "no whole JSON"),
    ],
)
def test_a_broken_model_is_backed_up_and_said(name: str, content: bytes, why: str, tmp_path: Path) -> None:
    root = with_files(tmp_path / "ws", {name: content, "whole.pkl": pickle.dumps(1)})
    words = ("backup-models", "--workspace", root, "--at", tmp_path / "b")
    done = ws(*words)
    assert done.code == 0
    title, *said = done.err[done.err.index("warning: in the snapshot, and broken") :].splitlines()
    assert "`vmaf-ws models " in title
    assert [line.startswith(f"  model/{name}: {why}") for line in said] == [True]
    as_json = json.loads(ws(*words[:-1], tmp_path / "other", "--json").out)
    assert [each["path"] for each in as_json["broken"]] == [f"model/{name}"]
    bring_back(workspace(tmp_path / "back"), tmp_path / "b")
    assert content_of(tmp_path / "back")[f"model/{name}"] == content


def test_whole_models_of_every_form_are_not_called_broken(tmp_path: Path) -> None:
    values = ({"a": 1}, [1], (1, 2), "text", 1, 1.5, None)
    files = {
        f"m{number}.pkl.{protocol:04d}": pickle.dumps(value, protocol)
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
        for number, value in enumerate(values)
    }
    files |= {"a.json": b' {"a": 1}\n', "b.pkl.model": b"svm_type nu_svr\n", "notes.txt": b"not a model"}
    assert take(with_files(tmp_path / "ws", files), tmp_path / "b").broken == ()
