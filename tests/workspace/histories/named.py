"""Histories that broke a promise once, in the fewest steps that were found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from histories.step import History, Step

EACH = -1
MOST = 100  # writes of the commands that are killed here, at most


def _history(beginning: str, *lines: str) -> History:
    """Each line: what happens, where, its words; `@` is a kill, at each write in turn."""
    steps = []
    for line in lines:
        does, at, *words = line.split()
        killed = words[-1:] == ["@"]
        steps.append(Step(does=does, at=at, words=tuple(words[:-1] if killed else words), kill=EACH if killed else 0))
    return History(beginning, tuple(steps))


def each(history: History) -> Iterator[History]:
    """The histories that one with `@` stands for."""
    for kill in range(1, MOST + 1) if any(step.kill for step in history.steps) else (0,):
        steps = tuple(replace(step, kill=kill if step.kill else 0) for step in history.steps)
        yield replace(history, steps=steps)


NAMED = {
    "a copy's forget leaves the other copy's only snapshot": _history(
        "template",
        "train a model/m1 11",
        "train b model/m1 12",
        "backup-models a",
        "backup-models b",
        "forget b --keep-last=1 --yes",
    ),
    "a copy is not given the other copy's models": _history(
        "template",
        "train a model/m1 11",
        "backup-models a",
        "train b model/m1 12",
        "remove b model/m1",
        "restore-models b",
    ),
    "containers of one image keep their own snapshots": _history(
        "image",
        "train a model/m1 11",
        "train b model/m1 12",
        "backup-models a",
        "backup-models b",
        "forget a --keep-last=1 --yes",
    ),
    "containers of one image are not given each other's models": _history(
        "image", "train a model/m1 11", "backup-models a", "restore-models b"
    ),
    "a wipe that was killed is finished by the same command": _history(
        "apart",
        "train a model/m0 11",
        "train a model/m1 12",
        "backup-models a",
        "wipe-models a --yes @",
        "wipe-models a --yes",
        "restore-models a",
    ),
    "a half state, backed up and wiped, does not push the whole one out": _history(
        "apart",
        "train a model/m0 11",
        "train a model/m1 12",
        "backup-models a",
        "wipe-models a --yes @",
        "backup-models a",
        "wipe-models a --yes",
        "verify a",
        "forget a --keep-last=1 --yes",
        "prune a",
    ),
    "what a wipe leaned on outlives the other workspace's retention": _history(
        "apart",
        "train a model/m1 1",
        "train b model/m1 1",
        "backup-models b",
        "wipe-models a --yes",
        "train b model/m1 12",
        "backup-models b",
        "forget b --keep-last=1 --yes",
        "prune b",
    ),
    "a model that only a going snapshot holds stays": _history(
        "apart",
        "train a model/m1 11",
        "backup-models a",
        "remove a model/m1",
        "train a model_param/tuned/p 12",
        "backup-models a",
        "forget a --keep-last=1 --yes",
    ),
    "an object that is a link to the model is no copy of it": _history(
        "apart", "train a model/m1 11", "backup-models a", "break-object a link 0", "verify a", "wipe-models a --yes"
    ),
    "a hard link to the model is no copy that a wipe may lean on": _history(
        "apart",
        "train a model/m1 11",
        "backup-models a",
        "break-object a hard-link 0",
        "wipe-models a --yes",
        "restore-models a",
    ),
    "a snapshot of a wrong clock is not the latest": _history(
        "apart",
        "train a model/m1 11",
        "clock a 518400000",
        "backup-models a",
        "clock a -518400000",
        "train a model/m1 12",
        "backup-models a",
        "remove a model/m1",
        "restore-models a",
    ),
    "what is kept within a time counts from the newest": _history(
        "apart",
        "train a model/m1 11",
        "backup-models a",
        "train a model/m1 12",
        "backup-models a",
        "clock a 3456000",
        "forget a --keep-within=30d --yes",
    ),
    "a wipe takes the rests of a restore that was killed": _history(
        "apart",
        "train a model/m0 11",
        "backup-models a",
        "wipe-models a --yes",
        "restore-models a @",
        "wipe-models a --yes",
    ),
    "a snapshot that has more than what goes is enough for a wipe": _history(
        "apart",
        "train a model/m0 11",
        "train a model/m1 12",
        "backup-models a",
        "wipe-models a --yes",
        "restore-models a --only=model/m1*",
        "wipe-models a --yes",
    ),
    "a backup stores anew what is a link in the location": _history(
        "apart", "train a model/m1 11", "backup-models a", "break-object a link 0", "backup-models a"
    ),
    "a copy put in another's place is not that one": _history(
        "apart", "train b model/m1 11", "backup-models b", "copy a b", "restore-models b"
    ),
    "what an older state alone holds stays after a restore over a newer one": _history(
        "apart",
        "train a model/m1 11",
        "backup-models a",
        "train a model/m1 12",
        "restore-models a --overwrite @",
        "restore-models a --overwrite",
        "forget a --keep-last=1 --yes",
        "prune a",
    ),
    "a workspace that moves to where another was is not that one": _history(
        "apart", "train a model/m1 11", "backup-models a", "migrate a c", "move b a", "restore-models a"
    ),
}
