"""What a proof sees although the tests hide it: each of these passed, or could pass, beside a test that was led."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from checkouts import CONFIG, checkout, git
from trees import Ended, write, ws

LED = "import os, shutil, sys; sys.path.insert(0, 'python'); import vmaf.config\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = checkout(tmp_path / "checkout", "upstream")
    monkeypatch.chdir(made)
    return made


def prove(code: str, *flags: str) -> tuple[Ended, str, str]:
    """A proof of a Python that imports the harness and then runs *code*; what was said of each place."""
    done = ws("run", "--prove", *flags, "--", sys.executable, "-c", LED + code)
    default, _, override = done.err.partition("override:")
    return done, default, override


def test_one_that_is_led_and_writes_nowhere_passes(root: Path) -> None:
    done, _, _ = prove("pass")
    assert done.code == 0, done
    assert "failed" not in done.err


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("os.mkdir('workspace/workdir/x'); os.rmdir('workspace/workdir/x')", "removed again workspace/workdir/x"),
        ("os.system('cd workspace/workdir && touch x && rm x')", "removed again something in workspace/workdir"),
        (
            "os.makedirs('python/vmaf/workspace/workdir'); shutil.rmtree('python/vmaf/workspace')",
            "removed again python/vmaf/workspace",
        ),
        ("os.makedirs('workspace/workdir/.venv/x')", "made workspace/workdir/.venv/x"),
        ("os.chmod('workspace/workdir/.gitignore', 0o600)", "changed workspace/workdir/.gitignore"),
    ],
    ids=["removed-again", "removed-again-by-no-python", "whole-workspace", "tools-name", "mode"],
)
def test_the_default_place_is_not_touched_and_put_back_by_an_override(code: str, said: str, root: Path) -> None:
    done, default, override = prove(code)
    assert done.code == 1, done
    assert said in override
    assert "failed" not in default


def test_a_file_that_keeps_its_size_and_its_time_is_seen_to_have_changed(root: Path) -> None:
    write(root / "workspace" / "model" / "mine.pkl")
    code = "p = 'workspace/model/mine.pkl'; t = os.stat(p).st_mtime_ns; open(p, 'w').write('y'); os.utime(p, ns=(t, t))"
    done, _, override = prove(f"if 'VMAF_WORKSPACE' in os.environ:\n    {code}")
    assert done.code == 1, done
    assert "changed workspace/model/mine.pkl" in override


@pytest.mark.parametrize("linked", ["workspace", "workspace/workdir"])
def test_a_workspace_that_is_linked_to_another_disk_is_watched_and_the_copy_does_not_lead_there(
    linked: str, root: Path, tmp_path: Path
) -> None:
    (root / linked).rename(tmp_path / "disk")
    (root / linked).symlink_to(tmp_path / "disk")
    code = "os.makedirs('workspace/workdir', exist_ok=True); open('workspace/workdir/x', 'w').close()"
    in_copy, default, _ = prove(f"if 'VMAF_WORKSPACE' not in os.environ:\n    {code}")
    assert in_copy.code == 0, in_copy
    assert "left in workdir/: 1 file" in default
    done, _, override = prove(code)
    assert done.code == 1, done
    assert "made workspace/workdir/x" in override


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("os.mkdir('out'); open('out/.gitignore', 'w').write('*'); open('out/x', 'w')", "made out/.gitignore, which"),
        ("open('x', 'w'); os.system('git add x; git -c user.name=n -c user.email=e commit -qm x')", "another commit"),
        ("open('nested/x', 'w')", "made nested/x"),
    ],
    ids=["self-ignored", "committed", "in-another-repository"],
)
def test_what_is_hidden_from_git_is_seen_at_both_places(code: str, said: str, root: Path) -> None:
    (root / "nested").mkdir()
    git(root / "nested", "init", "-q")
    code = "os.makedirs('nested', exist_ok=True); " + code if "nested" in code else code
    done, default, override = prove(code)
    assert done.code == 1, done
    assert said in override
    assert said in default or "nested" in said  # the copy has no other repository


def test_what_a_new_rule_of_the_repository_ignores_is_seen_by_the_rule(root: Path) -> None:
    done, _, override = prove(
        "if os.path.isdir('.git'): open('.git/info/exclude', 'a').write('x'); open('x', 'w')"  # no copy has one
    )
    assert done.code == 1, done
    assert "changed .git/info/exclude" in override


@pytest.mark.parametrize(
    "up", ["os.path.dirname(w)", "os.path.dirname(os.path.realpath(w))"], ids=["link", "what-it-leads-to"]
)
def test_what_is_written_around_the_override_is_no_part_of_it(up: str, root: Path) -> None:
    done, _, override = prove(f"w = os.environ.get('VMAF_WORKSPACE')\nif w: open(os.path.join({up}, 'x'), 'w')")
    assert done.code == 1, done
    assert "1 change beside the override" in override


def test_a_path_that_a_test_gave_to_a_shell_as_it_is_shows_where_it_was_cut(root: Path) -> None:
    done, _, override = prove("w = os.environ.get('VMAF_WORKSPACE')\nif w: os.system('touch ' + w + '/x')")
    assert done.code == 1, done
    assert "1 change beside the override" in override
    assert "/a" in override


def test_the_workspace_outside_any_checkout_is_a_default_place_too(root: Path, tmp_path: Path) -> None:
    code = f"""
