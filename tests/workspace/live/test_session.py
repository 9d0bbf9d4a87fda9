"""Another harness, run in the workspace: where it writes, what it gets to see, who may not clean meanwhile."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from trees import (
    HOUR_S,
    Ended,
    age,
    as_somebody_with_few_processes,
    in_a_mount_namespace,
    left,
    process,
    python,
    run,
    stored,
    subprocess_env,
    without_root_powers,
    workspace,
    write,
    ws,
    ws_later,
)

from vmaf_workspace.contract import MARKER
from vmaf_workspace.live.session import REDIRECT, after_dashes
from vmaf_workspace.live.session_lock import ENDED, RECORDS, SESSIONS, live_sessions, stale_sessions

# A stand-in for another harness, of upstream's shape: a package whose paths are computed at import, by a class whose
# results are in default arguments before anything else can be said.

CONFIG = """
import os
HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.abspath(os.path.join(HERE, "..", ".."))
STORES = [os.path.join(ROOT, "workspace", "result_store_dir")]

class VmafConfig(object):
    OUTPUT = os.path.join(ROOT, "workspace", "output")

    @classmethod
    def root_path(cls, *parts):
        return os.path.join(ROOT, *parts)

    @classmethod
    def workspace_path(cls, *parts):
        return cls.root_path("workspace", *parts)

    @classmethod
    def workdir_path(cls, *parts):
        return cls.root_path("workspace", "workdir", *parts)

    @classmethod
    def model_path(cls, *parts):
        return cls.root_path("model", *parts)

def made(path=VmafConfig.workdir_path("made")):
    return path
"""
FORKS_CONFIG = CONFIG.replace(
    'return cls.root_path("workspace", *parts)',
    'return os.path.join(os.environ.get("VMAF_WORKSPACE") or os.path.join(HERE, "workspace"), *parts)',
).replace('cls.root_path("workspace", "workdir", *parts)', 'cls.workspace_path("workdir", *parts)')
SCRIPT = """
import json, multiprocessing, os, subprocess, sys
from vmaf import config
from vmaf.config import VmafConfig, made

def default(path=VmafConfig.workdir_path()):
    return path

def paths():
    return {"workspace": VmafConfig.workspace_path(), "default": default(), "made": made(),
            "constant": VmafConfig.OUTPUT, "stores": config.STORES, "model": VmafConfig.model_path(),
            "dot": VmafConfig.workspace_path("a", "b.txt")}

if __name__ == "__main__":
    below = "from vmaf.script.paths import paths; import json; print(json.dumps(paths()))"
    found = {"own": paths(), "argv": sys.argv[1:], "cwd": os.getcwd()}
    found["child"] = json.loads(subprocess.check_output([sys.executable, "-c", below]))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found["spawned"] = pool.apply(paths)
    os.makedirs(VmafConfig.workdir_path("uuid"), exist_ok=True)
    print(json.dumps(found))
"""


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of upstream's layout, the current directory; its harness is on PYTHONPATH."""
    return checkout(tmp_path, monkeypatch, CONFIG)


