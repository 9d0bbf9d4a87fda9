"""Scores assets: what is stored is read, the rest is measured at once, each exactly one time."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from vmaf_harness.engine.binary import check_extractors, find_engine
from vmaf_harness.engine.cluster import Cluster
from vmaf_harness.engine.ffmpeg import Processes
from vmaf_harness.engine.jobs import run_jobs, split_cores
from vmaf_harness.engine.shard import Shard
from vmaf_harness.engine.worker import Needs, Place
from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.command import MeasurementJob
from vmaf_harness.measure.extraction import Extraction
from vmaf_harness.measure.measurement import (
    Compared,
    Measurement,
    PartlyMeasuredError,
    can_share,
    measure,
    measure_together,
)
from vmaf_harness.measure.notes import DAMAGE, relevant_notes, summarize_notes
from vmaf_harness.measure.store import FileResultStore, Result, summarize
from vmaf_harness.memory import without_garbage_collector
from vmaf_harness.recipe.asset import DEFAULT_RESAMPLING_TYPE, NOTYUV, Asset, Video
from vmaf_workspace.errors import WorkspaceError
from vmaf_workspace.live.lock import Run
from vmaf_workspace.removal.limit import UNLIMITED, Limit, keep_within
from vmaf_workspace.setup import write_errors_explained


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """What the resampled members of a bootstrap model say of one asset, pooled over its frames."""

    mean: float
    sd: float
    low: float  # 2.5 %
    high: float  # 97.5 %


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one asset: a result, or the error that it ended with, or neither where the run stopped early.

    `frames`, each metric of each frame, are there where they were asked for (`RunOptions.frames`).
    """

    asset: Asset
    result: Result | None = None
    error: HarnessError | None = None
    cached: bool = False
    frames: Mapping[str, list[float]] | None = None
    spread: Spread | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a dataset is scored, whatever the numbers are."""

    cache: bool = False  # read and write the FileResultStore
    processes: int | None = None  # ffmpegs at once; None: one a core
    keep_going: bool = False
    keep_workfiles: bool = False  # decoded and filtered YUVs stay in the run's workdir
    frames: bool = False  # keep the metrics of each frame in the outcome, too
    refuse_damaged: bool = False  # a damaged distorted video is an error, not a note
    cluster: Cluster | None = None  # where it is measured, instead of here
    shard: Shard | None = None  # the part of the assets that is this run's
    limit: Limit = UNLIMITED  # of what is stored; kept when a run begins to store, and when it has


def score_assets(
    assets: Sequence[Asset],
    extraction: Extraction,
    run: Run,
    how: RunOptions,
    *,
    warn: Callable[[str], None],
    progress: Callable[[int, int, Outcome], None],
) -> list[Outcome]:
    """Score *assets*, or the part of them that is this run's, and say how each of those ended, in their order.

    *progress* gets (done, all, outcome) for each one measured; what is stored counts as done from the start. The
    workspace is written to only where something has to be measured. Raises EngineError where no engine is found and
    WorkspaceError where the workspace cannot be written; what was measured until then is stored.
    """
    if how.shard is not None:
        assets = how.shard.part(assets)
    engine = find_engine()
    has_others = how.shard is not None
    store = FileResultStore(run.root, extraction, engine, warn=warn, has_others=has_others) if how.cache else None
    outcomes, paths = _stored_outcomes(assets, store, how)
    to_do = [index for index, outcome in enumerate(outcomes) if outcome.result is None and outcome.error is None]
    if store is not None:
        store.save_hashes()
    if not to_do or (not how.keep_going and any(outcome.error for outcome in outcomes)):
        return outcomes
    check_extractors(engine, extraction.extractors)
    if store is not None:
        _keep_within(how.limit, run, paths, warn=warn)
    # The longest first, so that none is left alone at the end.
    to_do.sort(key=lambda index: -_input_bytes(assets[index]))
    at_once, threads = split_cores(len(to_do), how.processes)
    scratch = run.workdir()
    # A part has nothing for people in output/, unless something fails.
    failures = run.output if how.shard is not None and how.cluster is None else run.output()
    jobs = [
        MeasurementJob(
            engine=engine.path,
            asset=assets[index],
            extraction=extraction,
            directory=scratch / f"{index:05}-{assets[index].asset_id}",
            failures=failures,
            threads=threads if how.cluster is None else 1,
            keep_workfiles=how.keep_workfiles,
        )
        for index in to_do
    ]
    done = len(assets) - len(to_do)

    def finished(job: int, made: Measurement | HarnessError) -> None:
        nonlocal done
        index = to_do[job]
        asset = assets[index]
        if isinstance(made, HarnessError):
            outcomes[index] = Outcome(asset=asset, error=made)
        else:
            try:
                result = summarize(made, extraction, engine) if store is None else store.put(asset, made, paths[index])
                outcomes[index] = Outcome(asset=asset, result=result, frames=made.frames if how.frames else None)
            except HarnessError as error:
                outcomes[index] = Outcome(asset=asset, error=error)
        outcomes[index] = _refuse_damaged(outcomes[index], how)
        done += 1
        progress(done, len(assets), outcomes[index])

    try:
        with write_errors_explained(run.root):
            if how.cluster is None:
                _measure_here(jobs, finished, at_once=at_once, keep_going=how.keep_going)
            else:
                needs = Needs(engine=engine, check=partial(check_extractors, names=extraction.extractors))
                how.cluster.run(
                    jobs, _measure_there, finished, needs=needs, name=lambda job: job.what, keep_going=how.keep_going
                )
    finally:
        if store is not None:
            store.save_hashes()
    if store is not None:
        _keep_within(how.limit, run, paths, warn=warn)
    return outcomes


def are_all_stored(
    assets: Sequence[Asset], extraction: Extraction, root: Path, *, warn: Callable[[str], None], frames: bool = False
) -> bool:
    """Whether the store of the workspace *root* has the result of each asset, with *frames* where asked."""
    store = FileResultStore(root, extraction, find_engine(), warn=warn, has_others=True)
    return all(outcome.cached for outcome in _stored_outcomes(assets, store, RunOptions(cache=True, frames=frames))[0])


SHARED_AT_MOST = 4  # encodes of one reference in one ffmpeg, of which each takes memory: 1080p 130 MB, 2160p 480 MB
_SHARED_LOAD = 1.5  # comparisons that begin at once, for each processor: one waits now and then for the reference


def _measure_here(
    jobs: Sequence[MeasurementJob],
    finished: Callable[[int, Measurement | HarnessError], None],
    *,
    at_once: int,
    keep_going: bool,
) -> None:
    """Measure by processes of this machine; encodes of one reference together, as long as each processor has some.

    12 clips of 1080p with 3 references on 2 cores took 28 s of processor time instead of 32.
    """
    most = min(SHARED_AT_MOST, len(jobs) // at_once)
    groups = _share_references(jobs, most)
    at_once = min(at_once, math.ceil(at_once * _SHARED_LOAD * len(groups) / len(jobs)))

    def group_finished(number: int, made: Sequence[Measurement] | HarnessError) -> None:
        if isinstance(made, PartlyMeasuredError):
            each_made: Sequence[Measurement | HarnessError | None] = made.made
        else:
            each_made = [made] * len(groups[number]) if isinstance(made, HarnessError) else made
        for index, one in zip(groups[number], each_made, strict=True):
            if one is not None:
                finished(index, one)

    def work(group: Sequence[int], processes: Processes) -> list[Measurement]:
        return measure_together([jobs[index] for index in group], processes, keep_going=keep_going)

    run_jobs(groups, work, group_finished, at_once=at_once, keep_going=keep_going)


def _share_references(jobs: Sequence[MeasurementJob], most: int) -> list[list[int]]:
    """The jobs by their index, up to *most* of one reference in a list, in the order of the first of each."""
    groups: list[list[int]] = []
    open_groups: dict[Video, list[int]] = {}
    for index, job in enumerate(jobs):
        group = open_groups.get(job.asset.reference) if can_share(job) else None
        if group is None or len(group) == most:
            group = []
            groups.append(group)
            if can_share(job):
                open_groups[job.asset.reference] = group
        group.append(index)
    return groups


def _measure_there(job: MeasurementJob, place: Place) -> Measurement:
    """Measure on a worker, in scratch of its own; work files that are kept stay in the run's, a directory a try."""
    own = (
        place.run.workdir()
        if not job.keep_workfiles
        else job.directory.with_name(f"{job.directory.name}-{place.run.id}")
    )
    return measure(replace(job, engine=place.engine, directory=own), place.processes)


