"""Entries of the encode store that somebody else wrote: a miss, whatever they hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vmaf_harness.encode.store import FORMAT, EncodeResultStore
from vmaf_harness.encode.transcode import Encoded


@pytest.mark.parametrize("path", ["\ud800", "a/\udcff", "a" * 5000, "../x", "/etc/passwd", "a\0b", "", 3, None, []])
def test_an_entry_with_a_path_that_no_file_has_is_a_miss_and_said(path: object, tmp_path: Path) -> None:
    entry = dict.fromkeys(Encoded.__dataclass_fields__, 1) | {"format": FORMAT, "sha256": "ab", "path": path}
    place = tmp_path / "entry.json"
    place.write_text(json.dumps(entry) + "\n")
    problems: list[str] = []
    assert EncodeResultStore(tmp_path, warn=problems.append)._read(place, problems) is None
    assert len(problems) == 1
