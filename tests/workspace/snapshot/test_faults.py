"""Backups meet full, closed and missing places, other backups, prunes, and writers in the middle of a model."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from snapshot_trees import bring_back, content_of, models, object_of, place, take
from trees import (
    CLI,
    age,
    everything,
    in_a_mount_namespace,
    process,
    python,
    run,
    without_root_powers,
    workspace,
    write,
    ws,
)

from vmaf_workspace.errors import InUseError, WorkspaceError
from vmaf_workspace.groups import BACKED_UP, group_of
from vmaf_workspace.snapshot import backup as backup_module
from vmaf_workspace.snapshot import staging, store
from vmaf_workspace.snapshot.manifest import short_id
from vmaf_workspace.snapshot.tree import signature
from vmaf_workspace.snapshot.verify import Depth, verify


def test_a_full_location_is_explained_and_earlier_snapshots_hold(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    at = tmp_path / "b"
    at.mkdir()
    done = in_a_mount_namespace(
        """
root, at = Path(sys.argv[1]), Path(sys.argv[2])
mount("-t", "tmpfs", "-o", "size=400k", "none", at)
assert ws("backup-models", "--workspace", root, "--at", at)[0] == 0
(root / "model" / "big").write_bytes(os.urandom(600_000))
code, out, err = ws("backup-models", "--workspace", root, "--at", at)
print(code)
print(err)
assert ws("verify", "--at", at)[0] == 0
assert len(os.listdir(at / "snapshots")) == 1, os.listdir(at / "snapshots")
(root / "model" / "big").unlink()
assert ws("prune", "--at", at)[0] == 0
assert ws("backup-models", "--workspace", root, "--at", at)[0] == 0
""",
        root,
        at,
    )
    assert done.code == 0, done
    code, *lines = done.out.strip().splitlines()
    assert (code, len(lines)) == ("1", 3), done
    assert "is full" in lines[0]
    assert "vmaf-ws prune" in lines[2]


def test_a_read_only_location_is_explained_and_can_be_verified_and_restored(tmp_path: Path) -> None:
    prefix = without_root_powers()
    root = models(tmp_path / "ws")
    take(root, tmp_path / "b")
    subprocess.run(["chmod", "-R", "a-w", tmp_path / "b"], check=True)
    cli = [*prefix, sys.executable, "-m", "vmaf_workspace.cli"]
    try:
        done = run([*cli, "backup-models", "--workspace", root, "--at", tmp_path / "b"])
        lines = [line for line in done.err.strip().splitlines() if not line.startswith("warning: ")]
        assert (done.code, len(lines)) == (1, 3), done
        assert "may not be used" in lines[0]
        assert "--at" in lines[2]
        assert run([*cli, "verify", "--workspace", root, "--at", tmp_path / "b"]).code == 0
        damaged = object_of(tmp_path / "b", root / "checkpoints_dir" / "run" / "fold1")
        was = damaged.read_bytes()
        damaged.chmod(0o644)
        damaged.write_bytes(b"y" * len(was))
        done = run([*cli, "verify", "--workspace", root, "--at", tmp_path / "b"])
        assert (done.code, "fold1" in done.out) == (1, True), done
        damaged.write_bytes(was)
        done = run([*cli, "restore-models", "--workspace", root, "--at", tmp_path / "b", "--into", tmp_path / "out"])
        assert (done.code, content_of(tmp_path / "out")) == (0, content_of(root))
    finally:
        subprocess.run(["chmod", "-R", "u+w", tmp_path / "b"], check=True)


def test_an_unreachable_location_is_explained(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    write(tmp_path / "file")
    for command in ("backup-models", "snapshots", "verify"):
        done = ws(command, "--workspace", root, "--at", tmp_path / "file" / "b")
        lines = done.err.strip().splitlines()
        assert (done.code, len(lines)) == (1, 3), done
        assert "cannot be reached" in lines[0]
    done = ws("backup-models", "--workspace", root, "--at", "nonsense://somewhere")
    assert (done.code, "VMAF_BACKUPS" in done.err) == (2, True)


def test_a_location_without_snapshots_is_no_good_news(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    (tmp_path / "empty").mkdir()
    for name, remedy in (("missing", "does not exist; see that --at"), ("empty", "vmaf-ws backup-models")):
        for command in ("verify", "restore-models", "diff"):
            done = ws(command, "--workspace", root, "--at", tmp_path / name)
            assert (done.code, remedy in done.err) == (1, True)
        assert ws("snapshots", "--workspace", root, "--at", tmp_path / name).code == 0
    assert not (tmp_path / "missing").exists()


def test_a_backup_heals_an_object_that_went_missing(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    time.sleep(2.1)
    take(root, tmp_path / "b")
    object_of(tmp_path / "b", root / "model" / "m.pkl.model").unlink()
    assert take(root, tmp_path / "b").read_files == 0
    assert verify(place(tmp_path / "b")).problems == []


def test_what_a_power_cut_left_of_an_object_is_not_believed(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    path = object_of(tmp_path / "b", root / "model" / "m.pkl.model")
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(10))
    (tmp_path / "b" / "snapshots").mkdir()
    take(root, tmp_path / "b")
    assert verify(place(tmp_path / "b")).problems == []


def test_a_file_that_cannot_be_read_fails_the_backup(tmp_path: Path) -> None:
    prefix = without_root_powers()
    root = models(tmp_path / "ws")
    (root / "model" / "m.pkl").chmod(0)
    cli = [*prefix, sys.executable, "-m", "vmaf_workspace.cli"]
    done = run([*cli, "backup-models", "--workspace", root, "--at", tmp_path / "b"])
    assert (done.code, "m.pkl" in done.err) == (1, True)
    assert store.list_ids(place(tmp_path / "b")) == []


@pytest.mark.parametrize("which", ["model/m.pkl", "model_param/tuned"])
@pytest.mark.parametrize("command", ["backup-models", "diff", "restore-models", "wipe-models"])
def test_models_that_cannot_be_read_are_named_with_a_remedy_and_stay(command: str, which: str, tmp_path: Path) -> None:
    prefix = without_root_powers()
    root = models(tmp_path / "ws")
    take(root, tmp_path / "b")
    before = content_of(root)
    mode = (root / which).stat().st_mode
    (root / which).chmod(0)
    cli = [*prefix, sys.executable, "-m", "vmaf_workspace.cli", command]
    done = run([*cli, "--workspace", root, "--at", tmp_path / "b", *(["--yes"] if command == "wipe-models" else [])])
    (root / which).chmod(mode)
    first, second = done.err.strip().splitlines()[-2:]
    assert (done.code, content_of(root)) == (1, before), done
    assert first.startswith(f"{command}: cannot read {root / which} (Permission denied)"), done
    assert second.startswith("make it readable"), done


@pytest.mark.parametrize("command", ["backup-models", "restore-models"])
def test_a_copying_child_that_is_killed_fails_it_all_and_changes_nothing(command: str, tmp_path: Path) -> None:
    root, at = models(tmp_path / "ws"), tmp_path / "b"
    if command == "restore-models":
        take(root, at)
        (root / "model" / "m.pkl").unlink()
    before = content_of(root)
    code = """
