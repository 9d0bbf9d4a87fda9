"""Restore brings back exactly what was there, overwrites nothing unasked, and is whole wherever it is killed."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shlex
import shutil
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from snapshot_trees import bring_back, content_of, damage, models, place, reforged, take
from trees import CLI, age, everything, in_a_mount_namespace, live_run, python, workspace, write, ws

from vmaf_workspace.contract import PLACEHOLDER
from vmaf_workspace.errors import RefusedError, UsageError, WorkspaceError
from vmaf_workspace.groups import BACKED_UP
from vmaf_workspace.snapshot import store
from vmaf_workspace.snapshot.manifest import DamagedError, short_id
from vmaf_workspace.snapshot.staging import JOURNAL


def test_everything_comes_back_with_its_mode_and_time(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    (root / "model" / "m.pkl").chmod(0o640)
    before = {path: (about[0], about[3], about[4]) for path, about in everything(root / "model").items()}
    take(root, tmp_path / "b")
    for name in ("m.pkl", "m.pkl.model", "m.card.json"):
        (root / "model" / name).unlink()
    assert bring_back(root, tmp_path / "b").files == 3
    assert {path: (about[0], about[3], about[4]) for path, about in everything(root / "model").items()} == before


def test_a_second_restore_has_nothing_to_do(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    take(root, tmp_path / "b")
    before = everything(root / "model")
    assert bring_back(root, tmp_path / "b").files == 0
    assert everything(root / "model") == before
    assert len(store.list_ids(place(tmp_path / "b"))) == 1


def test_what_differs_is_refused_and_with_overwrite_it_is_in_a_safety_snapshot(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    first = take(root, tmp_path / "b")
    write(root / "model" / "m.pkl", 7)
    newer = content_of(root)
    before = everything(root)
    with pytest.raises(RefusedError, match="overwrite"):
        bring_back(root, tmp_path / "b")
    assert everything(root) == before
    done = bring_back(root, tmp_path / "b", overwrite=True)
    assert done.safety is not None
    assert (root / "model" / "m.pkl").stat().st_size == 1
    bring_back(root, tmp_path / "b", done.safety, overwrite=True)
    assert content_of(root) == newer
    bring_back(root, tmp_path / "b", first.id, overwrite=True)


def test_a_group_comes_back_whole_without_members_that_it_did_not_have(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    take(root, tmp_path / "b")
    was = content_of(root)
    for name in ("m.pkl.0001", "m.pkl.0001.model", "m.json", "m.bootstrap.json"):
        write(root / "model" / name, 3)
    write(root / "model" / "other.pkl", 3)
    with pytest.raises(RefusedError):
        bring_back(root, tmp_path / "b")
    bring_back(root, tmp_path / "b", overwrite=True)
    assert content_of(root) == was | {"model/other.pkl": b"xxx"}


def test_only_takes_the_whole_group_of_what_matches(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    age(write(root / "model" / "n.pkl", 3))
    take(root, tmp_path / "b")
    out = tmp_path / "out"
    bring_back(out, tmp_path / "b", only="*.pkl.model")
    assert set(content_of(out)) == {"model/m.pkl", "model/m.pkl.model", "model/m.card.json"}
    with pytest.raises(UsageError, match="fits none"):
        bring_back(out, tmp_path / "b", only="nothing*")


def test_into_another_directory_makes_no_workspace_of_it(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    take(root, tmp_path / "b")
    done = ws("restore-models", "--workspace", root, "--at", tmp_path / "b", "--into", tmp_path / "out")
    assert done.code == 0, done
    assert content_of(tmp_path / "out") == content_of(root)
    assert sorted(os.listdir(tmp_path / "out")) == ["checkpoints_dir", "model", "model_param"]


def test_into_a_missing_workspace_makes_it(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    taken = take(root, tmp_path / "b")
    new = ("--workspace", tmp_path / "new", "--at", tmp_path / "b", "--snapshot", taken.id)
    done = ws("restore-models", *new)
    assert done.code == 0, done
    assert content_of(tmp_path / "new") == content_of(root)
    assert (tmp_path / "new" / "workdir" / PLACEHOLDER).exists()


def test_dry_run_changes_nothing(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    take(root, tmp_path / "b")
    (root / "model" / "m.pkl").unlink()
    before = everything(tmp_path)
    done = ws("restore-models", "--workspace", root, "--at", tmp_path / "b", "--dry-run", "--json")
    assert done.json["new"] == ["model/m.pkl"]
    assert everything(tmp_path) == before


def test_live_runs_refuse_it(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    take(root, tmp_path / "b")
    with live_run(root):
        assert ws("restore-models", "--workspace", root, "--at", tmp_path / "b").code == 4


@pytest.mark.parametrize("how", ["flipped", "missing", "truncated", "manifest"])
def test_a_damaged_snapshot_is_refused_before_anything_changes(how: str, tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    taken = take(root, tmp_path / "b")
    damage(tmp_path / "b", how, root / "checkpoints_dir" / "run" / "fold1", taken.id)
    for subdir in ("model", "checkpoints_dir"):
        for directory, _, names in os.walk(root / subdir):
            for name in names:
                if name != PLACEHOLDER:
                    Path(directory, name).unlink()
    before = everything(root).keys()
    with pytest.raises(DamagedError):
        bring_back(root, tmp_path / "b")
    assert {path for path in everything(root).keys() - before if "cleaner.json" not in path} == set()


def test_a_damaged_snapshot_leaves_nothing_in_a_new_directory(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    taken = take(root, tmp_path / "b")
    damage(tmp_path / "b", "flipped", root / "checkpoints_dir" / "run" / "fold1", taken.id)
    with pytest.raises(DamagedError):
        bring_back(tmp_path / "new", tmp_path / "b")
    assert everything(tmp_path / "new") == {}


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "/etc/x",
        "model/../../x",
        "model/../x",
        "model//x",
        "model/./x",
        "workdir/x",
        "model",
        "x",
        "model/.gitignore",
    ],
)
def test_a_manifest_that_names_a_strange_place_is_refused(path: str, tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    taken = take(root, tmp_path / "b")
    forged = reforged(tmp_path / "b", taken.id, lambda data: data["files"][0].update(path=path))
    before = everything(root)
    with pytest.raises(RefusedError, match="no place for a model"):
        bring_back(root, tmp_path / "b", forged)
    assert everything(root) == before
    assert ws("verify", "--workspace", root, "--at", tmp_path / "b").code == 1


def test_a_manifest_that_leads_through_its_own_link_is_refused(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    taken = take(root, tmp_path / "b")

    def forge(data: dict[str, list[dict[str, object]]]) -> None:
        data["files"].append({"path": "model/l", "link": str(tmp_path), "mtime_ns": 0})
        data["files"].append({**data["files"][0], "path": "model/l/escaped"})

    forged = reforged(tmp_path / "b", taken.id, forge)
    with pytest.raises(RefusedError, match="no place for a model"):
        bring_back(tmp_path / "out", tmp_path / "b", forged)
    assert not (tmp_path / "escaped").exists()


@pytest.mark.parametrize("place", ["model_param/tuned/p.pkl", "model_param/tuned"])
def test_a_fifo_where_a_model_or_its_directory_must_go_is_refused(tmp_path: Path, place: str) -> None:
    root = models(tmp_path / "ws")
    take(root, tmp_path / "b")
    shutil.rmtree(root / "model_param" / "tuned")
    os.makedirs((root / place).parent, exist_ok=True)
    os.mkfifo(root / place)
    with pytest.raises(RefusedError, match="move it away"):
        bring_back(root, tmp_path / "b")
    assert stat.S_ISFIFO((root / place).lstat().st_mode)


def test_a_directory_where_a_model_must_go_is_refused(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    take(root, tmp_path / "b")
    (root / "model_param" / "tuned" / "p.pkl").unlink()
    (root / "model_param" / "tuned" / "p.pkl").mkdir()
    with pytest.raises(RefusedError, match="is a directory"):
        bring_back(root, tmp_path / "b")


def test_a_directory_that_became_a_link_is_not_followed(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    take(root, tmp_path / "b")
    (root / "model_param" / "tuned" / "p.pkl").unlink()
    (root / "model_param" / "tuned").rmdir()
    (tmp_path / "elsewhere").mkdir()
    (root / "model_param" / "tuned").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RefusedError, match="is no directory"):
        bring_back(root, tmp_path / "b", overwrite=True)
    assert os.listdir(tmp_path / "elsewhere") == []


def test_links_come_back_as_links_and_are_never_followed(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    secret = write(tmp_path / "secret", 5)
    (root / "model" / "absolute").symlink_to(secret)
    (root / "model" / "dangling").symlink_to("nowhere")
    (root / "model" / "directory").symlink_to(tmp_path)
    taken = take(root, tmp_path / "b")
    was = content_of(root)
    assert taken.files == 8
    bring_back(tmp_path / "out", tmp_path / "b")
    assert content_of(tmp_path / "out") == was
    assert bring_back(root, tmp_path / "b").files == 0


def test_a_symlinked_subdirectory_is_backed_up_and_restored_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "ws").mkdir()
    (tmp_path / "fast").mkdir()
    (tmp_path / "ws" / "model").symlink_to(tmp_path / "fast")
    root = workspace(tmp_path / "ws")
    age(write(root / "model" / "m.pkl", 5))
    assert take(root, tmp_path / "b").files == 1
    (root / "model" / "m.pkl").unlink()
    bring_back(root, tmp_path / "b")
    assert (tmp_path / "fast" / "m.pkl").stat().st_size == 5
    with pytest.raises(RefusedError, match="inside the workspace"):
        take(root, tmp_path / "fast" / "b")


ODD_NAMES = [b"new\nline.pkl", b"\xff\xfe.pkl", b"n" * 255, b" -rf *", b".hidden", "über.json".encode(), b"a\\b\"c'"]


def test_odd_names_survive(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    for n, name in enumerate(ODD_NAMES):
        age(write(root / "model" / os.fsdecode(name), n + 1))
    was = content_of(root)
    assert ws("backup-models", "--workspace", root, "--at", tmp_path / "b").code == 0
    assert ws("verify", "--workspace", root, "--at", tmp_path / "b").code == 0
    done = ws("restore-models", "--workspace", root, "--at", tmp_path / "b", "--into", tmp_path / "out")
    assert done.code == 0, done
    assert content_of(tmp_path / "out") == was
    for command in ("snapshots", "diff"):
        done = ws(command, "--workspace", root, "--at", tmp_path / "b")
        assert (done.code, done.err) == (0, "")


def test_a_name_that_appears_meanwhile_is_never_overwritten(tmp_path: Path) -> None:
    from vmaf_workspace.snapshot.restore import plan_restore, restore

    root = models(tmp_path / "ws")
    location = place(tmp_path / "b")
    snapshot = store.load_snapshot(location, take(root, tmp_path / "b").id)
    (root / "model" / "m.pkl").unlink()
    (root / "model" / "m.pkl.model").write_bytes(b"old")
    plan = plan_restore(root, snapshot)
    write(root / "model" / "m.pkl", 77)
    (root / "model" / "m.pkl.model").write_bytes(b"newer")
    age(root / "model")
    done = restore(plan, location, overwrite=True)
    assert sorted(path for path, _ in done.left) == ["model/m.pkl", "model/m.pkl.model"]
    assert (root / "model" / "m.pkl").stat().st_size == 77
    assert (root / "model" / "m.pkl.model").read_bytes() == b"newer"


def test_a_journal_that_cannot_be_read_stops_with_its_remedy(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    (root / JOURNAL).write_text("{")
    with pytest.raises(WorkspaceError, match="Remove it"):
        take(root, tmp_path / "b")


def test_a_forged_journal_touches_nothing_outside_the_models(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    victim = write(tmp_path / "victim", 3)
    about = victim.stat()
    was = [about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino, about.st_dev]
    paths = ["../victim", "model/../../victim", str(victim)]
    steps = [{"path": path, "staged": None, "was": was, "sha256": None} for path in paths]
    (root / JOURNAL).write_text(json.dumps({"token": "0" * 16, "steps": steps}))
    take(root, tmp_path / "b")
    assert victim.exists()
    assert not (root / JOURNAL).exists()


def test_the_latest_is_that_of_the_own_workspace_where_others_share_the_location(tmp_path: Path) -> None:
    one, other = models(tmp_path / "one"), workspace(tmp_path / "other")
    mine = take(one, tmp_path / "b")
    time.sleep(0.01)
    take(other, tmp_path / "b")
    location = place(tmp_path / "b")
    assert store.find_id(location, root=one) == mine.id
    assert store.find_id(location, mine.id[:20]) == mine.id
    assert (
        store.find_id(
            location, hashlib.sha256((tmp_path / "b" / "snapshots" / f"{mine.id}.json").read_bytes()).hexdigest()[:10]
        )
        == mine.id
    )
    with pytest.raises(UsageError, match="means none"):
        store.find_id(location, "1999")


def test_a_full_workspace_is_explained_and_stays_as_it_was(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    write(root / "model" / "big", 600_000)
    taken = take(root, tmp_path / "b")
    small = tmp_path / "small"
    small.mkdir()
    done = in_a_mount_namespace(
        """
