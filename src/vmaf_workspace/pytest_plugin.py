"""For projects that test code which writes into a workspace: one a test, or one for a whole session.

The fixture `vmaf_workspace` gives every test a directory of its own, so tests may run in parallel (pytest-xdist).
``--vmaf-workspace-at`` chooses which way the code under test finds it: by `VMAF_WORKSPACE` (``override``), or as the
default place of a throw-away checkout that the test runs in (``default``). A harness whose `vmaf.config` is imported
already, or by the test, is moved for that test. ``--vmaf-workspace-for-all`` moves the whole session, before the
harness is imported; every xdist worker has its own. Nothing of the caller's own workspace is read or written.

Where neither is used, this costs a session the import of this file: what they need is imported by them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

VARIABLE = "VMAF_WORKSPACE"
# What a proof says instead of the options.
AT, BASE, PROOF = "VMAF_WORKSPACE_AT", "VMAF_WORKSPACE_BASE", "VMAF_WORKSPACE_PROOF"
PLACES = ("override", "default")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Three options, for sessions that prove a harness in more than one place."""
    group = parser.getgroup("vmaf-workspace")
    group.addoption(
        "--vmaf-workspace-at",
        choices=PLACES,
        default=None,
        help="where the fixture vmaf_workspace lies: named by VMAF_WORKSPACE (override, which is the default), or the "
        "default of a throw-away checkout",
    )
    group.addoption(
        "--vmaf-workspace-base",
        metavar="DIR",
        default=None,
        help="directory below which the workspaces are made (default: pytest's temporary directory)",
    )
    group.addoption(
        "--vmaf-workspace-for-all",
        action="store_true",
        default=False,
        help="run the whole session in a workspace of its own, vmaf.config included, removed afterwards",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Move the session, if that is asked for, before a conftest.py can import the harness."""
    options = early_config.known_args_namespace
    if not getattr(options, "vmaf_workspace_for_all", False):
        return
    if options.vmaf_workspace_at == "default":
        raise pytest.UsageError("--vmaf-workspace-for-all is an override, and --vmaf-workspace-at=default is none")
    from vmaf_workspace.proof import moved

    base = _base(options, early_config)
    early_config.add_cleanup(moved.session(base))


@pytest.fixture
def vmaf_workspace(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The path of a workspace that only this test uses and that is not there yet; removed after the test."""
    from vmaf_workspace.proof import moved

    base = _base(request.config.option, request.config)
    at = request.config.option.vmaf_workspace_at or _said(AT, request.config)
    with tempfile.TemporaryDirectory(prefix="ws-", dir=base or tmp_path, ignore_cleanup_errors=True) as place:
        moved.tell_given(Path(place), _said(PROOF, request.config), at=at or PLACES[0])
        if at == "default":
            checkout = Path(place) / "checkout"
            (checkout / "compat" / "python-vmaf").mkdir(parents=True)
            workspace = Path(os.path.realpath(checkout)) / "compat" / "python-vmaf" / "workspace"
            with moved.harness(workspace):
                monkeypatch.delenv(VARIABLE, raising=False)
                monkeypatch.chdir(checkout)
                yield workspace
        else:
            workspace = Path(place) / "workspace"
            with moved.harness(workspace):
                monkeypatch.setenv(VARIABLE, str(workspace))
                yield workspace


def pytest_configure(config: pytest.Config) -> None:
    """Keep what a proof says: a test may change its environment."""
    if PROOF in os.environ:
        config.stash[_SAID] = {name: os.environ.get(name, "") for name in (AT, BASE, PROOF)}
        from vmaf_workspace.proof import moved

        moved.tell(os.environ[PROOF], b"pytest", detail=os.fsencode(os.environ.get(VARIABLE, "")))


_SAID: pytest.StashKey[dict[str, str]] = pytest.StashKey()


def _said(name: str, config: pytest.Config) -> str:
    return config.stash.get(_SAID, {}).get(name, "")


def _base(options: object, config: pytest.Config) -> str | None:
    base: str | None = getattr(options, "vmaf_workspace_base", None) or _said(BASE, config) or os.environ.get(BASE)
    if not base:
        return None
    base = os.path.join(config.invocation_params.dir, base)
    Path(base).mkdir(parents=True, exist_ok=True)
    return base
