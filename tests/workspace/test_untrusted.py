"""Bytes that others may have written are a value or an error of ours, soon, and in little memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from untrusted.readers import READERS

HERE = Path(__file__).parent


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) for name in READERS])
def test_two_hundred_spoiled_contents_are_a_value_or_an_error_of_ours(name: str) -> None:
    command = [sys.executable, "-m", "untrusted", name, "200"]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
