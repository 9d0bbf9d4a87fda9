"""`ws.setup` makes the tree, and only where nobody else's files are."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from trees import everything, in_a_mount_namespace, python, without_root_powers, workspace, write, ws

from vmaf_workspace.contract import CACHE_TAG, MARKER, PLACEHOLDER, PLACEHOLDER_TEXT, SUBDIRS, Loss
from vmaf_workspace.errors import RefusedError
from vmaf_workspace.guard import is_marked
from vmaf_workspace.identity import owner
from vmaf_workspace.setup import ensure, identify_for_snapshot, setup


def test_it_makes_all_eight_their_placeholders_the_marker_and_the_cache_tags(tmp_path: Path) -> None:
    made = setup(tmp_path / "a" / "ws")
    assert all(path.exists() for path in made)
    for subdir in SUBDIRS:
        directory = tmp_path / "a" / "ws" / subdir.name
        assert (directory / PLACEHOLDER).read_text() == PLACEHOLDER_TEXT
        tag = directory / CACHE_TAG
        assert tag.exists() == (subdir.loss in (Loss.NOTHING, Loss.TIME))
        if tag.exists():
            assert tag.read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55\n")
    assert not (tmp_path / "a" / "ws" / CACHE_TAG).exists()
    assert is_marked(tmp_path / "a" / "ws")


def test_a_second_time_makes_nothing_and_changes_nothing(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    (root / "model" / PLACEHOLDER).write_text("mine\n")
    before = everything(root)
    assert setup(root) == []
    ensure(root)
    assert everything(root) == before


def test_what_is_missing_is_made_again(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    (root / "workdir" / PLACEHOLDER).unlink()
    (root / "workdir" / CACHE_TAG).unlink()
    (root / "workdir").rmdir()
    assert setup(root) == [root / "workdir", root / "workdir" / PLACEHOLDER, root / "workdir" / CACHE_TAG]


def test_what_was_made_is_said_by_the_names_that_people_know(tmp_path: Path) -> None:
    root = tmp_path / "ws"
    eight = "dataset/, encode/, model/, model_param/, output/, result_store_dir/, checkpoints_dir/ and workdir/"
    assert ws("setup", "--workspace", root).out == f"made a workspace in {root}, with {eight}\n"
    assert ws("setup", "--workspace", root).out == f"{root} is set up already\n"
    shutil.rmtree(root / "model")
    shutil.rmtree(root / "workdir")
    assert ws("setup", "--workspace", root).out == f"made model/ and workdir/ in {root}\n"
    (root / "encode" / PLACEHOLDER).unlink()
    assert ws("setup", "--workspace", root).out == f"made what was missing of our small files in {root}\n"
    shutil.rmtree(root / MARKER)
    assert (
        ws("setup", "--workspace", root).out == f"made a workspace in {root}, of the subdirectories that were there\n"
    )


def test_git_never_sees_the_marker(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    subprocess.run(["git", "init", "-q", checkout], check=True)
    workspace(checkout / "ws")
    out = subprocess.run(
        ["git", "-C", checkout, "status", "--porcelain", "-uall"], check=True, capture_output=True, text=True
    ).stdout
    assert sorted(out.split()[1::2]) == sorted(f"ws/{subdir.name}/{PLACEHOLDER}" for subdir in SUBDIRS)


@pytest.mark.parametrize("name", ["thesis.tex", ".git", "Model", CACHE_TAG])
def test_a_directory_with_anything_else_in_it_stays_as_it_is(name: str, tmp_path: Path) -> None:
    write(tmp_path / "ws" / name)
    write(tmp_path / "ws" / "model" / "m.pkl")
    before = everything(tmp_path / "ws")
    with pytest.raises(RefusedError):
        setup(tmp_path / "ws")
    assert everything(tmp_path / "ws") == before


def test_a_tree_of_contract_names_alone_becomes_ours_and_keeps_its_files(tmp_path: Path) -> None:
    model = write(tmp_path / "ws" / "model" / "m.pkl", 100)
    setup(tmp_path / "ws")
    assert model.stat().st_size == 100
    assert is_marked(tmp_path / "ws")


def test_the_default_place_of_a_checkout_becomes_ours_whatever_is_in_it(tmp_path: Path) -> None:
    root = tmp_path / "checkout" / "compat" / "python-vmaf" / "workspace"
    write(root / "README.md")
    setup(root)
    assert is_marked(root)


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "ws")
    with pytest.raises(RefusedError, match="not a directory"):
        setup(tmp_path / "ws")
    with pytest.raises(RefusedError, match="not a directory"):
        setup(tmp_path / "ws" / "below")


def test_a_symlink_to_nothing_is_refused_and_one_to_an_empty_directory_is_not(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(RefusedError, match="symlink to nothing"):
        setup(tmp_path / "link")
    (tmp_path / "real").mkdir()
    setup(tmp_path / "link")
    assert is_marked(tmp_path / "real")


def as_symlink(marker: Path, elsewhere: Path) -> None:
    marker.symlink_to(elsewhere)


def as_dangling_symlink(marker: Path, elsewhere: Path) -> None:
    marker.symlink_to(elsewhere / "nothing")


def as_file(marker: Path, elsewhere: Path) -> None:
    marker.touch()


@pytest.mark.parametrize("fake", [as_symlink, as_dangling_symlink, as_file])
def test_a_marker_that_is_no_directory_of_its_own_is_refused(
    fake: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "ws").mkdir()
    fake(tmp_path / "ws" / MARKER, tmp_path / "elsewhere")
    before = everything(tmp_path)
    assert not is_marked(tmp_path / "ws")
    with pytest.raises(RefusedError, match="marker"):
        setup(tmp_path / "ws")
    assert everything(tmp_path) == before


def test_a_workspace_inside_a_workspace_is_refused(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    before = everything(root)
    for inner in (root / "workdir" / "inner", root / "inner", root / "workdir" / "a" / "b"):
        with pytest.raises(RefusedError, match="inside the workspace"):
            setup(inner)
    assert everything(root) == before


def test_a_symlinked_subdirectory_gets_a_marker_of_its_own_while_it_is_empty(tmp_path: Path) -> None:
    (tmp_path / "ws").mkdir()
    fast = tmp_path / "fast"
    fast.mkdir()
    (tmp_path / "ws" / "workdir").symlink_to(fast)
    setup(tmp_path / "ws")
    assert is_marked(fast, subdir="workdir")
    assert not is_marked(fast)
    assert not is_marked(fast, subdir="output")
    assert (fast / PLACEHOLDER).exists()
    assert setup(tmp_path / "ws") == []
    with pytest.raises(RefusedError, match="another workspace's subdirectory"):
        setup(fast)


def test_a_setup_killed_before_the_marker_was_whole_can_be_done_again(tmp_path: Path) -> None:
    for place in ("ws", "fast"):
        (tmp_path / place / MARKER).mkdir(parents=True)
        write(tmp_path / place / MARKER / PLACEHOLDER)
    (tmp_path / "ws" / "workdir").symlink_to(tmp_path / "fast")
    setup(tmp_path / "ws")
    assert is_marked(tmp_path / "fast", subdir="workdir")


def test_runs_that_start_at_once_may_make_the_same_workspace(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def make(root: Path, barrier: threading.Barrier) -> None:
        barrier.wait()
        try:
            ensure(root)
        except BaseException as error:
            failures.append(error)

    for attempt in range(20):
        barrier = threading.Barrier(4)
        root = tmp_path / str(attempt)
        threads = [threading.Thread(target=make, args=(root, barrier)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []


def test_a_place_that_may_not_be_written_is_explained_in_three_lines(tmp_path: Path) -> None:
    prefix = without_root_powers()
    (tmp_path / "closed").mkdir(mode=0o555)
    code = """
