"""The README's tables are the code's: ``python tests/workspace/test_readme.py --write`` writes them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from vmaf_workspace.commands.workspace import COMMANDS
from vmaf_workspace.contract import SUBDIRS

README = Path(__file__).parents[2] / "README.md"
CI = README.with_name(".ci") / "run"


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


def tasks_table() -> str:
    lines = ["| task | does | flags |", "|---|---|---|"]
    for command in COMMANDS:
        flags = " ".join(f"`{parameter.flag}`" for parameter in command.parameters.values())
        lines.append(f"| `ws.{command.name}` | {(command.function.__doc__ or '').splitlines()[0]} | {flags} |")
    return "\n".join(lines)


def written(text: str) -> str:
    for name, table in (("contract", contract_table()), ("tasks", tasks_table())):
        before, rest = text.split(f"<!-- {name}: ", 1)
        comment, rest = rest.split("\n", 1)
        after = rest[rest.index(f"<!-- /{name} -->") :]
        text = f"{before}<!-- {name}: {comment}\n{table}\n{after}"
    return text


def test_tables_of_the_readme_are_those_of_the_code() -> None:
    text = README.read_text()
    assert contract_table() in text
    assert tasks_table() in text
    assert written(text) == text


def test_ci_runs_the_command_that_the_readme_names() -> None:
    commands = re.findall(r"^    (python3 -m venv .*)$", README.read_text(), flags=re.MULTILINE)
    assert len(commands) == 2
    assert commands[1] in CI.read_text()


def test_every_task_that_the_readme_names_exists_or_is_announced_by_the_contract() -> None:
    known = {f"ws.{command.name}" for command in COMMANDS} | {(s.removed_by or "").split(" ")[0] for s in SUBDIRS}
    named = set(re.findall(r"`(?:invoke )?(ws\.[a-z-]+)", README.read_text()))
    assert named - {"ws.path", "ws.backups"} <= known


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    README.write_text(written(README.read_text()))
