"""The README is what the software says: its table and its output are written and compared.

``python tests/workspace/test_readme.py --write`` writes both.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from pages import played
from scenes import idle, models, runs, upstream, videos

from vmaf_harness.commands import COMMANDS as OF_THE_HARNESS
from vmaf_workspace.commands.workspace import COMMANDS
from vmaf_workspace.contract import SUBDIRS

README = Path(__file__).parents[2] / "README.md"
CI = README.with_name(".ci") / "run"
DOCS = README.with_name("docs")
SCENES = {"idle": idle, "runs": runs, "models": models, "upstream": upstream, "videos": videos}
LINES = 150  # more, and nobody reads to the end


def contract_table() -> str:
    lines = [
        "| subdirectory | written by | holds | loss of it costs | removed by | backed up |",
        "|---|---|---|---|---|---|",
    ]
    for s in SUBDIRS:
        removed_by = f"`{s.removed_by}`" if s.removed_by else "no task"
        backed_up = "yes" if s.backed_up else "no"
        lines.append(f"| `{s.name}/` | {s.written_by} | {s.holds} | {s.costs} | {removed_by} | {backed_up} |")
    return "\n".join(lines)


def with_table(text: str) -> str:
    before, rest = text.split("<!-- contract: ", 1)
    comment, rest = rest.split("\n", 1)
    after = rest[rest.index("<!-- /contract -->") :]
    return f"{before}<!-- contract: {comment}\n{contract_table()}\n{after}"


def test_the_table_of_the_readme_is_that_of_the_code() -> None:
    text = README.read_text()
    assert contract_table() in text
    assert with_table(text) == text


@pytest.mark.slow
def test_commands_of_the_readme_print_what_it_shows() -> None:
    text = README.read_text()
    assert played(text, SCENES) == text, "write it again: --write"


def test_ci_runs_the_command_that_the_readme_names() -> None:
    commands = re.findall(r"^    (python3 -m venv .*)$", README.read_text(), flags=re.MULTILINE)
    assert len(commands) == 2
    assert commands[1] in CI.read_text()


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= LINES


@pytest.mark.parametrize(
    "page", [README, README.with_name("CONTRIBUTING.md"), *sorted(DOCS.glob("*.md"))], ids=lambda page: page.name
)
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    ours = {"ws": {each.name for each in COMMANDS}, "harness": {each.name for each in OF_THE_HARNESS}}
    ours["ws"] |= {"path", "backups", "max_size", "max_files"}  # of Invoke's configuration
    for console_script in ours.values():
        console_script.add("completion")
    named = re.findall(r"(?:`|invoke |[|] )(ws|harness)\.([a-z]+(?:[-_][a-z]+)*)", page.read_text())
    named += [(p, n) for p, n in re.findall(r"\bvmaf-(ws|harness) ([a-z]+(?:-[a-z]+)*)", page.read_text())]
    assert [f"{prefix}.{name}" for prefix, name in named if name not in ours[prefix]] == []


@pytest.mark.parametrize("page", [README, *sorted(DOCS.glob("*.md"))], ids=lambda page: page.name)
def test_every_link_of_a_page_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    README.write_text(played(with_table(README.read_text()), SCENES))
