"""One step of a history, as data and as the line that a person would type; and the dice."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from vmaf_workspace.commands.workspace import COMMANDS

SLOTS = ("a", "b", "c")  # places where a workspace may be; `c` is empty at first
SUBDIRS = ("model", "model_param", "checkpoints_dir")
GROUPS = {  # what one training writes: files, by the model's name
    "model/m0": (".pkl", ".pkl.model"),
    "model/m1": (".json",),
    "model_param/tuned/p": (".pkl",),
    "checkpoints_dir/run/fold1": ("",),
}
BEGINNINGS = {
    "apart": "two workspaces, each set up where it is",
    "template": "two copies of one workspace, which is gone",
    "image": "one image in two containers: the same path, other hosts, own caches",
}
BACKUPS = "bk"
DROP = "drop_last_copies"  # forget's flag for giving up what only a going snapshot holds, where there is one
CAN_DROP = any(DROP in command.parameters for command in COMMANDS if command.name == "forget")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What happens; numbers in *words* choose among what is there then, so that a step means something in any order."""

    does: str  # a command of ours, or one of `BY_HAND`
    at: str = "a"
    words: tuple[str, ...] = ()
    kill: int = 0  # SIGKILL at this write, 0: let it end
    error: str = ""  # no SIGKILL, but this error, to the system call of that number
    beside: str = ""  # a command on the same workspace at the same time

    @property
    def is_command(self) -> bool:
        """Whether our software does it, and so has promises to keep."""
        return self.does not in BY_HAND

    def __str__(self) -> str:
        if self.is_command:
            killed = f"   # killed at write {self.kill}" if self.kill else ""
            killed = f"   # {self.error} at call {self.kill}" if self.error else killed
            killed = f"   # and {self.beside} at once" if self.beside else killed
            chosen = " ".join(self.words)
            return f"vmaf-ws {self.does} --workspace {self.at} --at {BACKUPS} {chosen}".rstrip() + killed
        words = self.words
        return {
            "train": lambda: f"echo {words[1]} > {self.at}/{words[0]}{{{','.join(GROUPS[words[0]])}}}",
            "copy": lambda: f"rm -rf {words[0]}; cp -a {self.at} {words[0]}",
            "move": lambda: f"mv {self.at} {words[0]}   # where that is free",
            "remove": lambda: f"rm {self.at}/{words[0]}*",
            "remove-workspace": lambda: f"rm -rf {self.at}",
            "clock": lambda: f"date --set '{float(words[0]) / 86400:+g} days'",
            "break-object": lambda: f"{words[0]} object {words[1]} of {BACKUPS}   # models of {self.at}, if linked",
            "break-manifest": lambda: f"{words[0]} manifest {words[1]} of {BACKUPS}",
        }[self.does]()


BY_HAND = ("train", "copy", "move", "remove", "remove-workspace", "clock", "break-object", "break-manifest")


@dataclass(frozen=True, slots=True)
class History:
    """How it begins, and what happens."""

    beginning: str
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return "\n".join([f"# {BEGINNINGS[self.beginning]}", *map(str, self.steps)])


def history(seed: int, *, length: int = 14) -> History:
    """The history of this seed."""
    dice = random.Random(seed)
    beginning = dice.choices(tuple(BEGINNINGS), (5, 2, 2))[0]
    often = dice.choice(((6, 2, 1), (2, 6, 1), (4, 4, 1)))  # which workspace the history is of
    steps = [_step(dice, "train", dice.choices(SLOTS, often)[0], n) for n in range(3)]
    while len(steps) < length:
        at = dice.choices(SLOTS, often)[0]
        after = steps[-1].does
        if steps[-1].kill and dice.random() < 0.5:  # as people do: the same again
            steps.append(replace(steps[-1], kill=0, error="", beside=""))
        elif after in FOLLOWED and dice.random() < 0.5:
            steps.append(_step(dice, FOLLOWED[after], steps[-1].at, len(steps)))
        else:
            steps.append(_step(dice, dice.choices(tuple(WEIGHTS), tuple(WEIGHTS.values()))[0], at, len(steps)))
    return History(beginning, tuple(steps))


WEIGHTS = {
    "train": 3.5,
    "backup-models": 3.5,
    "wipe-models": 2.5,
    "restore-models": 2.5,
    "forget": 2.5,
    "prune": 1.2,
    "verify": 1.0,
    "copy": 1.0,
    "move": 0.6,
    "migrate": 0.4,
    "setup": 0.3,
    "remove": 0.7,
    "remove-workspace": 0.3,
    "clock": 0.7,
    "break-object": 0.8,
    "break-manifest": 0.15,
}
FOLLOWED = {
    "train": "backup-models",
    "backup-models": "wipe-models",
    "wipe-models": "restore-models",
    "forget": "prune",
}
KILLED = 0.2  # of all commands
TOLD = 0.1  # that the disk is full, or bad
TWO = 0.1  # that another runs at once
BESIDE = ("backup-models", "verify", "prune", "clean-scratch")
ERRORS = ("ENOSPC", "EIO", "EACCES")


def _step(dice: random.Random, does: str, at: str, n: int) -> Step:
    other = dice.choice([slot for slot in SLOTS if slot != at])
    words: tuple[str, ...] = ()
    if does == "train":  # 1 and 2 are contents that both workspaces may have
        words = (dice.choice(tuple(GROUPS)), str(n + 10 if dice.random() < 0.7 else dice.choice((1, 2))))
    elif does == "backup-models":
        words = ("--pin",) if dice.random() < 0.1 else ()
    elif does == "wipe-models":
        words = ("--yes",)
        words += (f"--only={dice.choice(SUBDIRS)}",) if dice.random() < 0.2 else ()
        words += ("--without-snapshot",) if dice.random() < 0.1 else ()
    elif does == "restore-models":
        words = ("--overwrite",) if dice.random() < 0.4 else ()
        words += (f"--into=out{dice.choice(SLOTS)}",) if dice.random() < 0.15 else ()
        words += (f"--only={dice.choice(tuple(GROUPS))}*",) if dice.random() < 0.2 else ()
        words += (f"--snapshot={dice.randrange(4)}",) if dice.random() < 0.25 else ()
    elif does == "forget":
        keep = ("--keep-last=1",) * 4 + ("--keep-last=2", "--keep-within=30d", "--keep-within=600s", "--keep-daily=1")
        words = (dice.choice(keep), "--yes")
        words += (f"--{DROP.replace('_', '-')}",) if CAN_DROP and dice.random() < 0.2 else ()
    elif does in ("copy", "move", "migrate"):
        words = (other,)
    elif does == "remove":
        words = (dice.choice((*GROUPS, "")),)
    elif does == "clock":
        words = (str(dice.choice((7200, 40 * 86400, -40 * 86400, 6000 * 86400, -6000 * 86400))),)
    elif does == "break-object":
        words = (dice.choice(("remove", "flip", "truncate", "link", "hard-link")), str(dice.randrange(8)))
    elif does == "break-manifest":
        words = (dice.choice(("remove", "truncate")), str(dice.randrange(8)))
    is_killed = does not in BY_HAND and dice.random() < KILLED
    is_told = does not in BY_HAND and not is_killed and dice.random() < TOLD
    kill = dice.randint(1, 12) * dice.randint(1, 5) if is_killed or is_told else 0
    error = dice.choice(ERRORS) if is_told else ""
    is_alone = does in (*BY_HAND, "migrate") or kill or dice.random() >= TWO
    return Step(does=does, at=at, words=words, kill=kill, error=error, beside="" if is_alone else dice.choice(BESIDE))