import os, signal, sys
from vmaf_workspace.snapshot.local import LocalDirectory
def dies(*args, **options):
    os.kill(os.getpid(), signal.SIGKILL)
LocalDirectory.put = LocalDirectory.fetch = dies
from vmaf_workspace.cli import main
sys.exit(main(sys.argv[1:]))
"""
    done = python(code, command, "--workspace", root, "--at", at)
    assert (done.code, "was killed" in done.err) == (1, True), done
    assert content_of(root) == before
    assert len(store.list_ids(place(at))) == (command == "restore-models")


def test_two_backups_and_a_prune_at_once(tmp_path: Path) -> None:
    one, other = models(tmp_path / "one"), models(tmp_path / "other")
    at = tmp_path / "b"
    for attempt in range(4):
        for root in (one, other):
            for n in range(40):
                write(root / "model" / f"m{n}.pkl", 1000 * attempt + n)
            age(root / "model")
        stray = at / "objects" / "00" / f"{attempt:064x}"  # something for the prune to do
        stray.parent.mkdir(parents=True, exist_ok=True)
        stray.write_bytes(b"x")
        (at / "snapshots").mkdir(exist_ok=True)
        commands = [("backup-models", "--workspace", one), ("backup-models", "--workspace", other), ("prune",)]
        children = [
            subprocess.Popen(
                [sys.executable, "-m", "vmaf_workspace.cli", *command, "--at", at],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for command in commands
        ]
        ends = [(child.communicate()[1], child.returncode) for child in children]
        assert [code for _, code in ends[:2]] == [0, 0], ends
        assert ends[2][1] in ((0, 4) if attempt else (0, 3, 4)), ends  # 3: it came before the first snapshot
        assert verify(place(at)).problems == []
    assert len(store.list_ids(place(at))) == 8


LOCKED_WRITER = """
import os, sys, time
from pathlib import Path
from vmaf_workspace.groups import model_lock
model, n = Path(sys.argv[1]), 0
long_ago = 1_700_000_000
def put(name):
    part = model.parent / f"{name}.part"
    part.write_bytes(b"%012d" % n)
    os.utime(part, (long_ago, long_ago + n))
    part.rename(model / name)
