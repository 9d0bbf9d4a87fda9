"""Training and tuning over a name: refused, unless it is the same run again, or `--overwrite` took a snapshot."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from clips import start
from trainable import Trainable, write_model

from vmaf_harness.script import run_vmaf_training, run_vmaf_tuning
from vmaf_workspace import cli
from vmaf_workspace.snapshot import store
from vmaf_workspace.snapshot.locate import open_location

Printed = pytest.CaptureFixture[str]
SETS = ("--gamma", "0.05", "--C", "4", "--nu", "0.5", "--folds", "2", "--cache-result")


def train(small: Trainable, *flags: str, name: str = "m") -> int:
    return run_vmaf_training.main([*small.inputs, name, "--cache-result", "--suppress-plot", *flags])


def tune(small: Trainable, *flags: str, name: str = "m") -> int:
    return run_vmaf_tuning.main([*small.inputs, name, *SETS, *flags])


def there(workspace: Path) -> dict[str, bytes]:
    """The files of models and parameters, by path."""
    found = [*(workspace / "model").iterdir(), *(workspace / "model_param").iterdir()]
    return {str(path.relative_to(workspace)): path.read_bytes() for path in found if path.name != ".gitignore"}


def a_model(small: Trainable) -> None:
    write_model(small.model, "BOOTSTRAP_LIBSVMNUSVR", num_models=3)
    assert train(small) == 0
    write_model(small.model, C=2.0)  # the next is another


def a_set(small: Trainable) -> None:
    assert tune(small) == 0
    write_model(small.model, score_clip=[0.0, 90.0])


@pytest.mark.parametrize(("make", "again"), [(a_model, train), (a_set, tune)])
def test_another_run_over_a_name_is_refused_and_replaces_nothing(
    small: Trainable, vmaf_workspace: Path, capsys: Printed, make: Callable[..., None], again: Callable[..., int]
) -> None:
    make(small)
    before = there(vmaf_workspace)
    capsys.readouterr()
    assert again(small) == 3
    err = capsys.readouterr().err
    assert "is there already" in err
    assert "--overwrite" in err
    assert there(vmaf_workspace) == before


@pytest.mark.parametrize(("make", "again"), [(a_model, train), (a_set, tune)])
def test_what_overwrite_replaces_is_brought_back_by_what_the_last_line_says(
    small: Trainable,
    vmaf_workspace: Path,
    tmp_path: Path,
    capsys: Printed,
    make: Callable[..., None],
    again: Callable[..., int],
) -> None:
    make(small)
    before = there(vmaf_workspace)
    capsys.readouterr()
    assert again(small, "--overwrite") == 0
    after = there(vmaf_workspace)
    changed = {path for path in before if after.get(path) != before[path]}
    assert changed
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"over {len(changed)} file" in last
    match = re.search(r"`vmaf-ws (restore-models .*?)`", last)
    assert match is not None, last
    assert cli.main([*shlex.split(match[1]), "--workspace", str(vmaf_workspace)]) == 0
    brought_back = there(vmaf_workspace)
    assert {path: brought_back[path] for path in before} == before
    assert len(store.list_ids(open_location(str(tmp_path / "backups")))) == 2  # one before each was replaced


@pytest.mark.parametrize("at", [None, "named backups"])
def test_what_the_last_line_says_acts_on_the_workspace_that_was_named(
    small: Trainable,
    vmaf_workspace: Path,
    tmp_path: Path,
    capsys: Printed,
    monkeypatch: pytest.MonkeyPatch,
    at: str | None,
) -> None:
    monkeypatch.chdir(tmp_path)
    named = ["--workspace", "my other", *([] if at is None else ["--at", at])]
    assert train(small, "--workspace", "my other") == 0
    before = there(tmp_path / "my other")
    write_model(small.model, C=2.0)
    assert train(small, *named, "--overwrite") == 0
    assert there(tmp_path / "my other") != before
    found = re.search("`(vmaf-ws restore-models [^`]*)`", capsys.readouterr().err)
    assert found is not None
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(["bash", "-c", found[1]], check=True, env={**os.environ, "PATH": path})
    assert there(tmp_path / "my other") == before
    assert not list(vmaf_workspace.glob("model/m.*"))


@pytest.mark.parametrize(("make", "again"), [(a_model, train), (a_set, tune)])
def test_the_same_run_again_is_no_replacement_and_takes_no_snapshot(
    small: Trainable, vmaf_workspace: Path, tmp_path: Path, make: Callable[..., None], again: Callable[..., int]
) -> None:
    was = small.model.read_bytes()
    make(small)
    if again is train:
        write_model(small.model, "BOOTSTRAP_LIBSVMNUSVR", num_models=3)
    else:
        small.model.write_bytes(was)
    before = there(vmaf_workspace)
    for flags in ((), ("--overwrite",)):
        assert again(small, *flags) == 0
        after = there(vmaf_workspace)
        assert {p: c for p, c in after.items() if ".card" not in p} == {
            p: c for p, c in before.items() if ".card" not in p
        }
    assert not (tmp_path / "backups").exists()


def test_what_somebody_changed_in_a_model_of_the_same_run_is_not_replaced(
    small: Trainable, vmaf_workspace: Path
) -> None:
    assert train(small) == 0
    json = vmaf_workspace / "model" / "m.json"
    json.write_bytes(json.read_bytes() + b"\n")
    before = there(vmaf_workspace)
    assert train(small) == 3
    assert there(vmaf_workspace) == before


def test_a_run_that_was_killed_while_it_wrote_its_model_goes_on(small: Trainable, vmaf_workspace: Path) -> None:
    assert train(small) == 0
    whole = there(vmaf_workspace)
    stage = vmaf_workspace / "model" / ".m.whole"
    stage.mkdir()
    (stage / "manifest.json").write_text('["m.pkl", "m.pkl.model", "m.json", "m.card.json"]')
    for name in ("m.pkl", "m.json"):
        (vmaf_workspace / "model" / name).rename(stage / name)
    assert train(small) == 0
    assert there(vmaf_workspace).keys() == whole.keys()
    assert {p: c for p, c in there(vmaf_workspace).items() if ".card" not in p} == {
        p: c for p, c in whole.items() if ".card" not in p
    }


@pytest.mark.parametrize("how", ["no place", "outside"])
def test_where_no_snapshot_can_be_had_overwrite_is_refused_with_the_remedy(
    small: Trainable, vmaf_workspace: Path, tmp_path: Path, capsys: Printed, how: str
) -> None:
    name, flags, said = "m", ["--overwrite"], "--at"
    if how == "outside":
        name, said = str(tmp_path / "m"), "Move it away"
    else:
        (tmp_path / "file").touch()
        flags += ["--at", str(tmp_path / "file")]
    assert train(small, name=name) == 0
    write_model(small.model, C=2.0)
    place = tmp_path if how == "outside" else vmaf_workspace / "model"
    before = {path.name: path.read_bytes() for path in place.glob("m*") if path.is_file()}
    capsys.readouterr()
    assert train(small, *flags, name=name) == 3
    assert said in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in place.glob("m*") if path.is_file()} == before


def test_a_model_that_came_meanwhile_is_not_replaced(
    small: Trainable, vmaf_workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train(small, name="other") == 0
    others = there(vmaf_workspace)
    fitted = run_vmaf_training._fitted

    def late(*args: object) -> object:
        for path in (vmaf_workspace / "model").glob("other.*"):  # another run ends while this one fits
            path.with_name(path.name.replace("other", "m")).write_bytes(path.read_bytes() + b" ")
        return fitted(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(run_vmaf_training, "_fitted", late)
    assert train(small) == 3
    for path, content in others.items():
        assert there(vmaf_workspace)[path.replace("other", "m")] == content + b" "


@pytest.mark.parametrize("script", ["run_vmaf_training", "run_vmaf_tuning"])
def test_help_says_what_is_replaced(script: str) -> None:
    out, _ = start(script, "--help").communicate()
    assert "after a snapshot of it" in " ".join(out.split())
