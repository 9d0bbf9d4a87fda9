"""Lines of a run without a terminal: one a thing, but not hundreds of them."""

from __future__ import annotations

import pytest

from vmaf_harness.script.progress import Progress


@pytest.mark.parametrize(("total", "lines"), [(3, 3), (300, 0)])
def test_a_line_a_thing_is_for_few_things(total: int, lines: int, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(total, what="tried") as progress:
        for _ in range(total):
            progress.step("gamma 0.05")
    assert capsys.readouterr().err.count("gamma 0.05\n") == lines