while True:
    n += 1
    with model_lock(model):
        for name in ("m.pkl", "m.pkl.model", "m.json"):
            put(name)
            time.sleep(0.01)
    if n == 1:
        print("ready", flush=True)
    time.sleep(0.05)
"""
UNLOCKED_WRITER = LOCKED_WRITER.replace("    with model_lock(model):", "    if True:").replace(
    "os.utime(part, (long_ago, long_ago + n))", "pass"
)


@pytest.mark.parametrize("writer", [LOCKED_WRITER, UNLOCKED_WRITER.replace("0.05", "1.0")], ids=["locked", "unlocked"])
def test_a_group_is_taken_before_or_after_it_is_written_never_in_between(writer: str, tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    ids = []
    with process(writer, root / "model"):
        for _ in range(5):
            ids.append(take(root, tmp_path / "b").id)
    location = place(tmp_path / "b")
    for snapshot_id in ids:
        files = {file.path: file.sha256 for file in store.load_snapshot(location, snapshot_id).files}
        assert len({files[f"model/{name}"] for name in ("m.pkl", "m.pkl.model", "m.json")}) == 1


def test_a_writer_that_never_ends_is_an_error_that_names_the_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_module, "PATIENCE_S", 0.5)
    root = models(tmp_path / "ws")
    code = LOCKED_WRITER.replace("time.sleep(0.01)", "print('ready', flush=True); time.sleep(60)")
    with process(code, root / "model"), pytest.raises(InUseError, match="model/m"):
        take(root, tmp_path / "b")
    assert store.list_ids(place(tmp_path / "b")) == []


@pytest.mark.parametrize(
    ("path", "group"),
    [
        ("model/m.pkl", "model/m"),
        ("model/m.pkl.model", "model/m"),
        ("model/m.pkl.0001", "model/m"),
        ("model/m.pkl.0021.model", "model/m"),
        ("model/m.json", "model/m"),
        ("model/m.bootstrap.json", "model/m"),
        ("model/a b/vmaf_v0.6.1.card.json", "model/a b/vmaf_v0.6.1"),
        ("model/m.pkl.bak", "model/m.pkl.bak"),
        ("model/.json", "model/.json"),
        ("checkpoints_dir/run/state", "checkpoints_dir/run/state"),
    ],
)
def test_what_belongs_to_a_group(path: str, group: str) -> None:
    assert group_of(path) == group


def test_verify_by_restoring_loads_every_model_with_what_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = models(tmp_path / "ws")
    take(root, tmp_path / "b")
    seen: list[str] = []

    def load(path: Path) -> None:
        seen.append(path.name)
        if path.stat().st_size < 10:
            raise ValueError(f"{path}: no model at all")

    found = verify(place(tmp_path / "b"), depth=Depth.RESTORE, loaders=[load])
    assert seen == ["m.pkl"]
    assert (found.problems, len(found.whole)) == ([], 1)  # it is kept as it is
    assert found.unloadable["model/m"].endswith(": model/m.pkl: no model at all")
    assert verify(place(tmp_path / "b"), depth=Depth.RESTORE, loaders=[]).models is None
    age(write(root / "model" / "m.json", 3))
    take(root, tmp_path / "b")
    found = verify(place(tmp_path / "b"), depth=Depth.RESTORE, loaders=[load])
    assert (found.models, list(found.unloadable)) == (3, ["model/m"])  # two files of two snapshots, one model
    site = tmp_path / "site"
    write(site / "stand_in-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: stand-in\nVersion: 1\n")
    (site / "stand_in-1.dist-info" / "entry_points.txt").write_text("[vmaf_workspace.load_model]\nit = stand_in:load\n")
    (site / "stand_in.py").write_text("def load(path): raise ValueError('the stand-in says no')\n")
    monkeypatch.setenv("PYTHONPATH", str(site))
    done = ws("verify", "--workspace", root, "--at", tmp_path / "b", "--restore")
    assert (done.code, "the stand-in says no" in done.out, "problem" in done.out) == (1, True, False)


def test_nothing_of_a_failed_restore_check_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = models(tmp_path / "ws")
    take(root, tmp_path / "b")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    ws("verify", "--workspace", root, "--at", tmp_path / "b", "--restore")
    assert os.listdir(tmp_path / "tmp") == []


def test_a_full_temporary_directory_is_not_called_the_workspace(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    age(write(root / "model" / "big", 600_000))
    taken = take(root, tmp_path / "b")
    (tmp_path / "tmp").mkdir()
    done = in_a_mount_namespace(
        """
