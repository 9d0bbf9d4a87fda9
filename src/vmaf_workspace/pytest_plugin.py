"""The fixture `vmaf_workspace`: an isolated workspace a test, for projects that test code which writes into one.

Every test gets a directory of its own, so tests may run in parallel (pytest-xdist). ``--vmaf-workspace-at`` chooses
which way the code under test finds it: by `VMAF_WORKSPACE` (``override``), or as the default place of a throw-away
checkout that the test runs in (``default``). Nothing of the caller's own workspace is read or written either way.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

VARIABLE = "VMAF_WORKSPACE"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Two options, for sessions that prove a harness in more than one place."""
    group = parser.getgroup("vmaf-workspace")
    group.addoption(
        "--vmaf-workspace-at",
        choices=("override", "default"),
        default="override",
        help="where the fixture vmaf_workspace lies: named by VMAF_WORKSPACE, or the default of a throw-away checkout",
    )
    group.addoption(
        "--vmaf-workspace-base",
        metavar="DIR",
        default=None,
        help="directory below which the fixture makes its workspaces (default: pytest's temporary directory)",
    )


@pytest.fixture
def vmaf_workspace(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The path of a workspace that only this test uses and that is not there yet; removed after the test."""
    base = request.config.getoption("--vmaf-workspace-base")
    if base is not None:
        base = os.path.join(request.config.invocation_params.dir, base)
        Path(base).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ws-", dir=base or tmp_path, ignore_cleanup_errors=True) as place:
        if request.config.getoption("--vmaf-workspace-at") == "default":
            checkout = Path(place) / "checkout"
            (checkout / "compat" / "python-vmaf").mkdir(parents=True)
            monkeypatch.delenv(VARIABLE, raising=False)
            monkeypatch.chdir(checkout)
            yield Path(os.path.realpath(checkout)) / "compat" / "python-vmaf" / "workspace"
        else:
            workspace = Path(place) / "workspace"
            monkeypatch.setenv(VARIABLE, str(workspace))
            yield workspace
