"""`ws.doctor`: every finding on a tree that has it, with its remedy; and no finding where all is well."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from snapshot_trees import damage
from trained_models import LIBSVM, forest, model
from trees import (
    CLI,
    age,
    ended_run,
    in_a_mount_namespace,
    live_run,
    python,
    without_root_powers,
    workspace,
    write,
    ws,
)

from vmaf_workspace.contract import MARKER
from vmaf_workspace.live.mounts import mount_at
from vmaf_workspace.locate import VARIABLE, locate
from vmaf_workspace.report.doctor import Finding, Level, examine
from vmaf_workspace.report.models import Surface, find_models


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return workspace(tmp_path / "ws")


def wrong(root: Path, at: str = "") -> list[Finding]:
    """What is no good news, backups on the workspace's own disk apart."""
    found = examine(locate(root), at=at)
    return [each for each in found if each.level is not Level.OK and "own disk" not in each.found]


def the_one(found: list[Finding], about: str) -> Finding:
    (finding,) = [each for each in found if each.about == about]
    return finding


def test_all_is_well_in_a_workspace_with_a_backed_up_model(root: Path, tmp_path: Path) -> None:
    model(root)
    age(root / "model", 10)
    at = str(tmp_path / "backups")
    assert ws("backup-models", "--workspace", root, "--at", at).code == 0
    done = ws("doctor", "--json", "--workspace", root, "--at", at)
    assert (done.code, done.json["exit_code"]) == (0, 0), done
    assert [finding for finding in done.json["findings"] if finding["level"] == "error"] == []
    assert wrong(root, at) == []
    ok = " ".join(finding["found"] for finding in done.json["findings"] if finding["level"] == "ok")
    for word in ("libvmaf", "float features", "built-in models", "marker", "1 whole model", "every model as it is now"):
        assert word in ok


def test_an_error_is_exit_code_1_and_every_finding_that_is_none_has_a_remedy(root: Path) -> None:
    write(root / "model" / "tiny.onnx")
    done = ws("doctor", "--workspace", root)
    assert done.code == 1
    assert "1 error" in done.out
    assert all(finding.remedy for finding in wrong(root))


def test_it_changes_nothing_not_even_a_missing_workspace(tmp_path: Path) -> None:
    done = ws("doctor", "--workspace", tmp_path / "missing")
    assert done.code == 0, done
    assert "is not there yet" in done.out
    assert not (tmp_path / "missing").exists()


# The engine.