import sys
from pathlib import Path
from vmaf_workspace.errors import WorkspaceError
from vmaf_workspace.setup import ensure
try:
    ensure(Path(sys.argv[1]))
except WorkspaceError as error:
    print(error)
"""
    done = python(code, tmp_path / "closed" / "ws", prefix=prefix)
    lines = done.out.splitlines()
    assert len(lines) == 3, done
    assert str(tmp_path / "closed" / "ws") in lines[0]
    assert "VMAF_WORKSPACE" in lines[1]
    assert "make it writable" in lines[2]
    assert os.listdir(tmp_path / "closed") == []


def test_a_workspace_has_an_identity_of_its_own_from_its_first_day(tmp_path: Path) -> None:
    one, other = workspace(tmp_path / "one"), workspace(tmp_path / "other")
    assert len({owner(one).identity, owner(other).identity, ""}) == 3
    assert identify_for_snapshot(one).identity == owner(one).identity
    assert json.loads((one / MARKER / "workspace.json").read_text())["id"] == owner(one).identity


def test_a_copy_is_another_workspace_and_one_that_moved_is_the_same(tmp_path: Path) -> None:
    root, copy = workspace(tmp_path / "ws"), tmp_path / "copy"
    own = owner(root).identity
    for name in ("here", "there"):
        root = root.rename(tmp_path / name)
        assert identify_for_snapshot(root).identity == own
        shutil.copytree(root, copy)
        assert (owner(root).identity, owner(copy).identity) == (own, "")
        given = identify_for_snapshot(copy).identity
        assert given not in ("", own)
        assert (identify_for_snapshot(copy).identity, identify_for_snapshot(root).identity) == (given, own)
        shutil.rmtree(copy)
    (tmp_path / "link").symlink_to("there")
    assert identify_for_snapshot(tmp_path / "link").identity == owner(tmp_path / "link").identity == own
    assert set(os.listdir(root / MARKER)) == {PLACEHOLDER, "workspace.json"}


def test_one_that_an_older_version_marked_gets_an_identity_and_a_foreign_directory_none(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    (root / MARKER / "workspace.json").write_text('{"version": 1, "made_at_s": 1}\n')
    assert owner(root).identity == ""
    given = identify_for_snapshot(root).identity
    assert given
    assert identify_for_snapshot(root).identity == owner(root).identity == given
    (tmp_path / "foreign").mkdir()
    assert identify_for_snapshot(tmp_path / "foreign").identity == ""
    assert os.listdir(tmp_path / "foreign") == []


def test_where_an_identity_cannot_be_written_there_is_none(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    (root / MARKER / "workspace.json").write_text("{}")
    (root / MARKER).chmod(0o500)
    code = """
