"""What makes a shell complete the words of our console scripts; shtab, an optional library, writes it."""

# Without `from __future__ import annotations`: what they hold is read at every start.

from collections.abc import Sequence
from typing import Annotated, Any

from vmaf_workspace.commands import parser
from vmaf_workspace.commands.command import Command
from vmaf_workspace.commands.flags import Choice, Flag, choice
from vmaf_workspace.errors import DONE, WorkspaceError
from vmaf_workspace.installation import install_command

SHELLS = ("bash", "zsh", "fish")
IDS = "ids"  # what the text calls, to have the snapshots that there are
_IDS_COMMAND = f"vmaf-ws completion {IDS}"
_FILES = {"FILE", "RECIPE", "VIDEO", "MODEL"}  # metavars of what is in the file system

_Shell = Annotated[str, Flag("bash, zsh or fish", choice(lambda: (*SHELLS, IDS)), positional=1)]


def command_for(prog: str, commands: Sequence[Command]) -> Command:
    """The command `completion` of the console script *prog*, which has *commands*."""

    def completion(*, shell: _Shell) -> int:
        """Print what makes a shell complete commands and flags.

        For bash, run the example, and start bash again. For zsh, write it to _NAME in a directory of `fpath`; for fish,
        to ~/.config/fish/completions/NAME.fish.
        """
        print("\n".join(_snapshot_ids()) if shell == IDS else script_for(shell, prog, commands))
        return DONE

    example = f"bash > ~/.local/share/bash-completion/completions/{prog}"
    return Command("completion", completion, reads=True, group="shell", example=example)


def script_for(shell: str, prog: str, commands: Sequence[Command]) -> str:
    """The text that *shell* has to read. Raises WorkspaceError where shtab is not installed."""
    try:
        import shtab
    except ImportError as error:
        raise WorkspaceError(f"completion needs shtab: `{install_command('completion')}`") from error

    whole = parser.Parser(prog=prog, allow_abbrev=False)
    listed = whole.add_subparsers(metavar="COMMAND")
    for command in commands:
        own = listed.add_parser(command.name, help=command.summary.removesuffix("."), allow_abbrev=False)
        for parameter in command.parameters.values():
            action: Any = parser.add_flag(own, parameter)
            if parameter.is_switch:
                continue
            if parameter.metavar == "DIR":
                action.complete = shtab.DIRECTORY
            elif parameter.metavar in _FILES:
                action.complete = shtab.FILE
            elif parameter.metavar == "ID":
                action.complete = shtab.cmd(_IDS_COMMAND)
            elif isinstance(parameter.about.kind, Choice):
                action.choices = list(parameter.about.kind.known())
        for place in command.places:
            place_action: Any = own.add_argument(f"word:{place.name}", metavar=place.name, nargs="?", help=place.help)
            if place.metavar in _FILES:
                place_action.complete = shtab.FILE
    text: str = shtab.complete(whole, shell)
    if shell == "zsh":  # else it would look up ids, once a flag, as soon as the file is read, and offer those for ever
        text = text.replace(f"($({_IDS_COMMAND}))", f"(\\$({_IDS_COMMAND}))")
    return text


def _snapshot_ids() -> list[str]:
    """Ids of the snapshots in the backup location that holds where nothing else is said, newest first."""
    from vmaf_workspace.snapshot.locate import open_location
    from vmaf_workspace.snapshot.manifest import short_id
    from vmaf_workspace.snapshot.store import list_snapshots

    return [short_id(each.id) for each in reversed(list_snapshots(open_location()))]
