"""What Invoke's configuration has for our commands: where the workspace and the backups are, and whether to act."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

from vmaf_workspace.commands.command import Command, Configured, dry
from vmaf_workspace.disk.trust import why_untrusted
from vmaf_workspace.errors import UsageError, WorkspaceError
from vmaf_workspace.wording import print_warning

VARIABLES = {"INVOKE_RUNTIME_CONFIG", "INVOKE_WS_PATH", "INVOKE_WS_BACKUPS", "INVOKE_RUN_DRY"}
CONFIG_ENDINGS = (".yaml", ".yml", ".json", ".py")  # Invoke's; the last is code, which only `invoke` runs
LARGEST = 1 << 20  # bytes of a configuration file
CONFIGURED = {"workspace": "path", "at": "backups"}  # flag -> its default in Invoke's configuration, below `ws`


def configured(command: Command, values: dict[str, Any], config: Any) -> dict[str, Any]:
    """*values* with what *config* of Invoke's says of flags that were not given; under its `--dry` those of a dry run.

    Raises UsageError where it says something else than a path, RefusedError for a dry run of what has none.
    """
    if config.run.dry:
        values = dry(command, values)
    unset = [flag for flag in CONFIGURED if flag in command.parameters and flag not in values]
    return values | {flag: path for flag in unset if (path := _configured(config, flag))}


def configured_here(command: Command, values: dict[str, Any]) -> dict[str, Any]:
    """As `configured`, with the configuration that `invoke` would have here; Invoke is imported where there is any."""
    try:
        config = _invokes_config()
        return values if config is None else configured(command, values, config)
    except WorkspaceError:
        raise
    except Exception as error:  # Invoke's readers raise whatever their parsers do
        raise UsageError(f"cannot read Invoke's configuration ({type(error).__name__}: {error})") from error


def _configured(config: Any, flag: str) -> str:
    """What Invoke's configuration has for *flag*, or "" where it is not set; UsageError where it is no path.

    A relative one is refused: it would mean another place in each directory that `invoke` is called from. Invoke reads
    INVOKE_WS_PATH itself only where another source has `ws.path`; to name it in a collection's configuration would
    end in a traceback of Invoke's where a file has `ws:` alone.
    """
    name = CONFIGURED[flag]
    section = config.get("ws")
    if section is not None and not hasattr(section, "get"):
        raise UsageError(f"Invoke's configuration, ws: expected `path` or `backups` below it, got {section!r}")
    path = section.get(name) if section is not None else None
    if path is None or path == "":
        prefix = config.env_prefix or config.prefix
        path = os.environ.get(f"{prefix}_ws_{name}".upper())
    if path is None or path == "":
        return ""
    if isinstance(path, str):
        if path.startswith(("/", "~")) or "://" in path:
            return Configured(path)
        raise UsageError(f"Invoke's configuration, ws.{name}: {path!r} is relative; write the whole path, or from `~`")
    raise UsageError(f"Invoke's configuration, ws.{name}: expected a path, got {path!r}")


def _invokes_config() -> Any:
    """Invoke's configuration as `invoke` would have it here; None, without an import of Invoke, where there is none.

    Of a stranger's file, and of one that is code, a warning is all that comes.
    """
    try:
        here = Path.cwd()
    except FileNotFoundError:  # removed under our feet, which matters only where a path counts from it
        here = Path("/")
    home = os.path.expanduser("~")
    prefixes = [Path("/etc/invoke"), Path(home) / ".invoke", *(place / "invoke" for place in (here, *here.parents))]
    files = (f"{prefix}{ending}" for prefix in prefixes for ending in CONFIG_ENDINGS)
    if not VARIABLES & set(os.environ) and not any(map(os.path.isfile, files)):
        return None
    from invoke.config import Config

    class Data(Config):
        """Invoke's, of files that are data."""

        def _load_yaml(self, path: Any) -> Any:
            _check_readable(path)
            return super()._load_yaml(path)

        _load_yml = _load_yaml

        def _load_json(self, path: Any) -> Any:
            _check_readable(path)
            return super()._load_json(path)

        def _load_py(self, path: Any) -> Any:
            if os.path.isfile(path) and why_untrusted(path) is None:
                how = "write ws.path into a .yaml file"
                print_warning(f"{path} is code, which only `invoke` runs; {how}")
            raise FileNotFoundError(errno.ENOENT, "not read", path)

    config = Data()  # the system's and the user's, which may say where a project begins
    project = _project(config)
    if project is not None:
        config.set_project_location(project)
        config.load_project()
    if runtime := os.environ.get("INVOKE_RUNTIME_CONFIG"):
        config.set_runtime_path(Path(runtime))
        config.load_runtime()
    config.load_shell_env()
    return config


def _project(config: Any) -> Path | None:
    """The directory that holds `tasks.py` or the package `tasks/`, as Invoke's own loader finds it; imports neither."""
    from invoke.exceptions import CollectionNotFound
    from invoke.loader import FilesystemLoader

    try:
        found = FilesystemLoader(config=config).find(config.tasks.collection_name)
    except (CollectionNotFound, OSError):  # what may not be looked at is not there
        return None
    if found is None or found.origin is None:
        return None
    return Path(found.origin).parents[1 if found.submodule_search_locations else 0]


def _check_readable(file: Any) -> None:
    """FileNotFoundError for a configuration that does not count, which is said; UsageError for one that is none.

    A link may lead to one, as those of people who keep such files elsewhere do.
    """
    if not os.path.isfile(file):  # nor is there what may not be looked at; a FIFO would never end
        raise FileNotFoundError(errno.ENOENT, "not there", file)
    why = why_untrusted(file) or why_untrusted(os.path.realpath(file))
    if why is not None:
        print_warning(f"{file}, {why}, is not read; if you trust it, `chown` it to you")
        raise FileNotFoundError(errno.ENOENT, "not read", file)
    if os.stat(file).st_size > LARGEST:
        raise UsageError(f"{file} has {os.stat(file).st_size} bytes, too many for a configuration")
