"""*Wipe* is the only way models go: a verified snapshot holds all that goes, and a person types its name."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pexpect
import pytest
from snapshot_trees import bring_back, content_of, damage, models, place, take
from trees import (
    age,
    as_somebody_with_few_processes,
    everything,
    left,
    live_run,
    python,
    run,
    without_root_powers,
    workspace,
    write,
    ws,
)

from vmaf_workspace.contract import PLACEHOLDER
from vmaf_workspace.snapshot import store, wipe


def at(root: Path) -> Sequence[str | Path]:
    return ("--workspace", root, "--at", root.parent / "b")


def typed(
    root: Path, *answers: str, flags: Sequence[str] = (), ahead: str = "", meanwhile: Callable[[], object] = bool
) -> tuple[int | None, str]:
    """Exit code and screen of `wipe-models` at a terminal, where a person gives these answers.

    Lines *ahead* are typed before anything is asked; *meanwhile* is done before the first answer.
    """
    arguments = ["-m", "vmaf_workspace.cli", "wipe-models", *map(str, at(root)), *flags]
    child = pexpect.spawn(sys.executable, arguments, encoding="utf-8", timeout=30, dimensions=(50, 300))
    child.send(ahead)
    screen = ""
    for n, answer in enumerate(answers):
        child.expect([r"\[y/N\] ", r"Type \w+ to empty it \(.*\): "])
        screen += (child.before or "") + str(child.after)
        if not n:
            meanwhile()
        child.sendline(answer)
    child.expect(pexpect.EOF)
    child.close()
    return child.exitstatus, screen + str(child.before)


def test_what_a_verified_snapshot_holds_goes_by_name_and_comes_back(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    was = content_of(root)
    take(root, tmp_path / "b")
    code, screen = typed(root, "model", "model_param", "checkpoints_dir")
    assert code == 0, screen
    assert "verified now" in screen
    assert [left(root, name) for name in ("model", "model_param", "checkpoints_dir")] == [[], [], []]
    assert (root / "model" / PLACEHOLDER).exists()
    bring_back(root, tmp_path / "b")
    assert content_of(root) == was


@pytest.mark.parametrize("answer", ["", "y", "yes", "model_param", "MODEL", "model/"])
def test_anything_but_the_name_removes_nothing(answer: str, tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    take(root, tmp_path / "b")
    before = content_of(root)
    code, screen = typed(root, answer, flags=["--only", "model"])
    assert (code, content_of(root)) == (1, before), screen


def test_only_one_subdirectory_goes(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    take(root, tmp_path / "b")
    done = ws("wipe-models", *at(root), "--only", "model", "--yes", "--json")
    assert (done.code, done.json["removed"]["apparent_bytes"]) == (0, 111)
    assert set(content_of(root)) == {"model_param/tuned/p.pkl", "checkpoints_dir/run/fold1"}
    assert ws("wipe-models", *at(root), "--only", "workdir").code == 2


def test_checkpoints_of_the_newest_runs_stay_whole(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    for days, run_ in enumerate(("newest", "newer", "old", "oldest")):
        for part in ("0.pkl", "1.pkl"):
            age(write(root / "checkpoints_dir" / run_ / part, 10), days * 86400 + (part == "1.pkl") * 9 * 86400 + 60)
    take(root, tmp_path / "b")
    done = ws("wipe-models", "--only", "checkpoints_dir", "--keep-newest", "2", "--yes", "--json", *at(root))
    assert (done.code, done.json["removed"]["files"]) == (0, 4), done
    assert [sorted(os.listdir(root / "checkpoints_dir" / name)) for name in ("newest", "newer")] == [
        ["0.pkl", "1.pkl"]
    ] * 2
    assert left(root, "checkpoints_dir") == ["newer", "newest"]
    again = ws("wipe-models", "--only", "checkpoints_dir", "--keep-newest", "2", "--yes", "--json", *at(root))
    assert (again.code, again.json["planned"]["files"]) == (0, 0)


@pytest.mark.parametrize("only", [[], ["--only", "model"], ["--only", "model checkpoints_dir"]])
def test_to_keep_the_newest_is_refused_where_there_are_no_runs(only: list[str], tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    before = everything(root)
    done = ws("wipe-models", *only, "--keep-newest", "1", "--yes", *at(root))
    assert done.code == 2
    assert "--only checkpoints_dir" in done.err
    assert everything(root) == before


def test_without_a_snapshot_yes_is_not_enough(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    before = everything(root)
    for flags in ([], ["--yes"], ["--yes", "--json"], ["--dry-run"]):
        done = ws("wipe-models", *at(root), *flags)
        assert (done.code, "no verified snapshot" in done.err) == (3, True), done
    assert everything(root) == before
    assert ws("wipe-models", *at(root), "--without-snapshot").code == 3  # no terminal to type at
    assert everything(root) == before
    assert ws("wipe-models", *at(root), "--without-snapshot", "--yes").code == 0
    assert content_of(root) == {}


def test_it_offers_to_take_the_snapshot(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    was = content_of(root)
    code, screen = typed(root, "n", flags=["--only", "model"])
    assert (code, content_of(root)) == (3, was), screen
    code, screen = typed(root, "y", "model", flags=["--only", "model"])
    assert code == 0, screen
    assert left(root, "model") == []
    bring_back(root, tmp_path / "b")
    assert content_of(root) == was


@pytest.mark.parametrize("change", ["content", "more", "link"])
def test_a_snapshot_that_does_not_hold_all_of_it_is_none(change: str, tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    take(root, tmp_path / "b")
    if change == "content":
        path = root / "model" / "m.pkl.model"
        about = path.stat()
        path.write_bytes(b"y" * 10)
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    elif change == "more":
        write(root / "model" / "n.pkl")
    else:
        (root / "model" / "l").symlink_to("m.pkl")
    assert ws("wipe-models", *at(root), "--only", "model", "--yes").code == 3
    assert ws("wipe-models", *at(root), "--only", "model_param", "--yes").code == 0


def test_a_snapshot_that_holds_more_will_do(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    was = content_of(root)
    take(root, tmp_path / "b")
    (root / "model" / "m.pkl").unlink()
    shutil.rmtree(root / "model_param" / "tuned")
    assert ws("wipe-models", *at(root), "--yes").code == 0
    assert content_of(root) == {}
    bring_back(root, tmp_path / "b")
    assert content_of(root) == was


@pytest.mark.parametrize("how", ["flipped", "missing", "truncated", "manifest"])
def test_a_damaged_snapshot_is_none(how: str, tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    taken = take(root, tmp_path / "b")
    damage(tmp_path / "b", how, root / "model" / "m.pkl.model", taken.id)
    before = everything(root)
    assert ws("wipe-models", *at(root), "--yes").code == 3
    assert everything(root) == before


def test_an_older_snapshot_of_this_content_will_do(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    older = take(root, tmp_path / "b")
    write(root / "model" / "m.pkl", 50)
    take(root, tmp_path / "b")
    write(root / "model" / "m.pkl", 1)
    done = ws("wipe-models", *at(root), "--yes")
    assert done.code == 0
    assert older.id[:28] in done.err


def test_live_runs_refuse_it(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    take(root, tmp_path / "b")
    before = content_of(root)
    with live_run(root):
        assert ws("wipe-models", *at(root), "--yes").code == 4
    assert content_of(root) == before


@pytest.mark.parametrize("command", ["wipe-models", "restore-models"])
def test_scratch_that_nobody_can_be_asked_about_refuses_it_and_it_is_said_what_to_do(
    command: str, tmp_path: Path
) -> None:
    root = models(tmp_path / "ws")
    take(root, tmp_path / "b")
    program = f"import os; os.makedirs({str(root / 'output' / 'theirs')!r})"
    assert ws("run", "--workspace", root, "--", sys.executable, "-c", program).code == 0
    write(root / "output" / "theirs" / "scores.csv", 10)  # and again, now that the session has ended
    before = content_of(root)
    done = ws(command, *at(root), "--yes") if command == "wipe-models" else ws(command, *at(root))
    assert done.code == 4
    assert "while runs use it" not in done.err
    assert "Nobody can tell whether anything uses this:\n- 'output/theirs': changed " in done.err
    written_s = (root / "output" / "theirs" / "scores.csv").stat().st_mtime
    from_when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(written_s + 3600))
    assert f"taken for unused from {from_when} on" in done.err
    assert content_of(root) == before
    with live_run(root):  # a run that can be told is listed apart
        both = ws("wipe-models", *at(root), "--yes").err
    assert 0 < both.index("while runs use it") < both.index("Wait for them") < both.index("Nobody can tell")
    shutil.rmtree(root / "output" / "theirs")
    assert (ws(command, *at(root), "--yes") if command == "wipe-models" else ws(command, *at(root))).code == 0


def test_an_unmarked_directory_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    write(tmp_path / "work" / "model" / "m.pkl")
    before = everything(tmp_path / "work")
    done = ws("wipe-models", "--workspace", tmp_path / "work", "--at", tmp_path / "b", "--without-snapshot", "--yes")
    assert (done.code, "marker" in done.err) == (3, True)
    assert everything(tmp_path / "work") == before


def test_nothing_to_wipe_and_twice_in_a_row(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    assert ws("wipe-models", *at(root)).code == 0
    assert ws("wipe-models", "--workspace", tmp_path / "missing").code == 0
    models(tmp_path / "other")
    for _ in range(2):
        done = ws("wipe-models", "--workspace", tmp_path / "other", "--without-snapshot", "--yes")
        assert done.code == 0
    assert store.list_ids(place(tmp_path / "b")) == []


def test_links_in_a_subdirectory_go_and_what_they_lead_to_stays(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    precious = write(tmp_path / "precious" / "thesis.tex")
    (root / "model" / "l").symlink_to(precious)
    (root / "model" / "d").symlink_to(precious.parent)
    os.mkfifo(root / "model" / "fifo")
    done = ws("backup-models", *at(root))
    assert (done.code, "fifo" in done.err) == (0, True)
    assert ws("wipe-models", *at(root), "--yes").code == 0
    assert left(root, "model") == []
    assert precious.exists()


NAMES = ("model", "model_param", "checkpoints_dir")


def test_what_was_typed_before_the_question_is_no_answer(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    take(root, tmp_path / "b")
    before = content_of(root)
    code, screen = typed(root, "n", ahead="model\nmodel_param\ncheckpoints_dir\n")
    assert (code, content_of(root)) == (1, before), screen
    code, screen = typed(root, "model", "no", ahead="y\n")
    assert (code, content_of(root)) == (1, before), screen
    assert typed(root, *NAMES)[0] == 0


@pytest.mark.parametrize("how", ["place", "manifest", "missing", "flipped"])
def test_a_snapshot_that_went_while_the_question_waited_removes_nothing(how: str, tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    taken = take(root, tmp_path / "b")
    before = content_of(root)

    def lose() -> None:
        if how == "place":
            shutil.rmtree(tmp_path / "b")
        else:
            damage(tmp_path / "b", how, root / "model" / "m.pkl.model", taken.id)

    code, screen = typed(root, *NAMES, meanwhile=lose)
    assert (code, content_of(root)) == (3, before), screen
    assert "no longer whole" in screen
    assert (tmp_path / "b").exists() is (how != "place")


@pytest.mark.parametrize("links", [1, 2])
def test_a_model_that_changed_while_the_question_waited_stays_whole_and_is_named(links: int, tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    path = root / "model" / "m.pkl.model"
    if links == 2:
        os.link(path, root / "model" / "same.pkl")
    take(root, tmp_path / "b")

    def change() -> None:
        about = path.stat()
        path.write_bytes(b"y" * about.st_size)
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))

    code, screen = typed(root, *NAMES, meanwhile=change)
    assert code == 1, screen
    assert "model/m.pkl.model: it changed since it was read" in screen
    stayed = {"m.pkl", "m.pkl.model", "m.card.json"} | ({"same.pkl"} if links == 2 else set())
    assert set(content_of(root)) == {f"model/{name}" for name in stayed}
    assert path.read_bytes() == b"y" * 10


def test_a_snapshot_in_a_read_only_place_will_do(tmp_path: Path) -> None:
    prefix = without_root_powers()
    root = models(tmp_path / "ws")
    take(root, tmp_path / "b")
    subprocess.run(["chmod", "-R", "a-w", tmp_path / "b"], check=True)
    try:
        done = run([*prefix, sys.executable, "-m", "vmaf_workspace.cli", "wipe-models", *at(root), "--yes"])
    finally:
        subprocess.run(["chmod", "-R", "u+w", tmp_path / "b"], check=True)
    assert (done.code, content_of(root)) == (0, {}), done


def test_no_prune_begins_while_the_models_go(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    take(root, tmp_path / "b")
    with wipe.holding_off_prune(place(tmp_path / "b")):
        done = ws("prune", "--workspace", root, "--at", tmp_path / "b")
        assert (done.code, "vmaf-ws wipe-models" in done.err) == (4, True), done
    assert ws("prune", "--workspace", root, "--at", tmp_path / "b").code == 0


COUNTING = """
import os, sys
from vmaf_workspace.cli import main
count = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def hook(event, args):
    if event == "open" and "/objects/" in str(args[0]):
        os.write(count, b".")

