"""What the software promises of a history, checked after every step against what is on disk.

A *line* is one workspace as its user knows it: it goes on when the directory is moved, and when it is removed and made
again where it was; a copy begins a line of its own. A *fact* is a file of a line with its content.

1. Nothing is lost: a fact that was in a workspace stays in it, in its rests, or in a snapshot that is listed, whatever
   a command does, until it is given up in words.
2. What is backed up stays so: a fact in a listed snapshot stays in one. `forget` may let an older state of a model go
   where a snapshot of the same line holds a newer one; not what a wipe leaned on.
3. Nothing strange comes: a restore that names no snapshot brings what this line once had.
4. What a command says with 0 is so, and what it can do it does.
What people do with their own hands (write over a model, remove, break an object) gives up what is nowhere afterwards.
"""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Iterable
from dataclasses import dataclass

from histories.evidence import Fact, Models, Shot, models, objects, pins, shots
from histories.step import DROP, SLOTS, SUBDIRS, Step
from histories.world import Done, World

AHEAD_S = 3600.0  # a snapshot dated further ahead is of a wrong clock
KEEP_S = {"30d": 30 * 86400.0, "600s": 600.0}


class BrokenError(Exception):
    """A promise was broken."""

    def __init__(self, rule: str, text: str) -> None:
        self.rule = rule
        super().__init__(f"{rule}: {text}")


@dataclass(slots=True)
class _Seen:
    """All that there is at one moment."""

    models: dict[int, Models]  # by line
    shots: dict[str, Shot]
    pins: set[str]

    def in_snapshots(self) -> set[Fact]:
        return {fact for shot in self.shots.values() for fact in shot.whole}

    @property
    def is_unhurt(self) -> bool:
        return all(shot.is_whole for shot in self.shots.values())