def _keep_within(limit: Limit, run: Run, paths: Mapping[int, str], *, warn: Callable[[str], None]) -> None:
    """Keep what is stored within *limit*, and say what went; whatever fails there costs a run nothing."""
    try:
        said = keep_within(run.root, limit, run_id=run.id, began_s=run.since_s, used=set(paths.values()))
    except (WorkspaceError, OSError) as error:
        said = f"stored results could not be kept within {limit}: {error}"
    if said:
        warn(said)


def _refuse_damaged(outcome: Outcome, how: RunOptions) -> Outcome:
    """The outcome, whose error it is that its distorted video is damaged, where that is refused."""
    damage = [note.text for note in (outcome.result.notes if outcome.result else ()) if note.kind == DAMAGE]
    if not damage or not how.refuse_damaged:
        return outcome
    asset = outcome.asset
    error = HarnessError(f"asset {asset.asset_id}: {asset.distorted.path} is {damage[0]}; refused, as asked")
    return Outcome(asset=asset, error=error)


def note_lines(outcomes: Iterable[Outcome]) -> list[str]:
    """What a person should know of these scores, each thing once."""
    return summarize_notes((outcome.asset, outcome.result.notes) for outcome in outcomes if outcome.result is not None)


def pooled_score(result: Result, pool: str, what: str) -> float:
    """The score pooled so; HarnessError, naming *what* was scored, where such scores have none."""
    score = result.pools[pool]
    if math.isnan(score):
        raise HarnessError(f"{what}: its frames have no {pool.replace('_', ' ')}; pool by another method")
    return score