import sys
from pathlib import Path
from vmaf_workspace.setup import identify_for_snapshot
print([identify_for_snapshot(Path(sys.argv[1])).identity])
"""
    assert python(code, root, prefix=without_root_powers()).out == "['']\n"


def test_placeholders_that_git_tracks_come_back_as_git_has_them(tmp_path: Path) -> None:
    def git(*args: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        command = ["git", "-C", str(tmp_path / "up"), *who, *args]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    theirs = "# all but this file\n*\n!.gitignore\n"
    root = tmp_path / "up" / "workspace"
    write(tmp_path / "up" / "python" / "vmaf" / "config.py")
    for subdir in SUBDIRS[:-1]:
        write(root / subdir.name / PLACEHOLDER).write_text(theirs)
    git("init", "-q")
    git("add", "-f", ".")
    git("commit", "-q", "-m", "a checkout")
    shutil.rmtree(root)
    setup(root)
    for subdir in SUBDIRS:
        text = theirs if subdir is not SUBDIRS[-1] else PLACEHOLDER_TEXT
        assert (root / subdir.name / PLACEHOLDER).read_text() == text
    assert [line for line in git("status", "--porcelain").splitlines() if not line.startswith("??")] == []


def test_nothing_that_a_partial_clone_lacks_is_fetched(tmp_path: Path) -> None:
    """Its remote may name a program to run, and its server may be far away."""
    top, root = tmp_path / "up", tmp_path / "up" / "workspace"
    write(top / "python" / "vmaf" / "config.py")
    subprocess.run(["git", "init", "-q", top], check=True)
    remote = {"url": f"{tmp_path}/other", "promisor": "true", "uploadpack": f"touch {tmp_path}/run; false"}
    for name, value in remote.items():
        subprocess.run(["git", "-C", top, "config", f"remote.origin.{name}", value], check=True)
    subprocess.run(["git", "-C", top, "config", "core.repositoryFormatVersion", "1"], check=True)
    subprocess.run(["git", "-C", top, "config", "extensions.partialClone", "origin"], check=True)
    subprocess.run(["git", "init", "-q", tmp_path / "other"], check=True)
    lacked = f"100644,{'12' * 20},workspace/output/{PLACEHOLDER}"
    subprocess.run(["git", "-C", top, "update-index", "--add", "--cacheinfo", lacked], check=True)
    setup(root)
    assert (root / "output" / PLACEHOLDER).read_text() == PLACEHOLDER_TEXT
    assert not (tmp_path / "run").exists()


def test_lost_and_found_is_nobodys_at_the_top_of_a_disk_and_somebodys_elsewhere(tmp_path: Path) -> None:
    code = """
disk = Path(sys.argv[1]) / "disk"
disk.mkdir()
mount("-t", "tmpfs", "none", disk)
(disk / "lost+found").mkdir(mode=0o700)
(disk / "lost+found" / "#12").write_text("found")
for task in ("setup", "clean-scratch", "status"):
    print(ws(task, "--workspace", disk)[0], (disk / "lost+found" / "#12").read_text())
(disk / "below" / "lost+found").mkdir(parents=True)
print(ws("setup", "--workspace", disk / "below")[0], os.listdir(disk / "below"))
"""
    done = in_a_mount_namespace(code, tmp_path)
    assert done.out.splitlines() == ["0 found", "0 found", "0 found", "3 ['lost+found']"], done


def test_a_tree_deeper_than_calls_may_be_is_looked_through(tmp_path: Path) -> None:
    write(tmp_path / "ws" / "output" / "/".join("d" * 200) / "theirs", 7)
    code = "import sys; from pathlib import Path; from vmaf_workspace.setup import removable_subdirs as found"
    code += "\nsys.setrecursionlimit(150); print(found(Path(sys.argv[1])))"
    assert python(code, tmp_path / "ws").out == "['output/']\n"
