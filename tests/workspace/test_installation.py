"""Where something optional is missing, the command that is named brings it: it is run, in a real environment."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from trees import Ended, run

CHECKOUT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
CODE = """
from vmaf_workspace import installation
print(installation.install_command("harness"))
print(installation.requirement("s3"))
print(installation.requirement(elsewhere=True))
"""


def hints(place: Path, direct_url: str | None, cwd: Path | None = None) -> list[str]:
    """What is named where the installer wrote that *direct_url*; how pip is called is left out."""
    about = place / "site" / "vmaf_workspace-9.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: vmaf-workspace\nVersion: 9\n")
    if direct_url is not None:
        (about / "direct_url.json").write_text(direct_url)
    paths = os.pathsep.join((str(place / "site"), str(CHECKOUT / "src")))
    done = run([sys.executable, "-c", CODE], env={**os.environ, "PYTHONPATH": paths}, cwd=cwd or place)
    assert done.code == 0, done
    command, *others = done.out.splitlines()
    # An environment of uv's has no pip, so that it is named: `uv pip install --python …`.
    return [command.partition(" install ")[2].removeprefix(f"--python {shlex.quote(sys.executable)} "), *others]


def test_an_editable_install_is_added_to_from_its_checkout(tmp_path: Path) -> None:
    (tmp_path / "my checkout").mkdir()
    url = f'{{"url": "file://{tmp_path}/my%20checkout", "dir_info": {{"editable": true}}}}'
    found = hints(tmp_path / "a", url)
    assert shlex.split(found[0]) == ["-e", f"{tmp_path}/my checkout[harness]"]
    assert found[1:] == [f"vmaf-workspace[s3] @ file://{tmp_path}/my%20checkout", "vmaf-workspace @ git+ADDRESS"]
    assert hints(tmp_path / "b", url, cwd=tmp_path / "my checkout")[0] == "-e '.[harness]'"


def test_a_repository_is_named_with_the_revision_that_was_asked_for(tmp_path: Path) -> None:
    url = '{"url": "https://example.org/w.git", "vcs_info": {"vcs": "git", "requested_revision": "v1"}}'
    assert hints(tmp_path, url) == [
        "'vmaf-workspace[harness] @ git+https://example.org/w.git@v1'",
        "vmaf-workspace[s3] @ git+https://example.org/w.git@v1",
        "vmaf-workspace @ git+https://example.org/w.git@v1",
    ]


def test_a_wheel_is_named_while_it_is_there(tmp_path: Path) -> None:
    wheel = tmp_path / "w.whl"
    wheel.touch()
    url = f'{{"url": "{wheel.as_uri()}", "archive_info": {{}}}}'
    assert hints(tmp_path / "a", url)[0] == f"'vmaf-workspace[harness] @ {wheel.as_uri()}'"
    wheel.unlink()
    assert hints(tmp_path / "b", url)[0] == "'vmaf-workspace[harness] @ git+ADDRESS'"


@pytest.mark.parametrize("written", [None, "", "[]", "no JSON"])
def test_of_unknown_origin_the_address_is_left_to_the_reader(written: str | None, tmp_path: Path) -> None:
    assert hints(tmp_path, written)[0] == "'vmaf-workspace[harness] @ git+ADDRESS'"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["editable", "directory", "repository"])
def test_the_command_that_is_named_brings_what_is_missing(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "an environment"
    how = [] if kind == "editable" else ["--without-pip"]
    subprocess.run([sys.executable, "-m", "venv", *how, place], check=True)
    if kind == "repository" and run(["git", "-C", CHECKOUT, "rev-parse", "HEAD"]).code != 0:
        pytest.skip("no repository is here")
    source = {
        "editable": ("-e", str(CHECKOUT)),
        "directory": (str(CHECKOUT),),
        "repository": (f"vmaf-workspace @ git+{CHECKOUT.as_uri()}",),  # what is committed
    }
    subprocess.run([UV, "pip", "install", "-q", "--python", place / "bin" / "python", *source[kind]], check=True)
    environ = {**os.environ, "PATH": f"{UV.parent}:{os.environ['PATH']}"}

    def completion() -> Ended:
        return run([place / "bin" / "vmaf-ws", "completion", "bash"], env=environ, cwd=tmp_path)

    missing = completion()
    assert missing.code == 1, missing
    command = missing.err.partition("`")[2].partition("`")[0]
    assert "[completion]" in command
    done = run(["sh", "-c", command], env=environ, cwd=tmp_path, timeout=300)
    assert done.code == 0, (command, done)
    assert "complete" in completion().out