class Ledger:
    """Who has what, and what each line ever had."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lines = 0
        self._at: dict[str, int] = {}  # line of the workspace in each slot
        self._before_at: dict[str, int] = {}  # of the one that was removed there by hand
        self._parents: dict[int, int] = {}
        self._odd: set[int] = set()  # lines that were copied or moved: to refuse is no fault there
        self._ever: dict[int, set[Fact]] = {}
        self._owner: dict[str, int] = {}  # line of each snapshot
        self._facts: set[tuple[int, Fact]] = set()  # not given up
        self._leaned: set[tuple[int, Fact]] = set()  # wiped, and nowhere but in snapshots since
        self._pinned: set[str] = set()  # ids that a person pinned
        self._rotten: set[str] = set()  # objects with other content, perhaps of the same size: only a verify sees that
        self._shared = False  # an object is a hard link to something: as good as whole, or as good as hurt
        for slot in "ab":
            self._begin(slot)
        if world.beginning != "apart":
            self._odd |= set(self._at.values())
        self._now = self._look()

    def step(self, step: Step) -> None:
        """Do one step; BrokenError where it broke a promise."""
        before = self._now
        lines_before = dict(self._at)
        existed = {slot: self._world.exists(slot) for slot in SLOTS}
        done = self._world.do(step)
        self._follow(step, existed)
        after = self._now = self._look()
        line = self._at.get(step.at, lines_before.get(step.at))
        if done is None:
            self._give_up(after)
        elif line is None:
            if done.crash:
                raise BrokenError("crash", done.crash)
            if step.does == "forget":  # of a location, which needs no workspace
                self._check_nothing_is_lost(step, -1, before, after)
        else:
            for shot_id in after.shots.keys() - before.shots.keys():
                self._owner[shot_id] = line
                self._pinned |= {shot_id} if "--pin" in step.words else set()
            self._check(step, line, done, before, after)
        self._facts |= {(of, fact) for of, found in after.models.items() for fact in found.files}
        self._leaned -= {(of, fact) for of, found in after.models.items() for fact in found.files}
        for of, found in after.models.items():
            self._ever[of] |= found.files

    def _look(self) -> _Seen:
        world = self._world
        found = {line: models(world.where(slot)) for slot, line in self._at.items()}
        return _Seen(found, shots(world.location), pins(world.location))

    def _begin(self, slot: str, parent: int | None = None) -> None:
        """A new line; a copy of *parent* has had what that had."""
        line = self._at[slot] = self._lines
        self._lines += 1
        self._ever[line] = set() if parent is None else set(self._ever[parent])
        if parent is not None:
            self._parents[line] = parent
            self._odd |= {line, parent}

    def _follow(self, step: Step, existed: dict[str, bool]) -> None:
        """Which line is where now."""
        exists = {slot: self._world.exists(slot) for slot in SLOTS}
        to = step.words[0] if step.does in ("copy", "move", "migrate") else ""
        if step.does == "copy" and existed[step.at]:
            was = self._at.pop(to, None)
            self._begin(to, self._at[step.at])
            self._come(to, was)
        elif to and existed[step.at] and not exists[step.at] and exists[to]:
            line = self._at[to] = self._at.pop(step.at)
            if step.does == "move":
                self._odd.add(line)
            self._come(to, None)
            self._leave(step.at, line)
        for slot in SLOTS:
            if slot in self._at and not exists[slot]:
                self._before_at[slot] = self._at.pop(slot)
                self._odd.add(self._before_at[slot])
            elif exists[slot] and slot not in self._at:
                if slot in self._before_at:
                    self._at[slot] = self._before_at.pop(slot)
                else:
                    self._begin(slot)

    def _come(self, slot: str, was: int | None) -> None:
        """A line that comes to where its kin was goes on with what that had: a copy that is brought back."""
        line, was = self._at[slot], self._before_at.pop(slot, was)
        if was is not None and (set(self._above(line)) & set(self._above(was))):
            self._ever[line] |= self._ever[was]

    def _leave(self, slot: str, line: int) -> None:
        """Whoever begins anew in a place that was moved from cannot be told from one who had removed what was there."""
        heir = self._before_at[slot] = self._lines
        self._lines += 1
        self._ever[heir] = set(self._ever[line])
        self._odd.add(heir)

    def _above(self, line: int) -> list[int]:
        """The line and those that it was copied from, the nearest first."""
        found = [line]
        while found[-1] in self._parents:
            found.append(self._parents[found[-1]])
        return found

    def _is_alive(self, line: int) -> bool:
        return line in self._at.values()

    def _own(self, line: int, seen: _Seen) -> dict[str, Shot]:
        """Snapshots that count as those of *line*: its own, and those of dead lines that it is a copy of."""
        of = {line} | {above for above in self._above(line) if not self._is_alive(above)}
        return {shot_id: shot for shot_id, shot in seen.shots.items() if self._owner.get(shot_id) in of}

    def _newer(self, line: int, seen: _Seen) -> set[str]:
        """Models of which a snapshot of the line, or of its kin when it is dead, still holds a state."""
        of = {line}
        if not self._is_alive(line):
            of |= {other for other in range(self._lines) if line in self._above(other)} | set(self._above(line))
        held = [shot for shot_id, shot in seen.shots.items() if self._owner.get(shot_id) in of]
        return {_group(path) for shot in held for path, _ in shot.facts}  # what is hurt there only a verify sees

    def _is_somewhere(self, line: int, fact: Fact, seen: _Seen, stored: set[Fact]) -> bool:
        here = seen.models.get(line, Models())
        return fact in here.files or fact[1] in here.aside or fact in stored

    def _give_up(self, now: _Seen) -> None:
        stored = now.in_snapshots()
        self._facts = {(line, fact) for line, fact in self._facts if self._is_somewhere(line, fact, now, stored)}
        self._leaned &= self._facts
        whole = {sha256 for _, sha256 in stored}
        there = {place.name: place.lstat() for place in objects(self._world.location)}
        shared = {name for name, about in there.items() if about.st_nlink > 1}
        other = {name for name, about in there.items() if stat.S_ISREG(about.st_mode) and name not in whole}
        self._shared, self._rotten = bool(shared), shared | other

    def _check(self, step: Step, line: int, done: Done, before: _Seen, after: _Seen) -> None:
        self._check_nothing_is_lost(step, line, before, after)
        self._check_code(step, done, before)
        if step.does == "restore-models":
            self._check_restore(step, line, done, before, after)
        if step.does == "wipe-models":
            self._check_wipe(step, line, done, before, after)
        if step.does == "backup-models":
            self._check_backup(line, done, before, after)
        if step.does == "forget" and not step.beside and f"--{DROP.replace('_', '-')}" not in step.words:
            self._check_retention(step, before, after)
        is_judged = done.code in (0, 1) and after.shots and not self._shared
        if step.does == "verify" and is_judged and (done.code == 0) != after.is_unhurt:
            hurt = [shot.id for shot in after.shots.values() if not shot.is_whole]
            raise BrokenError("verify is right", f"exit {done.code}, and not whole are: {_shown(hurt)}")
        if step.does == "prune" and done.code == 0:
            named = {sha256 for shot in after.shots.values() for _, sha256 in shot.facts}
            more = [place.name for place in objects(self._world.location) if place.name not in named]
            if more:
                raise BrokenError("prune frees all", f"exit 0, and no snapshot names {_shown(more)}")

    def _check_code(self, step: Step, done: Done, before: _Seen) -> None:
        if done.crash:
            raise BrokenError("crash", done.crash)
        if done.code is None:
            return
        is_unhurt = before.is_unhurt and not self._rotten
        may_fit = any(word.startswith("--only=") for word in step.words)  # none of the models: exit 2
        if (
            (done.code == 2 and not may_fit)
            or done.code not in (0, 1, 2, 3)
            or (done.code == 1 and is_unhurt and before.shots)
        ):
            raise BrokenError("exit code", f"exit {done.code}, and nothing is hurt or in use\n{done.err}")

    def _check_nothing_is_lost(self, step: Step, line: int, before: _Seen, after: _Seen) -> None:
        stored_before, stored = before.in_snapshots(), after.in_snapshots()
        drops = step.does == "forget" and f"--{DROP.replace('_', '-')}" in step.words
        goes = tuple(f"{subdir}/" for subdir in SUBDIRS if not any(w.startswith("--only=") for w in step.words))
        goes = goes or tuple(f"{word.removeprefix('--only=')}/" for word in step.words if word.startswith("--only="))
        if step.does == "wipe-models" and "--without-snapshot" not in step.words:
            gone = before.models[line].files - after.models.get(line, Models()).files
            self._leaned |= {(line, fact) for fact in gone}
        newer: dict[int, set[str]] = {}

        def may_go(of: int, fact: Fact) -> bool:
            if step.does != "forget":
                return False
            if of not in newer:
                newer[of] = self._newer(of, after)
            return drops or ((of, fact) not in self._leaned and _group(fact[0]) in newer[of])

        for pinned in before.shots.keys() & self._pinned:
            if pinned not in after.shots or not before.shots[pinned].whole <= after.shots[pinned].whole:
                raise BrokenError("a pin holds", f"{pinned} is no longer what it was")
        for shot_id, shot in before.shots.items():
            for fact in shot.whole - stored:
                of = self._owner[shot_id]
                if not may_go(of, fact):
                    leaned = ", which a wipe leaned on" if (of, fact) in self._leaned else ""
                    raise BrokenError("what is backed up stays so", f"{_fact(of, fact)} is in no snapshot now{leaned}")
        for of, fact in sorted(self._facts):
            if self._is_somewhere(of, fact, after, stored):
                continue
            is_given_up = (
                step.does == "wipe-models"
                and "--without-snapshot" in step.words
                and of == line
                and fact[0].startswith(goes)
                and fact not in stored_before
            )
            if not (is_given_up or may_go(of, fact)):
                raise BrokenError("nothing is lost", f"{_fact(of, fact)} is nowhere now")
            self._facts.discard((of, fact))
            self._leaned.discard((of, fact))

    def _check_restore(self, step: Step, line: int, done: Done, before: _Seen, after: _Seen) -> None:
        words = dict(word.partition("=")[::2] for word in step.words)
        if "--snapshot" in words:
            for shot in before.shots.values():  # whichever it was: it was named
                self._ever[line] |= shot.facts
        into = self._world.top / words["--into"] if "--into" in words else None
        there = models(into).files if into else after.models.get(line, Models()).files
        came = there if into else there - before.models.get(line, Models()).files  # each `into` is new
        strange = came - self._ever[line]
        if strange and "--snapshot" not in words:
            raise BrokenError("nothing strange comes", f"restored without being named: {_facts(line, strange)}")
        if into:
            shutil.rmtree(into, ignore_errors=True)
        if done.code != 0:
            own = [shot for shot in self._own(line, before).values() if not shot.is_safety]
            plain = line not in self._odd and not words.keys() - {"--overwrite"} and "--overwrite" in words
            if done.code is not None and plain and own and before.is_unhurt and not self._rotten:
                raise BrokenError("what can be done is done", f"exit {done.code}\n{done.err}")
            return
        chosen = _snapshot_of(done.out)
        if chosen is None or chosen not in before.shots:
            raise BrokenError("what is said is so", f"no snapshot that there was is named in {done.out!r}")
        missing = before.shots[chosen].facts - there
        if missing and "--only" not in words:
            raise BrokenError("what is said is so", f"exit 0, and not there: {_facts(line, missing)}")
        if "--snapshot" not in words and line not in self._odd:
            own = [shot for shot in self._own(line, before).values() if shot.is_readable and not shot.is_safety]
            dated = [shot for shot in own if shot.time_s <= self._world.now_s + AHEAD_S] or own
            newest = max(dated, key=lambda shot: shot.time_s, default=None)
            if newest is not None and newest.id != chosen:
                raise BrokenError("the latest is the latest", f"restored {chosen}, and there is {newest.id}")

    def _check_wipe(self, step: Step, line: int, done: Done, before: _Seen, after: _Seen) -> None:
        only = [word.removeprefix("--only=") for word in step.words if word.startswith("--only=")]
        subdirs = tuple(f"{subdir}/" for subdir in only or SUBDIRS)
        had = before.models.get(line, Models())
        going = {fact for fact in had.files if fact[0].startswith(subdirs)}
        left = after.models.get(line, Models())
        if done.code == 0:
            stays = {fact for fact in left.files if fact[0].startswith(subdirs)}
            if stays or (left.rests and not only):
                raise BrokenError("what is said is so", f"exit 0, and still there: {_facts(line, stays)}, {left.rests}")
        if "--without-snapshot" in step.words:
            return
        own = list(self._own(line, before).values())
        own += self._own(line, after).values() if step.beside else ()  # taken meanwhile
        pinned = [before.shots[shot_id] for shot_id in before.shots.keys() & (before.pins | after.pins)]
        gone = going - left.files
        if gone and not any(gone <= shot.whole for shot in (*own, *pinned)):
            raise BrokenError("a wipe leans on its own", f"no snapshot of that workspace held {_facts(line, gone)}")
        holds = [shot for shot in own if going <= shot.whole]
        rests_held = [shot for shot in holds if had.rests <= {sha256 for _, sha256 in shot.whole}]
        if done.code not in (0, None) and rests_held and line not in self._odd and not self._rotten:
            raise BrokenError("what can be done is done", f"exit {done.code}, and all is in a snapshot\n{done.err}")

    def _check_backup(self, line: int, done: Done, before: _Seen, after: _Seen) -> None:
        files = after.models.get(line, Models()).files
        if done.code == 0:
            new = after.shots.keys() - before.shots.keys()
            shot_id = _snapshot_of(done.out)
            if shot_id not in new:
                raise BrokenError("what is said is so", f"exit 0, and {shot_id} is not listed")
            shot = after.shots[shot_id]
            lacks = {fact for fact in files if fact not in shot.whole and fact[1] not in self._rotten}
            if lacks or shot.facts != files:
                raise BrokenError("what is said is so", f"exit 0, and not in it: {_facts(line, lacks)}")
        elif done.code is not None and files and before.is_unhurt and not self._rotten:
            raise BrokenError("what can be done is done", f"exit {done.code}\n{done.err}")

    def _check_retention(self, step: Step, before: _Seen, after: _Seen) -> None:
        """Retention words mean what restic's mean, of each workspace by itself."""
        keep, _, count = step.words[0].partition("=")
        for line in range(self._lines):
            if not self._is_alive(line) and any(line in self._above(other) for other in self._at.values()):
                continue  # one that goes on in a copy
            mine = [shot for shot_id, shot in before.shots.items() if self._owner.get(shot_id) == line]
            mine = [shot for shot in mine if shot.is_readable and not shot.is_safety]
            dated = [shot for shot in mine if shot.time_s <= self._world.now_s + AHEAD_S]
            newest = sorted(dated, key=lambda shot: shot.time_s, reverse=True)
            kept = newest[: int(count)] if keep == "--keep-last" else newest[:1]
            if keep == "--keep-within":
                kept = [shot for shot in newest if newest[0].time_s - shot.time_s <= KEEP_S[count]]
            for shot in kept:
                if shot.id not in after.shots:
                    raise BrokenError("retention", f"{step.words[0]} must keep {shot.id} of workspace {line}")


def _snapshot_of(out: str) -> str | None:
    """The id that a `--json` names."""
    try:
        found = json.loads(out)
    except ValueError:
        return None
    named = found.get("snapshot", found.get("id"))
    return str(named["id"] if isinstance(named, dict) else named)


def _group(path: str) -> str:
    above, _, name = path.rpartition("/")
    return f"{above}/{name.split('.')[0]}"


def _fact(line: int, fact: Fact) -> str:
    return f"{fact[0]} ({fact[1][:8]}…) of workspace {line}"


def _facts(line: int, facts: Iterable[Fact]) -> str:
    return _shown(_fact(line, fact) for fact in sorted(facts))


def _shown(names: Iterable[str]) -> str:
    return ", ".join(names) or "nothing"
