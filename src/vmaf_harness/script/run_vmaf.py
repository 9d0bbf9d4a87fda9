"""Scores one pair of raw videos with VMAF, and prints every frame as VMAF's own harness does; nothing is stored."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from vmaf_harness.script.options import VmafPair
from vmaf_harness.script.pair import run_raw_pair
from vmaf_harness.script.stop import stoppable
from vmaf_workspace.commands.command import Command
from vmaf_workspace.commands.parser import script


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script; its exit code: 0 done, 1 failed, 2 usage, 130 after Ctrl-C."""
    return script(Command("run_vmaf", run), argv, about=__doc__ or "")


@stoppable()
def run(options: VmafPair) -> int:
    """As `main`, with *options* that were read."""
    return run_raw_pair(options, "VMAF")


if __name__ == "__main__":
    sys.exit(main())