def check_pool(outcome: Outcome, pool: str) -> Outcome:
    """The outcome, whose error it is where its scores cannot be pooled so."""
    if outcome.result is None:
        return outcome
    try:
        pooled_score(outcome.result, pool, f"asset {outcome.asset.asset_id} ({outcome.asset.distorted.path})")
    except HarnessError as error:
        return replace(outcome, result=None, error=error)
    return outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class PairScore:
    """The score of one pair of videos, pooled in every way, and each metric of each frame."""

    result: Result
    frames: dict[str, list[float]]
    compared: Compared | None = None


def score_pair(
    reference: Path | Video,
    distorted: Path | Video,
    extraction: Extraction,
    run: Run,
    *,
    quality_size_px: tuple[int, int] | None = None,
    resampling_type: str = DEFAULT_RESAMPLING_TYPE,
    pairing: str | None = None,
    least_depth: int | None = None,
) -> PairScore:
    """Score one pair of videos at (width, height), by default the reference's; a path is of one that ffmpeg can open.

    *pairing* is ``index`` or ``time``, and *least_depth* in bits, as in `Asset`. Nothing is stored. Raises HarnessError
    where a file is missing or the two have not the same number of frames, and for whatever else `measure` does,
    EngineError where ffmpeg is missing or fails.
    """
    (found,) = score_pairs(
        reference,
        [distorted],
        extraction,
        run,
        quality_size_px=quality_size_px,
        resampling_type=resampling_type,
        pairing=pairing,
        least_depth=least_depth,
    )
    if isinstance(found, HarnessError):
        raise found
    return found


def score_pairs(
    reference: Path | Video,
    distorted: Sequence[Path | Video],
    extraction: Extraction,
    run: Run,
    *,
    quality_size_px: tuple[int, int] | None = None,
    resampling_type: str = DEFAULT_RESAMPLING_TYPE,
    pairing: str | None = None,
    least_depth: int | None = None,
    progress: Callable[[PairScore | HarnessError], None] = lambda _: None,
) -> list[PairScore | HarnessError]:
    """Score several videos against one reference, as `score_pair` does, in their order; the error of one that fails.

    Some are measured at once, and by one ffmpeg, as the assets of a dataset are. *progress* gets each as it is done.
    Raises EngineError where ffmpeg is missing.
    """
    width_px, height_px = quality_size_px or (None, None)
    videos = [each if isinstance(each, Video) else Video(path=each, yuv_fmt=NOTYUV) for each in (reference, *distorted)]
    engine = find_engine()
    check_extractors(engine, extraction.extractors)
    at_once, threads = split_cores(len(distorted), None)
    scratch = run.workdir()
    jobs = [
        MeasurementJob(
            engine=engine.path,
            asset=Asset(
                dataset="pair",
                content_id=0,
                asset_id=0,
                reference=videos[0],
                distorted=video,
                quality_width_px=width_px,
                quality_height_px=height_px,
                resampling_type=resampling_type,
                pairing=pairing,
                least_depth=least_depth,
                in_recipe=False,
            ),
            extraction=extraction,
            directory=scratch / (f"pair{index or ''}"),
            failures=run.output,
            threads=threads,
            keep_workfiles=run.keep_workfiles,
        )
        for index, video in enumerate(videos[1:])
    ]
    found: dict[int, PairScore | HarnessError] = {}

    def finished(index: int, made: Measurement | HarnessError) -> None:
        if isinstance(made, HarnessError):
            found[index] = made
        else:
            result = summarize(made, extraction, engine)
            notes = tuple(relevant_notes(jobs[index].asset, result.notes))
            found[index] = PairScore(result=replace(result, notes=notes), frames=made.frames, compared=made.compared)
        progress(found[index])

    with write_errors_explained(run.root):
        _measure_here(jobs, finished, at_once=at_once, keep_going=True)
    return [found[index] for index in range(len(jobs))]


@without_garbage_collector()
def _stored_outcomes(
    assets: Sequence[Asset], store: FileResultStore | None, how: RunOptions
) -> tuple[list[Outcome], dict[int, str]]:
    """What the store has, and where the result of each asset belongs."""
    if store is None:
        return [Outcome(asset=asset) for asset in assets], {}
    store.hash_contents(assets)
    outcomes, paths = [], {}
    for index, asset in enumerate(assets):
        try:
            paths[index] = store.path(asset)
            result = store.get(asset, paths[index])
            frames = store.frames(asset) if how.frames and result is not None else None
            found = result is not None and (frames is not None or not how.frames)
            outcome = Outcome(asset=asset, result=result if found else None, cached=found, frames=frames)
            outcomes.append(_refuse_damaged(outcome, how))
        except HarnessError as error:
            outcomes.append(Outcome(asset=asset, error=error))
    return outcomes, paths


def _input_bytes(asset: Asset) -> int:
    """Size of both files, which is how long they take, roughly; a missing one is reported when it is measured."""
    total = 0
    for video in (asset.reference, asset.distorted):
        with suppress(OSError):
            total += os.stat(video.path).st_size
    return total
