"""One pair of videos scored, as `score`, `run_vmaf` and `run_psnr` name it on a command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from glob import escape
from math import isnan
from pathlib import Path
from typing import Any, Literal

from vmaf_harness.engine.binary import find_engine
from vmaf_harness.engine.worker import versions_of
from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.extraction import Extraction
from vmaf_harness.measure.measurement import Compared
from vmaf_harness.measure.scoring import PairScore, Spread, pooled_score, score_pairs
from vmaf_harness.measure.upstream_form import BOOTSTRAP, UpstreamResult, described, identifier, pooled_by, score_name
from vmaf_harness.model.predictor import Predictor, resolve_quality_type
from vmaf_harness.model.quality_type import check_takes_model, find_type
from vmaf_harness.model.v1 import Choice, choose, means_v1
from vmaf_harness.recipe.asset import NOTYUV, Asset, Video
from vmaf_harness.report.drawing import PlotError, check_directory
from vmaf_harness.report.frame_plot import frames_plot
from vmaf_harness.script.options import RawPair, VmafPair
from vmaf_harness.script.progress import Progress, warn
from vmaf_harness.script.stop import stoppable
from vmaf_workspace.commands.command import located
from vmaf_workspace.errors import DONE, FAILED, UsageError
from vmaf_workspace.live.lock import Run
from vmaf_workspace.wording import printable, say

_SHOWN_POOLS = ("mean", "harmonic_mean", "perc5", "min")  # in a plot of frames


@dataclass(frozen=True, slots=True, kw_only=True)
class RawForm:
    """What a command line says of raw video; None for what it does not say."""

    yuv_fmt: str | None = None
    width_px: int | None = None
    height_px: int | None = None
    fps: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredPair:
    """A pair and its scores: `score` pooled as asked, `extraction` says of what."""

    score: float
    pair: PairScore
    extraction: Extraction
    spread: Spread | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a command line asks of a pair."""

    quality_type: str = "VMAF"
    model: str | None = None
    phone_model: bool = False
    pool: str = "mean"
    pair_by: str | None = None
    least_depth: int | None = None
    subsample: int = 1
    needs_spread: bool = False
    quiet: bool = False


def video_of(path: Path, side: Literal["ref", "dis"], own: RawForm, common: RawForm) -> Video:
    """A video as flags name it, its own before the common ones. Raises UsageError where they do not say enough."""
    yuv_fmt = own.yuv_fmt or common.yuv_fmt
    width_px, height_px = own.width_px or common.width_px, own.height_px or common.height_px
    if yuv_fmt is None and (width_px or height_px or common.fps):
        what = "--width and --height are" if width_px or height_px else "--fps is"
        raise UsageError(f"{what} of raw video: {path} needs its --yuv-fmt, too (or --{side}-yuv-fmt)")
    if yuv_fmt in (None, NOTYUV):
        if own.width_px or own.height_px:
            raise UsageError(f"--{side}-width and --{side}-height are of raw video, and {path} is {NOTYUV}")
        return Video(path=path, yuv_fmt=NOTYUV)
    if width_px is None or height_px is None:
        raise UsageError(f"--yuv-fmt {yuv_fmt} is of raw video: {path} needs its --width and --height, too")
    return Video(path=path, yuv_fmt=yuv_fmt, width_px=width_px, height_px=height_px, fps=common.fps)


def part_of(video: Video, start_frame: int, n_frames: int | None) -> Video:
    """*n_frames* of the video from its frame *start_frame* on, counted from 0; all that follow where that is None."""
    end_frame = None if n_frames is None else start_frame + n_frames - 1
    return replace(video, start_frame=start_frame or None, end_frame=end_frame)


def scored_pair(reference: Video, distorted: Video, asked: Asked, *, root: Path) -> ScoredPair:
    """Measure a pair, and say on stderr what a person should know of it; nothing is stored.

    Raises HarnessError for all that `score_pair` does, and where it `needs_spread` and the model has none.
    """
    (found,) = scored_pairs(reference, [distorted], asked, root=root)
    if isinstance(found, HarnessError):
        raise found
    return found


