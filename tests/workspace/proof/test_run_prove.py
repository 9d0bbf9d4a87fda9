"""`vmaf-ws run --prove`: the proof without Nox, on stand-ins of upstream's checkout and the fork's."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from checkouts import LEAVES, checkout
from trees import Ended, everything, run, write, ws

pytestmark = pytest.mark.slow  # each runs pytest twice
SHAPES = ("upstream", "fork")


def prove(root: Path, *flags: str, command: tuple[str, ...] = (), monkeypatch: pytest.MonkeyPatch) -> Ended:
    """The tests of *root*, proved; the harness is on PYTHONPATH by its absolute place, as people have it."""
    monkeypatch.chdir(root)
    monkeypatch.setenv("PYTHONPATH", str(root / "python"))
    usual = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "python/test")
    return ws("run", "--prove", *flags, "--", *(command or usual))


def here(root: Path) -> dict[str, tuple[object, ...]]:
    return {
        path: about for path, about in everything(root).items() if "/.git" not in path and "__pycache__" not in path
    }


@pytest.mark.parametrize("shape", SHAPES)
def test_a_clean_suite_passes_at_both_places_and_leaves_nothing(
    shape: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = checkout(tmp_path / "checkout", shape, "clean", "forks")
    write(root / "workspace" / "model" / "mine.pkl")
    before = here(root)
    done = prove(root, monkeypatch=monkeypatch)
    assert done.code == 0, done
    assert "gave the override, in" in done.err
    assert "left in" not in done.err
    assert {path: about[:2] for path, about in here(root).items()} == {
        path: about[:2] for path, about in before.items()
    }
    assert not (root / ".git" / "worktrees").exists()


@pytest.mark.parametrize(
    ("test", "how", "at"),
    [
        (
            "ignores",
            "made {workspace}/output/cache.pkl  by test/ignores_test.py::test_ignores_the_variable",
            "override",
        ),
        ("beside", "made stats_file.log  by test/beside_test.py::test_beside", "both"),
    ],
)
@pytest.mark.parametrize("shape", SHAPES)
def test_each_leak_fails_and_is_named_with_its_test(
    shape: str, test: str, how: str, at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = checkout(tmp_path / "checkout", shape, "clean", test)
    done = prove(root, monkeypatch=monkeypatch)
    assert done.code == 1, done
    default, _, override = done.err.partition("override:")
    expected = how.format(workspace="workspace" if shape == "upstream" else "python/vmaf/workspace").replace(
        "test/", ""
    )
    leak, _, by = expected.partition("  by ")
    assert leak in override
    assert by in override
    assert (leak in default) == (at == "both")


def test_leftovers_are_counted_by_kind_and_fail_if_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = checkout(tmp_path / "checkout", "upstream", "leaves")
    shown = prove(root, monkeypatch=monkeypatch)
    assert shown.code == 0, shown
    assert shown.err.count("left in workdir/: 1 .yuv file, 1 FIFO, 1 directory; 100 B") == 2
    assert shown.err.count("leaves_test.py::test_leaves") == 2
    assert prove(root, "--leftovers", "fail", monkeypatch=monkeypatch).code == 1


@pytest.mark.parametrize("shape", SHAPES)
def test_tests_that_the_override_cannot_reach_fail_instead_of_passing_twice(
    shape: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = checkout(tmp_path / "checkout", shape, "clean")
    drops = "env -u VMAF_WORKSPACE -u VMAF_WORKSPACE_PROOF " + sys.executable + " -m pytest -q python/test"
    done = prove(root, command=("sh", "-c", drops), monkeypatch=monkeypatch)
    assert done.code == 1, done
    assert "the override never reached the tests" in done.err
    isolated = prove(root, command=(sys.executable, "-I", "-c", "0"), monkeypatch=monkeypatch)
    assert isolated.code == (3 if shape == "upstream" else 1), isolated


@pytest.mark.parametrize(
    ("code", "command"),
    [
        (2, ("-m", "pytest", "-q", "-p", "no:cacheprovider", "python/test")),  # without the harness on PYTHONPATH
        (1, ("-m", "no_such_module")),
        (5, ("-I", "-c", "import sys; sys.exit(5)")),
    ],
    ids=["collection", "no module", "isolated"],
)
def test_a_command_that_failed_before_any_test_is_not_said_to_have_passed(
    code: int, command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = checkout(tmp_path / "checkout", "fork", "clean")
    monkeypatch.chdir(root)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    done = ws("run", "--prove", "--", sys.executable, *command)
    assert done.code == code, done
    assert done.err.count(f"the command's exit code: {code}") == 2
    assert f"the command failed itself, with exit code {code}, and nothing shows that a test ran" in done.err
    assert "passed" not in done.err
    assert "none of the tests that ran" not in done.err


def test_the_exit_code_of_the_tests_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = checkout(tmp_path / "checkout", "fork", "beside")
    code = "import vmaf.config, sys; open('stats_file.log', 'w'); sys.exit(7)"
    assert prove(root, command=(sys.executable, "-c", code), monkeypatch=monkeypatch).code == 7


def test_uncommitted_changes_are_in_the_copy_and_the_real_harness_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = checkout(tmp_path / "checkout", "fork", "clean", "leaves")
    (root / "python" / "test" / "leaves_test.py").unlink()
    (root / "python" / "test" / "new_test.py").write_text(LEAVES.replace("ref.fifo", "new.fifo"))
    (root / "python" / "vmaf" / "run.py").unlink()
    (root / "python" / "vmaf" / "run").mkdir()
    (root / "python" / "vmaf" / "run" / "__init__.py").symlink_to("really.py")
    (root / "python" / "vmaf" / "run" / "really.py").write_text(
        "from vmaf.config import VmafConfig\nimport os\n"
        "def run():\n    os.makedirs(VmafConfig.workdir_path('new'))\n    return VmafConfig.workdir_path('new')\n"
    )
    tests = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "python/test/new_test.py")
    done = prove(root, command=tests, monkeypatch=monkeypatch)
    assert done.code == 0, done
    assert done.err.count("left in workdir/: 1 FIFO, 1 directory") == 2
    elsewhere = f"import sys; sys.path.insert(0, {str(root / 'python')!r}); import vmaf.config"
    of_the_real_one = prove(root, command=(sys.executable, "-c", elsewhere), monkeypatch=monkeypatch)
    assert of_the_real_one.code == 1
    assert "of the real checkout and not of the copy" in of_the_real_one.err


def test_in_place_what_was_made_is_taken_away_and_what_others_made_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = checkout(tmp_path / "checkout", "upstream", "leaves")
    mine = write(root / "workspace" / "model" / "mine.pkl")
    done = prove(root, "--in-place", monkeypatch=monkeypatch)
    assert done.code == 0, done
    assert "3 entries made at the default place, taken away" in done.err
    assert os.listdir(root / "workspace" / "workdir") == [".gitignore"]
    assert mine.exists()
    others = "import vmaf.config, os; os.system('touch workspace/model/new.pkl')"  # not by a Python
    done = prove(root, "--in-place", command=(sys.executable, "-c", others), monkeypatch=monkeypatch)
    assert done.code == 1
    assert "perhaps another program's work, so it stays" in done.err
    assert (root / "workspace" / "model" / "new.pkl").exists()


def test_outside_git_the_default_place_is_proved_in_place_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = checkout(tmp_path / "checkout", "upstream", "clean", "ignores")
    run(["rm", "-rf", str(root / ".git")])
    refused = prove(root, monkeypatch=monkeypatch)
    assert refused.code == 3
    assert "in_place" in refused.err
    done = prove(root, "--in-place", monkeypatch=monkeypatch)
    assert done.code == 1
    assert "made workspace/output/cache.pkl" in done.err


def test_a_flag_of_the_proof_alone_is_refused(tmp_path: Path) -> None:
    assert ws("run", "--in-place", "--", "true").code == 2
