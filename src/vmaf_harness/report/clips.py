"""The clips of a dataset that are worth a look: their percentiles, their worst frames as pictures, the scene cuts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from math import isfinite
from pathlib import Path

from vmaf_harness.engine.binary import find_engine
from vmaf_harness.engine.ffmpeg import Processes
from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.command import MeasurementJob
from vmaf_harness.measure.pictures import FramePicture, take_pictures
from vmaf_harness.measure.scoring import Outcome
from vmaf_harness.model.quality_type import LOWER, find_type
from vmaf_harness.report.ladder import PERCENTS
from vmaf_harness.report.testing import ScoredDataset
from vmaf_harness.statistics import percentile

WORST = 3  # frames of a clip
UNKNOWN_REFERENCE = Path("REFERENCE")  # of an encode whose reference nobody knows any more


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstFrame:
    """A frame, counted from 0; `time_s` from the first one, None where nobody knows."""

    frame: int
    time_s: float | None
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One distorted video. `decode_fps` is as `decoding` measures it; `problem` is why there are no pictures."""

    asset_id: int
    content_id: int
    content: str
    file: str
    score: float
    mean: float
    percentiles: dict[str, float]
    min: float
    n_frames: int
    worst: tuple[WorstFrame, ...]
    cuts: tuple[int, ...] = ()
    decode_fps: float | None = None
    problem: str | None = None


def choose_clips(scored: ScoredDataset, count: int) -> list[Outcome]:
    """At most *count* outcomes with a score: the worst of each content first, then the second worst of each, …"""
    sign = 1 if _is_better_high(scored) else -1
    of_contents: dict[int, list[Outcome]] = {}
    for outcome, _ in sorted(scored.scored, key=lambda pair: sign * pair[1]):
        of_contents.setdefault(outcome.asset.content_id, []).append(outcome)
    turns = zip_longest(*(of_contents[content] for content in sorted(of_contents)))
    return [outcome for outcome in chain.from_iterable(turns) if outcome is not None][:count]


def worst_frames(scores: Sequence[float], count: int = WORST, *, is_better_high: bool = True) -> list[int]:
    """Numbers of the worst frames, the worst first, an eighth of the clip (at most 12 frames) apart from each other."""
    apart = max(1, min(12, len(scores) // 8))
    ordered = sorted(
        (index for index, score in enumerate(scores) if isfinite(score)),
        key=lambda index: (scores[index] if is_better_high else -scores[index], index),
    )
    found: list[int] = []
    for index in ordered:
        if len(found) < count and all(abs(index - other) >= apart for other in found):
            found.append(index)
    return found


def look_at(
    scored: ScoredDataset,
    outcomes: Sequence[Outcome],
    directory: Path,
    *,
    speeds: Mapping[int, float | None],
    told: Callable[[int], object],
) -> list[tuple[Clip, tuple[FramePicture, ...]]]:
    """Each clip with the pictures of its worst frames, the worst first; *directory* is scratch.

    *speeds* are those of decoding, by asset_id; *told* gets how many are done. A clip that cannot be decoded has a
    `problem` and no picture.
    """
    engine = find_engine().path
    made = []
    with Processes() as processes:
        for number, outcome in enumerate(outcomes):
            job = MeasurementJob(
                engine=engine,
                asset=outcome.asset,
                extraction=scored.extraction,
                directory=directory / f"{number:04}",
                failures=directory,
                threads=2,
            )
            made.append(_look(scored, outcome, job, processes, speeds.get(outcome.asset.asset_id)))
            told(number + 1)
    return made


def _look(
    scored: ScoredDataset, outcome: Outcome, job: MeasurementJob, processes: Processes, decode_fps: float | None
) -> tuple[Clip, tuple[FramePicture, ...]]:
    asset, result = outcome.asset, outcome.result
    assert result is not None
    scores = next(iter((outcome.frames or {}).values()))
    worst = worst_frames(scores, is_better_high=_is_better_high(scored))
    pictures: dict[int, FramePicture] = {}
    cuts: tuple[int, ...] = ()
    problem = None
    try:
        if asset.reference.path == UNKNOWN_REFERENCE:
            raise HarnessError("its reference is not known any more")
        taken = take_pictures(job, worst, processes)
        pictures, cuts = {picture.frame: picture for picture in taken.frames}, taken.cuts
    except HarnessError as error:
        problem = str(error).partition("\n")[0]
    times_s = {frame: picture.time_s for frame, picture in pictures.items() if isfinite(picture.time_s)}
    clip = Clip(
        asset_id=asset.asset_id,
        content_id=asset.content_id,
        content=asset.shown_content,
        file=asset.distorted.path.name,
        score=result.pools[scored.pool],
        mean=result.pools["mean"],
        percentiles={f"perc{percent}": percentile(scores, percent) for percent in PERCENTS},
        min=result.pools["min"],
        n_frames=len(scores),
        worst=tuple(WorstFrame(frame=each, time_s=times_s.get(each), score=scores[each]) for each in worst),
        cuts=cuts,
        decode_fps=decode_fps,
        problem=problem,
    )
    return clip, tuple(pictures[frame] for frame in worst if frame in pictures)


def _is_better_high(scored: ScoredDataset) -> bool:
    return find_type(scored.extraction.type).better != LOWER
