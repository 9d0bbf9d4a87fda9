"""Harnesses that put paths into a shell's commands as they are, as VMAF's own does, and the paths that break there.

A blank in such a path ends a word, so that a file with the beginning of its name is written; a `;` begins a command.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from vmaf_workspace.locate import Checkout

# What a shell, or a test of its, does not take as it is.
SPECIAL_CHARACTERS = re.compile(r"""[\s"'`$&;|<>()*?\[\]{}\\!#~]""")
COMMANDS = re.compile(rb"shell\s*=\s*True|os\.(?:system|popen)\(")
MOST_BYTES = 4 << 20  # of a source file


def special_characters(path: str | os.PathLike[str]) -> str:
    """Those of a path that mean something to a shell, each once, in order; blank where there are none."""
    return "".join(dict.fromkeys(SPECIAL_CHARACTERS.findall(os.fspath(path))))


def harness_packages(checkout: Checkout) -> list[Path]:
    """Where the harness of a checkout lies, in its layouts."""
    places = (checkout.root / "python" / "vmaf", checkout.root / "compat" / "python-vmaf")
    return [place for place in places if os.path.isdir(place)]


def runs_shell_commands(package: Path) -> bool:
    """Whether the harness in *package* gives commands to a shell; its files are read, and none is run."""
    for path in [*package.glob("*.py"), *package.glob("*/*.py")]:
        if path.is_file():  # a FIFO would be waited for
            with suppress(OSError), path.open("rb") as file:
                if COMMANDS.search(file.read(MOST_BYTES)):
                    return True
    return False
