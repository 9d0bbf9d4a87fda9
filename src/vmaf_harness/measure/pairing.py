"""Which frame is compared with which: what is said where that may be another than is meant, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import isclose, isfinite
from pathlib import Path

from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.alignment import find_shift, likeness
from vmaf_harness.measure.command import Comparison
from vmaf_harness.measure.frames import Frames, first_mispaired, mean_rate
from vmaf_harness.measure.notes import CONTENT, PAIRING, RATE, SHIFT, Note
from vmaf_harness.recipe.asset import (
    RAW_FPS,
    Asset,
    common_frames_remedy,
    cut_remedy,
    pair_frames_remedy,
    selected_frames,
)

SIDES = ("distorted", "reference")
_DECODED = re.compile(r"Input stream #(\d+):\d+ \(video\): .*?(\d+) frames decoded")
_NO_FRAME = "Could not open encoder before EOF"
_RETIMING_FILTERS = ("fps", "select", "yadif")  # filters of a recipe after which a frame is not the one of its number
_UNLIKE = 0.6  # correlation of frames: what compression leaves is 0.9 and more
_RATE_ROUNDING = 0.011  # ffmpeg says two digits after the point: 29.97 of 30000/1001
_SAME_RATE = 5e-4  # relative: 23.98 is another way to write 24000/1001 (1.7e-4), 24 is not (1e-3)


def likeness_notes(asset: Asset, grids: tuple[Path, Path], n_frames: int) -> list[Note]:
    """The note of frames that look like neighbours of those that they are paired with, or like none of them.

    *grids* are those of the reference and of the distorted video (`alignment.GRID`).
    """
    if shift := find_shift(*grids):
        return [Note(kind=SHIFT, side="distorted", text=_shift_text(asset, shift, n_frames, n_frames))]
    like = likeness(*grids)
    if like is None or like >= _UNLIKE:
        return []
    text = (
        f"its frames hardly look like those of its reference (correlation {like:.2f}): is it of another video, or "
        "cropped, or are there bars?"
    )
    return [Note(kind=CONTENT, side="distorted", text=text)]


def _shift_text(asset: Asset, shift: int, distorted: int, reference: int) -> str:
    """What pairs so many frames of the two, of which those of the reference come *shift* frames later than now."""
    later, n = "later" if shift > 0 else "earlier", abs(shift)
    n_frames = min(distorted, reference - shift) if shift > 0 else min(distorted - n, reference)
    return (
        f"its frames look like those that come {n} {later} in its reference, so that each is compared with another "
        f"one; {pair_frames_remedy(asset, shift, n_frames)}"
    )


def timing_notes(comparison: Comparison, frames: Mapping[str, Frames]) -> list[Note]:
    """The note of frames whose times say that their numbers pair the wrong ones, or that rates differ."""
    asset = comparison.job.asset
    retimed = any(
        name in _RETIMING_FILTERS for video in (asset.reference, asset.distorted) for name, _ in video.filters
    )
    if retimed:
        return []
    if asset.pairing == "time":
        ours, theirs = comparison.reference.fps, comparison.distorted.fps
        if not ours or not theirs or abs(ours - theirs) <= _RATE_ROUNDING:
            return []
        text = "each of its frames is compared with the one that the reference shows then"
        return [Note(kind=RATE, side="distorted", text=f"{theirs:g} frames/s, its reference {ours:g}: {text}")]
    if len(frames) < len(SIDES):
        return []
    apart = first_mispaired(frames["reference"].times_s, frames["distorted"].times_s)
    if apart is None:
        return _rate_notes(comparison, frames)
    number, apart_s = apart
    text = (
        f"frames are paired by number, but times differ from frame {number} (counted from 0) on: there by "
        f"{apart_s * 1000:+.0f} ms, more than half a frame; --pair-by time pairs by time, --pair-by index says that it "
        "is meant so"
    )
    return [Note(kind=PAIRING, side="distorted", text=text)]


def _rate_notes(comparison: Comparison, frames: Mapping[str, Frames]) -> list[Note]:
    """The note of two rates by which frames of one number are shown more than half a frame apart."""
    rates = []
    for side, header in zip(SIDES, (comparison.distorted, comparison.reference), strict=True):
        rate = mean_rate(frames[side].times_s)
        if rate is None or (not header.has_clock and isclose(rate, RAW_FPS, rel_tol=_SAME_RATE)):
            return []
        rates.append(rate)
    distorted, reference = rates
    n = min(len(each.times_s) for each in frames.values())
    apart_s = (n - 1) * abs(1 / distorted - 1 / reference)
    if apart_s * max(rates) <= 1 / 2 or isclose(distorted, reference, rel_tol=_SAME_RATE):
        return []
    text = (
        f"{distorted:.4g} frames/s, its reference {reference:.4g}: paired by number, so that most frames are compared "
        f"with one that is shown at another time, the last {apart_s:.2g} s apart; --pair-by time pairs by time, "
        "--pair-by index says that it is meant so"
    )
    return [Note(kind=RATE, side="distorted", text=text)]


def check_lengths(asset: Asset, frames: Mapping[str, Frames]) -> None:
    """Paired by time, both have to last as long, but for the last frame of each; HarnessError where they do not."""
    last_s, step_s = {}, 0.0
    for side, video in zip(SIDES, (asset.distorted, asset.reference), strict=True):
        times_s = frames[side].times_s if side in frames else []
        if video.is_raw:
            times_s = [number / (video.fps or RAW_FPS) for number in range(selected_frames(video) or 0)]
        if not times_s or not all(map(isfinite, times_s)):
            raise HarnessError(
                f"{asset.prefix}{video.path} has frames without a time, so that none can be paired by it; "
                "leave pairing (--pair-by) out, or make a file that has times (ffmpeg -i … -c copy one.mkv)"
            )
        last_s[side] = times_s[-1] - times_s[0]
        step_s = max(step_s, *(after - before for before, after in pairwise(times_s)), 0.0)
    if abs(last_s["reference"] - last_s["distorted"]) > step_s * 1.5:
        raise HarnessError(
            f"{asset.prefix}the last frame of {asset.reference.path} is shown {last_s['reference']:.3f} s "
            f"after its first, that of {asset.distorted.path} {last_s['distorted']:.3f} s; "
            f"{_common_part_remedy(asset, last_s)}"
        )


def _common_part_remedy(asset: Asset, last_s: Mapping[str, float]) -> str:
    if asset.in_recipe:
        return "name the common part with start_frame and end_frame, or duration_sec, in a recipe"
    longer = asset.reference if last_s["reference"] > last_s["distorted"] else asset.distorted
    return f"{cut_remedy(longer, min(last_s.values()))} with start_frame and end_frame, or duration_sec"


def check_counts(
    asset: Asset, counts: tuple[int, int], damaged: Sequence[Note], grids: tuple[Path, Path] | None
) -> None:
    """Paired by number, both have to have as many frames, and as many as are asked for; HarnessError where they do not.

    *counts* are of the distorted video and of its reference; of *grids*, see `likeness_notes`.
    """
    distorted, reference = counts
    if not any(counts):
        why = (
            "do they end before start_frame, or does a select_cmd take none?" if asset.in_recipe else "are they whole?"
        )
        raise HarnessError(
            f"{asset.prefix}no frame of {asset.reference.path} and {asset.distorted.path} is left to compare; {why}"
        )
    if distorted != reference:
        why = (
            "in a recipe, start_frame and end_frame name the common ones, fps_cmd makes rates alike; pairing = 'time' "
            "(--pair-by time) pairs by time"
        )
        if not asset.in_recipe:
            why = f"{common_frames_remedy(asset, reference, distorted)}; --pair-by time pairs by time"
        if grids is not None and (shift := find_shift(*grids)):
            why = _shift_text(asset, shift, distorted, reference)
        if damaged:  # which lost them; those that follow are shifted
            why = f"it is {damaged[0].text}; --pair-by time pairs those that are left"
        raise HarnessError(
            f"{asset.prefix}{asset.reference.path} gives {reference} frames and {asset.distorted.path} "
            f"gives {distorted}; {why}"
        )
    for video, count in ((asset.distorted, distorted), (asset.reference, reference)):
        drops = any(name in ("fps", "select") for name, _ in video.filters)
        if video.end_frame is None or drops:
            continue
        wanted = video.end_frame - (video.start_frame or 0) + 1
        if count != wanted:
            raise HarnessError(
                f"{asset.prefix}{wanted} frames are asked for (up to frame {video.end_frame}), "
                f"but {video.path} gives {count}; correct {_range_words(asset)}"
            )


def _range_words(asset: Asset) -> str:
    if asset.in_recipe:
        return "start_frame, end_frame, or duration_sec and fps"
    return "--ref-start-frame, --dis-start-frame or --n-frames"


def check_beginnings(asset: Asset, frames: Mapping[str, Frames], inputs: tuple[int, int], log: Iterable[str]) -> None:
    """Raise HarnessError where a video ends before the frame that it is said to begin with, at which ffmpeg fails.

    *inputs* are the numbers that the distorted video and its reference have in the *log*.
    """
    lines = list(log)
    if not any(_NO_FRAME in line for line in lines):
        return
    decoded = {int(match[1]): int(match[2]) for match in map(_DECODED.search, lines) if match}
    for side, number, video in zip(SIDES, inputs, (asset.distorted, asset.reference), strict=True):
        has, start = decoded.get(number, 0), video.start_frame or 0
        if 0 < has <= start and (side not in frames or frames[side].first is None):
            raise HarnessError(
                f"{asset.prefix}{video.path} has {has} frames, counted from 0, and frame {start} is said to be its "
                f"first; correct {_range_words(asset)}"
            )
