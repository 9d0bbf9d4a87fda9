"""``python -m vmaf_workspace``: the console script."""

import sys

from vmaf_workspace.cli import main

if __name__ == "__main__":
    sys.exit(main())
