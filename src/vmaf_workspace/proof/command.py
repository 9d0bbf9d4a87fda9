"""``vmaf-ws run --prove``: the proof without Nox, by a command that is started here."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from vmaf_workspace.errors import DONE, FAILED, UsageError
from vmaf_workspace.live.session import code_of, found_program, not_started
from vmaf_workspace.locate import current_directory
from vmaf_workspace.proof.proving import PLACES, Asked, At, Leftovers, proving
from vmaf_workspace.wording import broken

INDENT = "    "


def prove_command(command: Sequence[str], *, base: str, in_place: bool, leftovers: str) -> int:
    """Run *command* at both places and print on stderr what it proved; its own exit code, or 1 for what it leaked.

    The override lies below *base* unless that is blank. Raises UsageError for a command that cannot be started.
    """
    if leftovers not in ("show", "fail"):
        raise UsageError(f"--leftovers: expected show or fail, got {leftovers!r}")
    program = os.path.abspath(found_program(command, os.environ))  # relative, it may be missing in the copy
    codes = []
    for at in PLACES:
        print(f"{at}:", file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="vmaf-ws-", ignore_cleanup_errors=True) as directory:
            asked = Asked(
                at=cast(At, at),
                command=command,
                environ=os.environ,
                here=current_directory(),
                copy=Path(os.path.realpath(directory)) / "checkout",
                base=Path(base).expanduser().absolute() if base else None,
                in_place=in_place,
                leftovers=cast(Leftovers, leftovers),
            )
            with proving(asked) as proof:
                environ = proof.environ(os.environ)
                try:
                    child = subprocess.Popen([*command], executable=program, env=environ, cwd=proof.directory)
                except OSError as error:
                    raise not_started(program, error) from error
                proof.exit_code = code_of(child)
        codes.append(proof.exit_code)
        if proof.exit_code != DONE:
            print(f"  the command's exit code: {proof.exit_code}", file=sys.stderr)
        for text in proof.notes:
            _say(text)
        for text in proof.failures:
            _say(f"failed: {text}")
        if proof.failures and codes[-1] == DONE:
            codes[-1] = FAILED
    return next((code for code in codes if code != DONE), DONE)


def _say(text: str) -> None:
    """A finding: its title, and below it what it lists; lines are broken between words."""
    title, *listed = text.split("\n")
    print(broken(f"  {title}", sys.stderr, INDENT), file=sys.stderr)
    for line in listed:
        print(broken(f"{INDENT}{line.strip()}", sys.stderr, 2 * INDENT), file=sys.stderr)