def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: str) -> Path:
    package = tmp_path / "checkout" / "python" / "vmaf"
    for path in (package / "__init__.py", package / "script" / "__init__.py"):
        write(path, 0)
    (package / "config.py").write_text(config)
    (package / "script" / "paths.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path / "checkout")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "checkout" / "python"))
    return tmp_path / "checkout"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "über a space"


def in_session(root: Path, *command: str | Path) -> Ended:
    return ws("run", "--workspace", root, "--", *command)


MODULE = (sys.executable, "-m", "vmaf.script.paths")


def expected(root: Path, checkout: Path) -> dict[str, object]:
    return {
        "workspace": str(root),
        "default": f"{root}/workdir",
        "made": f"{root}/workdir/made",
        "constant": f"{root}/output",
        "stores": [f"{root}/result_store_dir"],
        "model": f"{checkout}/model",
        "dot": f"{root}/a/b.txt",
    }


def test_a_harness_that_does_not_read_the_variable_is_led_here_with_its_children(harness: Path, root: Path) -> None:
    done = in_session(root, *MODULE, "VMAF", "a  b", "--flag", "--", "$HOME")
    assert done.code == 0, done
    for who in ("own", "child", "spawned"):
        assert done.json[who] == expected(root, harness), who
    assert done.json["argv"] == ["VMAF", "a  b", "--flag", "--", "$HOME"]
    assert done.json["cwd"] == str(harness)
    assert (root / "workdir" / "uuid").is_dir()
    assert not (harness / "workspace").exists()
    assert done.err == ""


def test_scripts_and_commands_are_led_here_too(harness: Path, root: Path) -> None:
    below = "import json; from vmaf.script.paths import paths; print(json.dumps({'own': paths()}))"
    script = write(harness / "bin" / "tool")
    script.write_text(f"#!{sys.executable}\n{below}\n")
    script.chmod(0o755)
    relative = os.path.relpath(root)
    for command in ((sys.executable, "-c", below), (sys.executable, "python/vmaf/script/paths.py"), (script,)):
        done = in_session(Path(relative), *command)
        assert done.json["own"]["workspace"] == str(harness / relative), done


def test_a_harness_that_reads_the_variable_is_not_redirected(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fork = checkout(tmp_path, monkeypatch, FORKS_CONFIG)
    done = in_session(root, *MODULE)
    assert done.code == 0, done
    assert done.json["own"]["workspace"] == str(root)
    assert done.json["child"]["default"] == f"{root}/workdir"
    assert not (fork / "python" / "vmaf" / "workspace").exists()


def test_a_workspace_that_was_moved_into_the_old_one_is_led_to_once(harness: Path, tmp_path: Path) -> None:
    root = harness / "workspace" / "mine"
    root.parent.mkdir(exist_ok=True)
    workspace(tmp_path / "made").rename(root)  # none is made there
    done = in_session(root, *MODULE)
    assert done.json["own"] == expected(root, harness)
    assert done.err == ""


def test_the_sitecustomize_that_ours_hides_runs_all_the_same(harness: Path, root: Path, tmp_path: Path) -> None:
    write(tmp_path / "site" / "sitecustomize.py").write_text("import builtins; builtins.there = __file__")
    path = f"{tmp_path / 'site'}{os.pathsep}{os.environ['PYTHONPATH']}"
    code = "import sitecustomize; print(there); from vmaf.script.paths import default; print(default())"
    done = ws("run", "--workspace", root, "--", sys.executable, "-c", code, env=subprocess_env(PYTHONPATH=path))
    assert done.out.splitlines() == [str(tmp_path / "site" / "sitecustomize.py"), f"{root}/workdir"]


def test_where_two_installations_lead_one_program_what_they_hide_runs_once(
    harness: Path, root: Path, tmp_path: Path
) -> None:
    shutil.copytree(REDIRECT, tmp_path / "other")
    write(tmp_path / "site" / "sitecustomize.py").write_text("print('hidden')")
    places = (REDIRECT, tmp_path / "other", tmp_path / "site", harness / "python")
    env = subprocess_env(PYTHONPATH=os.pathsep.join(map(str, places)), VMAF_WORKSPACE=str(root))
    code = "from vmaf.script.paths import default; print(default())"
    done = run([sys.executable, "-c", code], env=env)
    assert (done.out.splitlines(), done.err) == (["hidden", f"{root}/workdir"], ""), done


def test_the_redirection_imports_nothing_heavy(root: Path) -> None:
    code = (
        "import sys; print(*sorted({'typing', 'vmaf_workspace', 'importlib.metadata', 'pathlib'} & set(sys.modules)))"
    )
    bare = run([sys.executable, "-c", code]).out.split()
    assert set(in_session(root, sys.executable, "-c", code).out.split()) <= set(bare)


@pytest.mark.parametrize("flags", [["-I"], ["-E"], ["-S"], ["-u", "-sE"], ["-W", "ignore", "-I"], ["-X", "dev", "-S"]])
def test_an_interpreter_that_takes_no_redirection_is_refused_in_a_checkout_that_needs_it(
    flags: list[str], harness: Path, root: Path
) -> None:
    done = in_session(root, sys.executable, *flags, "-c", "print(1)")
    assert (done.code, done.out) == (3, "")
    assert str(harness / "workspace") in done.err
    script = write(harness / "tool")
    script.write_text(f"#!/usr/bin/env -S {sys.executable} {' '.join(flags)}\n")
    script.chmod(0o755)
    assert in_session(root, script).code == 3


def test_flags_of_a_module_are_not_taken_for_the_interpreters(harness: Path, root: Path) -> None:
    assert in_session(root, *MODULE, "-I", "-S").json["argv"] == ["-I", "-S"]
    assert in_session(root, sys.executable, "-c", "import sys; print(sys.argv)", "-E").code == 0
    assert in_session(root, sys.executable, "-cprint('IES')").code == 0


def test_what_was_written_elsewhere_after_all_is_said(harness: Path, root: Path) -> None:
    deaf = "import os; os.makedirs('workspace/workdir/x')"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-I', '-c', {deaf!r}])"
    done = in_session(root, sys.executable, "-c", code)
    assert done.code == 0
    assert str(harness / "workspace") in done.err


# How it ends.


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [("", 0), ("raise SystemExit(7)", 7), ("os.kill(os.getpid(), 9)", 137), ("os.kill(os.getpid(), 15)", 143)],
)
def test_the_exit_code_is_the_childs(code: str, exit_code: int, root: Path) -> None:
    assert in_session(root, sys.executable, "-c", f"import os; {code}").code == exit_code
    assert not live_sessions(root)
    assert not stale_sessions(root)


def test_a_command_that_is_missing_or_no_program_is_a_usage_error(root: Path, tmp_path: Path) -> None:
    for command in ([], ["no-such-program"], [str(tmp_path)]):
        assert in_session(root, *command).code == 2
    assert ws("run", "--workspace", root).code == 2


def test_invoke_runs_it_with_its_quoting(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "p" / "tasks.py").write_text(
        "from invoke import Collection\nfrom vmaf_workspace.tasks import ws\nnamespace = Collection(ws)\n"
    )
    monkeypatch.chdir(tmp_path / "p")
    code = "import os, sys; print(os.environ['VMAF_WORKSPACE'], sys.argv[1:]); sys.exit(5)"
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "invoke",
        "ws.run",
        "--workspace",
        root,
        "--",
        sys.executable,
        "-c",
        code,
        "a  b",
        "'",
    ]
    done = run(command)
    assert (done.code, done.out.strip()) == (5, f"{root} {['a  b', chr(39)]!r}"), done