os.environ.pop('VMAF_WORKSPACE', None)
os.chdir({str(tmp_path)!r})
import vmaf_workspace.config as c
os.makedirs(c.VmafConfig.workdir_path())
"""
    done, default, override = prove(code)
    assert done.code == 1, done
    assert f"made {tmp_path}/home/.local/share/vmaf-workspace/workspace" in default
    assert "the default place outside any checkout" in override


def test_a_default_run_that_was_given_another_place_has_not_tried_the_default(root: Path, tmp_path: Path) -> None:
    set_between = f'VMAF_WORKSPACE={tmp_path}/other exec "$@"'
    done = ws("run", "--prove", "--", "sh", "-c", set_between, "sh", sys.executable, "-c", LED)
    default, _, _ = done.err.partition("override:")
    assert done.code == 1, done
    assert f"gave {tmp_path}/other, which is not its default place" in default


def test_the_harness_of_another_checkout_is_not_this_one(root: Path, tmp_path: Path) -> None:
    other = checkout(tmp_path / "other", "upstream")
    done = ws("run", "--prove", "--", sys.executable, "-c", LED.replace("'python'", repr(str(other / "python"))))
    assert done.code == 1, done
    assert f"{other}/python/vmaf/config.py, of another checkout" in done.err


def test_a_layout_that_nobody_knows_is_watched_at_its_own_default_place(root: Path) -> None:
    package = root / "libs" / "py" / "vmaf"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "config.py").write_text(CONFIG)
    (root / ".gitignore").write_text("__pycache__/\nlibs/workspace/\n")
    code = "os.makedirs('libs/workspace/workdir/x')"
    done = ws("run", "--prove", "--", sys.executable, "-c", LED.replace("'python'", "'libs/py'") + code)
    assert done.code == 1, done
    assert "libs/workspace, the default place of" in done.err.partition("override:")[2]


def test_a_checkout_that_git_will_not_read_is_refused_and_not_half_watched(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    for flags in ((), ("--in-place",)):
        done, _, _ = prove("pass", *flags)
        assert done.code == 1, done
        assert "safe.directory" in done.err


def test_outside_git_it_says_what_it_does_not_watch(root: Path) -> None:
    (root / ".git").rename(root.parent / "git")
    done, _, override = prove("pass", "--in-place")
    assert done.code == 0, done
    assert "only the default places of its workspace are watched" in override


FIXTURE = "def test_it(vmaf_workspace):\n    vmaf_workspace.mkdir()\n"


@pytest.mark.parametrize(
    ("flag", "at", "said"),
    [
        ("--vmaf-workspace-at=default", "override", "the fixture gave no workspace below the override"),
        ("--vmaf-workspace-at=override", "default", "an override, and never the default place"),
        ("--vmaf-workspace-base=/tmp", "override", "the fixture gave no workspace below the override"),
    ],
)
def test_a_flag_that_takes_the_fixture_elsewhere_is_no_second_place(
    flag: str, at: str, said: str, nowhere: Path
) -> None:
    (nowhere / "test_it.py").write_text(FIXTURE)
    git(nowhere, "init", "-q")
    git(nowhere, "add", "-A")
    git(nowhere, "commit", "-qm", "all")
    pytest_ = (sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider")
    fine = ws("run", "--prove", "--", *pytest_)
    assert fine.code == 0, fine
    done = ws("run", "--prove", "--", *pytest_, flag)
    assert done.code == 1, done
    default, _, override = done.err.partition("override:")
    assert said in {"default": default, "override": override}[at]
    assert "failed" not in {"default": override, "override": default}[at]


def test_a_selection_that_asks_for_no_workspace_is_said_to_prove_nothing(nowhere: Path) -> None:
    (nowhere / "test_it.py").write_text(FIXTURE + "def test_other(): pass\n")
    pytest_ = (sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", "-k", "other")
    done = ws("run", "--prove", "--in-place", "--", *pytest_)
    assert done.code == 1, done
    assert "none of the tests that ran asked for a workspace" in done.err
