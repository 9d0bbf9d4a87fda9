"""Where the jobs of a command run: here, or on the cluster that its flags name."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from vmaf_harness.engine.cluster import Cluster, Scheduler
from vmaf_harness.measure.scoring import Outcome
from vmaf_harness.script.options import Spreading
from vmaf_harness.script.progress import warn, warn_of
from vmaf_workspace.live.lock import Run
from vmaf_workspace.wording import count_text


def said_part(options: Spreading, outcomes: Sequence[Outcome], what: str) -> bool:
    """Say what became of this run's part of a dataset, of which nothing is written yet; whether all went well."""
    warn_of(outcomes)
    made = sum(outcome.result is not None for outcome in outcomes)
    stored = sum(outcome.cached for outcome in outcomes)
    lacking = f", {len(outcomes) - made} not" if made < len(outcomes) else ""
    warn(
        f"part {options.shard}: {count_text(made, 'asset')} {what}, {stored} of them stored before{lacking}; the same "
        "command without --shard does what is left, and collects"
    )
    return made == len(outcomes)


def cluster_of(options: Spreading, run: Run) -> AbstractContextManager[Cluster | None]:
    """The cluster that the command line names, None where it names none; left when the block ends."""
    if not options.scheduler and not options.scheduler_file:
        return nullcontext()
    scheduler = Scheduler(address=options.scheduler, file=options.scheduler_file, patience_s=options.worker_timeout)
    return Cluster(scheduler, run, warn=warn)
