"""Times and sizes have a unit, and none that means something else in the tool that people come from."""

from __future__ import annotations

from pathlib import Path

import pytest
from trees import workspace, ws

from vmaf_workspace.commands.flags import seconds, size_bytes
from vmaf_workspace.errors import UsageError

DAY_S = 86400.0


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("90s", 90.0),
        ("15min", 900.0),
        ("1.5h", 5400.0),
        ("2d", 2 * DAY_S),
        ("1W", 7 * DAY_S),
        (" 6 mo ", 186 * DAY_S),
        ("1y", 366 * DAY_S),
        ("1y6mo3d", (366 + 186 + 3) * DAY_S),
        ("1d 12h", 1.5 * DAY_S),
        ("0s", 0.0),
    ],
)
def test_times(text: str, value: float) -> None:
    assert seconds(text, "--flag") == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        *((text, "needs a unit: s, min, h, d, w, mo") for text in ("30", "0", "1.5", "1d12")),
        *((text, f"write {text[:-1]}min or {text[:-1]}mo") for text in ("6m", "6M", "12m")),
        ("1d6m", "write 6min or 6mo"),
        ("6ms", "no unit"),
        ("1e9s", "no unit"),
        ("6months", "no unit"),
        *((text, "expected a time") for text in ("", "x", "h", "-1d", "1..5h", "d1", "1d-2h", "\u0663d")),
    ],
)
def test_a_time_that_may_mean_something_else_is_refused_with_what_to_write(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=r"^--flag: ") as caught:
        seconds(text, "--flag")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"), [("500B", 500), ("1K", 1024), ("1.5GiB", 3 << 29), ("10 MB", 10 << 20), ("0b", 0)]
)
def test_sizes(text: str, value: int) -> None:
    assert size_bytes(text, "--flag") == value


@pytest.mark.parametrize("text", ["500", "0", "x", "", "-1M", "1MM", "1KBB"])
def test_a_size_without_a_unit_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--flag: .*(needs a unit: B, K, M, G, T|expected a size)"):
        size_bytes(text, "--flag")


@pytest.mark.parametrize(
    "command",
    [
        ("clean-scratch", "--min-age"),
        ("purge-cache", "--yes", "--older-than"),
        ("purge-cache", "--yes", "--max-size"),
        ("forget", "--keep-within"),
    ],
    ids=" ".join,
)
def test_every_flag_of_a_time_or_a_size_wants_its_unit(command: tuple[str, ...], tmp_path: Path) -> None:
    done = ws(*command, "30", "--workspace", workspace(tmp_path / "ws"))
    assert (done.code, f"{command[-1]}: '30' needs a unit" in done.err) == (2, True), done