mount("-t", "tmpfs", "-o", "size=400k", "none", sys.argv[1])
os.environ["TMPDIR"] = sys.argv[1]
code, _, err = ws("verify", "--restore", "--at", sys.argv[2])
print(code, os.listdir(sys.argv[1]))
print(err)
""",
        tmp_path / "tmp",
        tmp_path / "b",
    )
    assert done.out.startswith(f"1 []\nverify: no space left to restore snapshot {short_id(taken.id)} into"), done
    assert "set TMPDIR" in done.out


def test_a_location_that_protects_little_is_warned_of_and_a_new_one_is_called_so(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    done = ws("backup-models", "--workspace", root)
    assert done.code == 0, done
    assert "own disk" in done.err
    assert (tmp_path / "home" / ".local" / "share" / "vmaf-workspace" / "backups" / "snapshots").is_dir()
    unmounted = tmp_path / "mnt" / "nas" / "deep"
    for is_new in (True, False):
        done = ws("backup-models", "--workspace", root, "--at", unmounted)
        assert (done.code, "own disk" in done.err, "new backup location" in done.out) == (0, True, is_new)
    done = ws("backup-models", "--workspace", root, "--at", "memory://place")
    assert (done.code, "gone when it ends" in done.err) == (0, True), done


def test_what_a_link_leads_to_is_said_not_to_be_in_the_snapshot(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    write(tmp_path / "elsewhere" / "v2.pkl")
    for name, target in (("v2", tmp_path / "elsewhere"), ("same", "m.pkl"), ("tuned", "../model_param"), ("no", "x")):
        (root / "model" / name).symlink_to(target)
    assert [path for path, _ in take(root, tmp_path / "b").left_out] == ["model/v2"]
    done = ws("backup-models", "--workspace", root, "--at", tmp_path / "b")
    assert (done.code, "kept as a link" in done.err) == (0, True), done


@pytest.mark.parametrize("then", ["nothing", "a new one"])
def test_a_workspace_that_goes_away_during_a_backup_is_not_taken_for_an_empty_one(then: str, tmp_path: Path) -> None:
    root, at = models(tmp_path / "ws"), tmp_path / "b"
    take(root, at)
    age(write(root / "model" / "m.pkl", 7))

    def moves(done: int, total: int) -> None:
        if root.exists() and not (tmp_path / "moved").exists():
            root.rename(tmp_path / "moved")
            if then == "a new one":
                workspace(root)

    with pytest.raises(InUseError, match="moved, removed or replaced"):
        take(root, at, progress=moves)
    assert len(store.list_ids(place(at))) == 1


def test_a_model_that_goes_during_a_backup_is_looked_for_once_more(tmp_path: Path) -> None:
    root, at = models(tmp_path / "ws"), tmp_path / "b"

    def goes_and_comes(done: int, total: int) -> None:
        for subdir in BACKED_UP:
            (root / subdir).rename(tmp_path / subdir)
        threading.Timer(0.02, lambda: [(tmp_path / subdir).rename(root / subdir) for subdir in BACKED_UP]).start()

    calls = iter([goes_and_comes])
    taken = take(root, at, progress=lambda done, total: next(calls, lambda *_: None)(done, total))
    assert taken.files == 5


def test_no_empty_snapshot_becomes_the_latest_when_all_models_are_gone(tmp_path: Path) -> None:
    root, at = models(tmp_path / "ws"), tmp_path / "b"
    taken = take(root, at).id
    for subdir in BACKED_UP:
        shutil.rmtree(root / subdir)
        (root / subdir).mkdir()
    done = ws("backup-models", "--workspace", root, "--at", at)
    assert (done.code, "vmaf-ws restore-models" in done.err, "5 files" in done.err) == (3, True, True), done
    assert store.list_ids(place(at)) == [taken]
    assert ws("restore-models", "--workspace", root, "--at", at).code == 0


def test_a_backup_stores_again_what_a_verify_found_damaged(tmp_path: Path) -> None:
    root, at = models(tmp_path / "ws"), tmp_path / "b"
    time.sleep(2.1)  # so that the next backup would read nothing
    ids = [take(root, at).id, take(root, at).id]
    verify(place(at))
    assert [listed.verified for listed in store.list_snapshots(place(at))] == [True, True]
    found = object_of(at, root / "model" / "m.pkl.model")
    found.chmod(0o644)
    found.write_bytes(b"y" * 10)
    assert verify(place(at), ids).whole == []
    assert [listed.verified for listed in store.list_snapshots(place(at))] == [False, False]
    assert store.noted_names(place(at), "damaged") == {found.name}
    taken = take(root, at)
    assert (taken.read_files, taken.stored_objects) == (1, 1)
    assert len(verify(place(at)).whole) == 3
    assert store.noted_names(place(at), "damaged") == set()
    assert take(root, at).read_files == 0


FAILING = """
import errno, os, sys
readv, inode = os.readv, int(sys.argv.pop(1))