sys.addaudithook(hook)
sys.exit(main(sys.argv[2:]))
"""


def test_with_yes_every_object_is_read_once_and_no_prune_begins_meanwhile(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    take(root, tmp_path / "b")
    done = python(COUNTING, tmp_path / "count", "wipe-models", *at(root), "--yes")
    assert (done.code, content_of(root)) == (0, {}), done
    assert (tmp_path / "count").stat().st_size == 5
    bring_back(root, tmp_path / "b")
    with place(tmp_path / "b").announced(store.PRUNE, "`ws.prune`"):
        child = subprocess.Popen([sys.executable, "-m", "vmaf_workspace.cli", "wipe-models", *at(root), "--yes"])
        time.sleep(1.0)
        assert (child.poll(), len(content_of(root))) == (None, 5)
    assert (child.wait(), content_of(root)) == (0, {})


REST = ".vmaf-trash-0123456789abcdef"
LIMITED = """
import resource, sys
from vmaf_workspace.cli import main
kind, most = sys.argv[1:3]
resource.setrlimit(getattr(resource, kind), (int(most), int(most)))
sys.exit(main(sys.argv[3:]))
"""
# Dies, or is told of a bad block, at its n-th unlink.
STOPPED = """
import errno, os, signal, sys
from vmaf_workspace.cli import main
unlink, left = os.unlink, [int(sys.argv[2])]

