"""What is written can be read: at the edges of what file systems hold, in whatever locale; nothing in its place is."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from snapshot_trees import bring_back, content_of, models, place, take
from trees import age, ended_run, left, process, python, run, subprocess_env, workspace, write, ws

from vmaf_workspace.contract import SCRATCH
from vmaf_workspace.disk.atomic import read_regular, write_atomically
from vmaf_workspace.errors import WorkspaceError
from vmaf_workspace.identity import Owner, Place
from vmaf_workspace.removal.candidates import CLEAN, plan_clean
from vmaf_workspace.removal.entries import Entries
from vmaf_workspace.removal.plan import Plan, load_plan, save_plan
from vmaf_workspace.snapshot import staging, store
from vmaf_workspace.snapshot.manifest import MOST, File, new_manifest, parse_manifest
from vmaf_workspace.snapshot.verify import verify

YEAR_2300_S = 10413792000
NAMED_RUN = """
import sys
from pathlib import Path
from vmaf_workspace.live.lock import Run
with Run(Path(sys.argv[1]), command=sys.argv[2]) as run:
    run.workdir()
    print("ready", flush=True)
    sys.stdin.read()
"""
NAME = st.binary(min_size=1, max_size=255).filter(lambda name: not {0, 47} & set(name) and name not in (b".", b".."))
PATHS = st.lists(NAME, min_size=1, max_size=4).map(lambda parts: os.fsdecode(b"/".join(parts)))
BIG = st.integers(-(1 << 96), 1 << 96) | st.sampled_from([0, -1, MOST - 1, MOST, -MOST, -MOST - 1, 1 << 53])
KEPT = (".gitignore", "CACHEDIR.TAG", ".vmaf-")


@given(
    files=st.dictionaries(PATHS.filter(lambda path: not path.startswith(KEPT)), BIG, max_size=4),
    size=st.integers(0, MOST - 1),
    mode=st.integers(0, 0o777),
    time_s=st.floats(0, 9e9),
    note=st.text(),
)
def test_any_manifest_that_is_written_is_read_as_the_same(
    files: dict[str, int], size: int, mode: int, time_s: float, note: str
) -> None:
    inner = {path for path in files if any(other.startswith(f"{path}/") for other in files)}
    given_files = [
        File(
            path=f"model/{path}",
            mtime_ns=ns,
            size=size,
            mode=mode,
            sha256=hashlib.sha256(path.encode("utf-8", "replace")).hexdigest(),
        )
        for path, ns in files.items()
        if path not in inner
    ]
    directories = {f"model/{path}": mode for path in inner}
    snapshot_id, content = new_manifest(
        time_s=time_s,
        owner=Owner(place=Place("h", "", "/w\udcff")),
        note=note,
        files=given_files,
        directories=directories,
    )
    found = parse_manifest(snapshot_id, content)
    within = [replace(file, mtime_ns=max(-MOST, min(MOST - 1, file.mtime_ns))) for file in given_files]
    assert found.files == tuple(sorted(within, key=lambda file: file.path))
    assert list(found.directories.items()) == [(path, mode) for path in sorted(directories)]
    assert (found.note, found.workspace) == (note, "/w\udcff")


@pytest.mark.parametrize(
    "change",
    [
        {"path": "model/../x"},
        {"path": "model/\ud800"},
        {"path": "model/" + "x/" * 2100 + "y"},
        {"path": "dataset/video.yuv"},
        {"size": MOST},
        {"sha256": "0" * 63},
        {"link": ""},
    ],
    ids=str,
)
def test_what_the_reader_of_manifests_refuses_is_not_written(change: dict[str, Any]) -> None:
    file = replace(File(path="model/m", mtime_ns=1, size=1, mode=0o644, sha256="0" * 64), **change)
    with pytest.raises(WorkspaceError, match="could not be read again, so none was taken"):
        new_manifest(time_s=1.0, owner=Owner(place=Place("h", "", "/w")), note="", files=[file])


@pytest.mark.parametrize("time_s", [YEAR_2300_S, -1, -(1 << 31)], ids=["2300", "1969", "1901"])
def test_a_model_of_another_age_is_backed_up_and_comes_back(time_s: int, tmp_path: Path) -> None:
    root, at = models(tmp_path / "ws"), tmp_path / "b"
    os.utime(root / "model" / "m.pkl", (time_s, time_s))
    if round((root / "model" / "m.pkl").stat().st_mtime) != time_s:
        pytest.skip("this file system does not hold such a time")
    before = content_of(root)
    for _ in range(2):
        assert ws("backup-models", "--workspace", root, "--at", at).code == 0
    done = ws("snapshots", "--workspace", root, "--at", at)
    assert (done.code, "DAMAGED" in done.out) == (0, False), done
    for command in ("verify", "diff", "prune"):
        assert ws(command, "--workspace", root, "--at", at).code == 0
    bring_back(tmp_path / "out", at)
    assert content_of(tmp_path / "out") == before
    back = (tmp_path / "out" / "model" / "m.pkl").stat().st_mtime_ns
    assert back == min(time_s * 10**9, MOST - 1)
    assert ws("wipe-models", "--workspace", root, "--at", at, "--yes").code == 0
    assert ws("restore-models", "--workspace", root, "--at", at).code == 0
    assert content_of(root) == before


NAMES = [
    b"n" * 255,
    "\u5b57".encode() * 85,
    b"\xff" * 255,
    b"new\nline\t\x1b[31m",
    b"\xed\xa0\x80",
    "mod\u00e8le".encode(),
    b"mod\xe8le",
]


def with_odd_names(root: Path) -> Path:
    """A workspace with models under every name of NAMES, one below another, and a link to each."""
    workspace(root)
    for n, name in enumerate(NAMES):
        directory = Path(os.fsdecode(os.path.join(os.fsencode(root / "model"), b"d" + name[:254])))
        write(directory / os.fsdecode(name), n + 1)
        (directory / f"link{n}").symlink_to(os.fsdecode(name))
    age(root / "model")
    return root


def test_names_at_the_edges_come_back(tmp_path: Path) -> None:
    root = with_odd_names(tmp_path / "ws")
    before = content_of(root)
    take(root, tmp_path / "b")
    assert verify(place(tmp_path / "b")).problems == []
    bring_back(tmp_path / "out", tmp_path / "b")
    assert content_of(tmp_path / "out") == before


@pytest.fixture(scope="session")
def latin1(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process whose locale is of ISO-8859-1."""
    if shutil.which("localedef") is None:
        pytest.skip("localedef, which makes a locale of ISO-8859-1, is missing here")
    top = tmp_path_factory.mktemp("locales")
    name = "de_DE.ISO-8859-1"
    subprocess.run(["localedef", "-i", "de_DE", "-f", "ISO-8859-1", top / name], capture_output=True, check=False)
    env = {"LOCPATH": str(top), "LC_ALL": name, "PYTHONUTF8": "0"}
    says = [sys.executable, "-c", "import sys; print(sys.getfilesystemencoding())"]
    if "8859" not in run(says, env=subprocess_env(**env)).out:
        pytest.skip("localedef made no locale of ISO-8859-1 here")
    return env


