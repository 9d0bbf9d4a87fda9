"""No model is ever lost: random histories of two workspaces, judged by an oracle that shares no code with them.

A failure prints its seed and the steps that matter; ``nox -s histories -- 1 SEED`` runs it again.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from histories.named import NAMED
from trees import python

HERE = Path(__file__).parent
BEHIND = """
import sys, tempfile
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from histories.promise import BrokenError, Ledger
from histories.step import Step
from histories.world import World

world = World(Path(sys.argv[2]), "apart")
ledger = Ledger(world)
ledger.step(Step(does="train", words=("model/m1", "11")))
if sys.argv[3] != "model":
    ledger.step(Step(does="backup-models"))
doomed = {"model": "a/model/m1.json", "object": "bk/objects/??/*", "manifest": "bk/snapshots/*"}[sys.argv[3]]
(path,) = world.top.glob(doomed)
path.unlink()
try:
    ledger.step(Step(does="diff"))
except BrokenError as error:
    print(error.rule)
"""


def check(*words: str) -> None:
    """Run histories in a process of its own, whose clock and hosts they change; fails with what they found."""
    done = subprocess.run([sys.executable, "-m", "histories", *words], cwd=HERE, capture_output=True, text=True)
    assert done.returncode == 0, f"\n{done.stdout}{done.stderr}"


TOLD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from histories.promise import Ledger
from histories.step import Step
from histories.world import World

world = World(Path(sys.argv[2]), "apart")
ledger = Ledger(world)
ledger.step(Step(does="train", words=("model/m1", "11")))
codes = []
for n in range(1, 200):
    done = world.do(Step(does="backup-models", error=sys.argv[3], kill=n))
    codes.append(done.code)
    if done.code == 0:
        break
print(len(codes) > 5, {*codes[:-1]}, codes[-1])
"""


@pytest.mark.slow
@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_an_error_that_is_injected_is_met_until_the_command_needs_fewer_calls(error: str, tmp_path: Path) -> None:
    done = python(TOLD, HERE, tmp_path, error)
    assert (done.code, done.out.strip()) == (0, "True {None} 0"), done


@pytest.mark.parametrize(
    ("what", "rule"),
    [
        ("model", "nothing is lost"),
        ("object", "what is backed up stays so"),
        ("manifest", "what is backed up stays so"),
    ],
)
def test_what_vanishes_in_a_command_is_noticed(what: str, rule: str, tmp_path: Path) -> None:
    done = python(BEHIND, HERE, tmp_path, what)
    assert (done.code, done.out.strip()) == (0, rule), done.err


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if any(step.kill for step in history.steps) else ())
        for name, history in NAMED.items()
    ],
)
def test_a_history_that_broke_a_promise_keeps_it(name: str) -> None:
    check(name)


def test_thirty_histories_lose_nothing() -> None:
    check("30", "1")


@pytest.mark.slow
def test_two_hundred_histories_lose_nothing() -> None:
    check("200", "1000")
