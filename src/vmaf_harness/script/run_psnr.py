"""Scores one pair of raw videos with PSNR, and prints every frame as VMAF's own harness does; nothing is stored."""

from __future__ import annotations

import sys

from vmaf_harness.script.options import RawPair
from vmaf_harness.script.pair import run_raw_pair
from vmaf_harness.script.stop import main_of, stoppable


@stoppable()
def run(options: RawPair) -> int:
    """The exit code: 0 done, 1 failed, 2 usage, 130 after Ctrl-C."""
    return run_raw_pair(options, "PSNR")


main = main_of("run_psnr", run, __doc__)

if __name__ == "__main__":
    sys.exit(main())
