"""Stand-ins of VMAF checkouts: upstream's shape and the fork's, in git, with tox.ini and tests of their own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

CONFIG = """
import os
PYTHON_ROOT = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.abspath(os.path.join(PYTHON_ROOT, "..", ".."))

class VmafConfig(object):
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
    def encode_path(cls, *parts):
        return cls.workspace_path("encode", *parts)

    @classmethod
    def encode_store_path(cls, *parts):
        return cls.workspace_path("result_store_dir", "encode_store", *parts)

    @classmethod
    def file_result_store_path(cls, *parts):
        return cls.workspace_path("result_store_dir", "file_result_store", *parts)

    @classmethod
    def model_path(cls, *parts):
        return cls.root_path("model", *parts)
"""
FORKS_CONFIG = (
    CONFIG.replace(
        "\nclass",
        '\nWORKSPACE = os.environ.get("VMAF_WORKSPACE", os.path.join(PYTHON_ROOT, "workspace"))\n\nclass',
    )
    .replace('cls.root_path("workspace", *parts)', "os.path.join(WORKSPACE, *parts)")
    .replace('cls.root_path("workspace", "workdir", *parts)', 'os.path.join(WORKSPACE, "workdir", *parts)')
)
RUN = """
import os, uuid
from vmaf.config import VmafConfig

def run(workdir=VmafConfig.workdir_path()):
    "As the harness's executors do: the path is computed at import."
    place = os.path.join(workdir, str(uuid.uuid4()))
    os.makedirs(place)
    with open(os.path.join(place, "frames.yuv"), "wb") as file:
        file.write(b"x" * 100)
    return place
"""
CLEAN = """
import shutil
from vmaf.run import run

def test_clean():
    shutil.rmtree(run())
"""
LEAVES = """
import os
from vmaf.run import run

def test_leaves():
    os.mkfifo(os.path.join(run(), "ref.fifo"))
"""
IGNORES = """
import os
from vmaf.config import ROOT, PYTHON_ROOT

def test_ignores_the_variable():
    for top in (ROOT, PYTHON_ROOT):
        if os.path.isdir(os.path.join(top, "workspace")):
            os.makedirs(os.path.join(top, "workspace", "output"), exist_ok=True)
            open(os.path.join(top, "workspace", "output", "cache.pkl"), "w").close()
"""
BESIDE = """
from vmaf.run import run
import shutil

def test_beside():
    shutil.rmtree(run())
    open("stats_file.log", "w").close()
"""
FORKS = """
import multiprocessing, shutil, subprocess, sys
from vmaf.run import run

def work(_):
    shutil.rmtree(run())

def test_forks():
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            pool.map(work, range(2))
    subprocess.check_call([sys.executable, "-c", "from vmaf.run import run; import shutil; shutil.rmtree(run())"])
"""
SETUP = """
from setuptools import setup
setup(name="vmaf", version="1", packages=["vmaf"], package_dir={"vmaf": "vmaf"})
"""
TOX = """
[tox]
envlist = py3

[testenv]
passenv = CI
          TEST_MARKER
usedevelop = True
deps = pytest
       pytest-xdist
commands = pytest {posargs:-q}

[pytest]
cache_dir = .tox/.cache
python_files = *test.py
"""
TESTS = {"clean": CLEAN, "leaves": LEAVES, "ignores": IGNORES, "beside": BESIDE, "forks": FORKS}


def checkout(root: Path, shape: str, *tests: str) -> Path:
    """A checkout of the *shape* of `upstream` or of `fork` with these of TESTS, committed."""
    package = root / "python" / "vmaf"
    package.mkdir(parents=True)
    (root / "python" / "test").mkdir()
    (package / "__init__.py").write_text("")
    (package / "config.py").write_text(CONFIG if shape == "upstream" else FORKS_CONFIG)
    (package / "run.py").write_text(RUN)
    for name in tests:
        (root / "python" / "test" / f"{name}_test.py").write_text(TESTS[name])
    (root / "python" / "setup.py").write_text(SETUP)
    (root / "python" / "tox.ini").write_text(TOX)
    workspace = (root if shape == "upstream" else package) / "workspace"
    for name in ("workdir", "output"):
        (workspace / name).mkdir(parents=True)
        (workspace / name / ".gitignore").write_text("*\n!.gitignore\n")
    (root / ".gitignore").write_text("*.egg*\n.tox/\n__pycache__/\nbuild/\n")
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "all")
    return root


def git(root: Path, *words: str) -> None:
    who = ("-c", "user.name=n", "-c", "user.email=e@example.org")
    environ = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    subprocess.run(["git", *who, *words], cwd=root, env=environ, check=True)
