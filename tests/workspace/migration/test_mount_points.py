"""`ws.migrate` of a workspace that is a mount point, as a volume of a container is: it is emptied, not removed."""

from __future__ import annotations

from pathlib import Path

import pytest
from trees import in_a_mount_namespace

MOUNTED = """
top = Path(sys.argv[1])
disk, target = top / "disk", top / "moved"
disk.mkdir()
if sys.argv[2] == "disk":
    mount("-t", "tmpfs", "none", disk)
    (disk / "lost+found").mkdir(mode=0o700)
else:
    (top / "elsewhere").mkdir()
    mount("--bind", top / "elsewhere", disk)
assert ws("setup", "--workspace", disk)[0] == 0
(disk / "model" / "m.json").write_text("precious")
(disk / "model" / "link").symlink_to("../dataset")
(disk / "workdir" / "theirs").mkdir()
for at, _, _ in os.walk(disk):
    os.utime(at, (1, 1))
"""


@pytest.mark.parametrize("kind", ["disk", "bind"])
def test_a_workspace_that_is_a_mount_point_moves_out_of_it_and_leaves_it_empty(kind: str, tmp_path: Path) -> None:
    code = """
print(*ws("migrate", "--dry-run", "--from", disk, "--to", target)[::2])
print(*ws("migrate", "--yes", "--from", disk, "--to", target)[::2])
print(sorted(os.listdir(disk)), (target / "model" / "m.json").read_text(), os.readlink(target / "model" / "link"))
print(*ws("migrate", "--yes", "--from", disk, "--to", target)[::2])
print(*ws("status", "--workspace", target)[::2])
"""
    done = in_a_mount_namespace(MOUNTED + code, tmp_path, kind)
    lost = ["lost+found"] if kind == "disk" else []
    first, second, third, again, status = [line for line in done.out.splitlines() if line[:1] in "0123456789["]
    assert (first[0], second[0], again[0], status[0]) == ("0", "0", "0", "0"), done
    assert third == f"{lost} precious ../dataset", done
    assert not (tmp_path / "moved" / "lost+found").exists()


@pytest.mark.slow
def test_killed_at_any_step_out_of_a_mount_point_the_next_call_finishes(tmp_path: Path) -> None:
    """Killed as each of what lay in it is about to be put aside."""
    code = """
import shutil, signal
from vmaf_workspace.cli import main

def migrated(step):
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    left, here = step, os.getpid()
    def hook(event, args):
        nonlocal left
        if event in ("os.rename", "os.mkdir") and str(args[0]).startswith(f"{disk}/") and os.getpid() == here:
            left -= 1
            if not left:
                os.kill(here, signal.SIGKILL)
    sys.addaudithook(hook)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    code = 70
    try:
        code = main(["migrate", "--yes", "--from", str(disk), "--to", str(target)])
    finally:
        os._exit(code)

whole, steps = top / "whole", 0
shutil.copytree(disk, whole, symlinks=True)
for step in range(1, 200):
    if step > 1:
        for name in os.listdir(disk):
            shutil.rmtree(disk / name)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(whole, disk, symlinks=True, dirs_exist_ok=True)
    code = migrated(step)
    where = [place for place in (disk, target) if (place / "model" / "m.json").is_file()]
    hidden = list(disk.glob(".vmaf-trash-*/model/m.json"))
    assert where or hidden, step
    again = migrated(0)
    assert again == 0, (step, again)
    assert (target / "model" / "m.json").read_text() == "precious", step
    assert sorted(os.listdir(disk)) == ["lost+found"], (step, os.listdir(disk))
    steps += code == -signal.SIGKILL
    if code == 0:
        break
print(steps)
"""
    done = in_a_mount_namespace(MOUNTED + code, tmp_path, "disk", timeout=400)  # each kill has its second call
    assert done.code == 0, done.err[-2000:]
    assert int(done.out.splitlines()[-1]) > 8


def test_what_was_written_into_a_mount_point_after_a_kill_is_not_removed(tmp_path: Path) -> None:
    """The copy is the workspace already when the kill comes; somebody goes on in the old place."""
    code = """
DYING = '''
import os, signal, sys
from vmaf_workspace.migration import execution
execution._remove_source = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
from vmaf_workspace.cli import main
sys.exit(main(sys.argv[1:]))
'''
subprocess.run([sys.executable, "-c", DYING, "migrate", "--yes", "--from", disk, "--to", target], capture_output=True)
(disk / "model" / "later.json").write_text("of the last minute")
code, out, err = ws("migrate", "--yes", "--from", disk, "--to", target)
print(code, sorted(os.listdir(disk)), sorted(os.listdir(disk / "model")), err)
"""
    done = in_a_mount_namespace(MOUNTED + code, tmp_path, "disk")
    line = next(line for line in done.out.splitlines() if line[:1].isdigit())
    assert line[0] in "34"
    assert "'.gitignore', 'later.json', 'link', 'm.json'" in line, done
    assert ".vmaf-trash" not in line


def test_a_mount_point_is_known_below_a_directory_that_may_only_be_passed_through(tmp_path: Path) -> None:
    code = """
os.chmod(top, 0o711)
known = "from pathlib import Path; from vmaf_workspace.migration.plan import is_mount; import sys; "
known += "print(is_mount(Path(sys.argv[1])), is_mount(Path(sys.argv[1], 'model')))"
powers = ["setpriv", "--reuid=65533", "--regid=65533", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"]
print(subprocess.run([*powers, sys.executable, "-c", known, disk], capture_output=True, text=True))
"""
    for above in [*tmp_path.parents][:3]:  # pytest's own are closed to others
        above.chmod(0o711)
    done = in_a_mount_namespace(MOUNTED + code, tmp_path, "bind")
    assert "True False" in done.out, done
