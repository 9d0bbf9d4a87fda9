"""Each promise of `docs/how-it-keeps-things-safe.md` names the test that proves it."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "how-it-keeps-things-safe.md").read_text()


def test_each_promise_names_a_test_that_exists() -> None:
    exist = {name for path in TESTS.rglob("*.py") for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)}
    promises = [line for line in PAGE.splitlines() if line.startswith("| ") and line != "| promise | test |"]
    assert len(promises) > 40
    for line in promises:
        assert re.search(r"\| `(test_\w+)` \|$", line), line
    assert set(re.findall(r"`(test_\w+)`", PAGE)) <= exist
