"""No test may touch a real workspace: each starts in an empty directory, without variables, with a home of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # begun in the background by a shell: then nobody hears a Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # by `nohup`
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory outside any checkout; HOME, the data directory and every variable are the test's."""
    for name in [name for name in os.environ if name.startswith(("VMAF_", "INVOKE_", "XDG_"))]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    here = tmp_path / "nowhere"
    here.mkdir()
    monkeypatch.chdir(here)
    return here


@pytest.fixture(scope="session", autouse=True)
def canary() -> Iterator[None]:
    """The workspace of this checkout is the same after the tests as before."""
    before = _everything(CHECKOUT / "compat")
    yield
    after = _everything(CHECKOUT / "compat")
    changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    assert not changed, f"changed while the tests ran, by one of them or by somebody beside them: {', '.join(changed)}"


def _everything(top: Path) -> dict[str, tuple[int, int, int]]:
    found = {}
    for directory, names, files in os.walk(top):
        for name in names + [name for name in files if not name.endswith(".pyc")]:
            if name != "__pycache__":
                about = os.lstat(os.path.join(directory, name))
                found[os.path.join(directory, name)] = (about.st_ino, about.st_size, about.st_mtime_ns)
        names[:] = [name for name in names if name != "__pycache__"]
    return found
