"""What may never be emptied: refused with exit 3 before anything is planned, and nothing is lost."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from trees import (
    age,
    clean,
    ended_run,
    everything,
    in_a_mount_namespace,
    left,
    python,
    without_root_powers,
    workspace,
    write,
    ws,
)

from vmaf_workspace import guard
from vmaf_workspace.contract import MARKER, SUBDIRS
from vmaf_workspace.errors import RefusedError
from vmaf_workspace.removal.caches import Selection
from vmaf_workspace.removal.candidates import plan_clean, plan_purge
from vmaf_workspace.removal.execution import execute
from vmaf_workspace.setup import setup

REMOVING = [("clean-scratch", "--force"), ("purge-cache", "--yes"), ("purge-cache", "--yes", "--with-encodes")]


def full_of_files(root: Path) -> Path:
    """A directory of someone's, which happens to use the names of the contract, all of it old."""
    for number, subdir in enumerate(SUBDIRS):
        write(root / subdir.name / "thesis" / "chapter", 10**number % 9999)
        write(root / subdir.name / "notes.txt")
    write(root / "photo.jpg", 1000)
    return age(root)


@pytest.mark.parametrize("command", REMOVING, ids=" ".join)
@pytest.mark.parametrize("how", ["variable", "flag", "symlink"])
def test_an_unmarked_directory_full_of_files_is_refused_and_nothing_is_lost(
    command: tuple[str, ...], how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = full_of_files(tmp_path / "mine")
    before = everything(root)
    if how == "symlink":
        (tmp_path / "link").symlink_to(root)
        root = tmp_path / "link"
    if how != "flag":
        monkeypatch.setenv("VMAF_WORKSPACE", str(root))
    done = ws(*command, *(["--workspace", str(root)] if how == "flag" else []))
    assert (done.code, done.out) == (3, "")
    assert "marker" in done.err
    assert everything(tmp_path / "mine") == before


@pytest.mark.parametrize("command", REMOVING, ids=" ".join)
def test_even_with_nothing_to_remove_an_unmarked_directory_is_refused(command: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert ws(*command, "--workspace", tmp_path / "empty").code == 3
    assert ws(*command, "--workspace", tmp_path / "empty", "--dry-run").code == 3


@pytest.mark.parametrize("command", REMOVING, ids=" ".join)
def test_a_missing_workspace_has_nothing_to_remove(command: tuple[str, ...], tmp_path: Path) -> None:
    done = ws(*command, "--workspace", tmp_path / "missing")
    assert done.code == 0
    assert done.out == f"{tmp_path / 'missing'} does not exist; nothing to remove\n"
    shown = ws(*command, "--workspace", tmp_path / "missing", "--dry-run")
    assert shown.code == 0
    assert shown.out == f"{tmp_path / 'missing'} does not exist; nothing to remove; dry run: nothing was changed\n"
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("command", REMOVING, ids=" ".join)
def test_a_workspace_that_is_clean_is_told_from_a_missing_one(command: tuple[str, ...], tmp_path: Path) -> None:
    assert ws("setup", "--workspace", tmp_path / "mine").code == 0
    assert ws(*command, "--workspace", tmp_path / "mine").out == f"nothing to remove in {tmp_path / 'mine'}\n"


@pytest.mark.parametrize("place", ["/", "/usr/..", "~", ".", "..", "link-to-home", "link-to-/"])
def test_the_root_the_home_the_current_directory_and_what_encloses_them_are_refused(
    place: str, tmp_path: Path, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link-to-home").symlink_to(Path.home())
    (tmp_path / "link-to-/").symlink_to("/")
    full_of_files(Path.home())
    before = everything(tmp_path)
    monkeypatch.setenv("VMAF_WORKSPACE", str(tmp_path / place) if place.startswith("link") else place)
    for command in REMOVING:
        done = ws(*command)
        assert (done.code, done.out) == (3, ""), done
    assert ws("setup").code == (0 if place == "." else 3)  # an empty current directory may become one
    if place != ".":
        assert everything(tmp_path) == before


def test_marking_does_not_make_the_home_or_a_checkout_a_workspace(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    (checkout / ".git").mkdir(parents=True)
    (tmp_path / "vmaf" / "compat" / "python-vmaf").mkdir(parents=True)
    for place in (Path.home(), checkout, tmp_path / "vmaf"):
        (place / MARKER).mkdir()
        write(age(place) / "workdir" / "old")
        with pytest.raises(RefusedError, match="never a workspace"):
            guard.check(place)
        assert (place / "workdir" / "old").exists()


def test_a_directory_that_encloses_the_checkout_we_are_in_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "src" / "vmaf" / ".git").mkdir(parents=True)
    (tmp_path / "src" / MARKER).mkdir()
    monkeypatch.chdir(tmp_path / "src" / "vmaf")
    with pytest.raises(RefusedError, match="encloses"):
        guard.check(tmp_path / "src")


def test_an_unmarked_parent_of_the_current_directory_is_refused_and_a_marked_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ws" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "ws" / "model")
    with pytest.raises(RefusedError, match="encloses the current directory"):
        guard.check(tmp_path / "ws")
    (tmp_path / "ws" / MARKER).mkdir()
    assert guard.check(tmp_path / "ws")


def test_the_default_place_of_a_checkout_is_adopted_and_marked_by_the_first_removal(tmp_path: Path) -> None:
    root = tmp_path / "checkout" / "compat" / "python-vmaf" / "workspace"
    age(ended_run(root, size=1000))
    assert not guard.is_marked(root)
    report = clean(root)
    assert report.removed == 1
    assert guard.is_marked(root)
    assert left(root) == []


def test_a_directory_named_as_the_default_place_but_in_no_checkout_is_not_adopted(tmp_path: Path) -> None:
    full_of_files(tmp_path / "workspace")
    with pytest.raises(RefusedError, match="marker"):
        guard.check(tmp_path / "workspace")


@pytest.mark.parametrize("way", [("workspace",), ("python-vmaf", "workspace")], ids="/".join)
def test_a_default_place_that_is_a_symlink_to_elsewhere_in_the_checkout_is_not_adopted(
    way: tuple[str, ...], tmp_path: Path
) -> None:
    testdata = tmp_path / "vmaf" / "testdata"
    write(testdata / "output" / "golden" / "scores", 100)
    write(testdata.joinpath(*way[1:]) / "output" / "golden" / "scores", 100)
    default = tmp_path / "vmaf" / "compat" / "python-vmaf" / "workspace"
    link = default if way == ("workspace",) else default.parent
    link.parent.mkdir(parents=True)
    link.symlink_to(testdata)
    age(testdata)
    before = everything(testdata)
    done = ws("clean-scratch", "--force", "--workspace", default)
    assert (done.code, done.out) == (3, ""), done
    assert everything(testdata) == before


def test_a_default_place_that_is_a_symlink_out_of_the_checkout_is_not_adopted(tmp_path: Path) -> None:
    full_of_files(tmp_path / "mine")
    (tmp_path / "checkout" / "compat" / "python-vmaf").mkdir(parents=True)
    root = tmp_path / "checkout" / "compat" / "python-vmaf" / "workspace"
    root.symlink_to(tmp_path / "mine")
    with pytest.raises(RefusedError, match="marker"):
        guard.check(root)


@pytest.mark.parametrize("kind", ["file", "symlink to nothing", "symlink to itself", "below a file"])
def test_what_is_no_directory_is_refused(kind: str, tmp_path: Path) -> None:
    root = tmp_path / "ws"
    if kind == "file":
        write(root)
    elif kind == "below a file":
        root = write(root) / "below"
    else:
        root.symlink_to("ws" if kind.endswith("itself") else "nothing")
    done = ws("clean-scratch", "--workspace", root)
    assert (done.code, done.out) == (3, ""), done


def test_a_workspace_that_may_not_be_looked_at_is_refused_not_taken_for_missing(tmp_path: Path) -> None:
    prefix = without_root_powers()
    root = workspace(tmp_path / "closed" / "ws")
    code = "import sys; from vmaf_workspace.cli import main; sys.exit(main(sys.argv[1:]))"
    for closed in (tmp_path / "closed", root, root / MARKER):
        closed.chmod(0)
        done = python(code, "clean-scratch", "--workspace", root, prefix=prefix)
        closed.chmod(0o755)
        assert (done.code, done.out) == (3, ""), done
        assert "cannot look" in done.err, closed


# A contract subdirectory that is a symlink.


def linked(tmp_path: Path, name: str, target: Path) -> Path:
    root = workspace(tmp_path / "ws")
    shutil.rmtree(root / name)
    (root / name).symlink_to(target)
    return root


def to_model(tmp_path: Path) -> Path:
    return tmp_path / "ws" / "model"


def to_below_model(tmp_path: Path) -> Path:
    (tmp_path / "ws" / "model" / "below").mkdir(parents=True)
    return tmp_path / "ws" / "model" / "below"


def to_the_workspace(tmp_path: Path) -> Path:
    return tmp_path / "ws"


def to_the_root(tmp_path: Path) -> Path:
    return Path("/")


def to_home(tmp_path: Path) -> Path:
    return Path.home()


def to_a_full_directory(tmp_path: Path) -> Path:
    return full_of_files(tmp_path / "mine")


def to_an_empty_unmarked_directory(tmp_path: Path) -> Path:
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


def to_another_workspace(tmp_path: Path) -> Path:
    root = workspace(tmp_path / "other")
    write(root / "model" / "m.pkl", 1000)
    return age(root)


def to_another_workspaces_model(tmp_path: Path) -> Path:
    return to_another_workspace(tmp_path) / "model"


def to_an_empty_directory_in_another_workspace(tmp_path: Path) -> Path:
    (to_another_workspace(tmp_path) / "workdir" / "empty").mkdir()
    return tmp_path / "other" / "workdir" / "empty"


def to_a_file(tmp_path: Path) -> Path:
    return write(tmp_path / "file")


def to_nothing(tmp_path: Path) -> Path:
    return tmp_path / "nothing"


def to_itself(tmp_path: Path) -> Path:
    return tmp_path / "ws" / "workdir"


def to_a_place_of_output(tmp_path: Path) -> Path:
    (tmp_path / "third").mkdir()
    (tmp_path / "place").mkdir()
    (tmp_path / "third" / "output").symlink_to(tmp_path / "place")
    setup(tmp_path / "third")
    return tmp_path / "place"


def to_a_place_of_another_workdir(tmp_path: Path) -> Path:
    (tmp_path / "third").mkdir()
    (tmp_path / "place").mkdir()
    (tmp_path / "third" / "workdir").symlink_to("../place")
    setup(tmp_path / "third")
    return tmp_path / "place"


TARGETS = [
    to_model,
    to_below_model,
    to_the_workspace,
    to_the_root,
    to_home,
    to_a_full_directory,
    to_an_empty_unmarked_directory,
    to_another_workspace,
    to_another_workspaces_model,
    to_an_empty_directory_in_another_workspace,
    to_a_file,
    to_nothing,
    to_itself,
    to_a_place_of_output,
    to_a_place_of_another_workdir,
]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("command", REMOVING[:1] + REMOVING[2:], ids=" ".join)
def test_a_subdirectory_that_leads_where_it_may_not_is_refused_and_nothing_is_lost(
    target: Callable[[Path], Path], command: tuple[str, ...], tmp_path: Path
) -> None:
    place = target(tmp_path)
    root = linked(tmp_path, "workdir", place)
    write(root / "model" / "m.pkl", 100)
    age(ended_run(root, subdir="output"))
    before = everything(tmp_path)
    done = ws(*command, "--workspace", root)
    assert (done.code, done.out) == (3, ""), done
    assert everything(tmp_path) == before


@pytest.mark.parametrize("target", [t for t in TARGETS if t is not to_an_empty_unmarked_directory])
def test_setup_takes_no_such_place_over(target: Callable[[Path], Path], tmp_path: Path) -> None:
    root = linked(tmp_path, "workdir", target(tmp_path))
    before = everything(tmp_path)
    with pytest.raises(RefusedError):
        setup(root)
    assert everything(tmp_path) == before


def test_scratch_on_a_fast_disk_marked_by_setup_is_cleaned_through_the_link(tmp_path: Path) -> None:
    (tmp_path / "fast").mkdir()
    root = linked(tmp_path, "workdir", tmp_path / "fast")
    setup(root)
    age(ended_run(root, size=1000))
    report = clean(root)
    assert (report.removed, report.files) == (1, 2)
    assert left(root) == []
    assert (tmp_path / "fast" / MARKER).is_dir()
    assert (root / "workdir").is_symlink()


def test_scratch_of_a_workspace_that_is_gone_or_moved_is_taken_over(tmp_path: Path) -> None:
    place = to_a_place_of_another_workdir(tmp_path)
    write(place / "run" / "frames.yuv")
    (tmp_path / "third").rename(tmp_path / "fourth")
    assert guard.check(tmp_path / "fourth")
    setup(tmp_path / "fourth")
    root = linked(tmp_path, "workdir", place)
    with pytest.raises(RefusedError, match="fourth"):
        setup(root)
    shutil.rmtree(tmp_path / "fourth")
    setup(root)
    assert guard.owner_of(place, "workdir") == str(root)


def test_two_subdirectories_that_lead_to_one_place_are_refused(tmp_path: Path) -> None:
    (tmp_path / "fast").mkdir()
    root = linked(tmp_path, "workdir", tmp_path / "fast")
    setup(root)
    shutil.rmtree(root / "model")
    (root / "model").symlink_to(tmp_path / "ws" / "workdir")
    with pytest.raises(RefusedError, match="overlaps"):
        guard.check(root)


def test_one_place_inside_the_other_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fast").mkdir()
    root = linked(tmp_path, "workdir", tmp_path / "fast")
    setup(root)
    (tmp_path / "fast" / "models").mkdir()
    shutil.rmtree(root / "model")
    (root / "model").symlink_to(tmp_path / "fast" / "models")
    with pytest.raises(RefusedError, match="overlaps"):
        guard.check(root)


def test_a_bind_mount_of_the_models_where_scratch_should_be_is_refused(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    write(root / "model" / "m.pkl", 100)
    age(root / "model")
    code = """
root = Path(sys.argv[1])
mount("--bind", root / "model", root / "workdir")
print(*ws("clean-scratch", "--workspace", root, "--force")[::2])
"""
    done = in_a_mount_namespace(code, root)
    assert done.out.startswith("3 "), done
    assert "same directory" in done.out
    assert (root / "model" / "m.pkl").exists()


def test_a_subdirectory_that_is_a_mount_itself_is_cleaned(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    code = """
root = Path(sys.argv[1])
mount("-t", "tmpfs", "none", root / "workdir")
(root / "workdir" / "old").write_bytes(b"x" * 1000)
print(ws("clean-scratch", "--workspace", root, "--force")[0], os.listdir(root / "workdir"))
"""
    assert in_a_mount_namespace(code, root).out == "0 []\n"


def test_a_subdirectory_swapped_for_a_symlink_after_the_plan_loses_nothing(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    age(ended_run(root, size=100))
    plan = plan_clean(root)
    shutil.copytree(root / "workdir", tmp_path / "mine")
    shutil.rmtree(root / "workdir")
    (root / "workdir").symlink_to(tmp_path / "mine")
    before = everything(tmp_path / "mine")
    with pytest.raises(RefusedError):
        execute(plan)
    assert everything(tmp_path / "mine") == before


def test_the_guard_is_asked_again_before_a_plan_is_executed(tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    write(root / "result_store_dir" / "file_result_store" / "a")
    age(ended_run(root))
    plans = [plan_clean(root), plan_purge(root, Selection())]
    shutil.rmtree(root / MARKER)
    before = everything(root)
    for plan in plans:
        with pytest.raises(RefusedError, match="marker"):
            execute(plan)
    assert everything(root) == before


def test_refusals_name_the_variable_or_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VMAF_WORKSPACE", "/")
    assert "VMAF_WORKSPACE" in ws("clean-scratch").err
    monkeypatch.setenv("VMAF_WORKSPACE", str(full_of_files(tmp_path / "mine")))
    assert "vmaf-ws setup" in ws("clean-scratch").err
    assert os.listdir(tmp_path / "mine" / "workdir")
