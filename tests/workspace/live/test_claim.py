"""A claim: one does the work, the others wait, and a holder that died holds nobody up."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from vmaf_workspace.live.claim import claim

HOLDS = "import sys, time\nfrom pathlib import Path\nfrom vmaf_workspace.live.claim import claim\n"
HOLDS += "with claim(Path(sys.argv[1]), 'test'):\n    print('held', flush=True)\n    sys.stdin.read()\n"


def holder(path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLDS, str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def claimed_here(path: Path) -> threading.Event:
    """Take the claim in a thread; what is set once it was had and is free again."""
    held = threading.Event()

    def take() -> None:
        with claim(path, "test"):
            pass
        held.set()

    threading.Thread(target=take, daemon=True).start()
    return held


def test_whoever_comes_second_waits_and_then_has_it(tmp_path: Path) -> None:
    path = tmp_path / "claims" / "one"
    process = holder(path)
    held = claimed_here(path)
    assert not held.wait(0.7)
    process.communicate("")
    assert held.wait(20)
    assert not path.exists()


def test_a_holder_that_was_killed_holds_nobody_up(tmp_path: Path) -> None:
    path = tmp_path / "claims" / "one"
    process = holder(path)
    process.kill()
    process.communicate()
    assert path.exists()
    assert claimed_here(path).wait(20)


def test_a_file_whose_maker_was_killed_before_it_locked_it_holds_nobody_up(tmp_path: Path) -> None:
    path = tmp_path / "claims" / "one"
    path.parent.mkdir()
    path.touch()
    os.utime(path, (1, 1))
    assert claimed_here(path).wait(20)


def test_where_no_claim_can_be_made_the_work_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "claims").touch()
    with claim(tmp_path / "claims" / "one", "test"):
        assert (tmp_path / "claims").read_bytes() == b""