def test_only_the_first_dashes_are_ours() -> None:
    assert after_dashes(["vmaf-ws", "run", "--", "a", "--", "b"]) == ["a", "--", "b"]
    assert after_dashes(["vmaf-ws", "run"]) == []


WAITING = """
import os, pathlib, signal, sys, time
def end(number, frame):
    os.write(1, b"child got %d\\n" % number)
    time.sleep(0.2)
    sys.exit(3)
signal.signal(signal.SIGINT, end)
signal.signal(signal.SIGTERM, end)
for name in sys.argv[1:]:
    pathlib.Path(name).mkdir()
os.write(1, b"ready\\n")
time.sleep(60)
"""


@contextmanager
def session(root: Path, *made: Path) -> Iterator[subprocess.Popen[str]]:
    """A real session whose program made the directories *made* and waits."""
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "vmaf_workspace.cli",
        "run",
        "--workspace",
        root,
        "--",
        sys.executable,
        "-c",
        WAITING,
    ]
    child = subprocess.Popen([*command, *made], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == "ready\n"
        yield child
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_program_once_and_we_wait_for_its_end(number: int, root: Path) -> None:
    with session(root) as child:
        child.send_signal(number)
        assert child.stdout is not None
        assert child.stdout.read() == f"child got {number}\n"
        assert child.wait() == 3


def test_ctrl_c_at_a_terminal_reaches_the_program_once_and_we_wait(root: Path) -> None:
    import pexpect

    command = ["-m", "vmaf_workspace.cli", "run", "--workspace", str(root), "--", sys.executable, "-c", WAITING]
    child = pexpect.spawn(sys.executable, command, timeout=20, encoding="utf-8")
    child.expect("ready")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert child.before is not None
    assert child.before.count("child got") == 1
    assert child.exitstatus == 3


# Who may not touch what meanwhile.


def test_a_clean_keeps_what_is_newer_than_the_session_and_takes_what_is_older(root: Path) -> None:
    workspace(root)
    age(write(root / "workdir" / "old" / "log"))
    age(write(root / "workdir" / "old" / "log").parent)
    with session(root, root / "workdir" / "new"):
        for flags in (("--min-age", "0s"), (), ("--force",)):
            done = ws("clean-scratch", "--json", "--workspace", root, *flags)
            assert done.code == 0
            assert left(root) == ["new"], flags
        assert [kept["locked"] for kept in done.json["kept"]] == [True]
        assert "session" in done.json["kept"][0]["why"]
    assert ws_later(2 * HOUR_S, "clean-scratch", "--workspace", root).code == 0
    assert left(root) == []


def test_what_was_written_at_the_very_moment_that_a_session_ended_stays(root: Path) -> None:
    workspace(root)
    makes = f"import os; [os.makedirs(os.path.join({str(root)!r}, 'workdir', name)) for name in ('shared', 'own')]"
    assert ws("run", "--workspace", root, "--", sys.executable, "-c", makes).code == 0
    written = write(root / "workdir" / "shared" / "by another").lstat().st_ctime_ns
    (record,) = (root / MARKER / RECORDS).glob(f"*{ENDED}")
    os.utime(record, ns=(written, written))
    assert ws("clean-scratch", "--workspace", root).code == 0
    assert left(root) == ["shared"]


def test_scratch_of_a_session_that_has_ended_goes_however_fresh_and_no_other(root: Path) -> None:
    workspace(root)
    write(root / "workdir" / "earlier" / "log")
    makes = """
import os, pathlib, subprocess
top = pathlib.Path(os.environ["VMAF_WORKSPACE"])
os.makedirs(top / "workdir" / "mine" / "deep")
(top / "workdir" / "mine" / "deep" / "log").write_text("x")
(top / "output" / "plot.png").write_text("x")
(top / "workdir" / "earlier" / "of mine").write_text("x")
(top / "workdir" / "touched").mkdir()
subprocess.run(["mkdir", top / "workdir" / "theirs"])
"""
    assert ws("run", "--workspace", root, "--", sys.executable, "-c", makes).code == 0
    write(root / "workdir" / "touched" / "by another")
    assert ws("clean-scratch", "--workspace", root).code == 0
    assert (left(root), left(root, "output")) == (["earlier", "theirs", "touched"], [])
    assert ws("clean-scratch", "--min-age", "0", "--workspace", root).code == 0
    assert left(root) == []


def test_a_clean_keeps_what_a_session_copied_with_its_old_times(root: Path, tmp_path: Path) -> None:
    workspace(root)
    clip = age(write(tmp_path / "clip" / "ref.yuv").parent)
    with session(root):
        shutil.copytree(clip, root / "workdir" / "clip")  # with times, as `cp -a` and `tar` do
        shutil.copy2(clip / "ref.yuv", root / "output" / "ref.yuv")
        for flags in ((), ("--force",), ("--min-age", "0s")):
            assert ws("clean-scratch", "--workspace", root, *flags).code == 0
            assert (left(root), left(root, "output")) == (["clip"], ["ref.yuv"]), flags


@pytest.mark.parametrize("set_back", [False, True], ids=["another host's clock is ahead", "the clock was set back"])
def test_a_clean_keeps_what_a_session_made_whose_clock_was_ahead(set_back: bool, root: Path) -> None:
    code = """
import sys, time
from pathlib import Path
from vmaf_workspace.live.session_lock import session
now = time.time
time.time = lambda: now() + 600
with session(Path(sys.argv[1]), "it"):
    print("ready", flush=True)
    sys.stdin.read()
"""
    with process(code, root):
        write(root / "workdir" / "new" / "log")
        if set_back:
            (lock,) = (root / MARKER / SESSIONS).iterdir()
            os.utime(lock, (time.time() + 600, time.time() + 600))
        done = ws("clean-scratch", "--force", "--workspace", root)
        assert left(root) == ["new"]
        assert "newer than the session of process" in done.out


def test_where_nobody_can_tell_whose_sessions_there_are_nothing_goes_and_it_says_so(root: Path) -> None:
    prefix = without_root_powers()
    age(write(workspace(root) / "workdir" / "theirs" / "log").parent)
    (root / MARKER / SESSIONS).mkdir(mode=0)  # a colleague's, whose umask is 077
    command = [*prefix, sys.executable, "-m", "vmaf_workspace.cli"]
    done = run([*command, "clean-scratch", "--force", "--workspace", root])
    assert left(root) == ["theirs"]
    assert "sessions that may not be listed: Permission denied" in done.out
    assert "1970" not in done.out
    assert run([*command, "migrate", "--yes", "--to", f"{root}.moved", "--workspace", root]).code == 4


def test_purge_wipe_and_migrate_wait_for_its_end(root: Path, tmp_path: Path) -> None:
    stored(workspace(root), "d/1/k", idle_s=7200)
    write(root / "model" / "m.pkl")
    tasks = (
        ["purge-cache", "--yes"],
        ["migrate", "--yes", "--to", tmp_path / "moved"],
        ["wipe-models", "--yes", "--without-snapshot"],
        ["restore-models", "--at", tmp_path / "backups"],
    )
    assert ws("backup-models", "--workspace", root, "--at", tmp_path / "backups").code == 0
    with session(root):
        for task in tasks:
            done = ws(*task, "--workspace", root)
            assert done.code == 4, done
            assert "session" in done.err
        assert f"{MARKER}/{SESSIONS}/" in ws("status", "--json", "--workspace", root).json["live"][0]["path"]
    assert (root / "model" / "m.pkl").exists()
    assert ws(*tasks[0], "--workspace", root).code == 0


def test_the_session_lasts_as_long_as_the_program_although_its_starter_was_killed(root: Path) -> None:
    with session(root) as child:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        assert len(live_sessions(root)) == 1
        os.killpg(child.pid, signal.SIGKILL)
        until_s = time.monotonic() + 5
        while live_sessions(root) and time.monotonic() < until_s:
            time.sleep(0.01)
        assert not live_sessions(root)
        assert len(stale_sessions(root)) == 1
        with session(root):
            assert len(os.listdir(root / MARKER / SESSIONS)) == 1, "the next one removes what is stale"


def test_a_session_that_finds_no_room_leaves_nothing(root: Path) -> None:
    code = """
root = Path(sys.argv[1])
mount("-t", "tmpfs", "-o", "size=64k", "none", root)
assert ws("setup", "--workspace", root)[0] == 0
with suppress(OSError):
    (root / "workdir" / "full").write_bytes(bytes(1 << 20))
print(ws("run", "--workspace", root, "--", "true")[0], os.listdir(root / ".vmaf-workspace" / "sessions"))
"""
    done = in_a_mount_namespace("from contextlib import suppress\n" + code, workspace(root))
    assert done.out == "1 []\n", done


def test_two_sessions_at_once_keep_what_is_newer_than_the_first(root: Path) -> None:
    workspace(root)
    with session(root, root / "workdir" / "one"), session(root, root / "workdir" / "two"):
        holders = live_sessions(root).values()
        assert len(holders) == 2
        for name in ("one", "two"):
            assert sum(f"workdir/{name}" in holder.command for holder in holders) == 1
        assert ws("clean-scratch", "--force", "--workspace", root).code == 0
        assert left(root) == ["one", "two"]


# What it left without us.


@pytest.mark.parametrize("layout", ["upstream", "fork"])
def test_the_tasks_work_on_what_a_checkouts_own_harness_left(
    layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = checkout(tmp_path, monkeypatch, CONFIG if layout == "upstream" else FORKS_CONFIG)
    left_by_it = place / "workspace" if layout == "upstream" else place / "python" / "vmaf" / "workspace"
    run_directory = left_by_it / "workdir" / "d26050af-bd92-46a7-8519-7482306aa7fe"
    write(run_directory / "VMAF_V0.6.1" / "stdout.log")
    os.mkfifo(run_directory / "ref_1920x1080.yuv")
    for executor, text in (("VMAF_V0.6.1", "{'scores': {0: [1.0]}}"), ("SSIM_V1.0", "{'scores': {0: [1")):
        write(left_by_it / "result_store_dir/file_result_store" / executor / "d" / "1" / ("0" * 40)).write_text(text)
    write(left_by_it / "model" / "m.pkl")
    age(left_by_it)
    status = ws("status", "--stores", "--json")
    assert (status.code, status.json["workspace"], len(status.json["stores"])) == (0, str(left_by_it), 2), status
    assert ws("clean-scratch", "--min-age", "0").code == 0
    assert left(left_by_it) == []
    assert ws("purge-cache", "--yes", "--executor", "SSIM*").code == 0
    assert [row["executor"] for row in ws("status", "--stores", "--json").json["stores"]] == ["VMAF_V0.6.1"]
    assert (left_by_it / "model" / "m.pkl").exists()


SHELL = "import subprocess\n\n\ndef run_process(cmd):\n    subprocess.check_output(cmd, shell=True)\n"


@pytest.mark.parametrize("name", ["a space", "a;touch here", "a$b"])
def test_a_harness_that_builds_shell_strings_is_refused_where_the_path_has_a_shells_letters(
    name: str, harness: Path, tmp_path: Path
) -> None:
    (harness / "python" / "vmaf" / "__init__.py").write_text(SHELL)
    root = tmp_path / name
    done = in_session(root, *MODULE)
    assert done.code == 3
    assert str(harness / "python" / "vmaf") in done.err
    assert "vmaf-ws migrate" in done.err
    assert not root.exists()


def test_the_doctor_warns_of_a_shells_letters_and_a_plain_path_is_run_in(harness: Path, tmp_path: Path) -> None:
    (harness / "python" / "vmaf" / "__init__.py").write_text(SHELL)
    plain = tmp_path / "plain"
    assert in_session(plain, *MODULE).code == 0
    for root, levels in ((tmp_path / "a space", ["warning"]), (plain, [])):
        found = ws("doctor", "--json", "--workspace", root).json["findings"]
        assert [each["level"] for each in found if "to a shell" in each["found"]] == levels


def test_our_own_harness_builds_no_shell_strings_so_a_blank_is_no_matter(harness: Path, root: Path) -> None:
    (harness / "python" / "vmaf" / "__init__.py").write_text(SHELL)
    done = in_session(root, sys.executable, "-c", "import vmaf_harness; print('ran')")
    assert (done.code, done.out) == (0, "ran\n")


def test_an_installed_harness_is_found_outside_its_checkout(
    harness: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (harness / "python" / "vmaf" / "__init__.py").write_text(SHELL)
    monkeypatch.delenv("PYTHONPATH")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    site = next((tmp_path / "venv" / "lib").glob("python*/site-packages"))
    (site / "editable.pth").write_text(f"{harness / 'python'}\n")
    monkeypatch.chdir(tmp_path)
    assert in_session(root, python, "-m", "vmaf.script.paths").code == 3
    plain = tmp_path / "plain"
    assert in_session(plain, python, "-c", "from vmaf.config import VmafConfig").code == 0
    for flag in ("-I", "-E"):
        done = in_session(plain, python, flag, "-m", "vmaf.script.paths")
        assert done.code == 3, done
        assert f"with {flag} takes no redirection" in done.err
    assert not (harness / "workspace").exists()


@pytest.mark.parametrize("version", ["2.7", "3.6"])
def test_a_python_too_old_to_be_led_stops_before_it_writes_elsewhere_and_is_silent_otherwise(
    version: str, root: Path, tmp_path: Path
) -> None:
    pyenv = Path(os.environ.get("PYENV_ROOT", os.path.expanduser("~root/.pyenv")), "versions")
    found = pyenv.glob(f"{version}.*/bin/python")
    python = next(map(str, found), None) or shutil.which(f"python{version}")
    if python is None or run([python, "-c", ""]).code != 0:
        pytest.skip(f"there is no Python {version}")
    (tmp_path / "vmaf").mkdir()
    (tmp_path / "vmaf" / "__init__.py").touch()
    (tmp_path / "vmaf" / "config.py").write_text("print('imported')\n")
    env = subprocess_env(PYTHONPATH=str(tmp_path))
    silent = ws("run", "--workspace", root, "--", python, "-c", "print(1)", env=env)
    assert (silent.code, silent.out) == (0, "1\n"), silent
    assert "sitecustomize" not in silent.err
    stopped = ws("run", "--workspace", root, "--", python, "-c", "import vmaf.config", env=env)
    assert stopped.code != 0
    assert "too old to be led" in stopped.err
    (tmp_path / "vmaf" / "config.py").write_text("print('VMAF_WORKSPACE')\n")
    assert ws("run", "--workspace", root, "--", python, "-c", "import vmaf.config", env=env).code == 0


def test_no_process_for_the_program_is_a_failure_and_no_mistake_in_the_command(tmp_path: Path) -> None:
    code = """
import resource, sys
from vmaf_workspace.cli import main
resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
sys.exit(main(sys.argv[1:]))
"""
    root = workspace(tmp_path / "ws")
    at = ("run", "--workspace", str(root))
    done = python(code, *at, "--", "true", prefix=as_somebody_with_few_processes())
    assert (done.code, "too many processes" in done.err) == (1, True), done
    proved = python(code, "run", "--prove", "--", "true", prefix=as_somebody_with_few_processes())
    assert proved.code != 2, proved
