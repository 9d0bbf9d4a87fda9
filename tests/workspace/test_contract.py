"""The contract is one table: what it says of a subdirectory agrees with itself and with the layout of this checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmaf_workspace.commands.command import Command
from vmaf_workspace.commands.workspace import COMMANDS
from vmaf_workspace.contract import PLACEHOLDER, PLACEHOLDER_TEXT, SCRATCH, SUBDIRS, Loss, Subdir

CHECKOUT = Path(__file__).parent.parent.parent
NAMES = ["dataset", "encode", "model", "model_param", "output", "result_store_dir", "checkpoints_dir", "workdir"]


def test_the_eight_subdirectories_and_what_their_loss_costs() -> None:
    assert [(s.name, s.loss.value) for s in SUBDIRS] == list(
        zip(NAMES, ["input", "time", "work", "work", "nothing", "time", "work", "nothing"], strict=True)
    )
    assert set(SCRATCH) == {"workdir", "output"}


@pytest.mark.parametrize("subdir", SUBDIRS, ids=lambda subdir: subdir.name)
def test_the_verb_that_removes_fits_what_the_loss_costs(subdir: Subdir) -> None:
    task = (subdir.removed_by or "").split(" ", 1)[0]
    assert (
        task
        == {
            Loss.NOTHING: "ws.clean-scratch",
            Loss.TIME: "ws.purge-cache",
            Loss.WORK: "ws.wipe-models",
            Loss.INPUT: "",
        }[subdir.loss]
    )
    assert subdir.backed_up == (subdir.loss is Loss.WORK)
    assert subdir.costs.split(":")[0] == subdir.loss.value


@pytest.mark.parametrize("name", NAMES)
def test_this_checkout_ships_a_placeholder_for_each(name: str) -> None:
    shipped = CHECKOUT / "compat" / "python-vmaf" / "workspace" / name / PLACEHOLDER
    assert shipped.read_text() == PLACEHOLDER_TEXT


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_flag_of_every_command_is_explained(command: Command) -> None:
    assert all(parameter.help for parameter in command.parameters.values())
