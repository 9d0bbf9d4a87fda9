"""Each snippet of the page `docs/in-your-checkout.md` does what the page says, in a stand-in of a checkout."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

sys.path.insert(0, str(Path(__file__).parent / "workspace"))
from checkouts import checkout
from trees import in_a_mount_namespace

from vmaf_workspace.contract import KEPT_NAMES

PAGE = (Path(__file__).parents[1] / "docs" / "in-your-checkout.md").read_text()
SNIPPETS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
FILES = {text.partition("\n")[0].removeprefix("# "): text for kind, text in SNIPPETS if kind not in ("sh", "console")}
LINES = [line for kind, text in SNIPPETS if kind == "sh" for line in text.replace("\\\n", "").splitlines()]
CONTAINERS = [text.replace("\\\n", "") for kind, text in SNIPPETS if kind == "console"]
PIPELINES = (".github/workflows/harness.yml", ".gitlab-ci.yml")
STEPS = {name: re.findall(r"- (?:run: )?((?:\w+=\S+ )?vmaf-ws .*)", FILES[name]) for name in PIPELINES}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = checkout(tmp_path / "checkout", "upstream", "clean")
    monkeypatch.chdir(made)
    monkeypatch.setenv("PATH", os.path.dirname(sys.executable), prepend=os.pathsep)
    return made


def sh(line: str, **variables: str) -> str:
    done = subprocess.run(
        ["sh", "-c", line], env={**os.environ, **variables}, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done
    return done.stdout + done.stderr


def test_the_page_has_a_snippet_of_each_kind() -> None:
    tasks = {"tasks.py", "tasks.py, with both", "tasks/__init__.py"}
    assert FILES.keys() == {"noxfile.py", *tasks, "python/vmaf/config.py", *PIPELINES, ".env"}
    assert (len(LINES), len(CONTAINERS)) == (6, 1)
    assert [len(steps) for steps in STEPS.values()] == [3, 3]


def test_whatever_installs_the_package_names_an_address() -> None:
    lines = [line for line in PAGE.splitlines() if re.search(r"(pip install|inject|--with|# dependencies =) ", line)]
    assert len(lines) == 4
    for line in lines:
        specs = re.findall(r"[\"']?vmaf-workspace\b[^\"'`]*", re.sub(r"[ /]+$", "", line))
        assert specs
        for spec in specs:
            address = "git+https://example.org/us/vmaf-workspace"
            assert Requirement(spec.strip("\"'").replace("git+ADDRESS", address)).url == address, line


def test_the_noxfile_has_both_sessions_in_under_ten_lines(root: Path) -> None:
    Path("noxfile.py").write_text(FILES["noxfile.py"])
    assert len(FILES["noxfile.py"].splitlines()) < 10
    listed = sh("nox --script-mode none -l")
    assert "* workspace(default)" in listed
    assert "* workspace(override)" in listed


def test_tasks_that_were_there_stay_beside_ours(root: Path) -> None:
    Path("tasks.py").write_text(FILES["tasks.py"])
    listed = sh("invoke -l")
    assert "  build" in listed
    assert "  ws.clean-scratch" in listed


def test_both_collections_and_a_name_of_choice(root: Path) -> None:
    Path("tasks.py").write_text(FILES["tasks.py, with both"])
    listed = sh("invoke -l")
    assert "  harness.demo" in listed
    assert "  space.clean-scratch" in listed
    assert " ws." not in listed
    assert sh("invoke space.where", VMAF_WORKSPACE="/w").splitlines()[0] == "/w"


def test_a_package_of_tasks_keeps_its_modules_beside_ours(root: Path) -> None:
    Path("tasks").mkdir()
    Path("tasks/__init__.py").write_text(FILES["tasks/__init__.py"])
    Path("tasks/build.py").write_text(
        'from invoke import task\n@task\ndef wheel(c):\n    """Yours."""\n    print("made")\n'
    )
    assert "  build.wheel" in sh("invoke -l")
    assert sh("invoke build.wheel ws.where", VMAF_WORKSPACE="/w").splitlines()[:2] == ["made", "/w"]


@pytest.mark.parametrize("module", ["vmaf_workspace.tasks", "vmaf_harness.tasks"])
def test_a_module_of_tasks_is_a_collection_itself(module: str, root: Path) -> None:
    Path("tasks.py").write_text(f"from invoke import Collection\nimport {module}\nnamespace = Collection({module})\n")
    listed = sh("invoke -l")
    assert f"  {'ws.clean-scratch' if 'workspace' in module else 'harness.demo'}" in listed


def test_a_harness_that_adopts_reads_the_variable(root: Path) -> None:
    with open("python/vmaf/config.py", "a") as file:
        file.write(FILES["python/vmaf/config.py"])
    asked = 'python -c "from vmaf.config import VmafConfig as c; print(c.workdir_path(), c.model_path())"'
    assert sh(asked, PYTHONPATH="python", VMAF_WORKSPACE="/w").split() == ["/w/workdir", f"{root}/model"]


@pytest.mark.slow
@pytest.mark.parametrize("line", LINES)
def test_each_line_of_a_shell_passes_for_a_clean_suite(line: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text(FILES[".env"])
    monkeypatch.delenv("PYTHONPATH", raising=False)  # each has to bring the harness itself, but tox, which installs it
    said = sh(line, **({"PYTHONPATH": str(root / "python")} if "tox" in line else {}))
    assert (said.splitlines()[0] == "/data/vmaf-workspace") == (".env" in line)


@pytest.mark.slow
@pytest.mark.parametrize("name", PIPELINES)
def test_each_step_of_a_pipeline_passes(name: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    place = root / "vmaf-workspace" if name == ".gitlab-ci.yml" else tmp_path / "vmaf-workspace"
    for step in STEPS[name]:
        sh(step, VMAF_WORKSPACE=str(place))
    assert set(os.listdir(place / "workdir")) <= KEPT_NAMES


def test_a_container_needs_neither_a_home_nor_a_checkout_that_can_be_written(root: Path, tmp_path: Path) -> None:
    words = shlex.split(CONTAINERS[0])
    given = dict(after.split("=", 1) for word, after in itertools.pairwise(words) if word == "-e")
    assert given.pop("VMAF_WORKSPACE") in [w.partition(":")[2] for w in words if w.startswith("vmaf-workspace:")]
    code = f"""
root, place, *command = sys.argv[1:]
mount("--bind", root, root)
mount("-o", "remount,bind,ro", root)
os.chdir(root)
del os.environ["HOME"]
os.environ.update({given!r}, VMAF_WORKSPACE=place)
try:
    open("x", "w")
except OSError:
    sys.exit(subprocess.call(command))
"""
    done = in_a_mount_namespace(code, root, tmp_path / "ws", *words[words.index("YOUR_IMAGE") + 1 :])
    assert "1 passed" in done.out, done
    assert done.code == 0, done