def late(path, *args, **kwargs):
    if str(path).startswith(".vmaf-trash-"):
        left[0] -= 1
        if left[0] <= 0:
            if sys.argv[1] == "EIO":
                raise OSError(errno.EIO, os.strerror(errno.EIO), path)
            os.kill(os.getpid() if sys.argv[1] == "child" else 0, signal.SIGKILL)
    return unlink(path, *args, **kwargs)

if sys.argv[1] == "group":
    os.setpgid(0, 0)
os.unlink = late
sys.exit(main(sys.argv[3:]))
"""
WIPING = ("wipe-models", "--yes")
ADVICE = r"`vmaf-ws ([a-z]+(?:-[a-z]+)*(?: --[a-z-]+(?: [\w.'/*-]+)?)*)`?"


def every_content_can_be_brought_back(root: Path, was: dict[str, bytes | str], to: Path) -> None:
    """What was there is in the workspace, or in a snapshot that is listed and whole."""
    location = place(root.parent / "b")
    known = {(path, content) for path, content in content_of(root).items()}
    for n, snapshot in enumerate(store.list_ids(location)):
        bring_back(to / str(n), root.parent / "b", snapshot)
        known |= set(content_of(to / str(n)).items())
    assert set(was.items()) <= known


@pytest.mark.parametrize("how", ["EIO", "child", "group"])
def test_a_wipe_that_was_stopped_is_finished_by_the_same_command(how: str, tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    was = content_of(root)
    take(root, tmp_path / "b")
    assert python(STOPPED, how, "1", *WIPING, *at(root)).code != 0
    assert list(root.rglob(".vmaf-trash-*"))  # wherever the child was that came first
    done = ws(*WIPING, *at(root))
    assert (done.code, content_of(root)) == (0, {}), done
    bring_back(root, tmp_path / "b")
    assert content_of(root) == was


@pytest.mark.parametrize(("kind", "most"), [("RLIMIT_NPROC", 1), ("RLIMIT_NPROC", 4), ("RLIMIT_NOFILE", 16)])
def test_a_wipe_needs_neither_many_processes_nor_many_descriptors(kind: str, most: int, tmp_path: Path) -> None:
    prefix = as_somebody_with_few_processes() if kind == "RLIMIT_NPROC" else []
    root = models(tmp_path / "ws")
    take(root, tmp_path / "b")
    done = python(LIMITED, kind, str(most), *WIPING, *at(root), prefix=prefix)
    assert (done.code, content_of(root)) == (0, {}), done


def stopped(tmp_path: Path) -> Path:
    """A workspace whose wipe was killed: one file of a group is gone, one has lost its name, the rest is there."""
    root = models(tmp_path / "ws")
    take(root, tmp_path / "b")
    (root / "model" / "m.pkl").unlink()
    (root / "model" / "m.pkl.model").rename(root / "model" / REST)
    (root / "model_param" / "tuned" / "p.pkl").rename(root / "model_param" / "tuned" / REST)
    return root


WITHOUT_AT = ("status", "clean-scratch", "purge-cache", "where")
RESTS = (f"model/{REST}", f"model_param/tuned/{REST}")


def test_every_task_that_sees_the_rests_of_a_wipe_says_whose_they_are(tmp_path: Path) -> None:
    root = stopped(tmp_path)
    for task in ("status", "diff", "doctor", "clean-scratch", "backup-models"):
        done = ws(task, *(at(root)[: 2 if task in WITHOUT_AT else 4]))
        for rest in RESTS if task != "doctor" else RESTS[:1]:
            assert rest in done.out + done.err, (task, done)
        assert "vmaf-ws wipe-models" in done.out + done.err, task
    for snapshot in store.list_ids(place(tmp_path / "b")):
        assert not [
            file.path for file in store.load_snapshot(place(tmp_path / "b"), snapshot).files if REST in file.path
        ]
    dry = ws("wipe-models", *at(root), "--dry-run")
    assert (dry.code, all(rest in dry.out for rest in RESTS)) == (0, True), dry


@pytest.mark.parametrize("task", ["status", "diff", "doctor", "clean-scratch", "backup-models", "wipe-models"])
def test_no_advice_after_a_wipe_that_was_stopped_leads_to_loss(task: str, tmp_path: Path) -> None:
    was = content_of(models(tmp_path / "as it was" / "ws"))
    root = stopped(tmp_path)
    follow: list[str] = [task]
    said: set[str] = set()
    while follow and len(said) < 20:
        command = follow.pop(0)
        said.add(command)
        arguments = shlex.split(command)
        if arguments[0] in ("wipe-models",) and "--yes" not in arguments:
            arguments.append("--yes")
        done = ws(*arguments, *at(root)[: 2 if arguments[0] in WITHOUT_AT else 4])
        advised = re.findall(ADVICE, done.out + done.err)
        follow += [each for each in advised if each not in said and not each.startswith(("migrate", "setup", "run"))]
        every_content_can_be_brought_back(root, was, tmp_path / f"out{len(said)}")
    assert "wipe-models" in {command.split()[0] for command in said}


def test_a_restore_undoes_a_wipe_that_was_stopped_and_takes_its_rests(tmp_path: Path) -> None:
    was = content_of(models(tmp_path / "as it was" / "ws"))
    root = stopped(tmp_path)
    age(write(root / "model" / f"{REST[:-1]}0", 77))  # of no snapshot: it stays
    assert ws("restore-models", *at(root)).code == 0
    assert content_of(root) == {**was, f"model/{REST[:-1]}0": b"x" * 77}


@pytest.mark.parametrize("others", [True, False])
def test_a_rest_that_no_snapshot_holds_stays_and_its_remedy_is_none_that_loses_it(others: bool, tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    write(root / "model" / REST, 77)
    if not others:
        shutil.rmtree(root / "model_param" / "tuned")
    take(root, tmp_path / "b")
    done = ws(*WIPING, *at(root))
    assert (done.code, f"model/{REST}" in done.err, "mv" in done.err) == (3, True, True), done
    (root / "model" / REST).rename(root / "model" / "n.pkl")
    assert ws("backup-models", *at(root)).code == 0
    assert ws(*WIPING, *at(root)).code == 0
    bring_back(root, tmp_path / "b")
    assert (root / "model" / "n.pkl").stat().st_size == 77


def test_rests_that_only_an_older_snapshot_holds_go_when_both_are_whole(tmp_path: Path) -> None:
    root = stopped(tmp_path)
    older = store.list_ids(place(tmp_path / "b"))[0]
    age(write(root / "model" / "new.pkl", 5))
    newer = take(root, tmp_path / "b").id
    done = ws(*WIPING, *at(root))
    assert (done.code, content_of(root)) == (0, {}), done
    assert older[:28] in done.err
    assert newer[:28] in done.err


def test_a_workspace_within_the_models_is_not_wiped(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    deep = root / "model" / "/".join("d" * 20) / "nested"
    write(deep / ".vmaf-workspace" / "workspace.json")
    write(deep / "dataset" / "clip.yuv", 5)
    (deep / "checkpoints_dir" / "run1").mkdir(parents=True)
    take(root, tmp_path / "b")
    done = ws(*WIPING, *at(root))
    assert (done.code, "workspace of its own" in done.err) == (1, True), done
    assert (deep / "dataset" / "clip.yuv").exists()
    assert (deep / "checkpoints_dir" / "run1").is_dir()
    assert not (root / "model" / "m.pkl").exists()


@pytest.mark.parametrize("name", [".gitignore", "CACHEDIR.TAG"])
def test_a_directory_called_like_a_placeholder_is_named_by_backup_and_stays(name: str, tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    (root / "model_param" / name).unlink(missing_ok=True)
    write(root / "model_param" / name / "best.pkl", 5)
    done = ws("backup-models", *at(root))
    assert (done.code, f"model_param/{name}: " in done.err) == (0, True), done
    assert ws(*WIPING, *at(root)).code == 0
    assert (root / "model_param" / name / "best.pkl").exists()
