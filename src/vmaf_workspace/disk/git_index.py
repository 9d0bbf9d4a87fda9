"""What git has of a file that is not there: a checkout's own placeholders, so that making them again is no change."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

PATIENCE_S = 10.0  # with git, on a slow disk
MOST_BYTES = 1 << 16  # of a placeholder


def tracked_content(root: Path, paths: Sequence[str]) -> dict[str, bytes]:
    """Those of *paths*, below *root*, that the index of the enclosing checkout has, with their content.

    Empty outside any checkout, without git, and where git does not trust the checkout's owner. A blob is read as it is:
    no filter, hook or monitor of the checkout is run for it, nor is one that a partial clone lacks fetched.
    """
    real = Path(os.path.realpath(root))
    top = next((place for place in (real, *real.parents) if os.path.lexists(place / ".git")), None)
    if top is None:
        return {}
    below = real.relative_to(top)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    git = ["git", "-C", str(top), "-c", "protocol.allow=never", "cat-file"]  # a remote may name programs to run
    found = {}
    for path in paths:
        try:
            done = subprocess.run(
                [*git, "blob", f":{below / path}"],
                env=environ,
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=PATIENCE_S,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            continue
        if len(done.stdout) <= MOST_BYTES:
            found[path] = done.stdout
    return found
