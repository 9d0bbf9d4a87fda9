"""Where a proof puts the overridden workspace, the home and the temporary directory, and what the tests are told."""

from __future__ import annotations

import os
import shutil
import site
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from vmaf_workspace.errors import WorkspaceError
from vmaf_workspace.live.session import redirected_environment
from vmaf_workspace.locate import VARIABLE

AWKWARD = "a workspace über Eck"
WITHOUT_BLANKS = "workspace-über-Eck"  # for a harness that puts paths into a shell's commands as they are
ELSEWHERE = ("/dev/shm", "/var/tmp", "/tmp")  # noqa: S108  # what is made there has a name that nobody can know
LEAST_FREE_BYTES = 1 << 30  # of another file system; a container's /dev/shm has 64 MiB
PROOF, AT, BASE = "VMAF_WORKSPACE_PROOF", "VMAF_WORKSPACE_AT", "VMAF_WORKSPACE_BASE"
PASSED_BY_TOX = "testenv.passenv+=VMAF_*,PYTHONPATH"  # spelled so: tox 4.20 loses the ini's own list with others
# What installers and version managers keep in a home, which another one would hide from tox and the like.
OF_THE_HOME = {
    "PIP_CONFIG_FILE": ".config/pip/pip.conf",
    "PIP_CACHE_DIR": ".cache/pip",
    "UV_CACHE_DIR": ".cache/uv",
    "UV_CONFIG_FILE": ".config/uv/uv.toml",
    "UV_PYTHON_INSTALL_DIR": ".local/share/uv/python",
    "VIRTUALENV_OVERRIDE_APP_DATA": ".local/share/virtualenv",
    "GIT_CONFIG_GLOBAL": ".gitconfig",
    "NETRC": ".netrc",
    "PYENV_ROOT": ".pyenv",
    "RUSTUP_HOME": ".rustup",
    "CARGO_HOME": ".cargo",
}
OF_XDG = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An overridden workspace, reached through a link, and the home and temporary directory that go with it."""

    workspace: Path
    real: Path
    home: Path
    temporary: Path
    other_file_system: bool


@contextmanager
def override_place(root: Path, *, base: Path | None, name: str) -> Iterator[Place]:
    """An override of the name *name* below *base*, or on another file system than *root*'s; removed afterwards."""
    with ExitStack() as stack:

        def directory(below: str | None) -> Path:
            made = Path(os.path.realpath(tempfile.mkdtemp(prefix="vmaf-ws-", dir=below)))
            stack.callback(shutil.rmtree, made, ignore_errors=True)
            return made

        try:
            if base is not None:
                base.mkdir(parents=True, exist_ok=True)
            held = directory(str(base) if base is not None else _elsewhere(root))
            link = directory(str(base) if base is not None else None) / name
        except OSError as error:
            raise WorkspaceError(
                f"cannot make a place for the override in {error.filename}: {error.strerror}"
            ) from None
        real, home, temporary = held / "w", held / "h", held / "t"  # short: a socket's path has 108 bytes at most
        for path in (real, home, temporary):
            path.mkdir()
        link.symlink_to(real)
        other = os.stat(real).st_dev != os.stat(root).st_dev
        yield Place(workspace=link, real=real, home=home, temporary=temporary, other_file_system=other)


def environment(environ: Mapping[str, str], place: Place) -> dict[str, str | None]:
    """What an override changes in *environ*; None takes a variable away."""
    changed: dict[str, str | None] = {}
    old = Path(os.path.expanduser("~"))
    changed |= {
        name: str(old / where) for name, where in OF_THE_HOME.items() if name not in environ and (old / where).exists()
    }
    with suppress(Exception):  # the user's own packages, where there are any
        if Path(site.getusersitepackages()).is_dir() and "PYTHONUSERBASE" not in environ:
            changed["PYTHONUSERBASE"] = site.getuserbase()
    changed |= dict.fromkeys(OF_XDG)
    changed |= {"HOME": str(place.home), "TMPDIR": str(place.temporary), BASE: str(place.workspace), AT: "override"}
    told = redirected_environment(place.workspace, environ)
    return changed | {name: told[name] for name in (VARIABLE, "PYTHONPATH")}


def passed_by_tox(environ: Mapping[str, str]) -> dict[str, str]:
    """What makes tox hand the variables on, whoever starts it; what the caller overrides stays."""
    given = environ.get("TOX_OVERRIDE")
    return {"TOX_OVERRIDE": f"{given};{PASSED_BY_TOX}" if given else PASSED_BY_TOX}


def _elsewhere(root: Path) -> str | None:
    """A directory on another file system than *root*'s, with room; None, the temporary one, where there is none."""
    for path in ELSEWHERE:
        with suppress(OSError):
            room = shutil.disk_usage(path).free >= LEAST_FREE_BYTES and os.access(path, os.W_OK | os.X_OK)
            if room and os.stat(path).st_dev != os.stat(root).st_dev:
                return path
    return None