root, at, taken = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
mount("-t", "tmpfs", "-o", "size=400k", "none", root)
assert ws("setup", "--workspace", root)[0] == 0
code, out, err = ws("restore-models", "--workspace", root, "--at", at, "--snapshot", taken)
print(code)
print(err)
print([name for name in os.listdir(root / "model") if name != ".gitignore"])
""",
        small,
        tmp_path / "b",
        taken.id,
    )
    code, *lines, left_in_model = done.out.strip().splitlines()
    assert (code, left_in_model) == ("1", "[]"), done
    assert "no space left" in lines[0]
    assert "vmaf-ws clean-scratch" in lines[2]


def modes(root: Path, *paths: str) -> list[int]:
    return [(root / path).stat().st_mode & 0o777 for path in paths]


def test_directories_come_back_with_what_they_allow_and_empty_ones_too(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    age(write(root / "model" / "private" / "inner" / "secret.pkl", 5))
    (root / "model" / "private" / "inner").chmod(0o550)
    (root / "model" / "private").chmod(0o700)
    (root / "model" / "empty" / "deep").mkdir(parents=True)
    (root / "model" / "empty" / "deep").chmod(0o711)
    (root / "checkpoints_dir").chmod(0o750)
    paths = ("model/private", "model/private/inner", "model/empty/deep", "model/empty", "model", "checkpoints_dir")
    was = modes(root, *paths)
    at = ("--workspace", root, "--at", tmp_path / "b")
    assert ws("backup-models", *at).code == 0
    assert ws("restore-models", *at, "--into", tmp_path / "out").code == 0
    assert modes(tmp_path / "out", *paths) == was
    (root / "model" / "private" / "inner").chmod(0o750)  # only root removes what is in a directory without write
    assert ws("wipe-models", *at, "--yes").code == 0
    assert not (root / "model" / "private").exists()
    dry = ws("restore-models", *at, "--dry-run", "--json").json
    gone = {"model/private", "model/private/inner", "checkpoints_dir/run", "model_param/tuned"}  # not what was empty
    assert set(dry["new_directories"]) == gone
    assert ws("restore-models", *at).code == 0
    assert modes(root, *paths) == was


def test_a_directory_that_is_there_keeps_what_it_allows(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    (root / "model_param" / "tuned").chmod(0o755)
    take(root, tmp_path / "b")
    (root / "model_param" / "tuned").chmod(0o700)
    (root / "model_param" / "tuned" / "p.pkl").unlink()
    assert bring_back(root, tmp_path / "b").files == 1
    assert modes(root, "model_param/tuned") == [0o700]


def test_directories_deeper_than_there_are_descriptors_come_back(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    write(root / "model" / "/".join("d" * 100) / "deep.pkl", 7)
    age(root / "model")
    take(root, tmp_path / "b")
    before = content_of(root)
    shutil.rmtree(root / "model" / "d")
    few = "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n" + CLI
    done = python(few, "restore-models", "--workspace", root, "--at", tmp_path / "b")
    assert (done.code, content_of(root)) == (0, before), done


def test_only_brings_back_no_other_directories(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    (root / "model" / "empty").mkdir()
    take(root, tmp_path / "b")
    bring_back(tmp_path / "out", tmp_path / "b", only="model_param/*")
    assert os.listdir(tmp_path / "out") == ["model_param"]


def test_nobody_else_can_read_a_file_while_it_is_restored_into_a_private_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = models(tmp_path / "ws")
    (root / "model_param" / "tuned").chmod(0o700)
    (root / "model_param" / "tuned" / "p.pkl").chmod(0o644)
    take(root, tmp_path / "b")
    seen = []
    link = os.link

    def linked(source: str, name: str, **options: Any) -> None:
        seen.append(os.stat(os.path.dirname(source)).st_mode & 0o077)
        seen.append(os.fstat(options["dst_dir_fd"]).st_mode & 0o077)
        link(source, name, **options)

    monkeypatch.setattr(os, "link", linked)
    bring_back(tmp_path / "out", tmp_path / "b", only="model_param/*")
    assert seen == [0, 0]


@pytest.mark.parametrize(
    "path", ["../x", "/etc", "workdir", "model/../x", "model/.vmaf-restore-1", "model/m.pkl/below"]
)
def test_a_manifest_with_a_directory_in_a_strange_place_is_refused(path: str, tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    taken = take(root, tmp_path / "b")
    forged = reforged(tmp_path / "b", taken.id, lambda data: data["directories"].append({"path": path, "mode": "0777"}))
    with pytest.raises(RefusedError, match="no place for models"):
        bring_back(tmp_path / "out", tmp_path / "b", forged)


def test_a_manifest_without_directories_and_identity_is_that_of_its_host_and_path(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    taken = take(root, tmp_path / "b")

    def older(data: dict[str, object]) -> None:
        for name in ("directories", "identity", "safety"):
            del data[name]

    forged = reforged(tmp_path / "b", taken.id, older)
    (tmp_path / "b" / "snapshots" / f"{taken.id}.json").unlink()
    (root / "model" / "m.pkl").unlink()
    done = ws("restore-models", "--workspace", root, "--at", tmp_path / "b", "--json")
    assert (done.code, done.json["snapshot"], done.json["new"]) == (0, forged, ["model/m.pkl"]), done
    assert ws("restore-models", "--workspace", workspace(tmp_path / "other"), "--at", tmp_path / "b").code == 3


@pytest.mark.parametrize("change", [{"size": 10**30}, {"size": 1 << 63}, {"mtime_ns": 10**40}, {"mtime_ns": -(10**20)}])
def test_numbers_that_no_file_has_are_damage(change: dict[str, int], tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    taken = take(root, tmp_path / "b")
    forged = reforged(tmp_path / "b", taken.id, lambda data: data["files"][0].update(change))
    with pytest.raises(DamagedError, match="cannot be read"):
        bring_back(tmp_path / "out", tmp_path / "b", forged)


@pytest.mark.parametrize("name", ["\ud800", "x/" * 3000 + "y"])
@pytest.mark.parametrize("kind", ["file", "link", "directory"])
def test_a_path_that_no_system_has_is_damage_and_blocks_nothing(kind: str, name: str, tmp_path: Path) -> None:
    def forge(data: dict[str, Any]) -> None:
        if kind == "directory":
            data["directories"].append({"path": f"model/{name}", "mode": "0755"})
        elif kind == "link":
            data["files"].append({"path": "model/link", "mtime_ns": 0, "link": name})
        else:
            data["files"][0]["path"] = f"model/{name}"

    root = models(tmp_path / "ws")
    forged = reforged(tmp_path / "b", take(root, tmp_path / "b").id, forge)
    before = everything(root)
    done = ws("restore-models", "--workspace", root, "--at", tmp_path / "b", "--snapshot", forged)
    assert (done.code, "cannot be read" in done.err, len(done.err) < 500) == (1, True, True), done
    assert everything(root) == before


@pytest.mark.parametrize("path", ["model/\ud800", "model/" + "x/" * 3000 + "y"])
def test_a_journal_with_a_path_that_no_system_has_blocks_nothing(path: str, tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    steps = [{"path": path, "staged": "0", "was": None, "sha256": None}]
    (root / JOURNAL).write_text(json.dumps({"token": "0" * 16, "steps": steps}))
    assert take(root, tmp_path / "b").files == 5


@pytest.mark.parametrize("time_s", [math.nan, math.inf, 1e300, -1e12, 1e15])
def test_a_time_that_no_calendar_knows_is_damage(time_s: float, tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    reforged(tmp_path / "b", take(root, tmp_path / "b").id, lambda data: data.update(time_s=time_s))
    at = ("--workspace", root, "--at", tmp_path / "b")
    listed, kept = ws("snapshots", *at), ws("forget", *at, "--keep-daily", "1", "--yes")
    assert (listed.code, "DAMAGED" in listed.out, kept.code) == (0, True, 0), (listed, kept)


def test_a_size_that_is_not_that_of_the_content_is_damage(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    taken = take(root, tmp_path / "b")
    forged = reforged(tmp_path / "b", taken.id, lambda data: data["files"][0].update(size=12345))
    with pytest.raises(DamagedError, match="size"):
        bring_back(tmp_path / "out", tmp_path / "b", forged)
    assert content_of(tmp_path / "out") == {}


@pytest.mark.parametrize("how", ["truncated", "strange", "foreign"])
def test_where_the_newest_manifest_is_damaged_the_one_before_is_named(how: str, tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    older = take(root, tmp_path / "b")
    write(root / "model" / "m.pkl", 7)
    snapshots = tmp_path / "b" / "snapshots"
    if how == "truncated":
        os.truncate(snapshots / f"{take(root, tmp_path / 'b').id}.json", 10)
    elif how == "strange":
        reforged(tmp_path / "b", older.id, lambda data: data["files"][0].update(path="/etc/passwd"))
    else:
        (snapshots / "somebodys.json").write_bytes(b"{}")
    at = ("--workspace", root, "--at", tmp_path / "b")
    done = ws("restore-models", *at)
    assert done.code == 1
    remedy = f"`vmaf-ws restore-models {' '.join(map(str, at))} --snapshot {short_id(older.id)}`"
    assert remedy in done.err, done
    assert how != "foreign" or "snapshot somebodys is damaged" in done.err, done
    shutil.rmtree(root / "model")
    assert ws("restore-models", *at, "--snapshot", short_id(older.id)).code == 0
    for subdir in BACKED_UP:
        shutil.rmtree(root / subdir)
    done = ws("backup-models", *at)
    if how == "foreign":  # nothing is written beside what is not ours
        assert (done.code, "'snapshots/somebodys.json'" in done.err) == (3, True), done
    else:
        assert (done.code, remedy in done.err) == (1, True), done


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_what_differs_is_said_in_words_that_fit_any_number(n: int, tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    paths = [write(root / "model" / f"{k}.pkl", 1) for k in range(5)]
    age(root / "model")
    take(root, tmp_path / "b")
    for path in paths[:n]:
        write(path, 2)
    at = ("--workspace", root, "--at", tmp_path / "b")
    done = ws("restore-models", *at)
    said = {
        0: "; 10 identical files there already;",
        1: "in 'model/0.pkl'; nothing",
        2: "in 'model/0.pkl', 'model/1.pkl'; nothing",
        5: "in 'model/0.pkl', 'model/1.pkl', 'model/2.pkl' and 2 more; nothing",
    }
    assert said[n] in done.out + done.err, done
    assert f"0 new files, {n} different, {10 - n} identical" in ws("restore-models", *at, "--dry-run").out


def test_the_snapshot_of_what_was_replaced_is_never_the_latest(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    at = ("--workspace", root, "--at", tmp_path / "b")
    first = take(root, tmp_path / "b")
    write(root / "model" / "m.pkl", 7)
    done = ws("restore-models", *at, "--overwrite", "--json")
    assert done.code == 0, done
    was = content_of(root)
    assert ws("restore-models", *at, "--json").json["snapshot"] == first.id
    assert content_of(root) == was
    assert "safety; before a restore" in ws("snapshots", *at).out
    assert bring_back(root, tmp_path / "b", done.json["safety_snapshot"], overwrite=True).files == 1
    assert (root / "model" / "m.pkl").stat().st_size == 7


@pytest.mark.parametrize("command", ["restore-models", "diff"])
def test_where_there_are_only_safety_snapshots_it_is_said_before_what_and_how_to_restore_them(
    command: str, tmp_path: Path
) -> None:
    root = models(tmp_path / "ws")
    older = take(root, tmp_path / "b", note="before model/old.pkl was replaced", is_safety=True)
    write(root / "model" / "m.pkl", 7)
    newer = take(root, tmp_path / "b", note="before model/m.pkl was replaced", is_safety=True)
    write(root / "model" / "m.pkl", 9)
    at = ("--workspace", root, "--at", tmp_path / "b")
    done = ws(command, *at)
    assert done.code == 3
    assert f"  {short_id(newer.id)} before model/m.pkl was replaced\n" in done.err
    assert f"  {short_id(older.id)} before model/old.pkl was replaced\n" in done.err
    assert "before a restore" not in done.err
    assert "made anew" not in done.err
    others = ws(command, "--workspace", workspace(tmp_path / "other"), "--at", tmp_path / "b").err
    assert re.search(rf"{short_id(newer.id)} of \S+/ws on \S+, before model/m.pkl was replaced\n", others)
    said = re.search(r"`vmaf-ws (restore-models [^`]*--snapshot \S+ --overwrite)`", " ".join(done.err.split()))
    assert said is not None
    assert ws(*shlex.split(said[1])).code == 0  # it names the workspace and the backups
    assert (root / "model" / "m.pkl").stat().st_size == 7


def test_a_workspace_that_moved_finds_its_snapshots_and_never_those_of_others(tmp_path: Path) -> None:
    one, other = models(tmp_path / "one"), workspace(tmp_path / "other")
    mine = take(one, tmp_path / "b")
    take(other, tmp_path / "b")
    one.rename(tmp_path / "moved")
    for subdir in ("model", "model_param", "checkpoints_dir"):
        shutil.rmtree(tmp_path / "moved" / subdir)
    done = ws("restore-models", "--workspace", tmp_path / "moved", "--at", tmp_path / "b", "--json")
    assert (done.code, done.json["snapshot"]) == (0, mine.id)
    take(tmp_path / "moved", tmp_path / "b")
    models(tmp_path / "one")  # another one in the old place
    assert ws("restore-models", "--workspace", tmp_path / "one", "--at", tmp_path / "b").code == 3


def test_a_workspace_removed_and_made_anew_at_its_place_finds_its_snapshots(tmp_path: Path) -> None:
    root, at = models(tmp_path / "ws"), tmp_path / "b"
    before = content_of(root)
    taken = take(root, at)
    shutil.rmtree(root)
    workspace(root)
    assert ws("backup-models", "--workspace", root, "--at", at).code == 3, "an empty one, after one with models"
    done = ws("restore-models", "--workspace", root, "--at", at, "--json")
    assert (done.code, done.json["snapshot"], content_of(root)) == (0, taken.id, before)


@pytest.mark.parametrize("flags", [["restore-models"], ["restore-models", "--into", "out"], ["diff"]])
def test_where_there_are_only_snapshots_of_others_they_are_named(flags: list[str], tmp_path: Path) -> None:
    taken = take(models(tmp_path / "other"), tmp_path / "b")
    root = workspace(tmp_path / "ws")
    before = everything(tmp_path)
    at = ("--workspace", root, "--at", tmp_path / "b")
    done = ws(*flags, *at)
    assert done.code == 3
    assert taken.id[:28] in done.err
    assert str(tmp_path / "other") in done.err
    assert "--snapshot" in done.err
    assert everything(tmp_path) == before
    assert ws(*flags, *at, "--snapshot", taken.id[:28]).code == 0


def test_into_a_place_that_is_somebodys_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    at = tmp_path / "b"
    taken = take(root, at)
    other = workspace(tmp_path / "other")
    fork = tmp_path / "fork"
    (fork / "compat" / "python-vmaf").mkdir(parents=True)
    write(tmp_path / "file")
    before = everything(tmp_path)
    flags = ("restore-models", "--workspace", root, "--at", at, "--snapshot", taken.id)
    for into in (
        "/",
        tmp_path / "home",
        fork,
        at,
        at / "objects",
        at / "new",
        other / "model",
        other / "new",
        tmp_path,
    ):
        done = ws(*flags, "--into", into)
        assert (done.code, "--into" in done.err or "place of its own" in done.err) == (3, True), (into, done)
    for into in (Path("/proc/x"), tmp_path / "file"):
        done = ws(*flags, "--into", into)
        assert (done.code, str(into) in done.err, "Errno" in done.err) == (1, True, False), done
    assert everything(tmp_path) == before
    with live_run(other):
        assert ws(*flags, "--into", other).code == 4
    assert ws(*flags, "--into", other).code == 0
    assert content_of(other) == content_of(root)


def test_a_pattern_that_fits_nothing_says_where_patterns_begin(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    take(root, tmp_path / "b")
    done = ws("restore-models", "--workspace", root, "--at", tmp_path / "b", "--only", "m")
    assert (done.code, "'model/" in done.err) == (2, True)


def test_the_list_says_of_which_workspace_each_snapshot_is_and_what_is_damaged_below_it(tmp_path: Path) -> None:
    root, other = models(tmp_path / "ws"), models(tmp_path / "other one")
    taken = take(root, tmp_path / "b")
    take(other, tmp_path / "b", note="a note")
    damage(tmp_path / "b", "manifest", root / "model" / "m.pkl", taken.id)
    table, _, damaged = ws("snapshots", "--workspace", root, "--at", tmp_path / "b").out.partition("damaged:")
    assert str(other) in table
    assert str(root) not in table
    assert max(map(len, table.splitlines())) < 200
    assert taken.id[:28] in damaged


def killed(root: Path, at: Path, steps: int) -> None:
    """A restore that was killed after so many files were in their places."""
    code = """