def scored_pairs(
    reference: Video, distorted: Sequence[Video], asked: Asked, *, root: Path
) -> list[ScoredPair | HarnessError]:
    """The same of several videos of one reference, some of them at once; the error of each that fails."""
    found: dict[int, ScoredPair | HarnessError] = {}
    by_model: dict[str | None, dict[int, Choice | None]] = {asked.model: dict.fromkeys(range(len(distorted)))}
    if means_v1(asked.model, root):  # a model for each pair
        check_takes_model(asked.quality_type, asked.model, asked.phone_model)
        is_phone = asked.phone_model or find_type(asked.quality_type).phone_model
        # Which would apply a transform to a phone's own model.
        asked = replace(asked, quality_type="VMAF" if is_phone else asked.quality_type, phone_model=False)
        by_model = {}
        for index, video in enumerate(distorted):
            asset = Asset(
                dataset="pair",
                content_id=0,
                asset_id=0,
                reference=reference,
                distorted=video,
                pairing=asked.pair_by,
                in_recipe=False,
            )
            try:
                choice = choose(asset, find_engine().path, phone_model=is_phone)
            except HarnessError as error:
                found[index] = error
                continue
            by_model.setdefault(f"version={choice.model}", {})[index] = choice
    resolved = {model: _resolved(asked, model, root) for model in by_model}
    measured: list[tuple[int, PairScore | HarnessError, Extraction, Predictor | None]] = []
    with Run(root) as run, Progress(len(distorted) - len(found), run=run, quiet=asked.quiet) as progress:

        def show(pair: PairScore | HarnessError) -> None:
            progress.step(frames=0 if isinstance(pair, HarnessError) else pair.result.n_frames)

        for model, of_model in by_model.items():
            wanted, predictor = resolved[model]
            pairs = score_pairs(
                reference,
                [distorted[index] for index in of_model],
                wanted,
                run,
                pairing=asked.pair_by,
                least_depth=asked.least_depth,
                progress=show,
            )
            measured += [(index, pair, wanted, predictor) for index, pair in zip(of_model, pairs, strict=True)]
    choices = {index: choice for of_model in by_model.values() for index, choice in of_model.items()}
    for index, pair, wanted, predictor in sorted(measured, key=lambda each: each[0]):
        try:
            if isinstance(pair, HarnessError):
                raise pair
            scored = found[index] = _scored(pair, wanted, predictor, distorted[index], asked.pool, choices[index])
        except HarnessError as error:
            found[index] = error
        else:
            _say_notes(scored, reference, distorted[index])
    return [found[index] for index in range(len(distorted))]


def _resolved(asked: Asked, model: str | None, root: Path) -> tuple[Extraction, Predictor | None]:
    """What is extracted, and what predicts of that; HarnessError for a model that lacks what is asked of it."""
    wanted, predictor = resolve_quality_type(
        asked.quality_type, root, model=model, phone_model=asked.phone_model, subsample=asked.subsample, warn=warn
    )
    if asked.needs_spread and (predictor is None or predictor.spreads is None):
        raise HarnessError(
            f"--ci needs a bootstrap model, and {model or wanted.executor_id} has one member; give --model the .pkl or "
            ".bootstrap.json of one (libvmaf's own collections, vmaf_b_…, do not load in ffmpeg's filter)"
        )
    return wanted, predictor


def _scored(
    pair: PairScore, wanted: Extraction, predictor: Predictor | None, video: Video, pool: str, choice: Choice | None
) -> ScoredPair:
    """The pair with what is predicted of it, pooled; HarnessError where there is no such number."""
    spread = None
    if predictor is not None:
        pair, spread = predictor.predicted_pair(pair, pool)
        wanted = predictor.extraction
    if choice is not None:
        pair = replace(pair, result=replace(pair.result, notes=(*pair.result.notes, choice.note)))
    score = pooled_score(pair.result, pool, str(video.path))
    return ScoredPair(score=score, pair=pair, extraction=wanted, spread=spread)


def _say_notes(found: ScoredPair, reference: Video, distorted: Video) -> None:
    """What a person should know of a pair."""
    for note in found.pair.result.notes:
        warn(f"{note.kind}: {reference.path if note.side == 'reference' else distorted.path}: {note.text}")


def _compared_text(compared: Compared | None) -> str:
    """How frames were paired, and at which size they were compared."""
    if compared is None:
        return ""
    how = "time" if compared.pairing == "time" else "number"
    return f" by {how} at {compared.width_px}×{compared.height_px}"


def _from_text(compared: Compared | None) -> str:
    """From which frames on, where not from the first of both."""
    if compared is None or not (compared.reference_start_frame or compared.distorted_start_frame):
        return ""
    return f" (from frame {compared.reference_start_frame}, the distorted from frame {compared.distorted_start_frame})"


