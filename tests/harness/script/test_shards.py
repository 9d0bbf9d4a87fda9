"""Parts of a command in any order, twice, or at once, and a last run without one: what a single run gives."""

from __future__ import annotations

import json
import os
import shutil
import time
from importlib import import_module
from pathlib import Path

import pytest
from clips import start
from trainable import Trainable

from vmaf_harness.measure.store import CLAIMS, CONTENT_HASHES, store_directory
from vmaf_harness.script import run_extraction, run_testing
from vmaf_workspace.contract import MARKER


def stored(workspace: Path) -> dict[str, str]:
    """Every stored result, without how long it took."""
    found = {}
    for path in store_directory(workspace).rglob("*.json"):
        first, frames = map(json.loads, path.read_text().splitlines())
        first.pop("extraction_s")
        found[str(path.relative_to(workspace))] = json.dumps([first, frames])
    return found


@pytest.fixture
def fresh(small: Trainable, vmaf_workspace: Path) -> Trainable:
    """The dataset, nothing of it stored, and old enough for hashes to be remembered."""
    shutil.rmtree(store_directory(vmaf_workspace), ignore_errors=True)
    return small


def test_parts_in_any_order_and_twice_store_what_one_run_stores(
    fresh: Trainable, vmaf_workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = tmp_path / "whole"
    arguments = [str(fresh.dataset), str(fresh.features)]
    assert run_extraction.main([*arguments, "--cache-result", f"--workspace={whole}"]) == 0
    for part in ("3/3", "1/3", "3/3"):
        assert run_extraction.main([*arguments, "--shard", part]) == 0
    said = capsys.readouterr().err
    assert "part 3/3: 4 assets extracted, 0 of them stored before" in said
    assert "part 3/3: 4 assets extracted, 4 of them stored before" in said
    assert stored(vmaf_workspace).items() < stored(whole).items()
    assert len(stored(vmaf_workspace)) == 8
    assert run_extraction.main([*arguments, "--shard=1/2"]) == 0  # another split, which overlaps
    assert run_extraction.main([*arguments, "--cache-result"]) == 0
    assert "12 assets, 10 of them stored before" in capsys.readouterr().err
    assert stored(vmaf_workspace) == stored(whole)


def test_a_part_writes_no_table_and_leaves_no_scratch(fresh: Trainable, vmaf_workspace: Path) -> None:
    assert run_testing.main(["PSNR", str(fresh.dataset), "--shard", "2/6"]) == 0
    for subdir in ("output", "workdir"):
        assert {path.name for path in (vmaf_workspace / subdir).iterdir()} <= {".gitignore", "CACHEDIR.TAG"}
    assert len(stored(vmaf_workspace)) == 2
    assert list((vmaf_workspace / MARKER / CLAIMS).iterdir()) == []


def test_a_part_of_which_an_asset_fails_says_so_and_the_others_are_not_touched(
    fresh: Trainable, vmaf_workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fresh.videos(0)[1].write_bytes(b"no video")
    assert run_testing.main(["PSNR", str(fresh.dataset), "--shard", "1/2"]) == 0
    assert run_testing.main(["PSNR", str(fresh.dataset), "--shard", "2/2", "--keep-going"]) == 1
    assert "5 assets scored, 0 of them stored before, 1 not" in capsys.readouterr().err


def test_the_variable_of_an_array_alone_changes_nothing(
    fresh: Trainable, vmaf_workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("ID", "2"), ("MIN", "1"), ("COUNT", "12")):
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", value)
    assert run_testing.main(["PSNR", str(fresh.dataset), "--shard", "auto"]) == 0
    assert len(stored(vmaf_workspace)) == 1
    assert run_testing.main(["PSNR", str(fresh.dataset), "--cache-result", "--suppress-plot"]) == 0
    assert len(stored(vmaf_workspace)) == 12


@pytest.mark.slow
def test_parts_at_once_hash_each_video_once(fresh: Trainable, vmaf_workspace: Path, tmp_path: Path) -> None:
    videos = list(fresh.directory.glob("*.mp4"))
    long_ago_s = time.time() - 100
    for video in videos:
        os.utime(video, (long_ago_s, long_ago_s))
    time.sleep(2.5)  # what changed so lately, by its ctime, is not remembered
    parts = [start("run_testing", "PSNR", fresh.dataset, "--shard", f"{i}/4") for i in (1, 2, 3, 4, 2)]
    for part in parts:
        _, err = part.communicate(timeout=180)
        assert part.returncode == 0, err
    lines = (store_directory(vmaf_workspace) / CONTENT_HASHES).read_text().split("\n")
    assert sorted(Path(json.loads(line)[0]).name for line in lines if line) == sorted(path.name for path in videos)
    assert len(stored(vmaf_workspace)) == 12


@pytest.mark.slow
def test_every_long_job_in_parts_leaves_the_last_run_nothing_to_do(
    small: Trainable, vmaf_workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = small.model.read_text().replace("'LIBSVMNUSVR'", "'BOOTSTRAP_LIBSVMNUSVR'")
    small.model.write_text(text.replace("model_param_dict = {", "model_param_dict = {'num_models': 5, "))
    whole = tmp_path / "whole"
    shutil.copytree(vmaf_workspace, whole)
    commands = [
        ("run_encode", str(small.dataset), "e_dataset.py", "--crf", "30 40", "--label-with", "version=vmaf_v0.6.1"),
        ("run_vmaf_training", *small.inputs, "m", "--suppress-plot", "--cache-result"),
        ("run_vmaf_cross_validation", *small.inputs, "--folds", "3", "--suppress-plot", "--cache-result"),
        ("run_vmaf_tuning", *small.inputs, "p", "--folds", "2", "--gamma", "0.02 0.05", "--cost", "1 4", "--nu", "0.5"),
    ]
    done = {
        "run_encode": "8 encodes, 8 of them there before",
        "run_vmaf_training": "5 of 5 models are taken from",
    }
    for command in commands:
        for part in ("2/2", "1/2", "2/2"):
            out, err = ran(capsys, *command, "--shard", part)
            assert "SROCC" not in out
        out, err = ran(capsys, *command)
        assert done.get(command[0], "") in err
        assert not any(line.startswith(("model ", "set ")) for line in err.splitlines()), err
        out_whole, _ = ran(capsys, *command, f"--workspace={whole}")
        assert results(out) == results(out_whole)
    for subdir in ("model", "model_param", "checkpoints_dir", "encode"):
        kept = [contents(where / subdir) for where in (vmaf_workspace, whole)]
        assert kept[0] == kept[1]
    assert stored(vmaf_workspace).keys() == stored(whole).keys()


def ran(capsys: pytest.CaptureFixture[str], script: str, *arguments: str) -> tuple[str, str]:
    code = import_module(f"vmaf_harness.script.{script}").main(list(arguments))
    out, err = capsys.readouterr()
    assert code == 0, err
    return out, err


def results(out: str) -> list[str]:
    return [line for line in out.splitlines() if "SROCC" in line]


def contents(directory: Path) -> dict[str, bytes]:
    paths = [path for path in directory.rglob("*") if path.is_file() and not path.name.endswith(".card.json")]
    return {str(path.relative_to(directory)): path.read_bytes() for path in paths}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--scheduler", "node1"], "expected an address such as tcp://node1:8786, or local:4, got 'node1'"),
        (["--scheduler", "local:0"], "got 'local:0'"),
        (["--scheduler", "local:4", "--scheduler-file", "f.json"], "give one of them"),
        (["--shard", "0/3"], "--shard: expected I/N"),
        (["--worker-timeout", "300"], "needs a unit"),
    ],
)
def test_where_a_command_runs_is_a_question_of_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], said: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_testing.main(["VMAF", str(tmp_path / "d.py"), *flags])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
