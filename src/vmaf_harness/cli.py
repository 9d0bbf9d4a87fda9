"""The console script `vmaf-harness`: the tasks of `harness` without the prefix, and without Invoke."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from vmaf_harness.commands import COMMANDS
from vmaf_workspace.cli import console


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code (2 for a flag that there is not)."""
    return console("vmaf-harness", "harness", "Score, encode and train, in the workspace.", COMMANDS, argv)


if __name__ == "__main__":
    sys.exit(main())
