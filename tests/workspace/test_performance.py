"""What is promised of speed is one list of data; what was measured is judged by it, and written down by the program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from performance import record
from performance.record import BOUNDS, MET, NO_BOUND, NOT_MET, PEER_MISSING, Bound, Record, verdict


@pytest.mark.parametrize(
    ("bound", "ours_s", "peer_s", "peak_bytes", "n", "says"),
    [
        ({"ratio": 2.0}, 2.0, 1.0, None, None, MET),
        ({"ratio": 2.0}, 2.1, 1.0, None, None, NOT_MET),
        ({"ratio": 1.7, "at_least": True}, 2.0, 1.0, None, None, MET),
        ({"ratio": 1.7, "at_least": True}, 1.6, 1.0, None, None, NOT_MET),
        ({"ratio": 2.0}, 2.0, None, None, None, PEER_MISSING),
        ({"ratio": 2.0, "peak_bytes": 100}, 1.0, 1.0, 101, None, NOT_MET),
        ({"ratio": 2.0, "peak_bytes": 100}, 1.0, None, 101, None, NOT_MET),
        ({"ratio": 2.0, "from_n": 1000}, 9.0, 1.0, None, 999, NO_BOUND),
        ({"ratio": 2.0, "from_n": 1000}, 9.0, 1.0, None, 1000, NOT_MET),
    ],
)
def test_a_verdict_is_of_ratio_peak_and_size(
    bound: dict[str, float], ours_s: float, peer_s: float | None, peak_bytes: int | None, n: int | None, says: str
) -> None:
    made = Bound(what="w", peer="p", **bound)  # type: ignore[arg-type]
    assert verdict(made, ours_s, peer_s, peak_bytes, n) == says


def test_a_section_of_the_page_is_written_again_and_the_other_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "docs" / "performance.md"
    monkeypatch.setattr(record, "PERFORMANCE", page)
    one, other = Record(), Record()
    one.add("where", [1.0, 1.2], [1.0])
    other.add("results status", [1.0], [1.0], n=10_000)
    other.add("results status", [9.0], [1.0], n=100_000)
    one.write("bench", "nox -s bench")
    other.write("scale", "nox -s scale")
    before = page.read_text()
    one.write("bench", "nox -s bench")
    text = page.read_text()
    assert text.partition("<!-- scale -->")[2] == before.partition("<!-- scale -->")[2]
    assert [text.count(part) for part in ("## `nox -s bench`", "`invoke ws.where`", "## `nox -s scale`")] == [1, 1, 1]
    assert [row.growth for row in other.rows] == [None, pytest.approx(9.0)]
    assert json.loads(other.as_json())["measured"][1]["bound"]["from_n"] == 1_000_000


def test_each_bound_is_measured_by_one_of_the_two_programs() -> None:
    tests = Path(__file__).parents[1]
    programs = (tests / "bench.py").read_text() + (tests / "workspace" / "performance" / "scale.py").read_text()
    assert [key for key in BOUNDS if f'"{key}"' not in programs] == []


@pytest.mark.slow
def test_the_scale_of_a_thousand_is_measured_and_leaves_nothing(tmp_path: Path) -> None:
    place = tmp_path / "place"
    command = (sys.executable, "-m", "performance.scale", place, "500", "1000", "--json", "--only", "results")
    here = Path(__file__).parent
    done = subprocess.run([*command, "--only", "runs"], capture_output=True, text=True, check=True, cwd=here)
    rows = json.loads(done.stdout)["measured"]
    assert [(row["key"], row["n"]) for row in rows] == [
        *((key, n) for n in (500, 1000) for key in ("results status", "results plan", "results purge")),
        *(("runs clean", n) for n in (5, 10)),
    ]
    assert all(row["ours_s"] > 0 and row["peer_s"] > 0 and row["verdict"] == NO_BOUND for row in rows)
    assert os.listdir(place) == []
