"""Where this package was installed from, and the command that adds what an extra brings; it is on no index."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

NAME = "vmaf-workspace"
_UNKNOWN = "git+ADDRESS"  # of a clone, as README has it


def install_command(extras: str) -> str:
    """What installs *extras*, such as `harness`, beside this package, by the pip of this environment.

    From where the package came: a checkout of which it is an editable install, a directory, a repository, a wheel.
    Else from an address that the person has to know.
    """
    about = _direct_url()
    place = _path_of(about)
    if place is not None and about.get("dir_info", {}).get("editable"):
        return f"{_pip_install()} -e {shlex.quote(f'{_from_here(place)}[{extras}]')}"
    return f"{_pip_install()} {shlex.quote(requirement(extras))}"


def requirement(extras: str = "", *, elsewhere: bool = False) -> str:
    """The package with *extras* as an installer of any kind takes it; *elsewhere*: on a machine without our files."""
    about = _direct_url()
    url = str(about.get("url", ""))
    if (place := _path_of(about)) is not None:
        url = place.as_uri() if place.exists() and not elsewhere else ""
    if url and (vcs := about.get("vcs_info")):
        revision = vcs.get("requested_revision")
        url = f"{vcs.get('vcs')}+{url}" + (f"@{revision}" if revision else "")
    return f"{NAME}{f'[{extras}]' if extras else ''} @ {url or _UNKNOWN}"


def _direct_url() -> Any:
    """What the installer wrote down (PEP 610); empty where there is none, as of files on `PYTHONPATH`."""
    from importlib.metadata import PackageNotFoundError, distribution

    with suppress(PackageNotFoundError, OSError, ValueError):
        found = json.loads(distribution(NAME).read_text("direct_url.json") or "{}")
        if isinstance(found, dict):
            return found
    return {}


def _path_of(about: Any) -> Path | None:
    """The directory or wheel of this machine that it came from; None of what came from elsewhere."""
    parts = urlsplit(str(about.get("url", "")))
    return Path(unquote(parts.path)) if parts.scheme == "file" and "vcs_info" not in about else None


def _from_here(place: Path) -> str:
    with suppress(OSError):  # no current directory, or no checkout any more
        if os.path.samefile(place, os.curdir):
            return os.curdir
    return str(place)


def _pip_install() -> str:
    """`pip` where that is this environment's; a venv that is not activated has one of its own, one of uv's has none."""
    from importlib.util import find_spec

    python = shlex.quote(sys.executable)
    if find_spec("pip") is None:
        return f"uv pip install --python {python}"
    found = shutil.which("pip")
    is_ours = found is not None and os.path.dirname(found) == os.path.dirname(sys.executable)
    return "pip install" if is_ours else f"{python} -m pip install"