@stoppable()
def score_videos(
    reference: Video, distorted: Sequence[Video], asked: Asked, *, root: Path, save_plot: Path | None, json: bool
) -> int:
    """Score each of *distorted*, and print a line or, of several, a table; or one JSON object. The exit code.

    Of several one that fails is named, and the others are scored. Raises UsageError where two plots would have one
    name.
    """
    if save_plot:
        check_directory(save_plot, *(f"{escape(video.path.stem)}_*_V*_frames.png" for video in distorted))
        if len({video.path.stem for video in distorted}) < len(distorted):
            raise UsageError("--save-plot: two of the videos have the same name, and so would their plots")
    found = scored_pairs(reference, distorted, asked, root=root)
    for video, each in zip(distorted, found, strict=True):
        if isinstance(each, HarnessError):
            if len(distorted) == 1:
                raise each
            is_named = str(each).startswith((f"{video.path}: ", f"{video.path} "))
            warn(each if is_named else f"{video.path}: {each}")
    code = FAILED if any(isinstance(each, HarnessError) for each in found) else DONE
    if json:
        print(_json(reference, distorted, found, asked, code))
    elif len(found) == 1:
        _print_line(found[0], asked, reference)
    else:
        _print_table(reference, distorted, found, asked)
    for video, each in zip(distorted, found, strict=True) if save_plot else ():
        sys.stdout.flush()  # the score first, which no plot is worth
        if isinstance(each, ScoredPair) and save_plot and not plot_frames(save_plot, video.path, each):
            code = FAILED
    return code


def _json(
    reference: Video, distorted: Sequence[Video], found: Sequence[ScoredPair | HarnessError], asked: Asked, code: int
) -> str:
    """The fields of the one pair; of several a list of them, below `videos`."""
    from vmaf_workspace.commands.tables import object_json

    rows = []
    for video, each in zip(distorted, found, strict=True):
        if isinstance(each, HarnessError):
            rows.append({"distorted": str(video.path), "error": str(each)})
            continue
        result, videos = each.pair.result, {"reference": str(reference.path), "distorted": str(video.path)}
        row: dict[str, Any] = {"executor_id": each.extraction.executor_id, "pool": asked.pool}
        row |= {"subsample": asked.subsample, "score": each.score}
        row["pools"] = {name: None if isnan(value) else value for name, value in result.pools.items()}  # NaN is no JSON
        row["versions"] = _versions(each)
        row["notes"] = [{"kind": n.kind, "video": videos[n.side], "text": n.text} for n in result.notes]
        row["frames"] = each.pair.frames
        row |= {"reference": str(reference.path), "distorted": str(video.path)}
        if each.pair.compared is not None:
            row["compared"] = asdict(each.pair.compared)
        if each.spread is not None:
            row["bootstrap"] = asdict(each.spread)
        rows.append(row if len(found) == 1 else {"distorted": str(video.path), **row})
    if len(rows) == 1:
        return object_json("score", **rows[0])
    return object_json("score", reference=str(reference.path), videos=rows, exit_code=code)


def _print_line(found: ScoredPair | HarnessError, asked: Asked, reference: Video) -> None:
    assert isinstance(found, ScoredPair)
    result = found.pair.result
    print(f"{found.extraction.type} {found.score:.6f}")
    if (spread := found.spread) is not None:
        interval = f"95 % from {spread.low:.6f} to {spread.high:.6f}"
        say(f"bootstrap: mean {spread.mean:.6f}, sd {spread.sd:.6f}, {interval}")
    measured = f"{result.n_frames} frames{_compared_text(found.pair.compared)}{_one_in(asked.subsample)}"
    say(
        f"{asked.pool} of {measured}, {found.extraction.executor_id}, against {printable(reference.path.name)}"
        f"{_from_text(found.pair.compared)}",
        sys.stderr,
    )
    _say_versions(found)


def _versions(found: ScoredPair) -> dict[str, str]:
    """What made the number: the engine, and this package."""
    return {**found.pair.result.versions, **dict(versions_of(()))}


def _say_versions(found: ScoredPair) -> None:
    say(", ".join(f"{name} {version}" for name, version in _versions(found).items() if version), sys.stderr)


def _one_in(subsample: int) -> str:
    return f", one in {subsample}" if subsample > 1 else ""