import os, signal, sys
from vmaf_workspace.cli import main
link, left = os.link, [int(sys.argv[1])]

def late(*args, **kwargs):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    return link(*args, **kwargs)

os.link = late
sys.exit(main(sys.argv[2:]))
"""
    assert python(code, str(steps), "restore-models", "--workspace", root, "--at", at).code == -9


@pytest.mark.parametrize("command", ["backup-models", "wipe-models"])
def test_a_killed_restore_whose_copies_are_gone_is_no_success_and_its_advice_ends_it(
    command: str, tmp_path: Path
) -> None:
    root, at = models(tmp_path / "ws"), tmp_path / "b"
    was = content_of(root)
    taken = take(root, at)
    for path in was:
        (root / path).unlink()
    killed(root, at, 2)
    for subdir in BACKED_UP:
        for staged in (root / subdir).glob(".vmaf-restore-*"):
            shutil.rmtree(staged)
    for _ in range(2):  # it stays so until somebody acts
        done = ws(command, "--workspace", root, "--at", at, *(["--yes"] if command == "wipe-models" else []))
        assert done.code == 1, done
        assert "its copy is gone" in done.err
        assert len(content_of(root)) == 2
    assert store.list_ids(place(at)) == [taken.id]
    match = re.search(r"`vmaf-ws (restore-models [^`]*--snapshot .*?)`", done.err)
    assert match is not None, done.err
    assert ws(*match[1].split()).code == 0
    assert content_of(root) == was
    assert ws("backup-models", "--workspace", root, "--at", at).code == 0


def test_a_copy_that_is_gone_while_its_destination_is_right_is_no_failure(tmp_path: Path) -> None:
    root, at = models(tmp_path / "ws"), tmp_path / "b"
    was = content_of(root)
    take(root, at)
    for path in was:
        (root / path).unlink()
    killed(root, at, 2)
    for subdir in BACKED_UP:
        for staged in (root / subdir).glob(".vmaf-restore-*"):
            shutil.rmtree(staged)
    bring_back(tmp_path / "out", at)
    for path in was:
        shutil.copy2(tmp_path / "out" / path, root / path)  # by hand
    done = ws("backup-models", "--workspace", root, "--at", at)
    assert (done.code, "all of it is in its place" in done.err) == (0, True), done


def test_what_was_trained_over_a_killed_restore_stays_and_is_backed_up(tmp_path: Path) -> None:
    root, at = models(tmp_path / "ws"), tmp_path / "b"
    take(root, at)
    for path in content_of(root):
        (root / path).unlink()
    killed(root, at, 3)
    there = sorted(path for path in content_of(root) if ".vmaf-restore-" not in path)
    for path in there:
        age(write(root / path, 77))
    done = ws("backup-models", "--workspace", root, "--at", at)
    assert done.code == 0, done
    assert all((root / path).stat().st_size == 77 for path in there)
    assert len(content_of(root)) == 5


MOVED = """
import os, sys
from pathlib import Path
from vmaf_workspace.cli import main
from vmaf_workspace.snapshot import restore
root = Path(sys.argv[1])
before = getattr(restore, sys.argv[2])