def test_an_engine_without_libvmaf_is_an_error_with_the_engines_own_remedy(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = write(tmp_path / "bin" / "ffmpeg")
    fake.write_text("#!/bin/sh\necho \"No such filter: 'libvmaf'\" >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("VMAF_FFMPEG", str(fake))
    finding = the_one(wrong(root), "engine")
    assert finding.level is Level.ERROR
    assert "has no libvmaf" in finding.found
    assert "VMAF_FFMPEG" in finding.remedy


def test_an_engine_whose_libvmaf_lacks_features_or_models_is_an_error(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = write(tmp_path / "bin" / "ffmpeg")
    answer = '{"version": "2.0"}'
    lacks = "[Parsed_libvmaf_0 @ 0x1] problem during vmaf_use_feature: float_adm"
    cases = f"*float_adm*) echo '{lacks}' >&2; exit 1;; *psnr*) echo '{answer}';; *) echo no such model >&2; exit 1;;"
    fake.write_text(f'#!/bin/sh\ncase "$*" in {cases} esac\n')
    fake.chmod(0o755)
    monkeypatch.setenv("VMAF_FFMPEG", str(fake))
    found = " ".join(each.found for each in wrong(root) if each.level is Level.ERROR)
    assert "has no feature float_adm" in found
    assert "vmaf_v0.6.1" in found


def test_an_ffmpeg_on_path_that_is_passed_over_is_told_with_the_reason(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = write(tmp_path / "bin" / "ffmpeg")
    fake.write_text("#!/bin/sh\necho \"[AVFilterGraph @ 0x1] No such filter: 'libvmaf'\" >&2\nexit 8\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    (finding,) = [each for each in wrong(root) if each.about == "engine"]
    assert finding.level is Level.WARNING
    assert finding.found == f"passed over: {fake} has no libvmaf"
    assert "VMAF_FFMPEG" in finding.remedy


def test_without_a_harness_the_rest_is_examined(root: Path) -> None:
    write(root / "model" / "a.onnx")
    model(root)
    (root / "model" / "m.pkl.model").unlink()
    code = "import sys; sys.modules['vmaf_harness'] = None; from vmaf_workspace.cli import main; main(sys.argv[1:])"
    found = python(code, "doctor", "--workspace", root).out
    assert "no harness is installed" in found
    assert "a.onnx" in found
    assert "m.pkl.model missing" in found


# The variable.


@pytest.mark.parametrize(("value", "word"), [(" ", "blank"), ("relative/my ws", "another directory")])
def test_a_variable_that_does_not_mean_what_it_seems_to(
    value: str, word: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, value)
    finding = the_one(wrong(root), "variable")
    assert (finding.level, word in finding.found) == (Level.WARNING, True)
    if value.strip():  # a line to be pasted into a shell
        assert shlex.split(finding.remedy) == ["export", f"{VARIABLE}={Path.cwd() / value}"]


def test_a_variable_that_the_checkouts_harness_ignores(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "vmaf" / "python" / "vmaf" / "config.py")
    monkeypatch.chdir(tmp_path / "vmaf")
    monkeypatch.setenv(VARIABLE, str(root))
    finding = the_one(wrong(root), "variable")
    assert "does not read" in finding.found
    assert "ws.run" in finding.remedy
    monkeypatch.setenv(VARIABLE, str(tmp_path / "vmaf" / "workspace"))
    assert not [each for each in wrong(root) if each.about == "variable"]
    (tmp_path / "vmaf" / "python" / "vmaf" / "config.py").write_text(f"os.environ['{VARIABLE}']")
    monkeypatch.setenv(VARIABLE, str(root))
    assert not [each for each in wrong(root) if each.about == "variable"]


# The place.


def test_a_tree_without_our_marker_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "photos" / "cat.jpg")
    finding = next(each for each in wrong(tmp_path / "photos") if MARKER in each.found)
    assert (finding.level, "ws.setup" in finding.remedy) == (Level.ERROR, True)


def test_the_kind_of_file_system_is_that_of_the_deepest_mount(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        "1 0 8:1 / / rw,relatime - ext4 /dev/sda rw\n"
        "2 1 0:9 / /mnt/a\\040b rw shared:1 - nfs4 host:/x rw,vers=4.2\n"
        "3 2 0:10 / /mnt/a\\040b/deep ro,nosuid - lustre o:/y rw\n"
        "4 3 0:11 / /mnt/a\\040b/deep rw - tmpfs none rw\n"
        "torn line\n"
    )
    assert mount_at(Path("/mnt/a b"), mountinfo=table).kind == "nfs4"
    assert mount_at(Path("/mnt/a b"), mountinfo=table).inner == {"rw", "vers=4.2"}
    assert mount_at(Path("/mnt/a b/deep/er"), mountinfo=table).kind == "tmpfs"
    assert mount_at(Path("/mnt/a bc"), mountinfo=table).kind == "ext4"
    assert mount_at(Path("/mnt"), mountinfo=tmp_path / "missing").kind == ""


def test_memory_read_only_and_full_disks_are_told(tmp_path: Path) -> None:
    code = """
def doctor(root):
    code, out, err = ws("doctor", "--json", "--workspace", root)
    print(code, [finding["found"] for finding in json.loads(out)["findings"] if finding["level"] != "ok"])

root = Path(sys.argv[1]) / "mnt"
root.mkdir()
mount("-t", "tmpfs", "-o", "size=2m,nr_inodes=60", "none", root)
ws("setup", "--workspace", root / "ws")
doctor(root / "ws")
(root / "ws" / "dataset" / "full").write_bytes(b"x" * (1 << 20))
mount("-o", "remount,ro,bind", root)
doctor(root / "ws")
"""
    done = in_a_mount_namespace(code, tmp_path)
    first, second = done.out.splitlines()
    assert first.startswith("0 ")
    for word in ("tmpfs: in memory, and", "MiB are free", "inodes are free"):
        assert word in first, done
    assert second.startswith("1 ")
    assert "read-only" in second


def test_scratch_in_memory_is_fine_and_models_in_memory_are_not(tmp_path: Path) -> None:
    code = """
top = Path(sys.argv[1]) / "mnt"
top.mkdir()
mount("-t", "tmpfs", "-o", "size=2g", "none", top)
for name in ("workdir", "model"):
    root = Path(sys.argv[1]) / f"ws {name}"
    root.mkdir()
    (top / name).mkdir()
    (root / name).symlink_to(top / name)
    ws("setup", "--workspace", root)
    out = ws("doctor", "--json", "--workspace", root)[1]
    print(["in memory, and" in finding["found"] for finding in json.loads(out)["findings"]].count(True))
"""
    assert in_a_mount_namespace(code, tmp_path).out.split() == ["0", "1"]


# What is in it.


def test_what_processes_that_were_killed_left_is_named_with_what_finishes_it(root: Path, tmp_path: Path) -> None:
    age(write(root / "workdir" / ".vmaf-trash-1" / "x").parent)
    age(write(root / "result_store_dir" / ".vmaf-trash-2"))
    age(write(root / "output" / ".starting-3" / "run.json").parent)
    (root / "model" / ".m.whole").mkdir()
    write(root / "workdir" / ".vmaf-trash-fresh")
    write(root / MARKER / "migration.json").write_text('{"from": "/a", "to": "/a b", "state": "begun"}')
    code = "import os, sys, time; from pathlib import Path; from vmaf_workspace.live.session_lock import session\n"
    code += "with session(Path(sys.argv[1]), 'it'): print('ready', flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", code, root], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    assert not [each for each in wrong(root) if each.about == "locks"]
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    found = wrong(root)
    assert "sessions that are over" in the_one(found, "locks").found
    assert the_one(found, "workspace").remedy == "`ws.migrate --from /a --to '/a b'`"
    assert "ws.clean-scratch" in the_one(found, "workdir/").remedy
    assert "1 hidden" in the_one(found, "workdir/").found
    assert "ws.clean-scratch" in the_one(found, "output/").remedy
    assert "ws.purge-cache" in the_one(found, "result_store_dir/").remedy
    assert ".m.whole" in the_one(found, "model/").found


def test_what_runs_that_were_killed_left_in_scratch_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for subdir in ("workdir", "output"):
        age(ended_run(root, "killed", subdir=subdir), 3 * 86400)
    ended_run(root, "ended well", subdir="output")  # for people to read
    (root / "workdir" / "upstream's").mkdir()
    os.mkfifo(root / "workdir" / "upstream's" / "ref.fifo")
    now_ns = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now_ns() + 2 * 3600 * 10**9)  # a change time cannot be set back
    found = wrong(root)
    assert "2 left by runs that are over" in the_one(found, "workdir/").found
    assert "1 left by runs that are over, such as 'output/killed'" in the_one(found, "output/").found
    assert "ws.clean-scratch" in the_one(found, "workdir/").remedy


def test_a_live_run_is_no_finding(root: Path) -> None:
    with live_run(root):
        assert wrong(root) == []


def test_files_outside_the_contract_are_named(root: Path) -> None:
    for name in ("notes.txt", "b", "c", "d"):
        write(root / name)
    finding = the_one(wrong(root), "workspace")
    assert finding.level is Level.WARNING
    assert "'b', 'c', 'd' and 1 more" in finding.found


@pytest.mark.parametrize("name", ["t.onnx", "T.ONNX"])
def test_onnx_in_model_is_an_error(name: str, root: Path) -> None:
    write(root / "model" / "deep" / name)
    finding = the_one(wrong(root), "model/")
    assert (finding.level, "model/tiny" in finding.remedy) == (Level.ERROR, True)


def test_a_group_that_lacks_a_file_or_does_not_load_is_an_error(root: Path) -> None:
    model(root, "lacks")
    (root / "model" / "lacks.pkl.model").unlink()
    model(root, "torn").with_name("torn.pkl.model").write_text("svm_type nu_svr\n")
    found = [each for each in wrong(root) if each.about == "model/"]
    assert [each.level for each in found] == [Level.ERROR] * 2
    assert "lacks.pkl.model missing" in found[0].found
    assert "torn" in found[1].found


def test_half_a_model_outside_model_is_an_error_and_parameters_alone_are_none(root: Path) -> None:
    model(root).rename(root / "model_param" / "p.pkl")
    (root / "model" / "m.pkl.model").rename(root / "model_param" / "m.pkl.model")
    (root / "model" / "m.card.json").unlink()
    finding = the_one(wrong(root), "model_param/")
    assert (finding.level, "m.pkl.model" in finding.found) == (Level.ERROR, True)


@pytest.mark.parametrize("closed", ["", "workdir", "output/run", "result_store_dir", "dataset"])
def test_what_cannot_be_read_is_an_error_and_the_rest_is_examined(closed: str, root: Path) -> None:
    prefix = without_root_powers()
    (root / "output" / "run").mkdir()
    age(root / "output" / "run")
    (root / closed).chmod(0)
    done = python(CLI, "doctor", "--json", "--workspace", root, prefix=prefix)
    (root / closed).chmod(0o755)
    assert done.code == 1, done
    errors = [finding for finding in done.json["findings"] if finding["level"] == "error"]
    assert {finding["about"] for finding in errors} == {f"{closed.split('/')[0]}/" if closed else "workspace"}
    assert all(finding["remedy"] for finding in errors)


def test_a_directory_of_models_that_cannot_be_read_is_an_error(root: Path, tmp_path: Path) -> None:
    model(root, "deep/m")
    prefix = without_root_powers()
    (root / "model" / "deep").chmod(0)
    for task, code in (("doctor", 1), ("models", 1)):
        done = python(CLI, task, "--workspace", root, "--at", tmp_path / "backups", prefix=prefix)
        assert done.code == code, done
        assert "cannot read" in done.out + done.err
        assert str(root / "model" / "deep") in done.out + done.err
    (root / "model" / "deep").chmod(0o755)


def test_a_broken_pickle_is_not_advised_to_be_removed_but_restored_from_the_snapshot_that_has_it(
    root: Path, tmp_path: Path
) -> None:
    at = str(tmp_path / "backups")
    path = model(root)
    whole = path.read_bytes()
    age(root / "model", 10)
    backup = "backup-models", "--workspace", root, "--at", at
    assert ws(*backup).code == 0
    path.write_bytes(whole[:20])
    age(root / "model", 10)
    assert ws(*backup).code == 0  # the latest has it broken as well
    remedy = the_one(wrong(root, at), "model/").remedy
    words = shlex.split(remedy.partition("`ws.")[2].rstrip("`"))
    assert ws(*words, "--workspace", root, "--at", at).code == 0
    assert path.read_bytes() == whole
    path.write_bytes(whole[:20])
    remedy = the_one(wrong(root, str(tmp_path / "none")), "model/").remedy
    assert "keep it" in remedy
    assert "remove" not in remedy


@pytest.mark.parametrize("subdir", ["model", "model_param", "checkpoints_dir"])
def test_a_pickle_that_is_more_than_data_is_an_error_and_nothing_in_it_runs(subdir: str, root: Path) -> None:
    if subdir == "model":
        model(root)
    (root / subdir / "m.pkl").write_bytes(b"cos\nsystem\n(S'touch EVALUATED'\ntR.")
    finding = the_one(wrong(root), f"{subdir}/")
    assert finding.level is Level.ERROR
    assert "os.system" in finding.found
    assert not os.path.exists("EVALUATED")


def test_a_forest_of_another_harness_is_no_error(root: Path, tmp_path: Path) -> None:
    forest(root / "model" / "rf.pkl")
    forest(root / "model_param" / "rf.pkl")
    at = str(tmp_path / "backups")
    found = wrong(root, at)
    finding = the_one(found, "model/")
    assert "rf: " in finding.found
    assert "scikit-learn objects" in finding.found
    assert {each.level for each in found} == {Level.WARNING}
    assert ws("backup-models", "--workspace", root, "--at", at).code == 0
    done = ws("verify", "--restore", "--workspace", root, "--at", at)
    assert done.code == 0, done


# Backups.


def test_models_without_a_snapshot_or_newer_than_the_last_are_told(root: Path, tmp_path: Path) -> None:
    at = str(tmp_path / "backups")
    assert not [each for each in wrong(root, at) if each.about == "backups"]
    model(root)
    age(root / "model", 10)
    assert "no snapshot" in the_one(wrong(root, at), "backups").found
    assert ws("backup-models", "--workspace", root, "--at", at).code == 0
    assert not [each for each in wrong(root, at) if each.about == "backups"]
    old = model(root, "new")
    age(old, 3 * 86400)  # as `cp -p` brings it
    finding = the_one(wrong(root, at), "backups")
    assert (finding.level, finding.remedy) == (Level.WARNING, "`ws.backup-models`")
    assert "does not have as it is now: 'model/new.card.json' and 3 more files" in finding.found
    for path in (root / "model").glob("new.*"):
        path.unlink()
    about = (root / "model" / "m.pkl.model").stat()
    (root / "model" / "m.pkl.model").write_text(LIBSVM.replace("0.5", "0.7"))
    os.utime(root / "model" / "m.pkl.model", ns=(about.st_atime_ns, about.st_mtime_ns))
    assert "does not have as it is now: 'model/m.pkl.model'" in the_one(wrong(root, at), "backups").found


def test_models_that_are_gone_since_the_snapshot_are_told(root: Path, tmp_path: Path) -> None:
    at = str(tmp_path / "backups")
    model(root)
    age(root / "model", 10)
    assert ws("backup-models", "--workspace", root, "--at", at).code == 0
    for path in (root / "model").glob("m.*"):
        path.unlink()
    finding = the_one(wrong(root, at), "backups")
    assert "no longer here" in finding.found
    assert "ws.restore-models" in finding.remedy


def test_a_snapshot_of_another_workspace_is_no_backup_of_this_one(root: Path, tmp_path: Path) -> None:
    at = str(tmp_path / "backups")
    model(workspace(tmp_path / "other"))
    age(tmp_path / "other" / "model", 10)
    assert ws("backup-models", "--workspace", tmp_path / "other", "--at", at).code == 0
    model(root)
    assert "no snapshot of this workspace" in the_one(wrong(root, at), "backups").found
    (held,) = [each for each in find_models(root, at=at) if each.surface is Surface.TRAINED]
    assert held.in_snapshot is False


@pytest.mark.parametrize("how", ["missing", "flipped"])
def test_a_snapshot_with_a_damaged_object_is_an_error(how: str, root: Path, tmp_path: Path) -> None:
    at = tmp_path / "backups"
    path = model(root)
    age(root / "model", 10)
    assert ws("backup-models", "--workspace", root, "--at", at).code == 0
    damage(at, how, path, "")
    finding = the_one(wrong(root, str(at)), "backups")
    assert (finding.level, "'model/m.pkl'" in finding.found) == (Level.ERROR, True)


def test_backups_on_the_same_disk_are_told(root: Path, tmp_path: Path) -> None:
    model(root)
    found = examine(locate(root), at=str(tmp_path / "backups"))
    assert [each.level for each in found if "own disk" in each.found] == [Level.WARNING]


def test_a_backup_location_that_may_not_be_used_is_an_error(root: Path) -> None:
    finding = the_one(wrong(root, str(root / "dataset")), "backups")
    assert (finding.level, "inside the workspace" in finding.found) == (Level.ERROR, True)