def _print_table(
    reference: Video, distorted: Sequence[Video], found: Sequence[ScoredPair | HarnessError], asked: Asked
) -> None:
    """A row a video, in their order, named below the directory that all are in; one that failed has dashes."""
    from vmaf_workspace.commands.tables import print_table

    scored = [each for each in found if isinstance(each, ScoredPair)]
    pools = list(dict.fromkeys([asked.pool, *_SHOWN_POOLS]))
    has_spread = any(each.spread is not None for each in scored)
    where = os.path.commonpath([os.path.abspath(video.path.parent) for video in distorted])
    rows = []
    for video, each in zip(distorted, found, strict=True):
        name = printable(os.path.relpath(video.path, where))
        if isinstance(each, HarnessError):
            rows.append((name, *("-" for _ in pools), *(("-",) if has_spread else ()), "-"))
            continue
        result, spread = each.pair.result, each.spread
        numbers = [f"{each.score if one == asked.pool else result.pools[one]:.4f}" for one in pools]
        interval = [f"{spread.low:.2f} to {spread.high:.2f}" if spread is not None else "-"] if has_spread else []
        rows.append((name, *numbers, *interval, str(result.n_frames)))
    if scored:
        kind, form = scored[0].extraction, _compared_text(scored[0].pair.compared)
        begin = _from_text(scored[0].pair.compared)
        against = f"against {reference.path.name}{begin}, frames{form}{_one_in(asked.subsample)}"
        warn(f"{kind.type} ({kind.executor_id}) {against}, of videos in {where}:")
        _say_versions(scored[0])
    heads = [f">{one.upper().replace('HARMONIC_MEAN', 'HARMONIC')}" for one in pools]
    print_table(("|DISTORTED", *heads, *((">95 %",) if has_spread else ()), ">FRAMES"), rows)


def run_raw_pair(options: RawPair, quality_type: str) -> int:
    """Score a pair as upstream's scripts do, and print it in their form; the exit code."""
    raw = RawForm(yuv_fmt=options.yuv_fmt, width_px=options.width, height_px=options.height)
    reference = video_of(options.reference, "ref", RawForm(), raw)
    distorted = video_of(options.distorted, "dis", RawForm(), raw)
    asked, save_plot = Asked(quality_type=quality_type, pool=options.pool, subsample=options.subsample), None
    if isinstance(options, VmafPair):
        asked = replace(asked, model=options.model, phone_model=options.phone_model, needs_spread=options.ci)
        save_plot = options.save_plot
    if save_plot:
        check_directory(save_plot, f"{escape(options.distorted.stem)}_*_V*_frames.png")
    found = scored_pair(reference, distorted, asked, root=located(options.workspace).path)
    asset = Asset(dataset="cmd", content_id=0, asset_id=0, reference=reference, distorted=distorted)
    result = upstream_result(found, asset, pool=options.pool, has_interval=asked.needs_spread)
    texts = {"json": result.json, "xml": result.xml}
    text = texts[options.out_fmt]() if options.out_fmt in texts else result.text(described(asset))
    print(text if options.out_fmt in texts else "\n".join(map(printable, text.split("\n"))), flush=True)
    return DONE if save_plot is None or plot_frames(save_plot, options.distorted, found) else FAILED


def upstream_result(found: ScoredPair, asset: Asset, *, pool: str, has_interval: bool = False) -> UpstreamResult:
    """The scores under the names of VMAF's own harness; with *has_interval* also those of a bootstrap's members."""
    kind = BOOTSTRAP if has_interval else found.extraction.type
    extraction, score = found.extraction, found.extraction.score
    names = {metric: score_name(metric, extraction) for metric in found.pair.frames}
    kept = {metric: name for metric, name in names.items() if has_interval or not name.startswith(f"{BOOTSTRAP}_")}
    kept[score] = f"{kind}_score"
    frames = {name: found.pair.frames[metric] for metric, name in kept.items()}
    pooled = pooled_by(frames, pool)
    if pool == "mean":  # libvmaf's own, of scores that its log has not rounded yet
        pooled |= {
            name: found.pair.result.means[metric] for metric, name in kept.items() if metric in found.pair.result.means
        }
    pooled[kept[score]] = found.score
    return UpstreamResult(
        executor_id=f"{kind}_V{extraction.version}",
        identifier=identifier(asset),
        frames=frames,
        method=pool,
        pooled=pooled,
        subsample=extraction.subsample,
    )


def plot_frames(directory: Path, distorted: Path, found: ScoredPair) -> bool:
    """Draw the score of each frame into *directory*; False, said on stderr, where that fails."""
    path = directory / f"{distorted.stem}_{found.extraction.executor_id}_frames.png"
    shown = {name: found.pair.result.pools[name] for name in _SHOWN_POOLS}
    try:
        frames_plot(
            path,
            found.pair.frames[found.extraction.score],
            distorted.name,
            shown,
            found.extraction.executor_id,
            every=found.extraction.subsample,
        )
    except PlotError as error:
        warn(str(error))
        return False
    print(printable(str(path)), file=sys.stderr)
    return True
