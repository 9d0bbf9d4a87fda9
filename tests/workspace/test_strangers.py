"""What another user of the machine, or a cloned repository, left for us to believe: none of it is believed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from trees import age, everything, left, run, subprocess_env, without_root_powers, workspace, write, ws

from vmaf_workspace import guard
from vmaf_workspace.contract import MARKER
from vmaf_workspace.disk.atomic import read_regular
from vmaf_workspace.disk.trust import why_untrusted
from vmaf_workspace.errors import RefusedError, WorkspaceError
from vmaf_workspace.locate import find_checkout, locate
from vmaf_workspace.setup import setup
from vmaf_workspace.snapshot.staging import JOURNAL

STRANGER, COLLEAGUE = 65534, 65533
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root gives files away, as if another user had made them"
)


def give(path: Path, uid: int = STRANGER) -> Path:
    """Make all of *path* somebody else's."""
    for directory, names, files in os.walk(path):
        for name in names + files:
            os.chown(os.path.join(directory, name), uid, uid, follow_symlinks=False)
    os.chown(path, uid, uid, follow_symlinks=False)
    return path


def everybodys(path: Path) -> Path:
    """A directory as the temporary directory is."""
    path.mkdir()
    path.chmod(0o1777)
    return path


# What counts.


@pytest.mark.parametrize(
    ("uid", "above_uid", "mode", "counts"),
    [
        (0, STRANGER, 0o1777, True),  # root's, who is the caller here, too
        (STRANGER, 0, 0o1777, False),
        (STRANGER, 0, 0o755, False),
        (STRANGER, 0, 0o2775, False),
        (STRANGER, STRANGER, 0o755, True),  # `sudo` in somebody's own workspace, or a team's
        (STRANGER, STRANGER, 0o2775, True),
        (STRANGER, STRANGER, 0o777, False),
        (COLLEAGUE, STRANGER, 0o755, False),
    ],
)
def test_a_file_counts_from_us_from_root_and_from_the_owner_of_a_directory_that_is_not_everybodys(
    uid: int, above_uid: int, mode: int, counts: bool, tmp_path: Path
) -> None:
    top = tmp_path / "top"
    file = write(top / "file", 3)
    os.chown(file, uid, -1)
    os.chown(top, above_uid, -1)
    top.chmod(mode)
    assert (why_untrusted(file) is None) == counts
    if counts:
        assert read_regular(file, top=top) == b"xxx"
    else:
        assert str(uid) in str(why_untrusted(file))
        with pytest.raises(PermissionError, match=str(uid)):
            read_regular(file, top=top)


# A marker.


