"""What CI proves: ``nox`` runs lint, types, package, tests and workspace; the slow tests where ``CI`` is set.

``nox -s bench`` and ``nox -s scale`` measure; ``nox -s lowest`` tries the lowest versions that are allowed.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import nox

sys.path.insert(0, str(Path(__file__).parent / "src"))  # this checkout's own, which is not installed beside Nox
from vmaf_workspace.nox import workspace_session

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"  # `nox -s workspace` again takes seconds; `nox -R` leaves even the installs out
nox.options.sessions = ["lint", "types", "package", "tests", "workspace"]

PYPROJECT = nox.project.load_toml("pyproject.toml")
TEST = nox.project.dependency_groups(PYPROJECT, "test")
# Three for two cores, as tests wait now and then; none idles at the end.
HOW = ("-n", "3", "--dist", "worksteal", *(("-m", "") if os.environ.get("CI") else ()))
# uv compiles nothing. Where images say so, neither does Python: then each process of a test compiles all it imports.
COMPILED = {"PYTHONDONTWRITEBYTECODE": None}


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting with ruff."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "lint"))
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")


@nox.session(default=False)
def fix(session: nox.Session) -> None:
    """Format, and mend what ruff can."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "lint"))
    session.run("ruff", "check", "--fix", *session.posargs)
    session.run("ruff", "format")


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy, strictly."""
    session.install("-e.[harness]", *TEST, *nox.project.dependency_groups(PYPROJECT, "types"), "nox")
    session.run("mypy", *session.posargs)


@nox.session
def package(session: nox.Session) -> None:
    """Build the wheel and the sdist, and install each in a bare environment."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "package"))
    place = Path(session.create_tmp()).resolve()
    try:
        session.run("python", "-m", "build", "--outdir", str(place))
        session.run("twine", "check", "--strict", *map(str, sorted(place.iterdir())))
        session.run("python", "tests/package.py", str(place), env={"VMAF_WORKSPACE": None})
    finally:
        shutil.rmtree(place, ignore_errors=True)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests of `vmaf_workspace`; the harness's run in `workspace`."""
    session.install("-e.[harness]", *TEST)
    session.run("pytest", "tests", "--ignore=tests/harness", *HOW, *session.posargs, env=COMPILED)


def install_harness(session: nox.Session) -> None:
    """Install the harness from where the session runs, with all that its tests use."""
    session.install("-e.[harness,distributed]", *TEST)
    # Where there is no compiler for it, the tests that need it are skipped, and say so.
    session.install(*nox.project.dependency_groups(PYPROJECT, "libsvm"), success_codes=range(256))


# At the default place runs what `tests/harness/places.py` names.
workspace_session(command=("pytest", "tests/harness", *HOW), install=install_harness, env=COMPILED)


@nox.session(venv_backend="uv")
def lowest(session: nox.Session) -> None:
    """Run the fast tests with the lowest versions that `pyproject.toml` allows; needs uv."""
    session.install("--resolution", "lowest-direct", "-e.[harness,distributed]", *TEST)
    # What they depend on is new, and deprecates what they did then.
    warnings = ("-W", "ignore::DeprecationWarning", "-W", "ignore::PendingDeprecationWarning")
    session.run("pytest", "tests", "-n", "2", *warnings, *session.posargs, env=COMPILED)


@nox.session
def histories(session: nox.Session) -> None:
    """Run 10 000 random histories of two workspaces; `-- COUNT SEED` runs others, `-- 1 SEED` one again."""
    session.install("-e.", *TEST)
    session.chdir("tests/workspace")
    session.run("python", "-m", "histories", *(session.posargs or ("10000", "1")), env={"VMAF_WORKSPACE": None})


@nox.session
def bench(session: nox.Session) -> None:
    """Measure against the peers in one run; `-- --write` writes docs/performance.md, `-- --json` prints an object."""
    session.install("-e.[harness,demo]", *TEST)
    place = Path(session.create_tmp()).resolve()
    try:
        session.run("python", "tests/bench.py", str(place), *session.posargs, env={"VMAF_WORKSPACE": None})
    finally:
        shutil.rmtree(place, ignore_errors=True)


@nox.session(default=False)
def scale(session: nox.Session) -> None:
    """Measure how the cost grows, to 1 000 000 results (hours, 9 GB); `-- 10000 --only results` a part of it."""
    session.install("-e.[harness]", *TEST)
    place = Path(session.create_tmp()).resolve()
    session.chdir("tests/workspace")
    try:
        session.run("python", "-m", "performance.scale", str(place), *session.posargs, env={"VMAF_WORKSPACE": None})
    finally:
        shutil.rmtree(place, ignore_errors=True)
    if not session.posargs:
        session.notify("histories", posargs=[])
