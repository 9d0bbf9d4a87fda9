"""`docs/scoring.md` does what it says: ``python tests/harness/test_scoring_page.py --write`` writes its output."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from clips import Clips

sys.path.insert(0, str(Path(__file__).parents[1] / "workspace"))
from pages import played
from scenes import videos

from vmaf_harness.commands import score

PAGE = Path(__file__).parents[2] / "docs" / "scoring.md"


def written(text: str) -> str:
    return played(text, {"videos": videos})


@pytest.mark.slow
def test_commands_of_the_page_print_what_it_shows() -> None:
    text = PAGE.read_text()
    assert written(text) == text, "write it again: --write"


def test_the_sentence_to_publish_is_of_the_output_above_it() -> None:
    section = _section()
    sentence = " ".join(line.removeprefix("> ") for line in section.splitlines() if line.startswith("> "))
    number, about, versions = re.findall(r"```console[^$]*\$.*\n(.*)\n(.*)\n(.*)\n```", section)[0]
    assert sentence.startswith(
        f"VMAF {float(number.split()[1]):.2f} ({about.split(', ')[1]}, {about.split(', ')[0]} in "
    )
    assert sentence.endswith(f"; {versions})")


def _section() -> str:
    return PAGE.read_text().partition("## To publish a number\n")[2].partition("\n## ")[0]


def test_what_a_published_number_needs_is_in_the_json_under_the_names_of_the_page(
    clips: Clips, vmaf_workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    section = _section()
    names = re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\|.*\|(.*)\|$", section, re.MULTILINE)[2:]))
    assert len(names) == 9
    pair = {"reference": str(clips.mp4("reference")), "distorted": str(clips.mp4("x264"))}
    assert score(**pair, json=True) == 0  # type: ignore[arg-type]
    found = json.loads(capsys.readouterr().out)
    assert [name for name in names if name not in found] == []


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    PAGE.write_text(written(PAGE.read_text()))
