"""Which of VMAF v1's built-in models is meant where a person says ``v1``: by size and frame rate of what is compared.

VMAF's documentation (resource/doc/models_v1.md, 2026-08) has a model for a display and a viewing distance: 1080p at
3 times its height (`3d0h`), a phone at 5 (`5d0h`), 2160p at 1.5 (`1d5h_2160`, its default for 4K) and at 3
(`3d0h_2160`, up to 110, which a person has to name); and each of them once more, `hfr`, for about 50 to 60 frames a
second. It names no limits, so those here are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from vmaf_harness.engine.binary import find_engine
from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.extraction import Extraction
from vmaf_harness.measure.header import read_headers
from vmaf_harness.measure.notes import Note
from vmaf_harness.measure.scoring import Outcome, RunOptions, score_assets
from vmaf_harness.model.quality_type import BUILT_IN, extraction
from vmaf_harness.recipe.asset import Asset, Video, check_asset
from vmaf_workspace.live.lock import Run

STANDARD = "vmaf_v1.0.16_3d0h"
_FAMILY, _PHONE, _UHD = "1.0.16", "5d0h", "1d5h_2160"
_WORDS = ("v1", "vmaf_v1")
MODELS = tuple(name for name in BUILT_IN if name.startswith(f"vmaf_v{_FAMILY}_"))
# Between 1080p and 2160p lies 1440p: what is larger is looked at on a display of 2160p. Either way up.
_LONG_PX, _SHORT_PX = 2560, 1440
HFR_FPS = 40.0  # between 30 and 48: `hfr` is for about twice the common 24 to 30
_HFR_END_FPS = 75.0  # far from the 50 to 60 that they are calibrated for


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The model that is meant for an asset, and what a person should know of that."""

    model: str
    why: str

    @property
    def note(self) -> Note:
        """The same as a note of the asset's score."""
        return Note(kind="model", side="distorted", text=f"scored by {self.model}: {self.why}")


def means_v1(model: str | None, root: Path) -> bool:
    """Whether *model* leaves it to us which of v1's it is; a model of that name in the workspace *root* goes first."""
    name = (model or "").removeprefix("version=")
    if name not in _WORDS:
        return False
    own = (root / "model" / f"{name}{suffix}" for suffix in (".pkl", ".json", ".bootstrap.json"))
    return name != model or not any(path.exists() for path in own)


def choose(asset: Asset, engine: str, *, phone_model: bool = False) -> Choice:
    """The model for *asset*, by the header of its reference; *phone_model* asks for that of a phone.

    The frame rate is that of what is compared: the reference's, or the distorted video's where frames are paired by
    time or the reference has none. Raises HarnessError for a phone and a picture above 1080p, for which there is no
    model, and for a video that cannot be read.
    """
    check_asset(asset)
    (reference,) = read_headers((asset.reference,), engine)
    width_px = asset.quality_width_px or reference.width_px
    height_px = asset.quality_height_px or reference.height_px
    is_large = max(width_px, height_px) > _LONG_PX or min(width_px, height_px) > _SHORT_PX
    if phone_model and is_large:
        raise HarnessError(
            f"{asset.prefix}VMAF v1 has no model of {width_px}×{height_px} on a phone; give a quality size "
            "of 1920×1080 (quality_width and quality_height in a recipe), or leave the phone model out"
        )
    fps = _frame_rate(asset, engine)
    name = _PHONE if phone_model else _UHD if is_large else STANDARD.rpartition("_")[2]
    is_hfr = fps is not None and fps >= HFR_FPS
    model = f"vmaf_v{_FAMILY}_{'hfr_' if is_hfr else ''}{name}"
    size = f"{width_px}×{height_px}"
    if fps is None:
        other = model.replace(_FAMILY, f"{_FAMILY}_hfr")
        return Choice(model=model, why=f"{size}, and nobody says its frame rate; for 50 or 60 fps name {other}")
    beyond = ", more than the 50 to 60 that it is made for" if fps > _HFR_END_FPS else ""
    return Choice(model=model, why=f"{size} at {fps:g} fps{beyond}")


def score_by_choice(
    assets: Sequence[Asset],
    run: Run,
    how: RunOptions,
    *,
    phone_model: bool = False,
    subsample: int = 1,
    warn: Callable[[str], None],
    progress: Callable[[int, int, Outcome], None],
) -> tuple[list[Outcome], Extraction]:
    """Score each of *assets* by the model that is meant for it, as `score_assets` does; and what shows which those are.

    Each of them predicts on the same scale what people see on its own display, so that a dataset of several sizes or
    rates has scores that can be compared. Each score has a note of its model, under whose own name results are stored.
    """
    engine = find_engine().path

    def chosen(asset: Asset) -> Choice | HarnessError:
        try:
            return choose(asset, engine, phone_model=phone_model)
        except HarnessError as error:
            return error

    with ThreadPoolExecutor(4) as pool:
        choices = list(pool.map(chosen, assets))
    outcomes = [
        Outcome(asset=asset, error=choice if isinstance(choice, HarnessError) else None)
        for asset, choice in zip(assets, choices, strict=True)
    ]
    models = [name for name in BUILT_IN if any(isinstance(c, Choice) and c.model == name for c in choices)]
    done = sum(outcome.error is not None for outcome in outcomes)
    for model in models:
        if not how.keep_going and any(outcome.error is not None for outcome in outcomes):
            break
        indices = [i for i, choice in enumerate(choices) if isinstance(choice, Choice) and choice.model == model]
        before = done

        def shown(of_them: int, _: int, outcome: Outcome, before: int = before) -> None:
            progress(before + of_them, len(assets), outcome)

        wanted = extraction("VMAF", model=model).subsampled(subsample)
        scored = score_assets([assets[i] for i in indices], wanted, run, how, warn=warn, progress=shown)
        for index, outcome in zip(indices, scored, strict=True):
            choice = choices[index]
            if outcome.result is not None and isinstance(choice, Choice):
                noted = replace(outcome.result, notes=(*outcome.result.notes, choice.note))
                outcome = replace(outcome, result=noted)
            outcomes[index] = outcome
        done += len(indices)
    return outcomes, shown_of(models).subsampled(subsample)


def shown_of(models: Sequence[str]) -> Extraction:
    """What is shown of scores by these models: the name of one, or of all of them (`1.0.16_3d0h+hfr_3d0h`)."""
    names = [model.removeprefix(f"vmaf_v{_FAMILY}_") for model in models]
    version = "_".join([_FAMILY, *filter(None, ["+".join(names)])])
    return Extraction(type="VMAF", version=version, options=(("model", "v1"),), score="vmaf", has_v1_features=True)


def _frame_rate(asset: Asset, engine: str) -> float | None:
    """Frames a second of what is compared; None where nobody says."""
    videos = [asset.reference, asset.distorted]
    if asset.pairing == "time":  # each distorted frame with the one that the reference shows then
        videos.reverse()
    return next((fps for video in videos if (fps := _rate_of(video, engine)) is not None), None)


def _rate_of(video: Video, engine: str) -> float | None:
    for name, given in reversed(video.filters):
        if name == "fps":
            try:
                return float(Fraction(given.partition(":")[0].removeprefix("fps=")))
            except (ValueError, ZeroDivisionError):  # a word such as `ntsc`, or a formula
                return None
    (header,) = read_headers((video,), engine)
    return header.fps or video.fps
