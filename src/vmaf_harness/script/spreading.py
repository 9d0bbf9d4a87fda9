"""Where the jobs of a command run: here, or on the cluster that its flags name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from vmaf_harness.engine.cluster import Cluster, Scheduler
from vmaf_harness.script.options import Spreading
from vmaf_harness.script.progress import warn
from vmaf_workspace.live.lock import Run


@contextmanager
def cluster_of(options: Spreading, run: Run) -> Iterator[Cluster | None]:
    """The cluster that the command line names, None where it names none; left when the block ends."""
    if not options.scheduler and not options.scheduler_file:
        yield None
        return
    scheduler = Scheduler(address=options.scheduler, file=options.scheduler_file, patience_s=options.worker_timeout)
    with Cluster(scheduler, run, warn=warn) as cluster:
        yield cluster
