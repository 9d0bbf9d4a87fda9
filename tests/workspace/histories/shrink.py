"""Runs a history, and takes away what does not matter to the promise that it broke."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from histories.promise import BrokenError, Ledger
from histories.step import BEGINNINGS, SLOTS, History
from histories.world import World


@dataclass(frozen=True, slots=True)
class Failure:
    """The shortest history found that breaks the promise."""

    rule: str
    text: str
    history: History


def failure(history: History, top: Path | None = None) -> Failure | None:
    """Run *history* in a new directory below *top*; what it broke, or None."""
    place = Path(tempfile.mkdtemp(prefix="history-", dir=top))
    try:
        world = World(place, history.beginning)
        ledger = Ledger(world)
        for n, step in enumerate(history.steps):
            try:
                ledger.step(step)
            except BrokenError as error:
                text = str(error).replace(f"{place}/", "")
                return Failure(error.rule, text, replace(history, steps=history.steps[: n + 1]))
        return None
    finally:
        shutil.rmtree(place)


def shrunk(found: Failure, top: Path | None = None) -> Failure:
    """The same broken promise by fewer and simpler steps; greedy, so not always the fewest."""
    while True:
        for simpler in _simpler(found.history):
            again = failure(simpler, top)
            if again is not None and again.rule == found.rule:
                found = again
                break
        else:
            return found


def _simpler(history: History) -> Iterator[History]:
    steps = history.steps
    for size in (4, 2, 1):
        for n in range(len(steps) - size, -1, -1):
            yield replace(history, steps=steps[:n] + steps[n + size :])
    if history.beginning != "apart":
        yield replace(history, beginning=next(iter(BEGINNINGS)))
    for n, step in enumerate(steps):
        others = [replace(step, kill=0, error="", beside="")] if step.kill or step.beside else []
        others += [replace(step, kill=kill) for kill in (step.kill // 2, step.kill - 1) if 0 < kill < step.kill]
        if step.is_command and step.does != "migrate":
            others += [
                replace(step, words=step.words[:k] + step.words[k + 1 :])
                for k, word in enumerate(step.words)
                if word != "--yes" and not word.startswith("--keep")
            ]
        if step.does == "train" and step.words[0] != "model/m1":
            others.append(replace(step, words=("model/m1", *step.words[1:])))
        if step.at == SLOTS[2]:
            others.append(replace(step, at="a"))
        for other in others:
            yield replace(history, steps=(*steps[:n], other, *steps[n + 1 :]))
