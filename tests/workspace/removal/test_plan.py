"""A saved plan removes exactly its list, and is believed no further than it could have been written here."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trees import age, ended_run, everything, left, live_run, stored, workspace, write, ws

from vmaf_workspace.contract import SCRATCH
from vmaf_workspace.errors import RefusedError, UsageError
from vmaf_workspace.removal.caches import Selection
from vmaf_workspace.removal.candidates import CLEAN, plan_clean, plan_purge
from vmaf_workspace.removal.plan import load_plan, save_plan


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return workspace(tmp_path / "ws")


def test_the_same_tree_gives_the_same_plan_sorted_by_path(root: Path) -> None:
    for name in "cab":
        age(ended_run(root, name))
        age(ended_run(root, name, subdir="output"))
    one, other = plan_clean(root), plan_clean(root)
    assert one.entries == other.entries
    assert [e.path for e in one.entries] == [f"{s}/{n}/" for s in ("output", "workdir") for n in "abc"]


@pytest.mark.parametrize("command", [["clean-scratch", "--force"], ["purge-cache", "--yes"]], ids=" ".join)
@pytest.mark.parametrize("how", ["--dry-run", "--plan"])
def test_a_dry_run_lists_every_path_and_changes_nothing(command: list[str], how: str, root: Path) -> None:
    for name in "abc":
        ended_run(root, name, subdir="workdir")
        stored(root, f"d/{name}/key", 10)
    before = everything(root)
    flags = [how] if how == "--dry-run" else [how, str(root.parent / "plan.json")]
    done = ws(*command, *flags, "--json", "--workspace", root)
    assert done.code == 0, done
    assert done.json["dry_run"] is True
    assert len(done.json["entries"]) == done.json["planned"]["entries"] == 3
    shown = ws(*command, *flags, "--workspace", root)
    assert shown.code == 0
    assert everything(root) == before


def test_apply_removes_exactly_the_list_and_nothing_that_came_since(root: Path, tmp_path: Path) -> None:
    age(ended_run(root, "listed", size=100))
    assert ws("clean-scratch", "--plan", tmp_path / "p", "--workspace", root).code == 0
    assert left(root) == ["listed"]
    age(ended_run(root, "later", size=1000))
    done = ws("clean-scratch", "--apply", tmp_path / "p", "--json", "--workspace", root)
    assert done.code == 0, done
    assert done.json["removed"]["entries"] == 1
    assert left(root) == ["later"]
    again = ws("clean-scratch", "--apply", tmp_path / "p", "--json", "--workspace", root)
    assert (again.code, again.json["removed"]["entries"]) == (0, 0)


def test_apply_leaves_what_changed_and_ends_with_1(root: Path, tmp_path: Path) -> None:
    for name in ("same", "touched"):
        age(ended_run(root, name, size=10))
    assert ws("clean-scratch", "--plan", tmp_path / "p", "--workspace", root).code == 0
    os.utime(root / "workdir" / "touched" / "frames.yuv")
    done = ws("clean-scratch", "--apply", tmp_path / "p", "--json", "--workspace", root)
    assert done.code == done.json["exit_code"] == 1
    assert [changed["path"] for changed in done.json["changed"]] == ["workdir/touched/"]
    assert left(root) == ["touched"]


def test_apply_of_a_purge_is_refused_while_a_run_lives_and_asks_as_any_purge(root: Path, tmp_path: Path) -> None:
    stored(root, "d/c/k", 10)
    assert ws("purge-cache", "--plan", tmp_path / "p", "--workspace", root).code == 0
    with live_run(root):
        assert ws("purge-cache", "--apply", tmp_path / "p", "--yes", "--workspace", root).code == 4
    assert ws("purge-cache", "--apply", tmp_path / "p", "--workspace", root).code == 3
    done = ws("purge-cache", "--apply", tmp_path / "p", "--yes", "--json", "--workspace", root)
    assert done.json["removed"]["apparent_bytes"] == 10


def test_a_plan_holds_names_that_are_no_utf8(root: Path, tmp_path: Path) -> None:
    os.mkdir(os.path.join(os.fsencode(root), b"workdir", b"\xff\n"))
    save_plan(plan_clean(root, force=True), tmp_path / "p")
    loaded = load_plan(tmp_path / "p", operation=CLEAN, root=root, subdirs=frozenset(SCRATCH))
    assert loaded.entries == plan_clean(root, force=True).entries
    assert ws("clean-scratch", "--apply", tmp_path / "p", "--workspace", root).code == 0
    assert left(root) == []


@pytest.mark.parametrize("name", ["p" * 255, "\u5b57" * 85, "\udcff" * 255], ids=["ascii", "utf-8", "neither"])
def test_a_plan_may_have_as_long_a_name_as_any_file(name: str, root: Path, tmp_path: Path) -> None:
    save_plan(plan_clean(root), tmp_path / name)
    save_plan(plan_clean(root), tmp_path / name)
    assert os.listdir(os.fsencode(tmp_path)).count(os.fsencode(name)) == 1


@pytest.mark.parametrize("place", ["", "/", "/nowhere/at/all", "DIRECTORY"])
def test_a_plan_that_cannot_be_written_or_read_is_a_usage_error(place: str, root: Path, tmp_path: Path) -> None:
    path = Path(place.replace("DIRECTORY", str(tmp_path)))
    plan = plan_clean(root)
    with pytest.raises(UsageError, match="cannot write the plan"):
        save_plan(plan, path)
    with pytest.raises(UsageError, match="cannot read the plan"):
        load_plan(path, operation=CLEAN, root=root, subdirs=frozenset(SCRATCH))
    assert sorted(os.listdir(tmp_path)) == ["home", "nowhere", "ws"]


def test_a_plan_is_not_written_through_what_somebody_put_in_its_way(root: Path, tmp_path: Path) -> None:
    precious = write(tmp_path / "precious", 100)
    (tmp_path / "p").symlink_to(precious)
    for path in (tmp_path / "p", precious):
        with pytest.raises(RefusedError, match="is no plan, so it stays"):
            save_plan(plan_clean(root), path)
    assert precious.stat().st_size == 100
    save_plan(plan_clean(root), tmp_path / "q")
    save_plan(plan_clean(root), tmp_path / "q")  # over an earlier plan


def test_a_plan_is_not_written_over_a_pipe_or_a_device_and_neither_is_waited_for(root: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for place in (tmp_path / "fifo", "/dev/stdout", "/dev/null"):
        done = ws("clean-scratch", "--plan", place, "--workspace", root)
        assert (done.code, done.out) == (3, ""), done
        assert "is no plan, so it stays" in done.err
    assert (tmp_path / "fifo").is_fifo()


@pytest.mark.parametrize(
    "flags",
    [
        ("clean-scratch", "--min-age", "2h"),
        ("clean-scratch", "--force"),
        ("clean-scratch", "--only", "output"),
        ("purge-cache", "--dataset", "d", "--yes"),
        ("purge-cache", "--older-than", "1d", "--yes"),
    ],
)
def test_a_selection_beside_a_saved_plan_is_an_error_and_not_ignored(
    flags: tuple[str, ...], root: Path, tmp_path: Path
) -> None:
    stored(root, "d/c/k", 10)
    age(write(root / "workdir" / "old" / "file").parent)
    assert ws(flags[0], "--plan", tmp_path / "p", "--workspace", root).code == 0
    before = everything(root)
    done = ws(*flags, "--apply", tmp_path / "p", "--workspace", root)
    assert (done.code, everything(root)) == (2, before)


# Tampered plans. A change gets the whole file's data and the one entry.

Data = dict[str, Any]


def entry_path(path: str) -> Callable[[Data, Data], None]:
    return lambda _, entry: entry.__setitem__("path", path)


def entry_field(name: str, value: object) -> Callable[[Data, Data], None]:
    return lambda _, entry: entry.__setitem__(name, value)


def plan_field(name: str, value: object) -> Callable[[Data, Data], None]:
    return lambda data, _: data["plan"].__setitem__(name, value)


REFUSED = {
    "absolute": entry_path("/etc/passwd"),
    "up": entry_path("workdir/../model/"),
    "up at the end": entry_path("workdir/x/.."),
    "dot": entry_path("workdir/./"),
    "double slash": entry_path("workdir//victim/"),
    "another subdirectory": entry_path("model/victim/"),
    "a whole subdirectory": entry_path("workdir/"),
    "nothing": entry_path(""),
    "the root": entry_path("/"),
    "inside a run": entry_path("workdir/victim/frames.yuv"),
    "NUL": entry_path("workdir/a\0b"),
    "placeholder": entry_path("workdir/.gitignore"),
    "cache tag": entry_path("workdir/CACHEDIR.TAG"),
    "marker": entry_path("workdir/.vmaf-workspace/"),
    "another root": plan_field("root", "/"),
    "another task": plan_field("operation", "purge-cache"),
    "a subdirectory it is not for": plan_field("subdirs", ["output"]),
    "a subdirectory of another task": plan_field("subdirs", ["model", "workdir"]),
}
UNREADABLE: dict[str, Callable[[Data, Data], None]] = {
    "version": lambda data, _: data.__setitem__("version", 1),
    "no version": lambda data, _: data.pop("version"),
    "no plan": lambda data, _: data.pop("plan"),
    "plan is a list": lambda data, _: data.__setitem__("plan", []),
    "plan is a text": lambda data, _: data.__setitem__("plan", "plan"),
    "no entries": lambda data, _: data["plan"].pop("entries"),
    "entry is a number": plan_field("entries", [1]),
    "entry without path": lambda _, entry: entry.pop("path"),
    "entry with more": entry_field("more", 1),
    "path is a number": entry_field("path", 5),
    "files is a text": entry_field("files", "5"),
    "disk_bytes is null": entry_field("disk_bytes", None),
    "disk_bytes is more than a disk has": entry_field("disk_bytes", 10**400),
    "cost_s is no float": entry_field("cost_s", 10**400),
    "newest_ns is before all time": entry_field("newest_ns", -(10**400)),
    "path is no name": entry_field("path", "workdir/\ud800/"),
    "force is a text": plan_field("force", "yes"),
    "kept is wrong": plan_field("kept", [{"path": 5, "why": "", "live": True}]),
    "subdirs is a number": plan_field("subdirs", 5),
}


def tampered(change: Callable[[Data, Data], None], root: Path, path: Path) -> None:
    age(ended_run(root, "victim", size=100))
    write(root / "model" / "victim" / "m.pkl")
    save_plan(plan_clean(root), path)
    data = json.loads(path.read_text())
    change(data, data["plan"]["entries"][0])
    path.write_text(json.dumps(data))


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED)
def test_a_plan_that_could_not_have_been_written_here_is_refused(
    change: Callable[[Data, Data], None], root: Path, tmp_path: Path
) -> None:
    tampered(change, root, tmp_path / "p")
    before = everything(root)
    done = ws("clean-scratch", "--apply", tmp_path / "p", "--workspace", root)
    assert (done.code, done.out) == (3, ""), done
    assert everything(root) == before


@pytest.mark.parametrize("change", UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_plan_is_a_usage_error(change: Callable[[Data, Data], None], root: Path, tmp_path: Path) -> None:
    tampered(change, root, tmp_path / "p")
    before = everything(root)
    for flags in ((), ("--dry-run",)):
        done = ws("clean-scratch", "--apply", tmp_path / "p", "--workspace", root, *flags)
        assert (done.code, done.out) == (2, ""), done
        assert "Traceback" not in done.err
    assert everything(root) == before


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"plan"', "[" * 100_000, "\xff", '{"version": 1}'])
def test_a_file_that_is_something_else_is_a_usage_error(text: str, root: Path, tmp_path: Path) -> None:
    (tmp_path / "p").write_text(text, encoding="latin-1")
    with pytest.raises(UsageError, match="is no plan"):
        load_plan(tmp_path / "p", operation=CLEAN, root=root, subdirs=frozenset(SCRATCH))


def test_a_purge_plan_lists_files_alone_and_encodes_only_where_asked_for(root: Path, tmp_path: Path) -> None:
    stored(root, "d/c/k", 10)
    write(root / "encode" / "e.mp4", 100)
    assert ws("purge-cache", "--with-encodes", "--plan", tmp_path / "p", "--workspace", root).code == 0
    before = everything(root)
    assert ws("purge-cache", "--apply", tmp_path / "p", "--yes", "--workspace", root).code == 3
    data = json.loads((tmp_path / "p").read_text())
    data["plan"]["entries"] = [data["plan"]["entries"][1] | {"path": "result_store_dir/file_result_store/"}]
    (tmp_path / "p").write_text(json.dumps(data))
    flags = ("--with-encodes", "--yes", "--workspace", root)
    assert ws("purge-cache", "--apply", tmp_path / "p", *flags).code == 3
    assert everything(root) == before


def test_forged_numbers_only_make_an_entry_count_as_changed(root: Path, tmp_path: Path) -> None:
    tampered(entry_field("inode", 1), root, tmp_path / "p")
    done = ws("clean-scratch", "--apply", tmp_path / "p", "--workspace", root)
    assert done.code == 1
    assert "another file of this name" in done.out
    assert left(root) == ["victim"]


def test_a_forged_force_takes_no_lock(root: Path, tmp_path: Path) -> None:
    with live_run(root):
        (name,) = left(root)
        age(root / "workdir" / name)
        age(ended_run(root))
        plan = plan_clean(root)
        save_plan(plan, tmp_path / "p")
        data = json.loads((tmp_path / "p").read_text())
        about = (root / "workdir" / name).stat()
        data["plan"]["force"] = True
        data["plan"]["entries"][0] |= {"path": f"workdir/{name}/", "inode": about.st_ino}
        (tmp_path / "p").write_text(json.dumps(data))
        done = ws("clean-scratch", "--apply", tmp_path / "p", "--workspace", root)
        assert name in left(root)
        assert "in use by" in done.out


def test_a_purge_plan_is_the_same_for_the_same_selection(root: Path) -> None:
    for name in ("d/c/k2", "d/c/k1"):
        stored(root, name)
    assert plan_purge(root, Selection()).entries == plan_purge(root, Selection()).entries
