"""Scores one pair of raw videos with VMAF, and prints every frame as VMAF's own harness does; nothing is stored."""

from __future__ import annotations

import sys

from vmaf_harness.script.options import VmafPair
from vmaf_harness.script.pair import run_raw_pair
from vmaf_harness.script.stop import main_of, stoppable


@stoppable()
def run(options: VmafPair) -> int:
    """The exit code: 0 done, 1 failed, 2 usage, 130 after Ctrl-C."""
    return run_raw_pair(options, "VMAF")


main = main_of("run_vmaf", run, __doc__)

if __name__ == "__main__":
    sys.exit(main())
