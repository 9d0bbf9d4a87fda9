"""`docs/reference.md` is what the code says: ``python tests/workspace/test_reference.py --write`` writes it.

Commands and flags come from their definitions, exit codes and variables from their constants, the keys of the JSON
objects from commands that run on a small real workspace.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from scenes import videos
from trained_models import model
from trees import age, ended_run, stored, workspace, write

from vmaf_harness.commands import COMMANDS as OF_THE_HARNESS
from vmaf_workspace import errors
from vmaf_workspace.commands import configuration
from vmaf_workspace.commands.command import Command, Parameter
from vmaf_workspace.commands.flags import seconds
from vmaf_workspace.commands.workspace import COMMANDS
from vmaf_workspace.wording import duration_text, of_a_console

CHECKOUT = Path(__file__).parents[2]
PAGE = CHECKOUT / "docs" / "reference.md"
SRC = CHECKOUT / "src"
HEAD = "<!-- written by tests/workspace/test_reference.py --write -->\n\n# Reference\n\n"
JSON = "\n## JSON\n"
EMPTY = "a list, empty here"

VARIABLES = {
    "VMAF_WORKSPACE": "the workspace, where no `--workspace` names one. A relative path counts from the current "
    "directory, `~` is your home, a blank value counts as unset",
    "VMAF_BACKUPS": "the backup location, where no `--at` names one: a directory or an fsspec URL",
    "VMAF_FFMPEG": "the ffmpeg that measures and encodes, instead of the first on `PATH` that has libvmaf",
    "VMAF_RESOURCE": "what `VmafConfig.resource_path()` in a recipe means; default: the checkout's resources",
    "VMAF_BUILD_DIR": "where VMAF's own harness has its built tools; a proof hands it on to the throw-away copy",
    "VMAF_MAX_STORE": "what stored results may take, where no `--max-store` says it, such as `20G`",
    "VMAF_MAX_STORE_FILES": "how many results may be stored, where no `--max-store-files` says it",
    "INVOKE_WS_PATH": "`ws.path` of Invoke's configuration: the workspace, whole or from `~`",
    "INVOKE_WS_BACKUPS": "`ws.backups` of Invoke's configuration: the backup location",
    "INVOKE_WS_MAX_SIZE": "`ws.max_size` of Invoke's configuration: as `--max-store`",
    "INVOKE_WS_MAX_FILES": "`ws.max_files` of Invoke's configuration: as `--max-store-files`",
    "INVOKE_RUN_DRY": "as `invoke --dry`: nothing is changed",
    "INVOKE_RUNTIME_CONFIG": "a further file of Invoke's configuration",
    "TOX_OVERRIDE": "a proof adds to it that tox passes the variables of VMAF on",
    "XDG_DATA_HOME": "where the user's data directory is, on Linux: workspace and backups outside any checkout",
    "NO_COLOR": "when set, output has no colour",
}
CODECS = ("libx264", "libx265")
REFERENCES = """dataset_name = "ladder"
yuv_fmt = "notyuv"
ref_videos = [{"content_id": 0, "path": "beach.mp4"}]
"""
NAMED = {"frames": "METRIC", "left": "REASON"}  # objects whose keys are names of something
BETWEEN_OUR_PROCESSES = {  # what one of our processes tells another
    "VMAF_WORKSPACE_AT",
    "VMAF_WORKSPACE_BASE",
    "VMAF_WORKSPACE_FOR_ALL",
    "VMAF_WORKSPACE_MADE",
    "VMAF_WORKSPACE_PROOF",
}
NO_VARIABLE = {"VMAF_LE", "VMAF_PHONE", "VMAF_V"}  # names of quality types, and of an executor


@of_a_console()
def page(json_keys: str) -> str:
    parts = [
        HEAD,
        "Every command, flag, default, variable, exit code and JSON key, as the code has them.\n",
        "`vmaf-ws NAME` and `invoke ws.NAME` are one command, as are `vmaf-harness NAME` and `invoke harness.NAME`. "
        "With Invoke\nevery value needs its flag; with the console scripts, values in *italics* may also stand "
        "without it, in this order.\n",
        f"\n## Exit codes\n\n{exit_codes()}\n",
        f"\n## Variables\n\n{variables()}\n",
        "\n## `vmaf-ws`\n",
        *(of_command("vmaf-ws", each) for each in COMMANDS),
        "\n## `vmaf-harness`\n",
        *(of_command("vmaf-harness", each) for each in OF_THE_HARNESS),
        "\n## Scripts\n\nWith the arguments of VMAF's own harness: `python -m vmaf_harness.script.NAME`. What is in "
        "*italics* has no flag there.\n",
        *(of_command("", each) for each in scripts()),
        JSON,
        "\n`--json` prints one object on stdout, of `version` 1, with the name of the command in `task`. Sizes are "
        "integers in\n`…_bytes`, times in seconds in `…_s`. A command that fails prints `error` and `exit_code`. "
        "What a key holds, as commands\non a small workspace have it:\n",
        json_keys,
    ]
    return "".join(parts)


def exit_codes() -> str:
    lines = Path(errors.__file__).read_text().splitlines()
    found = [re.fullmatch(r"[A-Z_]+ = (\d+)  # (.*)", line) for line in lines]
    rows = [(each[1], each[2]) for each in found if each]
    return table(("code", "means"), rows) + "\n\nInvoke itself ends with 1 where a flag is mistyped."


def variables() -> str:
    return table(("variable", "says"), [(f"`{name}`", text) for name, text in VARIABLES.items()])


def scripts() -> Iterator[Command]:
    for path in sorted((SRC / "vmaf_harness" / "script").glob("*.py")):
        module = import_module(f"vmaf_harness.script.{path.stem}")
        if hasattr(module, "main") and hasattr(module, "run"):
            yield Command(path.stem, module.run)


def of_command(prog: str, command: Command) -> str:
    doc = command.about if prog else import_module(command_module(command)).__doc__ or ""
    paragraphs = [" ".join(each.split()) for each in doc.split("\n\n")]
    name = f"{prog} {command.name}".strip()
    if prog and command.example_words:
        paragraphs.append(f"Example: `{name} {command.example_words}`")
    rows = [(flag_text(each), does_text(each), default_text(each)) for each in in_order(command)]
    flags = table(("flag", "does", "default"), rows) if rows else ""
    return f"\n### `{name}`\n\n" + "\n\n".join(filter(None, (*paragraphs, flags))) + "\n"


def command_module(command: Command) -> str:
    return f"vmaf_harness.script.{command.name}"


def in_order(command: Command) -> list[Parameter]:
    return [*command.places, *(each for each in command.parameters.values() if not each.about.positional)]


def flag_text(parameter: Parameter) -> str:
    also = f", `--{parameter.about.also}`" if parameter.about.also else ""
    several = " …" if parameter.about.several else ""
    text = f"`{parameter.flag}{'' if parameter.is_switch else f' {parameter.metavar}{several}'}`{also}"
    return f"*{text}*" if parameter.about.positional else text


def does_text(parameter: Parameter) -> str:
    return parameter.about.help + (f"; variable `{parameter.about.env}`" if parameter.about.env else "")


def default_text(parameter: Parameter) -> str:
    given = parameter.default
    if given is MISSING:
        return "has to be given"
    if parameter.about.default or given is None or given is False or given in ("", (), 0):
        return parameter.about.default
    if parameter.about.kind is seconds:
        return f"`{duration_text(given)}`"
    return f"`{' '.join(map(str, given)) if isinstance(given, (list, tuple)) else given}`"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


# The keys of the JSON objects: commands on a small workspace.


def json_keys(place: Path) -> str:
    found: dict[str, dict[str, set[str]]] = {}
    for prog, data in objects(place):
        keys = found.setdefault(f"{prog} {data['task']}", {})
        for key, kind in flat({name: data[name] for name in data if name not in ("version", "task")}):
            keys.setdefault(key, set()).add(kind)
    blocks = []
    for name, keys in found.items():
        rows = [(f"`{key}`", kinds_text(key, keys)) for key in sorted(keys) if kinds_text(key, keys)]
        blocks.append(f"\n### `{name} --json`\n\n{table(('key', 'holds'), rows)}\n")
    return "".join(blocks)


def kinds_text(key: str, keys: Mapping[str, set[str]]) -> str:
    """What *key* holds; of a list that is filled elsewhere, its other keys say that."""
    kinds = keys[key] - {EMPTY}
    is_described = kinds or any(other.startswith(f"{key}.") for other in keys)
    return " or ".join(sorted(kinds)) if is_described else EMPTY


def flat(data: Any, at: str = "") -> Iterator[tuple[str, str]]:
    """(key, kind) of all that is not an object or a list of objects; `a.b` is below, `a[]` is each of a list."""
    if isinstance(data, Mapping):
        for name, value in data.items():
            yield from flat(value, f"{at}.{NAMED.get(at, name)}".lstrip("."))
    elif isinstance(data, list):
        for value in data:
            yield from flat(value, f"{at}[]")
        if not data:
            yield f"{at}[]", EMPTY
    else:
        names = {bool: "true or false", int: "integer", float: "number", str: "text", type(None): "null"}
        yield at, names[type(data)]


def objects(place: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """What each command prints, by its program; in an order in which each has something to say."""
    root, at, moved, new = (str(place / name) for name in ("workspace", "backups", "moved", "new"))
    here, there = ["--workspace", root], ["--workspace", root, "--at", at]
    workspace(Path(root))
    age(ended_run(Path(root), size=1000))
    write(Path(root) / "workdir" / "young")
    store(Path(root))
    for command in (
        ["where", *here],
        ["setup", "--workspace", new],
        ["status", "--stores", *here],
        ["clean-scratch", "--dry-run", *here],
        ["clean-scratch", *here],
        ["clean-scratch", "--force", *here],
        ["purge-cache", "--yes", *here],
        ["backup-models", *there],
        ["snapshots", *there],
        ["verify", *there],
        ["diff", *there],
        ["prune", *there],
    ):
        yield "vmaf-ws", printed("vmaf_workspace", *command, "--json")
    change(Path(root))
    for command in (
        ["diff", *there],
        ["restore-models", "--dry-run", *there],
        ["restore-models", "--overwrite", *there],
        ["backup-models", *there],
        ["forget", "--keep-last", "1", "--yes", *there],
        ["prune", *there],
        ["models", *there],
        ["doctor", *there],
        ["wipe-models", "--yes", *there],
        ["migrate", "--to", moved, "--yes", *here],
    ):
        yield "vmaf-ws", printed("vmaf_workspace", *command, "--json")
    model(Path(moved))
    for command in of_the_harness(place, moved):
        if data := printed("vmaf_harness.cli", *command):
            yield "vmaf-harness", data


def of_the_harness(place: Path, root: str) -> Iterator[list[str]]:
    """Commands on a ladder of two codecs, each with what the ones before it left."""
    here, store = ["--workspace", root], str(place / "theirs" / "file_result_store")
    Path(store).mkdir(parents=True)
    with videos(place):
        (place / "references.py").write_text(REFERENCES)
        ladder = [str(place / "references.py"), "ladder_dataset.py"]
        rates = ["--crf", *(f"{codec}={crf}" for codec in CODECS for crf in (20, 28, 36, 44))]
        yield ["encode", *ladder, "--codec", *CODECS, *rates, "--label-with", "version=vmaf_v0.6.1", *here]
        yield ["test", "VMAF", "ladder_dataset.py", "--cache-result", "--suppress-plot", *here]
        pair = [str(place / name) for name in ("beach.mp4", "beach_33.mp4")]
        yield ["score", "--reference", pair[0], "--distorted", pair[1], *here, "--json"]
        yield ["bd-rate", "ladder_dataset.py", *here, "--json"]
        yield ["report", *here, "--json"]
        yield ["report", "--dataset", "ladder_dataset.py", "--clips", "1", *here, "--json"]
        yield ["report", "--vmaf-model", "m", *here, "--json"]
        yield ["export-results", "ladder_dataset.py", "--store", store, *here, "--json"]
        yield ["import-results", "ladder_dataset.py", "--store", store, *here, "--json"]


def store(root: Path) -> None:
    stored(root, "d/c/k.json", 10)
    write(root / "model" / "m.pkl", 10)
    write(root / "model" / "m.pkl.model", 10)
    write(root / "model_param" / "set.pkl", 10)


def change(root: Path) -> None:
    write(root / "model" / "m.pkl", 100)
    write(root / "model" / "new.pkl", 10)
    (root / "model_param" / "set.pkl").unlink()


def printed(module: str, *words: str) -> dict[str, Any]:
    """The object that a command prints, an empty one where it was not asked to."""
    done = subprocess.run([sys.executable, "-m", module, *words], capture_output=True, timeout=600, check=False)
    if "--json" not in words:
        assert done.returncode == 0, (words, done)
        return {}
    data: dict[str, Any] = json.loads(done.stdout)
    assert "error" not in data, (words, data)
    return data


def written(place: Path) -> str:
    return page(json_keys(place))


# The tests.


def test_commands_flags_variables_and_exit_codes_are_those_of_the_code() -> None:
    text = PAGE.read_text()
    assert JSON in text
    assert text.partition(JSON)[0] == page("").partition(JSON)[0], "write it again: --write"


@pytest.mark.slow
def test_keys_of_json_are_those_that_commands_print(tmp_path: Path) -> None:
    assert PAGE.read_text() == written(tmp_path), "write it again: --write"


def test_every_command_that_prints_json_is_on_the_page() -> None:
    text = PAGE.read_text().partition(JSON)[2]
    for prog, commands in (("vmaf-ws", COMMANDS), ("vmaf-harness", OF_THE_HARNESS)):
        for command in commands:
            assert (f"### `{prog} {command.name} --json`" in text) == ("json" in command.parameters), command.name


def test_every_variable_that_the_code_names_is_on_the_page() -> None:
    named = set(configuration.VARIABLES)
    for path in SRC.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                named |= set(re.findall(r"^VMAF_[A-Z_]+$", node.value))
    ours = {name for name in VARIABLES if name.startswith(("VMAF_", "INVOKE_"))}
    assert named - BETWEEN_OUR_PROCESSES - NO_VARIABLE == ours


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    os.environ["VMAF_WORKSPACE"] = ""
    with tempfile.TemporaryDirectory() as place:
        PAGE.write_text(written(Path(os.path.realpath(place))))