def late(*args, **kwargs):
    result = before(*args, **kwargs) if sys.argv[3] == "after" else None
    if not (root / "model.old").exists():
        (root / "model").rename(root / "model.old")
        (root / "elsewhere").mkdir()
        (root / "model").symlink_to("elsewhere")
    return before(*args, **kwargs) if result is None else result

setattr(restore, sys.argv[2], late)
sys.exit(main(sys.argv[4:]))
"""


@pytest.mark.parametrize(
    ("step", "when"),
    [("_stage", "after"), ("write_journal", "before"), ("put_in_place", "after"), ("plan_restore", "after")],
)
def test_a_restore_into_a_directory_that_was_swapped_meanwhile_reports_what_is_on_disk(
    step: str, when: str, tmp_path: Path
) -> None:
    root, at = models(tmp_path / "ws"), tmp_path / "b"
    take(root, at)
    shutil.rmtree(root / "model")
    (root / "model").mkdir()
    done = python(MOVED, root, step, when, "restore-models", "--workspace", root, "--at", at)
    assert done.code != 0, done
    assert "restored 3 files" not in done.out
    assert list((root / "elsewhere").iterdir()) == []


def test_a_file_that_somebody_changes_right_after_a_restore_is_not_reported_as_restored(tmp_path: Path) -> None:
    root, at = models(tmp_path / "ws"), tmp_path / "b"
    take(root, at)
    (root / "model" / "m.pkl.model").unlink()
    code = """
import sys
from pathlib import Path
from vmaf_workspace.cli import main
from vmaf_workspace.snapshot import restore
put_in_place = restore.put_in_place

def late(*args, **kwargs):
    left = put_in_place(*args, **kwargs)
    Path(sys.argv[1]).write_bytes(b"other")
    return left

restore.put_in_place = late
sys.exit(main(sys.argv[2:]))
"""
    path = root / "model" / "m.pkl.model"
    done = python(code, path, "restore-models", "--workspace", root, "--at", at)
    assert (done.code, "restored 0 files, 0 B" in done.out) == (1, True), done
    assert "m.pkl.model: it is not there as it was restored" in done.out + done.err
