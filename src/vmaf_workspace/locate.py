"""Which directory is the workspace, and what decided it; asking makes nothing."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from vmaf_workspace.disk.atomic import read_regular
from vmaf_workspace.disk.trust import why_untrusted
from vmaf_workspace.errors import UsageError, WorkspaceError

VARIABLE = "VMAF_WORKSPACE"
RESOURCE_VARIABLE = "VMAF_RESOURCE"
LONGEST = 1 << 20  # bytes read of a harness's config.py; upstream's has 4 000
_UNEXPANDED = frozenset("$%\"'`")  # a shell's, in an --env-file or a configuration that no shell reads


class Source(StrEnum):
    """What decided where the workspace is; the first that applies."""

    EXPLICIT = "explicit"
    ENVIRONMENT = "environment"
    CHECKOUT = "checkout"
    USER_DATA = "user-data"


@dataclass(frozen=True, slots=True)
class Location:
    """An absolute path, not resolved and perhaps not there yet, and why it is this one."""

    path: Path
    source: Source
    reason: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Checkout:
    """A checkout of VMAF, upstream or fork, and the default place of its workspace."""

    root: Path
    workspace: Path


def locate(explicit: str | os.PathLike[str] | None = None, *, environ: Mapping[str, str] | None = None) -> Location:
    """Say where the workspace is: *explicit*, `VMAF_WORKSPACE`, the enclosing checkout, or the user's data directory.

    A relative path counts from the current directory. A blank *explicit* or variable counts as unset, the variable
    with a warning. Raises UsageError for a `~name` of nobody, WorkspaceError where the current directory is gone.
    """
    environ = os.environ if environ is None else environ
    if explicit is not None and (text := os.fspath(explicit)).strip():
        return Location(_absolute(text, "the path given"), Source.EXPLICIT, "given explicitly")
    warnings: tuple[str, ...] = ()
    named = environ.get(VARIABLE)
    if named is not None:
        if named.strip():
            return Location(_absolute(named.strip(), VARIABLE), Source.ENVIRONMENT, f"{VARIABLE} is set")
        warnings = (f"{VARIABLE} is set but blank: it counts as unset; unset it, or give it a path",)
    here = current_directory()
    checkout = find_checkout(here)
    warnings += _stranger_warnings(here, checkout)
    if checkout is not None:
        return Location(
            checkout.workspace, Source.CHECKOUT, f"default of the checkout that encloses {Path.cwd()}", warnings
        )
    return Location(
        user_directory("data", remedy=f"set {VARIABLE} or give --workspace") / "workspace",
        Source.USER_DATA,
        f"{VARIABLE} is unset and {Path.cwd()} is in no checkout: the user's data directory",
        warnings,
    )


def user_directory(kind: str, *, remedy: str = "set HOME") -> Path:
    """The user's directory for our `data` or `cache`; WorkspaceError where there is no home, as in many containers."""
    import platformdirs

    find = platformdirs.user_cache_dir if kind == "cache" else platformdirs.user_data_dir
    try:
        path = Path(find("vmaf-workspace", appauthor=False))
    except (RuntimeError, KeyError):  # neither HOME nor an entry of this user
        path = Path()
    if not path.is_absolute():
        raise WorkspaceError(f"this user has no home directory, so nowhere to keep {kind}: {remedy}")
    return path


def find_checkout(start: Path, *, anybodys: bool = False) -> Checkout | None:
    """The checkout that encloses *start* (an absolute directory), found upward; None outside any.

    One that a stranger made in a directory above, where everybody may write, is none, unless *anybodys*.
    """
    for root in (start, *start.parents):
        checkout = checkout_at(root)
        if checkout is not None and (anybodys or _why_untrusted(checkout) is None):
            return checkout
    return None


def checkout_at(root: Path) -> Checkout | None:
    """The checkout whose root is exactly *root*, by its layout: the fork, the fork earlier, upstream; anybody's."""
    if os.path.isdir(root / "compat" / "python-vmaf"):  # os.path: what may not be looked at is not there
        return Checkout(root, root / "compat" / "python-vmaf" / "workspace")
    config = root / "python" / "vmaf" / "config.py"
    earlier = root / "python" / "vmaf" / "workspace"
    if os.path.isdir(earlier):
        return Checkout(root, earlier)
    if not os.path.isfile(config):
        return None
    try:
        text = read_regular(config, follow=True, at_most=LONGEST).decode("utf-8", "replace")
    except OSError:
        return None
    return Checkout(root, earlier if VARIABLE in text else root / "workspace")


def _why_untrusted(checkout: Checkout) -> tuple[Path, str] | None:
    """What of *checkout* a stranger made, and why it does not count; its workspace may not be there yet."""
    root = checkout.root
    config = root / "python" / "vmaf" / "config.py"
    ends = [checkout.workspace, *([config] if ignores_variable(checkout) else [])]
    for path in sorted({path for end in ends for path in (end, *end.parents) if root in path.parents}):
        if (why := why_untrusted(path, top=root)) is not None:
            return path, why
    return None


def _stranger_warnings(here: Path, found: Checkout | None) -> tuple[str, ...]:
    """A warning where a checkout nearer to *here* than *found* was passed over."""
    nearest = find_checkout(here, anybodys=True)
    strange = None if nearest is None or nearest == found else _why_untrusted(nearest)
    if nearest is None or strange is None:
        return ()
    path, why = strange
    return (
        f"{nearest.root} looks like a checkout by {path}, {why}: it is not used; "
        f"if you trust it, name its workspace: {VARIABLE}={nearest.workspace}",
    )


def ignores_variable(checkout: Checkout) -> bool:
    """Whether the harness of *checkout* does not read the variable, as upstream's: its place is at the root then."""
    return checkout.workspace == checkout.root / "workspace"


def current_directory() -> Path:
    """The current directory; a WorkspaceError where it was removed under our feet."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise WorkspaceError("the current directory no longer exists; cd to one that does") from None


def _absolute(text: str, what: str) -> Path:
    if "\0" in text:
        raise UsageError(f"{what} holds a NUL byte: {text!r}")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        raise UsageError(f"{what}: {text!r} is a URL, and a workspace is a directory of this machine; write its path")
    if text[0] in _UNEXPANDED:
        raise UsageError(
            f"{what}: {text!r} begins as a shell's text that no shell has read; write the path out, without $, % or "
            f"quotes (for a directory of that very name: {'./' + text!r})"
        )
    try:
        path = Path(_with_home(text)).expanduser()
    except (RuntimeError, KeyError):
        raise UsageError(f"{what}: {text!r} names no user's home directory; write the path out") from None
    return path if path.is_absolute() else current_directory() / path


def _with_home(text: str) -> str:
    """*text* with the home of record for its `~` where HOME is blank or relative, which is no home.

    KeyError where this user has no entry. The default place goes by the same.
    """
    home = os.environ.get("HOME")
    if home is None or os.path.isabs(home) or text.split("/", 1)[0] != "~":
        return text
    return pwd.getpwuid(os.getuid()).pw_dir + text[1:]
