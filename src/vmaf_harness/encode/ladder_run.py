"""Makes the encodes of a ladder: what is stored is kept, the rest is encoded once, and each outcome is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from vmaf_harness.encode.encoders import check_encoders
from vmaf_harness.encode.ladder import Rung
from vmaf_harness.encode.plan import (
    Encode,
    Picture,
    check_reference,
    group_by_reference,
    plan_encode,
    probe_picture,
    processes_at_once,
)
from vmaf_harness.encode.store import EncodeResultStore
from vmaf_harness.encode.transcode import Encoded, EncodeError, EncodeJob, encode, remove_left_over
from vmaf_harness.engine.binary import Engine
from vmaf_harness.engine.cluster import Cluster
from vmaf_harness.engine.jobs import run_jobs
from vmaf_harness.engine.shard import Shard
from vmaf_harness.engine.worker import Needs, Place
from vmaf_harness.errors import HarnessError
from vmaf_harness.recipe.dataset import Reference, References
from vmaf_workspace.live.lock import Run
from vmaf_workspace.setup import write_errors_explained


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeOutcome:
    """What became of one encode: it is there, or an error, or neither where the run stopped early."""

    encode: Encode
    encoded: Encoded | None = None
    error: HarnessError | None = None
    cached: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderPlan:
    """The encodes of all references, each file once, and what stands in the way of others."""

    encodes: tuple[Encode, ...]
    problems: tuple[str, ...]  # references that cannot be encoded
    left_out: tuple[str, ...]  # what people should know: rungs taller than a reference, references there twice, fields


def plan_ladder(references: References, rungs: Sequence[Rung], engine: Engine, store: EncodeResultStore) -> LadderPlan:
    """Every rung of every reference, in the recipe's order; a reference is looked at once in its life."""
    store.hash_files(reference.video.path for reference in references.references)

    def look(reference: Reference) -> Picture | HarnessError:
        try:
            check_reference(reference)
            return store.picture(reference, lambda: probe_picture(reference.video, engine))
        except HarnessError as error:
            return error

    with ThreadPoolExecutor(4) as pool:
        pictures = list(pool.map(look, references.references))
    encodes: dict[Path, Encode] = {}
    problems, left_out = [], []
    twins: dict[int, int] = {}
    for reference, picture in zip(references.references, pictures, strict=True):
        if isinstance(picture, HarnessError):
            problems.append(f"content {reference.content_id}: {picture}")
            continue
        if picture.is_interlaced:
            left_out.append(f"content {reference.content_id} is interlaced; it is encoded as if it were progressive")
        sha256 = store.source_sha256(reference)
        too_tall = set()
        for rung in rungs:
            planned = plan_encode(store.root, references.name, reference, sha256, picture, rung, engine)
            if planned is None:
                too_tall.add(rung.height_px)
                continue
            same = encodes.setdefault(planned.path, planned).reference.content_id
            if same != reference.content_id:
                twins[reference.content_id] = same
        if too_tall:
            heights = ", ".join(f"{height}" for height in sorted(filter(None, too_tall)))
            left_out.append(f"content {reference.content_id} has {picture.height_px} rows: no rung of {heights}")
    left_out += [f"content {one} is the same video by the same name as content {other}" for one, other in twins.items()]
    return LadderPlan(encodes=tuple(encodes.values()), problems=tuple(problems), left_out=tuple(left_out))


def part_of(encodes: Sequence[Encode], shard: Shard) -> list[Encode]:
    """The encodes of every N-th reference, which one machine then decodes once; where those are fewer, single ones."""
    references = {encode.reference.content_id: None for encode in encodes}
    if len(references) < shard.of:
        return shard.part(encodes)
    mine = set(shard.part(list(references)))
    return [encode for encode in encodes if encode.reference.content_id in mine]