@pytest.mark.parametrize("writes_in", ["latin-1", "utf-8"])
def test_a_snapshot_that_is_taken_in_one_locale_is_restored_in_another(
    writes_in: str, latin1: dict[str, str], tmp_path: Path
) -> None:
    root, at = with_odd_names(tmp_path / "ws"), tmp_path / "b"
    before = content_of(root)
    one, other = subprocess_env(**latin1), subprocess_env(LC_ALL="C.UTF-8")
    if writes_in == "utf-8":
        one, other = other, one
    done = ws("backup-models", "--workspace", root, "--at", at, env=one)
    assert done.code == 0, done
    done = ws("restore-models", "--workspace", root, "--at", at, "--into", tmp_path / "out", env=other)
    assert (done.code, content_of(tmp_path / "out")) == (0, before), done
    done = ws("diff", "--workspace", root, "--at", at, "--json", env=other)
    assert (done.json["added"], done.json["removed"], done.json["changed"]) == ([], [], []), done
    age(write(root / "model" / "more.pkl", 7))
    assert ws("backup-models", "--workspace", root, "--at", at, env=other).code == 0
    a, b = (store.load_snapshot(place(at), snapshot_id) for snapshot_id in store.list_ids(place(at)))
    assert {file.path for file in b.files} - {file.path for file in a.files} == {"model/more.pkl"}


