"""`kill -9` at every write, counted: what is listed verifies, the workspace is whole, the next call finishes the job.

A write is whatever makes, names, changes or removes something (as Python's audit events tell), and each `os.write`,
which is left half done; it ends the process and all that it forked. That process is itself forked from one that has
imported everything, so a kill costs milliseconds.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from trees import python

KILLING = """
import os, shutil, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from snapshot_trees import bring_back, content_of, models, place, take
from trees import age, write
from vmaf_workspace.removal.execution import execute
from vmaf_workspace.snapshot.restore import plan_restore
from vmaf_workspace.snapshot.retention import RetentionPolicy, forget, plan_forget
from vmaf_workspace.snapshot.store import find_id, list_ids, load_snapshot, prune, list_snapshots
from vmaf_workspace.snapshot.staging import finish_interrupted
from vmaf_workspace.snapshot.verify import verify
from vmaf_workspace.snapshot.wipe import plan_wipe

TOP = Path(sys.argv[1])
ROOT, AT = TOP / "ws", TOP / "b"
EVENTS = {f"os.{word}" for word in "rename remove rmdir mkdir link symlink utime chmod truncate".split()}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT

def die_at(n):
    os.setsid()
    write = os.write
    count = os.open(sys.argv[1] + ".count", os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    def one():
        write(count, b".")  # O_APPEND: one count for all processes
        return os.fstat(count).st_size >= n
    def hook(event, args):
        if event in EVENTS or (event == "open" and isinstance(args[2], int) and args[2] & WRITING):
            if one():
                os.killpg(0, signal.SIGKILL)
    def half(fd, content):
        if one():
            write(fd, content[: len(content) // 2])
            os.killpg(0, signal.SIGKILL)
        return write(fd, content)
    sys.addaudithook(hook)
    os.write = half

def every_kill(prepare, operation, check):
    n = 0
    while True:
        n += 1
        shutil.rmtree(TOP, ignore_errors=True)
        TOP.mkdir()
        prepare()
        alive, held = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                die_at(n)
                operation()
                os._exit(0)
            except BaseException:
                import traceback
                traceback.print_exc()
                sys.stderr.flush()
            finally:
                os._exit(1)
        os.close(held)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.read(alive, 1)  # the end of file comes when the last of them is gone
        os.close(alive)
        assert status in (0, -signal.SIGKILL), status
        try:
            check()
        except BaseException:
            print("killed at write", n, file=sys.stderr)
            raise
        if status == 0:
            print(n)
            return

def everything_listed_verifies():
    if list_ids(place(AT)):
        found = verify(place(AT))
        assert found.problems == [], found.problems

def tidy():
    age(AT / "parts")
    prune(place(AT))
    assert os.listdir(AT / "parts") == os.listdir(AT / "running") == []
"""

BACKUP = """
before = {}
def prepare():
    models(ROOT)
    before.update(content_of(ROOT))

def check():
    assert content_of(ROOT) == before
    everything_listed_verifies()
    take(ROOT, AT)
    everything_listed_verifies()
    tidy()
    everything_listed_verifies()
    out = TOP / "out"
    bring_back(out, AT)
    assert content_of(out) == before

every_kill(prepare, lambda: take(ROOT, AT, pin=True), check)
"""

RESTORE = """
old, new = {}, {}
def prepare():
    models(ROOT)
    (ROOT / "model_param" / "tuned").chmod(0o700)
    old.update(content_of(ROOT))
    prepare.id = take(ROOT, AT).id
    write(ROOT / "model" / "m.pkl", 2)
    write(ROOT / "model" / "m.pkl.model", 20)
    write(ROOT / "model" / "m.pkl.0001", 20)
    shutil.rmtree(ROOT / "model_param" / "tuned")
    age(ROOT / "model")
    new.update(content_of(ROOT))

def check():
    now = content_of(ROOT)
    for path, content in now.items():
        if ".vmaf-restore-" not in path:
            assert content in (old.get(path), new.get(path)), path
    everything_listed_verifies()
    finish_interrupted(ROOT, "test")
    now = content_of(ROOT)
    group = {path: content for path, content in now.items() if path.startswith("model/m.")}
    assert group in [{p: c for p, c in each.items() if p.startswith("model/m.")} for each in (old, new)], sorted(group)
    if {path: content for path, content in now.items() if ".vmaf-restore-" not in path} != new:
        there = (load_snapshot(place(AT), i) for i in list_ids(place(AT)))
        held = [snapshot.id for snapshot in there if plan_restore(TOP / "nowhere", snapshot).apparent_bytes]
        assert len(held) > 1, "what was replaced is in a safety snapshot"
    bring_back(ROOT, AT, prepare.id, overwrite=True)
    assert content_of(ROOT) == old
    assert (ROOT / "model_param" / "tuned").stat().st_mode & 0o777 == 0o700
    assert not [name for name in os.listdir(ROOT) + os.listdir(ROOT / "model") if name.startswith(".vmaf-restore")]
    everything_listed_verifies()

every_kill(prepare, lambda: bring_back(ROOT, AT, prepare.id, overwrite=True), check)
"""

PRUNE = """
def prepare():
    models(ROOT)
    take(ROOT, AT)
    for n in range(3):
        age(write(ROOT / "model" / "m.pkl", 20 + n))
        take(ROOT, AT)

def operation():
    forget(place(AT), plan_forget(list_snapshots(place(AT)), RetentionPolicy(last=1)))
    prune(place(AT))

def check():
    everything_listed_verifies()
    operation()
    everything_listed_verifies()
    tidy()
    assert len(list_ids(place(AT))) == 1

every_kill(prepare, operation, check)
"""

WIPE = """
before = {}
def prepare():
    models(ROOT)
    before.update(content_of(ROOT))
    take(ROOT, AT)

def operation():
    assert execute(plan_wipe(ROOT, ("model", "model_param", "checkpoints_dir")).plan).is_complete

def check():
    everything_listed_verifies()
    operation()
    assert content_of(ROOT) == {}
    bring_back(ROOT, AT)
    assert content_of(ROOT) == before

every_kill(prepare, operation, check)
"""


@pytest.mark.parametrize(
    ("operation", "at_least"),
    [
        pytest.param(BACKUP, 25, id="backup"),
        pytest.param(RESTORE, 40, id="restore"),
        pytest.param(PRUNE, 8, id="prune"),
        pytest.param(WIPE, 3, id="wipe"),
    ],
)
def test_killed_at_every_write_nothing_is_lost(operation: str, at_least: int, tmp_path: Path) -> None:
    done = python(KILLING + operation, tmp_path / "top", Path(__file__).parents[1])
    assert done.code == 0, done.err
    assert int(done.out) > at_least, "it wrote less often than expected: are the writes still counted?"