def encode_all(
    encodes: Sequence[Encode],
    engine: Engine,
    run: Run,
    store: EncodeResultStore,
    *,
    processes: int | None = None,
    keep_going: bool = False,
    cluster: Cluster | None = None,
    progress: Callable[[int, int, EncodeOutcome], None],
) -> list[EncodeOutcome]:
    """Make *encodes*, and say how each of them ended, in their order.

    *progress* gets (done, all, outcome) for each one encoded; what is stored counts as done from the start. The
    workspace is written to only where something has to be encoded. Raises WorkspaceError where it cannot be written;
    what was encoded until then is stored.
    """
    outcomes = [
        outcome if outcome.encoded is None else replace(outcome, encoded=store.adopt(outcome.encode, outcome.encoded))
        for outcome in stored_outcomes(encodes, store)
    ]
    to_do = [index for index, outcome in enumerate(outcomes) if outcome.encoded is None]
    if not to_do:
        return outcomes
    scratch, failures = run.workdir(), run.output()
    done = len(encodes) - len(to_do)
    groups: list[list[int]] = []

    def finished(job: int, ended: list[Encoded] | HarnessError) -> None:
        nonlocal done
        made, failed = dict(enumerate(ended)) if isinstance(ended, list) else {}, {}
        if isinstance(ended, EncodeError):
            made, failed = ended.made, ended.failed
        elif isinstance(ended, HarnessError):
            failed = dict.fromkeys(range(len(groups[job])), ended)
        for place, index in enumerate(groups[job]):
            if place in made or place in failed:
                outcomes[index] = EncodeOutcome(encode=encodes[index], encoded=made.get(place), error=failed.get(place))
                done += 1
                progress(done, len(encodes), outcomes[index])

    with write_errors_explained(run.root):
        unfinished = remove_left_over(run.root, {encode.path.parent for encode in encodes})
        # Encodes of one ffmpeg end together, so that a machine that is killed often would never have one of them:
        # what was killed is made one by one.
        alone = {e.reference.video.path for e in encodes if e.path.with_suffix("") in unfinished}
        planned = group_by_reference([encodes[index] for index in to_do], alone)
        groups += [[to_do[place] for place in group] for group in planned]
        # The largest first, so that none is left alone at the end.
        groups.sort(key=lambda group: -sum(encodes[i].picture.width_px * encodes[i].picture.height_px for i in group))
        jobs = [
            EncodeJob(
                engine=engine.path,
                encodes=tuple(encodes[index] for index in group),
                run_id=run.id,
                directory=scratch / f"{number:05}",
                failures=failures,
            )
            for number, group in enumerate(groups)
        ]
        try:
            if cluster is None:
                at_once = processes_at_once(groups, processes)
                run_jobs(jobs, partial(encode, whole=store.put), finished, at_once=at_once, keep_going=keep_going)
            else:
                store.save()  # a worker then knows the references' hashes
                encoders = {each.rung.encoder.name: each.rung.encoder.version for each in encodes}
                needs = Needs(engine=engine, check=partial(check_encoders, versions=encoders))
                there = partial(_encode_there, store.root)
                cluster.run(jobs, there, finished, needs=needs, name=lambda job: job.what, keep_going=keep_going)
        finally:
            store.save()
    return outcomes


def _encode_there(root: Path, job: EncodeJob, place: Place) -> list[Encoded]:
    """Encode on a worker, which stores each encode as soon as it is whole."""
    store = EncodeResultStore(root, warn=lambda _: None)
    try:
        own = replace(job, engine=place.engine, run_id=place.run.id, directory=place.run.workdir())
        return encode(own, place.processes, whole=store.put)
    finally:
        store.save()


def stored_outcomes(encodes: Sequence[Encode], store: EncodeResultStore) -> list[EncodeOutcome]:
    """What the store has of *encodes*, whole and unchanged."""
    outcomes = []
    for each in encodes:
        encoded = store.get(each)
        outcomes.append(EncodeOutcome(encode=each, encoded=encoded, cached=encoded is not None))
    return outcomes