def test_a_plan_that_is_saved_in_one_locale_is_applied_in_another(latin1: dict[str, str], tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    for n in ("mod\u00e8le", os.fsdecode(b"mod\xe8le")):
        age(ended_run(root, n))
    where = ("--workspace", root)
    assert ws("clean-scratch", "--plan", tmp_path / "p", *where, env=subprocess_env(**latin1)).code == 0
    done = ws("clean-scratch", "--apply", tmp_path / "p", *where, env=subprocess_env(LC_ALL="C.UTF-8"))
    assert (done.code, left(root)) == (0, []), done


def test_a_restore_that_is_killed_in_one_locale_is_finished_in_another(latin1: dict[str, str], tmp_path: Path) -> None:
    root, at = with_odd_names(tmp_path / "ws"), tmp_path / "b"
    before = content_of(root)
    take(root, at)
    shutil.rmtree(root / "model")
    (root / "model").mkdir()
    code = """
import os, signal, sys
from vmaf_workspace.snapshot import restore
restore.put_in_place = lambda *args, **options: os.kill(os.getpid(), signal.SIGKILL)
from vmaf_workspace.cli import main
main(sys.argv[1:])
"""
    python(code, "restore-models", "--workspace", root, "--at", at, env=subprocess_env(**latin1))
    assert (root / staging.JOURNAL).exists()
    staging.finish_interrupted(root, "a test")
    assert content_of(root) == before


def test_a_run_that_began_in_one_locale_is_named_and_kept_in_another(latin1: dict[str, str], tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    command = "mod\u00e8le \u6a21.pkl"
    where = ("clean-scratch", "--json", "--workspace", root)
    for writes, reads in ((latin1, {"LC_ALL": "C.UTF-8"}), ({"LC_ALL": "C.UTF-8"}, latin1)):
        with process(NAMED_RUN, root, command, prefix=["env", *(f"{k}={v}" for k, v in writes.items())]):
            plan = ws(*where, "--plan", tmp_path / "p", env=subprocess_env(**reads))
            done = ws(*where, env=subprocess_env(**reads))
        assert (plan.code, done.code) == (0, 0), (plan, done)
        (kept,) = done.json["kept"]
        why = kept["why"].encode("latin-1", "surrogateescape").decode() if reads is latin1 else kept["why"]
        assert command in why, done


def test_a_migration_that_is_stopped_in_one_locale_is_known_in_another(latin1: dict[str, str], tmp_path: Path) -> None:
    root = with_odd_names(tmp_path / "mod\u00e8le")
    code = """
import os, sys
from pathlib import Path
from vmaf_workspace.migration.execution import _write_journal
from vmaf_workspace.migration.plan import read_journal, state_of
from vmaf_workspace.migration.tree import read_tree
root, target = Path(sys.argv[1]), Path(f"{sys.argv[1]}-2")
if len(sys.argv) > 2:
    _write_journal(root, {"from": str(root), "to": str(target), "state": "compared"})
print(state_of(read_journal(root), root, target), read_tree(str(root), without=(".vmaf-workspace",)).digest())
"""
    said = {python(code, root, "write", env=subprocess_env(**latin1)).out}
    said |= {python(code, root, env=subprocess_env(LC_ALL="C.UTF-8")).out}
    said |= {python(code, root, "write", env=subprocess_env(LC_ALL="C.UTF-8")).out}
    said |= {python(code, root, env=subprocess_env(**latin1)).out}
    (one,) = said
    assert one.startswith("compared "), one


def plan_of(root: Path) -> Plan:
    """A plan with one entry."""
    age(ended_run(workspace(root), "old"))
    return plan_clean(root)


def loaded(path: Path, root: Path) -> Plan:
    """The saved plan."""
    return load_plan(path, operation=CLEAN, root=root, subdirs=frozenset(SCRATCH))


@pytest.mark.parametrize(
    "change",
    [
        {"newest_ns": YEAR_2300_S * 10**9},
        {"newest_ns": -(1 << 93)},  # Btrfs holds 2^63 s
        {"inode": (1 << 64) - 1},  # of network file systems and FUSE
        {"apparent_bytes": (1 << 63) - 1},
        {"path": "workdir/" + os.fsdecode(b"\xff" * 255) + "/"},
    ],
    ids=str,
)
def test_a_plan_at_the_edges_is_read_as_it_was(change: dict[str, Any], tmp_path: Path) -> None:
    plan = plan_of(tmp_path / "ws")
    plan = replace(plan, entries=Entries.of([replace(plan.entries[0], **change)]))
    save_plan(plan, tmp_path / "p")
    assert loaded(tmp_path / "p", tmp_path / "ws") == plan


@pytest.mark.parametrize(
    "change", [{"cost_s": float("nan")}, {"cost_s": float("inf")}, {"files": -5}, {"path": "workdir/\ud800/"}], ids=str
)
def test_a_plan_that_could_not_be_read_is_not_written_and_an_earlier_one_stays(
    change: dict[str, Any], tmp_path: Path
) -> None:
    plan = plan_of(tmp_path / "ws")
    save_plan(plan, tmp_path / "p")
    with pytest.raises(WorkspaceError, match="could not be read again"):
        save_plan(replace(plan, entries=Entries.of([replace(plan.entries[0], **change)])), tmp_path / "p")
    assert loaded(tmp_path / "p", tmp_path / "ws") == plan
    assert [name for name in os.listdir(tmp_path) if "tmp" in name] == []


def test_a_plan_of_what_lies_in_our_marker_is_refused(tmp_path: Path) -> None:
    plan = plan_of(tmp_path / "ws")
    for operation, path in (("purge-cache", "result_store_dir/.vmaf-workspace/x"), (CLEAN, "workdir/.gitignore/")):
        subdirs = (path.split("/")[0],)
        entry = replace(plan.entries[0], path=path)
        save_plan(replace(plan, operation=operation, subdirs=subdirs, entries=Entries.of([entry])), tmp_path / "p")
        with pytest.raises(WorkspaceError, match="which stays"):
            load_plan(tmp_path / "p", operation=operation, root=tmp_path / "ws", subdirs=frozenset(subdirs))


@pytest.mark.parametrize("what", ["FIFO", "directory", "device"])
def test_what_is_no_file_is_no_plan_and_nobody_waits_for_it(what: str, tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    path = tmp_path / "p"
    if what == "FIFO":
        os.mkfifo(path)
    elif what == "directory":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    for flag in ("--apply", "--plan"):
        done = ws("clean-scratch", flag, path, "--workspace", root)
        would_be_replaced = flag == "--plan" and what != "directory"
        assert (done.code, "Traceback" in done.err) == (3 if would_be_replaced else 2, False), done


STEP = {"path": "model/m.pkl", "staged": "0", "was": None, "sha256": None}
JOURNALS = [
    '{"token":"0","steps":[{"path":"model/m.pkl","staged":"0","sha256":null}],"directories":{}}',
    '{"token":"0","steps":[{"path":"model/m.pkl","staged":Infinity,"was":null,"sha256":null}]}',
    '{"token":"0","steps":[],"directories":{"model":1e999}}',
    json.dumps({"token": "0", "steps": [STEP | {"staged": "../../x"}]}),
    json.dumps({"token": "0", "steps": [STEP | {"was": "abc"}]}),
    json.dumps({"token": "0", "steps": [STEP | {"was": [None]}]}),
    json.dumps({"token": "0", "steps": [STEP | {"sha256": 5}]}),
    json.dumps({"token": "0", "steps": [STEP | {"path": 7}]}),
    json.dumps({"token": "f" * 300, "steps": []}),
    json.dumps({"token": 5, "steps": []}),
    "[1]",
    "{",
    "\udcff",
    "[" * 100_000,
]


@pytest.mark.parametrize("content", JOURNALS, ids=range(len(JOURNALS)))
def test_a_journal_that_is_none_is_one_error_with_a_remedy_and_nothing_is_touched(content: str, tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    (root / staging.JOURNAL).write_bytes(os.fsencode(content))
    before = content_of(root)
    with pytest.raises(WorkspaceError, match=r"cannot be read(.|\n)*Remove it") as caught:
        take(root, tmp_path / "b")
    assert len(str(caught.value).splitlines()) == 2
    assert content_of(root) == before


def test_a_journal_that_is_a_fifo_or_a_link_is_not_waited_for_nor_followed(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    for make in (os.mkfifo, lambda path: os.symlink("/dev/zero", path)):
        make(root / staging.JOURNAL)
        for command in ("backup-models", "restore-models", "wipe-models"):
            done = ws(command, "--workspace", root, "--at", tmp_path / "b")
            assert (done.code, "Traceback" in done.err) == (1, False), done
        os.unlink(root / staging.JOURNAL)


def test_a_journal_that_would_not_be_read_is_not_written(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    for step in (STEP | {"path": "dataset/x"}, STEP | {"staged": "x"}):
        with pytest.raises(WorkspaceError, match="cannot write down"):
            staging.write_journal(root, staging.Journal("0" * 16, [step], {}), flush=False)
    assert not list(root.glob(f"{staging.JOURNAL}*"))
    assert staging.decode_journal(b"").steps == []


def test_a_cache_of_hashes_that_is_damaged_costs_a_second_reading(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    take(root, tmp_path / "b")
    (cache,) = (tmp_path / "home" / ".cache" / "vmaf-workspace" / "backups").iterdir()
    version = json.loads(cache.read_bytes())["version"]
    odd = json.dumps({"version": version, "files": {"model/m.pkl": [[float("inf")], 5]}})
    for content in ("", "[" * 100_000, "{}", odd, "\udcff"):
        cache.write_bytes(os.fsencode(content))
        assert take(root, tmp_path / "b").read_files == 5
    assert verify(place(tmp_path / "b")).problems == []


def test_a_file_is_written_only_once_its_reader_has_read_it(tmp_path: Path) -> None:
    path = write(tmp_path / "f", 3)

    def refuses(content: bytes) -> None:
        assert (content, path.read_bytes()) == (b"new", b"xxx")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        write_atomically(path, b"new", reader=refuses)
    assert path.read_bytes() == b"xxx"
    write_atomically(path, b"new", reader=len)
    assert (path.read_bytes(), read_regular(path), sorted(os.listdir(tmp_path))) == (
        b"new",
        b"new",
        ["f", "home", "nowhere"],
    )


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/etc/hostname", path)])
def test_only_a_regular_file_is_read_as_one_of_ours(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "f")
    with pytest.raises(OSError, match=r"no regular file|symbolic links"):
        read_regular(tmp_path / "f")
    write(tmp_path / "large", 100)
    with pytest.raises(OSError, match="too many"):
        read_regular(tmp_path / "large", at_most=99)
