"""What a report is of: a dataset with its ladder and clips, a model, or the whole workspace; nothing is drawn here."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vmaf_harness.encode.store import EncodeResultStore
from vmaf_harness.measure.pictures import FramePicture
from vmaf_harness.measure.scoring import Outcome
from vmaf_harness.recipe.asset import Video
from vmaf_harness.report.clips import Clip, choose_clips, look_at
from vmaf_harness.report.decoding import decode_all
from vmaf_harness.report.ladder import Ladder, read_ladder, with_decode_fps
from vmaf_harness.report.model_card import ModelReport, read_model_report
from vmaf_harness.report.stored import stored_dataset
from vmaf_harness.report.stored_ladder import stored_ladder
from vmaf_harness.report.summary import SummaryEntry, read_entries
from vmaf_harness.report.tested import Tested, read_tested
from vmaf_harness.report.testing import ScoredDataset
from vmaf_workspace.report.status import Status, status


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a report is asked for; neither a dataset nor a model means the workspace. `clips` is how many at most; for 0
    nothing is decoded.

    `dataset` is a recipe; `encodes` in its place names a dataset whose encodes are stored.
    """

    dataset: Path | None = None
    encodes: str | None = None
    model: str | None = None
    quality_type: str = "VMAF"
    pool: str = "mean"
    anchor: str | None = None
    interpolation: str = "pchip"
    clips: int = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found; `pictures` are the worst frames of each clip by its asset_id. `scored` is drawn, never listed."""

    root: Path
    entries: tuple[SummaryEntry, ...]
    scored: ScoredDataset | None = None
    ladder: Ladder | None = None
    tested: Tested | None = None
    clips: tuple[Clip, ...] = ()
    pictures: dict[int, tuple[FramePicture, ...]] = field(default_factory=dict)
    model: ModelReport | None = None
    workspace: Status | None = None

    def as_dict(self) -> dict[str, Any]:
        """The numbers of it as JSON has them, null where one is not finite; parts that are not asked for are left out.

        `unscored` counts the assets of the dataset that have no stored score.
        """
        found: dict[str, Any] = {"entries": [asdict(each) for each in self.entries]}
        if self.scored is not None:
            found["unscored"] = self.scored.failed
            found["clips"] = [asdict(clip) for clip in self.clips]
        for name in ("ladder", "tested", "model"):
            part = getattr(self, name)
            if part is not None:
                found[name] = asdict(part)
        if self.workspace is not None:
            found["workspace"] = _status_dict(self.root, self.workspace)
        made: dict[str, Any] = _finite(found)
        return made


def read_report(
    root: Path, asked: Asked, *, warn: Callable[[str], None], told: Callable[[int, int], object] = lambda *_: None
) -> Report:
    """Read what is asked for; no score is measured. Of clips to be shown, and of a ladder, each encode is decoded.

    That is to know how fast it decodes; *told* gets (done, all) after each.

    Raises HarnessError for a recipe, a model or an anchor that is not understood, or encodes that are not stored.
    """
    entries = tuple(read_entries(root))
    model = read_model_report(root, asked.model, entries) if asked.model is not None else None
    if asked.dataset is None and asked.encodes is None:
        return Report(root=root, entries=entries, model=model, workspace=status(root) if asked.model is None else None)
    stored = EncodeResultStore(root, warn=warn).entries()
    how: dict[str, Any] = {"quality_type": asked.quality_type, "model": asked.model, "pool": asked.pool, "warn": warn}
    if asked.dataset is not None:
        scored = stored_dataset(root, asked.dataset, **how)
    else:
        scored = stored_ladder(root, asked.encodes or "", stored, **how)
    ladder = read_ladder(scored, stored, anchor=asked.anchor, interpolation=asked.interpolation)
    chosen = choose_clips(scored, asked.clips)
    videos = _decoded(scored, ladder, chosen) if asked.clips else {}
    total = len(videos) + len(chosen)
    with TemporaryDirectory(prefix="vmaf-report-") as scratch:
        speeds = decode_all(videos, Path(scratch), told=lambda done: told(done, total))
        looked = look_at(
            scored, chosen, Path(scratch), speeds=speeds, told=lambda done: told(len(videos) + done, total)
        )
    if ladder is not None:
        ladder = with_decode_fps(ladder, speeds)
    # Where the labels are these very scores, nothing is proved by their being equal.
    is_own = scored.labels.source == scored.extraction.executor_id
    return Report(
        root=root,
        entries=entries,
        scored=scored,
        ladder=ladder,
        tested=None if is_own else read_tested(scored),
        clips=tuple(clip for clip, _ in looked),
        pictures={clip.asset_id: pictures for clip, pictures in looked},
        model=model,
    )


def _decoded(scored: ScoredDataset, ladder: Ladder | None, chosen: Sequence[Outcome]) -> dict[int, Video]:
    """The videos whose speed is measured, by asset_id."""
    wanted = {outcome.asset.asset_id for outcome in chosen}
    wanted |= {encode.asset_id for encode in ladder.encodes} if ladder else set()
    return {o.asset.asset_id: o.asset.distorted for o in scored.outcomes if o.asset.asset_id in wanted}


def _status_dict(root: Path, found: Status) -> dict[str, Any]:
    rows = [
        {
            "name": row.subdir.name,
            "exists": row.exists,
            "files": row.usage.files,
            "disk_bytes": row.usage.disk_bytes,
            "newest_s": row.usage.newest_ns / 1e9 if row.exists else None,
            "costs": row.subdir.costs,
            "removed_by": row.subdir.removed_by,
        }
        for row in found.rows
    ]
    return {
        "root": str(root),
        "exists": found.exists,
        "rows": rows,
        "total_files": found.total.files,
        "total_bytes": found.total.disk_bytes,
        "free_bytes": found.free_bytes,
        "live": [str(each) for each in found.live],
    }


def _finite(value: Any) -> Any:
    """The same without numbers that JSON lacks."""
    if isinstance(value, dict):
        return {str(name): _finite(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
