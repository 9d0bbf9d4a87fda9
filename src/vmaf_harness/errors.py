"""Every error of the harness; each says what, where, and what to do."""

from __future__ import annotations

from pathlib import Path

from vmaf_workspace.errors import NotReadHereError, WorkspaceError


class HarnessError(WorkspaceError):
    """Base of the harness's errors; exit code 1."""


class RecipeError(HarnessError):
    """A recipe that cannot be read, with the place in the file.

    `line` is 1-based, or None where the file as a whole is meant; `place` is like ``dis_videos[3].crf``.
    """

    def __init__(self, path: Path, problem: str, *, line: int | None = None, place: str | None = None) -> None:
        """Compose ``path:line: place: problem`` from the parts that are known."""
        self.path, self.problem, self.line, self.place = path, problem, line, place
        where = f"{path}:{line}" if line is not None else f"{path}"
        super().__init__(": ".join(part for part in (where, place, problem) if part))


class ForeignModelError(HarnessError, NotReadHereError):
    """A model that is whole, but that VMAF's own harness or another program reads, and this one does not."""


class EngineError(HarnessError):
    """ffmpeg is missing, lacks libvmaf, or failed."""


class StatisticsError(HarnessError):
    """Numbers that a statistic is not defined for."""