def failing(fd, buffers):
    if os.fstat(fd).st_ino == inode:
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    return readv(fd, buffers)

os.readv = failing
from vmaf_workspace.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_an_object_on_a_bad_block_is_named_by_verify_and_stored_again_by_a_backup(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    take(root, tmp_path / "b")
    bad = object_of(tmp_path / "b", root / "model" / "m.pkl.model")
    at = (str(bad.stat().st_ino), "verify", "--workspace", root, "--at", tmp_path / "b")
    done = python(FAILING, *at, "--json")
    assert (done.code, done.json["objects"], len(done.json["problems"])) == (1, 5, 1), done
    assert "model/m.pkl.model" in done.json["problems"][0]["what"]
    restored = python(FAILING, at[0], "restore-models", *at[2:], "--into", tmp_path / "out")
    assert (restored.code, "has a disk that fails" in restored.err) == (1, True), restored
    assert python(FAILING, at[0], "backup-models", *at[2:]).code == 0
    done = python(FAILING, *at, "--json")
    assert (done.code, done.json["problems"]) == (0, []), done


def test_an_object_that_was_repaired_by_hand_is_no_longer_noted_as_damaged(tmp_path: Path) -> None:
    root, at = models(tmp_path / "ws"), tmp_path / "b"
    take(root, at)
    found = object_of(at, root / "model" / "m.pkl")
    found.chmod(0o644)
    found.write_bytes(b"y")
    assert len(verify(place(at)).problems) == 1
    found.write_bytes((root / "model" / "m.pkl").read_bytes())
    assert verify(place(at)).problems == []
    assert store.noted_names(place(at), "damaged") == set()


def interrupted(root: Path) -> None:
    """A restore that put `m.pkl` into its place and was killed before `m.pkl.model`."""
    token = "0" * 15 + "1"
    steps: list[dict[str, Any]] = []
    os.mkdir(staging.staging_directory(str(root / "model"), token))
    for n, name in enumerate(("m.pkl", "m.pkl.model")):
        path = root / "model" / name
        content = b"restored " + name.encode()
        staged = Path(staging.staging_directory(str(root / "model"), token), str(n))
        staged.write_bytes(content)
        age(staged)
        was = signature(path.lstat())
        about = {"path": f"model/{name}", "staged": str(n), "was": was, "sha256": hashlib.sha256(content).hexdigest()}
        steps.append(about)
    staging.write_journal(root, staging.Journal(token, steps, {}), flush=False)
    Path(staging.staging_directory(str(root / "model"), token), "0").rename(root / "model" / "m.pkl")


def test_a_model_that_a_restore_left_half_way_during_a_backup_is_taken_whole(tmp_path: Path) -> None:
    root, at = models(tmp_path / "ws"), tmp_path / "b"
    calls = iter([interrupted])
    take(root, at, progress=lambda *_: next(calls, lambda _: None)(root))
    bring_back(tmp_path / "out", at)
    for name in ("m.pkl", "m.pkl.model"):
        assert (tmp_path / "out" / "model" / name).read_bytes() == b"restored " + name.encode()


@pytest.mark.parametrize("command", ["backup-models", "wipe-models", "restore-models"])
def test_whoever_finishes_a_restore_says_so_and_what_stayed(command: str, tmp_path: Path) -> None:
    root, at = models(tmp_path / "ws"), tmp_path / "b"
    take(root, at)
    interrupted(root)
    age(write(root / "model" / "m.pkl.model", 33))
    done = ws(command, "--workspace", root, "--at", at)
    assert "finished a restore" in done.err
    assert "model/m.pkl.model: changed since" in done.err
    assert (root / "model" / "m.pkl.model").stat().st_size == 33
    assert "finished a restore" not in ws(command, "--workspace", root, "--at", at).err


def test_the_location_comes_from_the_flag_then_invoke_then_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = models(tmp_path / "ws")
    monkeypatch.setenv("VMAF_BACKUPS", str(tmp_path / "variable"))
    assert ws("snapshots", "--workspace", root, "--json").json["location"] == str(tmp_path / "variable")
    monkeypatch.setenv("INVOKE_WS_BACKUPS", str(tmp_path / "invoke"))
    assert ws("snapshots", "--workspace", root, "--json").json["location"] == str(tmp_path / "invoke")
    done = ws("snapshots", "--workspace", root, "--at", tmp_path / "flag", "--json")
    assert done.json["location"] == str(tmp_path / "flag")


def test_another_workspace_may_not_hold_the_location(tmp_path: Path) -> None:
    root, other = models(tmp_path / "ws"), models(tmp_path / "other")
    before = everything(other)
    with pytest.raises(WorkspaceError, match="inside the workspace"):
        take(root, other / "workdir" / "b")
    assert everything(other) == before


def test_local_backups_import_no_fsspec(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    code = (
        "import sys; from vmaf_workspace.cli import main; code = main(sys.argv[1:]);"
        " sys.exit(code or 'fsspec' in sys.modules)"
    )
    for command in ("backup-models", "verify", "snapshots", "diff"):
        done = run([sys.executable, "-c", code, command, "--workspace", root, "--at", tmp_path / "b"])
        assert done.code == 0, done


@pytest.mark.parametrize("flags", [(), ("--json",)], ids=["text", "json"])
def test_a_restore_check_without_the_packages_that_load_models_says_what_brings_them(
    flags: tuple[str, ...], tmp_path: Path
) -> None:
    """As in an installation without the extra, whose entry point is there all the same."""
    root = workspace(tmp_path / "ws")
    write(root / "model" / "m.json", 2)
    age(root / "model")
    at = ("--workspace", root, "--at", tmp_path / "b")
    assert ws("backup-models", *at).code == 0
    base = f"import sys; sys.modules['numpy'] = None; {CLI}"
    done = python(base, "verify", "--restore", *at, *flags)
    assert done.code == 1
    assert re.search(r"`.*pip install .*\[harness\].*` brings it", done.err)
    assert "Traceback" not in done.err
    assert python(base, "verify", *at, *flags).code == 0
