"""A Nox session that runs a harness's own tests at its default workspace and at an overridden one, and proves it.

In a `noxfile.py`:

    from vmaf_workspace.nox import workspace_session
    workspace_session(command=("tox", "-c", "python"), install=("tox",))

gives ``nox -s workspace``: ``workspace(default)`` and ``workspace(override)``. Importing this registers nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

try:
    import nox
    from nox.command import CommandFailed
except ModuleNotFoundError as error:
    if error.name != "nox":  # it is there, and lacks something itself
        raise
    from vmaf_workspace.installation import requirement

    raise ModuleNotFoundError(
        f"vmaf_workspace.nox needs Nox beside it, in one environment: `pipx inject nox '{requirement()}'`, "
        f"`uv tool run --with '{requirement()}' nox`, or a noxfile that begins with\n"
        f'# /// script\n# dependencies = ["nox", "{requirement()}"]\n# ///',
        name=error.name,
    ) from error

from vmaf_workspace.errors import FAILED, WorkspaceError
from vmaf_workspace.proof.proving import PLACES, Asked, At, Leftovers, proving
from vmaf_workspace.wording import count_text

Install = Sequence[str] | Callable[[nox.Session], object]


def workspace_session(
    *,
    command: Sequence[str],
    name: str = "workspace",
    install: Install = (),
    env: Mapping[str, str | None] | None = None,
    at: Sequence[At] = ("default", "override"),
    base: str | os.PathLike[str] | None = None,
    in_place: bool = False,
    leftovers: Leftovers = "show",
    **session_arguments: Any,
) -> Callable[..., Any]:
    """Register the session *name*, which runs *command* and nox's positional arguments at each place of *at*.

    *install* is what `session.install` is given, or a function that is given the session; it is called where the
    command runs, which at the default place is a throw-away copy of the checkout (with *in_place* the real one). *env*
    is for the command. The override lies below *base*, else on another file system where there is one. With
    *leftovers* ``"fail"``, what the tests leave in `workdir/` and `output/` fails too, which otherwise is shown.
    *session_arguments* are those of `nox.session`: `python`, `tags`, `reuse_venv`, `venv_backend`, `default` and more.
    """
    unknown = [place for place in at if place not in PLACES]
    if isinstance(command, str) or not command or isinstance(at, str) or unknown or not at:
        raise ValueError(
            f"workspace_session: expected command as a list of words, and at as {PLACES} or one of these; "
            f"got {command!r} and {at!r}"
        )

    def workspace(session: nox.Session, at: At) -> None:
        """Run the tests at the default workspace of the checkout, and at an overridden one."""
        own = session.venv_backend != "none"
        words = [*command, *session.posargs]
        copy = _cache_of(session) / "vmaf-workspace" / re.sub(r"[^\w.]+", "-", session.name).strip("-") / "checkout"
        ran: object = None
        failed: CommandFailed | None = None

        def prepare(directory: Path) -> None:
            with session.chdir(directory):
                if callable(install):
                    install(session)
                elif install and own:  # with `venv_backend="none"` it uses what is there
                    session.install(*install)

        asked = Asked(
            at=at,
            command=words,
            environ=_environ(session, env or {}),
            here=Path.cwd(),
            copy=Path(os.path.realpath(copy)),
            base=Path(base).absolute() if base is not None else None,
            in_place=in_place,
            leftovers=leftovers,
            prepare=prepare,
        )
        try:
            with proving(asked) as proof, session.chdir(proof.directory):
                try:
                    ran = session.run(*words, env={**(env or {}), **proof.changed}, external=not own or not install)
                except CommandFailed as error:
                    failed = error
                    proof.exit_code = getattr(error, "return_code", None) or FAILED  # the lowest Nox does not say
        except WorkspaceError as error:
            session.error(str(error))
        if ran is None and failed is None:
            return  # --install-only
        for text in proof.notes:
            session.log(text)
        for text in proof.failures:
            session.warn(text)
        if failed is not None:
            raise failed
        if proof.failures:
            found = count_text(len(proof.failures), "finding")
            session.error(f"the command passed, and did not keep to its workspace ({found} above)")

    workspace.__name__ = name.replace("-", "_")
    places = [nox.param(place, id=place) for place in at]
    return nox.session(name=name, **session_arguments)(nox.parametrize("at", places)(workspace))


def _environ(session: nox.Session, env: Mapping[str, str | None]) -> dict[str, str]:
    """The environment that the session's commands get, with its programs first on PATH."""
    whole = {**os.environ, **session.env, **env}
    environ = {name: value for name, value in whole.items() if value is not None}
    environ["PATH"] = os.pathsep.join([*map(str, session.bin_paths or ()), environ.get("PATH", os.defpath)])
    return environ


def _cache_of(session: nox.Session) -> Path:
    """The directory that sessions share; the lowest Nox makes no parents of it, which `venv_backend="none"` needs."""
    try:
        return session.cache_dir
    except FileNotFoundError as error:
        Path(error.filename).parent.mkdir(parents=True, exist_ok=True)
        return session.cache_dir