@pytest.mark.parametrize("command", ["clean-scratch", "purge-cache", "backup-models", "setup", "migrate", "run"])
def test_a_strangers_marker_is_refused_with_the_owners_name_and_nothing_changes(command: str, tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    age(write(lab / "output" / "paper" / "figure"))
    age(lab / "output")
    (lab / MARKER).mkdir()
    (lab / MARKER / "workspace.json").write_text("{}")
    give(lab / MARKER)
    before = everything(lab)
    flags = {"migrate": ["--yes", "--to", "moved"], "backup-models": ["--at", "b"], "run": ["--", "true"]}
    flags["purge-cache"] = ["--yes"]
    done = ws(command, *flags.get(command, []), env=subprocess_env(VMAF_WORKSPACE=str(lab)))
    assert done.code == 3
    assert f"{STRANGER}" in done.err
    assert "chown" in done.err
    assert everything(lab) == before


def test_a_strangers_marker_above_stops_no_workspace_of_ours_below(tmp_path: Path) -> None:
    shared = everybodys(tmp_path / "shared")
    (shared / MARKER).mkdir()
    give(shared / MARKER)
    assert ws("setup", "--workspace", shared / "mine").code == 0


def test_a_workspace_of_a_team_counts_for_each_of_its_members(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    root.chmod(0o2775)
    write(root / "workdir" / "old" / "file")
    give(root, COLLEAGUE)
    os.chown(root / MARKER / "workspace.json", STRANGER, -1)  # a third member's backup wrote it anew
    done = ws("clean-scratch", "--workspace", root, "--min-age", "0")
    assert (done.code, left(root)) == (0, [])


def test_the_directory_that_everybody_shares_is_no_place_for_a_subdirectory(tmp_path: Path) -> None:
    shared = everybodys(tmp_path / "shm")
    root = tmp_path / "ws"
    root.mkdir()
    (root / "workdir").symlink_to(shared)
    with pytest.raises(RefusedError, match="everybody shares"):
        setup(root)
    (root / "workdir").unlink()
    (shared / "mine").mkdir()
    (root / "workdir").symlink_to(shared / "mine")
    setup(root)
    give(shared / "mine" / MARKER)
    with pytest.raises(RefusedError, match=str(STRANGER)):
        guard.check(root)


@pytest.mark.parametrize(
    "command", [["clean-scratch"], ["backup-models", "--at", "/b"], ["migrate", "--yes", "--to", "ws2"], ["setup"]]
)
def test_a_marker_that_is_a_symlink_in_a_clone_leads_nowhere(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    write(project / "cleaner.json", 10)
    clone = tmp_path / "clone"
    place = clone / "compat" / "python-vmaf" / "workspace"
    write(place / "workdir" / "old" / "file")
    (place / MARKER).symlink_to("../../../../project")
    age(clone)
    monkeypatch.chdir(clone)
    before = everything(tmp_path)
    done = ws(*[str(tmp_path) + word if word == "/b" else word for word in command])
    assert done.code == 3
    assert "symlink" in done.err
    assert everything(tmp_path) == before


# A checkout found upward.


LAYOUTS = ["compat/python-vmaf", "compat/python-vmaf/workspace", "python/vmaf/workspace", "python/vmaf/config.py"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_strangers_checkout_above_is_passed_over_with_a_warning(
    layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = everybodys(tmp_path / "tmp")
    made = shared / layout
    made.parent.mkdir(parents=True)
    made.write_text("") if made.suffix else made.mkdir()
    give(shared / layout.split("/")[0])
    job = shared / "job"
    job.mkdir()
    monkeypatch.chdir(job)
    found = locate()
    assert not found.path.is_relative_to(shared)
    assert len(found.warnings) == 1
    assert all(text in found.warnings[0] for text in (str(STRANGER), str(shared), "VMAF_WORKSPACE="))
    assert find_checkout(job) is None
    assert find_checkout(job, anybodys=True) is not None


def test_cleaning_below_a_strangers_checkout_takes_nothing_of_ours_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, memory = everybodys(tmp_path / "tmp"), everybodys(tmp_path / "shm")
    results = age(write(memory / "my-run" / "results"))
    age(memory / "my-run")
    place = shared / "compat" / "python-vmaf" / "workspace"
    place.mkdir(parents=True)
    (place / "workdir").symlink_to(memory)
    (memory / MARKER).mkdir()
    (memory / MARKER / "workdir").write_text("{}")
    give(shared / "compat")
    give(memory / MARKER)
    (shared / "job").mkdir()
    for here in (shared / "job", shared / "compat"):
        monkeypatch.chdir(here)
        assert "nothing to remove" in ws("clean-scratch").out
        assert ws("clean-scratch", "--workspace", place).code == 3
        assert results.exists()


def test_ones_own_checkout_and_a_colleagues_own_are_found(tmp_path: Path) -> None:
    (tmp_path / "mine" / "compat" / "python-vmaf").mkdir(parents=True)
    (tmp_path / "theirs" / "compat" / "python-vmaf").mkdir(parents=True)
    give(tmp_path / "theirs")
    for name in ("mine", "theirs"):
        found = find_checkout(tmp_path / name)
        assert found is not None
        assert found.root == tmp_path / name


# A journal.


def test_a_strangers_journal_of_a_restore_removes_nothing(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    model = age(write(root / "model" / "m.pkl", 100))
    about = model.lstat()
    was = [about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino, about.st_dev]
    step = {"path": "model/m.pkl", "staged": None, "was": was, "sha256": None}
    journal = root / JOURNAL
    journal.write_text(json.dumps({"token": "0", "steps": [step], "directories": {"model": 0o777}}))
    os.chown(journal, STRANGER, -1)
    root.chmod(0o1777)
    before = everything(root)
    for command in ("backup-models", "restore-models", "wipe-models"):
        done = ws(
            command, "--workspace", root, "--at", tmp_path / "b", *(["--yes"] if command == "wipe-models" else [])
        )
        assert done.code in (1, 3)
        assert "Traceback" not in done.err
        assert model.exists()
    assert str(STRANGER) in ws("backup-models", "--workspace", root, "--at", tmp_path / "b").err
    kept = {path: about for path, about in everything(root).items() if MARKER not in path}
    assert kept == {path: about for path, about in before.items() if MARKER not in path}
    os.chown(journal, 0, -1)  # one's own counts
    assert ws("backup-models", "--workspace", root, "--at", tmp_path / "b").code == 0
    assert not model.exists()


def test_a_strangers_copy_half_made_is_not_gone_on_with(tmp_path: Path) -> None:
    from vmaf_workspace.migration.execution import _copy_and_switch
    from vmaf_workspace.migration.plan import staging_of

    root, shared = workspace(tmp_path / "ws"), everybodys(tmp_path / "shared")
    write(root / "model" / "m.pkl", 100)
    stage = staging_of(shared / "ws")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for kind in ("link", "directory"):
        stage.symlink_to(elsewhere) if kind == "link" else stage.mkdir()
        os.chown(stage, STRANGER, -1, follow_symlinks=False)
        with pytest.raises(RefusedError, match="symlink" if kind == "link" else str(STRANGER)):
            _copy_and_switch(root, shared / "ws", {}, None, modes=True)
        stage.unlink() if kind == "link" else stage.rmdir()
    assert os.listdir(elsewhere) == []


def test_a_directory_that_becomes_a_link_while_links_are_rewritten_is_no_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vmaf_workspace.migration import links
    from vmaf_workspace.migration.tree import Tree, read_tree

    root, keys = workspace(tmp_path / "ws"), tmp_path / "keys"
    write(keys / "id", 100)
    (root / "encode" / "x").mkdir()
    (root / "encode" / "x" / "id").symlink_to(root / "dataset")
    read = read_tree

    def then_swapped(*args: object, **options: object) -> Tree:
        tree = read(*args, **options)  # type: ignore[arg-type]
        (root / "encode" / "x").rename(root / "encode" / "y")
        (root / "encode" / "x").symlink_to(keys)
        return tree

    monkeypatch.setattr(links, "read_tree", then_swapped)
    before = everything(keys)
    with pytest.raises(WorkspaceError, match="same command again"):
        links.make_portable(root)
    assert everything(keys) == before


# Small files that are none.


def huge(path: Path) -> None:
    """A file of 4 TB that takes no room."""
    with path.open("wb") as file:
        try:
            file.truncate(4 << 40)
        except OSError:
            pytest.skip("this file system has no files of 4 TB")


PLANTED: dict[str, Callable[[Path], None]] = {
    "FIFO": os.mkfifo,
    "endless": lambda path: path.symlink_to("/dev/zero"),
    "directory": os.mkdir,
    "huge": huge,
}


@pytest.mark.parametrize("kind", PLANTED)
@pytest.mark.parametrize(
    "place", [JOURNAL, *(f"{MARKER}/{name}" for name in ("workspace.json", "migration.json", "cleaner.json"))]
)
def test_what_is_no_small_file_is_neither_waited_for_nor_read(kind: str, place: str, tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    write(root / "model" / "m.pkl", 100)
    (root / place).unlink(missing_ok=True)
    PLANTED[kind](root / place)
    limit = ["sh", "-c", 'ulimit -v 3000000; exec "$@"', "x", sys.executable, "-m", "vmaf_workspace.cli"]
    for command in ("clean-scratch", "backup-models", "diff"):
        at = [] if command == "clean-scratch" else ["--at", str(tmp_path / "b")]
        done = run([*limit, command, "--workspace", str(root), *at])
        assert done.code in (0, 1, 3), done.err
        assert "Traceback" not in done.err


def test_a_stored_result_that_is_a_fifo_stops_no_status(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    place = root / "result_store_dir" / "file_result_store" / "VMAF" / "set" / "0"
    place.mkdir(parents=True)
    os.mkfifo(place / "x.json")
    assert ws("status", "--stores", "--workspace", root).code == 0
    assert ws("purge-cache", "--dry-run", "--workspace", root).code == 0


# Invoke's configuration.


RUNS = 'open({!r}, "w").write("it ran")\n'


@pytest.mark.parametrize("whose", [0, STRANGER])
def test_the_console_script_runs_no_configuration(whose: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = everybodys(tmp_path / "shared")
    for name in ("invoke.py", "tasks.py"):
        (shared / name).write_text(RUNS.format(str(tmp_path / "ran")))
        os.chown(shared / name, whose, -1)
    job = shared / "job"
    job.mkdir()
    monkeypatch.chdir(job)
    for options in ({}, {"env": subprocess_env(VMAF_WORKSPACE=str(tmp_path / "ws"), INVOKE_WS_BACKUPS="/b")}):
        done = ws("where", **options)
        assert done.code == 0
        assert ("invoke.py is code" in done.err) == (whose == 0)
        assert not (tmp_path / "ran").exists()


def test_a_strangers_configuration_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = everybodys(tmp_path / "shared")
    (shared / "tasks.py").write_text("")
    (shared / "invoke.yaml").write_text("ws: {path: /theirs}\n")
    (shared / "job").mkdir()
    monkeypatch.chdir(shared / "job")
    assert ws("where").out == "/theirs\n"
    os.chown(shared / "invoke.yaml", STRANGER, -1)
    for options in ({}, {"env": subprocess_env(INVOKE_WS_BACKUPS="/b")}):
        done = ws("where", **options)
        assert (done.code, done.out != "/theirs\n") == (0, True)
        assert str(STRANGER) in done.err


def test_a_configuration_that_lies_elsewhere_and_is_linked_to_is_read(tmp_path: Path) -> None:
    write(tmp_path / "dotfiles" / "x").write_text("ws: {path: /linked}\n")
    Path("~/.invoke.yaml").expanduser().symlink_to(tmp_path / "dotfiles" / "x")
    assert ws("where").out == "/linked\n"
    os.chown(tmp_path / "dotfiles" / "x", STRANGER, -1)
    assert ws("where").out != "/linked\n"


@pytest.mark.parametrize("kind", PLANTED)
def test_a_configuration_that_is_no_small_file_hangs_nothing(kind: str) -> None:
    PLANTED[kind](Path("~/.invoke.yaml").expanduser())
    done = ws("where")
    assert done.code == (2 if kind == "huge" else 0)
    assert "Traceback" not in done.err


def test_below_a_directory_that_may_not_be_searched_every_command_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = without_root_powers()
    closed = tmp_path / "closed"
    (closed / "job").mkdir(parents=True)
    (closed / "home").mkdir()
    monkeypatch.chdir(closed / "job")
    closed.chmod(0)
    try:
        for command in (["where"], ["status", "--workspace", str(tmp_path / "ws")]):
            env = subprocess_env(HOME=str(closed / "home"), XDG_DATA_HOME=str(tmp_path / "data"))
            done = run([*prefix, sys.executable, "-m", "vmaf_workspace.cli", *command], env=env)
            assert (done.code, done.err.count("Traceback")) == (0, 0), done.err
    finally:
        closed.chmod(0o700)
