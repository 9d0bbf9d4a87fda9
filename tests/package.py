"""Tries what `python -m build` made as a stranger does: ``python tests/package.py DIRECTORY``, as `nox -s package`.

The wheel holds every file of `src/`. It, the sdist and the repository each install and work in a bare environment.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
STARTS = (("vmaf-ws", "--version"), ("vmaf-ws", "where"), ("vmaf-harness", "--version"), ("invoke", "--version"))
WORKS = ("setup", "status", "clean-scratch", "backup-models", "verify")


def main(directory: Path) -> None:
    """Raise AssertionError, or CalledProcessError, for an archive that does not do."""
    wheel, sdist = next(directory.glob("*.whl")), next(directory.glob("*.tar.gz"))
    sources = {path.removeprefix("src/") for path in tracked("src")}
    with zipfile.ZipFile(wheel) as file:
        missing = sources - set(file.namelist())
        others = {name for name in file.namelist() if ".dist-info/" not in name} - sources
    assert not missing, f"{wheel.name} lacks {sorted(missing)}"
    assert not others, f"{wheel.name} has {sorted(others)}, which git does not know"
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    missing = set(tracked("src", "tests", "docs", "README.md", "LICENSE", "noxfile.py", "pyproject.toml")) - held
    assert not missing, f"{sdist.name} lacks {sorted(missing)}"
    installed_from = (str(wheel), str(sdist), f"git+file://{CHECKOUT}")  # the last has what is committed
    with ThreadPoolExecutor() as pool:  # they wait for processes
        for source in pool.map(try_in, installed_from):
            print(f"{source} installs and works")


def tracked(*below: str) -> list[str]:
    """Files that git knows."""
    command = ["git", "-C", str(CHECKOUT), "ls-files", "--", *below]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def try_in(source: str) -> str:
    """Install from *source* into an environment of its own, use it there, and return *source*."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        venv.create(place / "venv", with_pip=True, symlinks=True)  # a copy may be busy: others fork meanwhile
        programs = place / "venv" / "bin"

        def run(program: str, *words: str) -> None:
            environ = {"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(place)}
            subprocess.run([programs / program, *words], cwd=place, env=environ, check=True)

        run("python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", source)
        run("python", "-m", "pip", "check")
        for words in STARTS:
            run(*words)
        for name in WORKS:
            run("vmaf-ws", name, "--workspace", str(place / "ws"), *at(name, place))
    return source


def at(name: str, place: Path) -> list[str]:
    """Where backups go, for a command that has to know."""
    return ["--at", str(place / "backups")] if name in ("backup-models", "verify") else []


if __name__ == "__main__":
    main(Path(sys.argv[1]))
