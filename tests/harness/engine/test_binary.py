"""Which ffmpeg is taken, and that the user's variables do not change what it prints."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import pytest
from clips import Clips, program, recipe

from vmaf_harness.engine.binary import Engine, find_engine
from vmaf_harness.engine.ffmpeg import environment
from vmaf_harness.errors import EngineError
from vmaf_harness.script import run_encode, run_testing

# What ffmpeg 7.0.2 of imageio-ffmpeg 0.6 says where float features are asked for, and else.
OLD = """case "$*" in *float_adm*)
echo "[Parsed_libvmaf_9 @ 0x1] problem during vmaf_use_feature: float_adm" >&2; exit 234;;
esac"""


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No ffmpeg but imageio-ffmpeg's, wherever the tests run."""
    monkeypatch.delenv("VMAF_FFMPEG", raising=False)
    monkeypatch.setenv("PATH", "/usr/nowhere")


def on_path(monkeypatch: pytest.MonkeyPatch, *directories: str | Path) -> None:
    monkeypatch.setenv("PATH", ":".join(map(str, directories)))


# Finding it


def test_the_variable_names_the_engine(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = tmp_path / "my ffmpeg"
    named.symlink_to(engine.path)
    monkeypatch.setenv("VMAF_FFMPEG", str(named))
    assert find_engine() == Engine(str(named), engine.ffmpeg, engine.libvmaf)


def test_a_blank_variable_counts_as_unset(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VMAF_FFMPEG", " ")
    assert find_engine().libvmaf == engine.libvmaf


def test_a_missing_engine_is_an_error_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VMAF_FFMPEG", "/nowhere/ffmpeg")
    with pytest.raises(EngineError, match=r"'/nowhere/ffmpeg'.*no program(.|\n)*install imageio-ffmpeg"):
        find_engine()


def test_a_named_engine_without_libvmaf_is_an_error_whatever_else_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = """echo "ffmpeg version 6.1 Copyright" >&2; echo "No such filter: 'libvmaf'" >&2; exit 8"""
    monkeypatch.setenv("VMAF_FFMPEG", str(program("ffmpeg", tmp_path, text)))
    with pytest.raises(EngineError, match=r"which cannot measure: .*/ffmpeg has no libvmaf\ninstall imageio-ffmpeg"):
        find_engine()


def test_an_engine_that_fails_for_an_unknown_reason_is_shown_with_what_it_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMAF_FFMPEG", str(program("ffmpeg", tmp_path, "echo libx.so.7: cannot open >&2; exit 127")))
    with pytest.raises(EngineError) as caught:
        find_engine()
    assert "-filter_complex" in str(caught.value)
    assert "exit code 127" in str(caught.value)
    assert "libx.so.7: cannot open" in str(caught.value)


@pytest.mark.usefixtures("alone")
def test_every_ffmpeg_on_path_that_is_unfit_is_passed_over_and_named(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    for place in (first, second, third):
        place.mkdir()
    program("ffmpeg", first, "echo \"No such filter: 'libvmaf'\" >&2; exit 8")
    program("ffmpeg", second, f'{OLD}\nexec {engine.path} "$@"')
    program("ffmpeg", third, f'exec {engine.path} "$@"')
    on_path(monkeypatch, first, second, third)
    found = find_engine()
    assert found.path == str(third / "ffmpeg")
    assert found.passed_over == (
        f"{first}/ffmpeg has no libvmaf",
        f"{second}/ffmpeg: the libvmaf of this ffmpeg has no feature float_adm",
    )
    on_path(monkeypatch, second)
    assert find_engine() == engine, "the next is imageio-ffmpeg's"


@pytest.mark.usefixtures("alone")
def test_one_that_lacks_float_features_is_used_where_no_other_is_or_where_it_is_named(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = program("ffmpeg", tmp_path, f'{OLD}\nexec {engine.path} "$@"')
    monkeypatch.setenv("VMAF_FFMPEG", str(old))
    assert find_engine().lacks == "the libvmaf of this ffmpeg has no feature float_adm"
    monkeypatch.delenv("VMAF_FFMPEG")
    on_path(monkeypatch, tmp_path)
    monkeypatch.setattr(sys, "path", [])  # where nothing is installed
    monkeypatch.delitem(sys.modules, "imageio_ffmpeg", raising=False)
    found = find_engine()
    assert (found.path, found.passed_over) == (str(old), ())
    assert "float_adm" in found.lacks


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("entry", ["", ".", "bin"])
def test_no_ffmpeg_is_taken_from_the_current_directory(
    entry: str, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    for place in (tmp_path, tmp_path / "bin"):
        program("ffmpeg", place, f'touch {tmp_path}/started; exec {engine.path} "$@"')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{entry}:/usr/nowhere:{entry}")
    assert find_engine().path == engine.path
    monkeypatch.setenv("VMAF_FFMPEG", "ffmpeg")
    with pytest.raises(EngineError, match="no program that can be started"):
        find_engine()
    assert not (tmp_path / "started").exists()


@pytest.mark.usefixtures("alone")
def test_imageio_ffmpegs_binary_without_the_right_to_execute_it_is_said_with_the_remedy(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "site"
    binaries = installed / "imageio_ffmpeg" / "binaries"
    binaries.mkdir(parents=True)
    (installed / "imageio_ffmpeg" / "__init__.py").touch()
    shutil.copy(program("ffmpeg", tmp_path, f'exec {engine.path} "$@"'), binaries / "ffmpeg-linux-x86_64-v9")
    monkeypatch.setattr(sys, "path", [str(installed)])
    monkeypatch.delitem(sys.modules, "imageio_ffmpeg", raising=False)
    assert find_engine().path == str(binaries / "ffmpeg-linux-x86_64-v9")
    (binaries / "ffmpeg-linux-x86_64-v9").chmod(0o644)
    with pytest.raises(EngineError, match=rf"may not be executed; chmod \+x {binaries}/ffmpeg-linux-x86_64-v9\n"):
        find_engine()


def test_an_engine_is_asked_anew_and_no_failure_is_remembered(
    engine: Engine, clips: Clips, vmaf_workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A libvmaf that is linked dynamically is updated, or breaks, behind an ffmpeg whose file stays the same."""
    state = tmp_path / "state"
    text = f"""case "$(cat {state})" in
broken) echo "error while loading shared libraries: libvmaf.so.3" >&2; exit 127;;
other) {engine.path} "$@" > {tmp_path}/out; code=$?; sed 's/"version": "[^"]*"/"version": "9.9"/' {tmp_path}/out
    exit $code;;
*) exec {engine.path} "$@";;
esac"""
    monkeypatch.setenv("VMAF_FFMPEG", str(program("ffmpeg", tmp_path, text)))
    dataset = recipe(clips.directory, "reference.mp4", ["x264.mp4"], name="engines")
    command = ["PSNR", str(dataset), "--cache-result", "--suppress-plot"]
    n_entries = []
    for now, code in (("fine", 0), ("fine", 0), ("broken", 1), ("other", 0), ("fine", 0)):
        state.write_text(now)
        assert run_testing.main(command) == code, now
        n_entries.append(len(list(vmaf_workspace.glob("result_store_dir/file_result_store/*/*/*/*.json"))))
    assert n_entries == [1, 1, 1, 2, 2], "another libvmaf has results of its own"
    assert not list(vmaf_workspace.rglob(".engines*"))


def test_asking_takes_no_time_that_anybody_notices(engine: Engine) -> None:
    took_s = []
    for _ in range(3):
        began = time.perf_counter()
        find_engine()
        took_s.append(time.perf_counter() - began)
    assert min(took_s) < 0.5, "0.03 s; the rest is a busy machine"


# The environment of every ffmpeg


@pytest.mark.parametrize(
    "variable", ["AV_LOG_FORCE_COLOR=", "AV_LOG_FORCE_COLOR=1", "AV_LOG_FORCE_256COLOR=1", "FFREPORT=", "NO_COLOR=1"]
)
def test_variables_of_the_user_change_nothing(
    variable: str, clips: Clips, vmaf_workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, _, value = variable.partition("=")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv(name, value)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    dataset = recipe(clips.directory, "reference.mp4", ["x264.mp4"], name="colours")
    assert run_testing.main(["PSNR", str(dataset), "--suppress-plot"]) == 0
    ladder = ("--crf", "40", "--preset", "ultrafast")
    assert run_encode.main([str(dataset), f"out{os.getpid()}", *ladder]) == 0
    assert not list((tmp_path / "here").iterdir()), "FFREPORT would leave a file"
    assert not list(vmaf_workspace.rglob("*.log")), "nothing failed, and FFREPORT left no file"


def test_the_environment_keeps_what_is_not_of_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AV_LOG_FORCE_COLOR", "")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/lib")
    made = environment()
    assert "AV_LOG_FORCE_COLOR" not in made
    assert made["LD_LIBRARY_PATH"] == "/opt/lib"
    assert made["AV_LOG_FORCE_NOCOLOR"] == "1"
    assert os.environ["AV_LOG_FORCE_COLOR"] == ""
