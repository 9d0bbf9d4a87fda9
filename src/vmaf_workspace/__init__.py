"""Where the VMAF harness keeps its work, what each part costs to lose, and safe operations on it."""

import sys

if sys.platform == "win32":  # no fcntl, no directory descriptors, other meanings of rename: nothing here would hold
    sys.exit("vmaf-workspace runs on Linux and macOS, not on Windows; use it in WSL or in a container")
