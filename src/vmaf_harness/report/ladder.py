"""The encodes of a ladder with what they cost and how good they are: curves, hulls, and deltas against an anchor."""

from __future__ import annotations

import itertools
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from vmaf_harness.encode.store import StoredEncode
from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.scoring import Outcome
from vmaf_harness.report.bd_rate import BdRateError, Point, TooFewPointsError, bd_rate, hull
from vmaf_harness.report.testing import ScoredDataset
from vmaf_harness.statistics import percentile

PERCENTS = (1, 5, 10)
_NOT_PRESETS = ("fps_mode", "enc_time_base", "c:v", "b:v", "crf", "qp", "map_metadata", "fflags", "f")
_PRESETS = ("preset", "cpu-used", "speed")


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderEncode:
    """One encode. `codec` is what a curve is of: encoder, preset and further options; `rate` as in ``crf28``.

    The scores are those of its frames pooled; None where it has no stored score. `command` makes it again.
    """

    asset_id: int
    content_id: int
    content: str
    file: str
    codec: str
    encoder: str
    encoder_version: str
    rate: str
    width_px: int
    height_px: int
    bitrate_kbps: float
    size_bytes: int
    n_frames: int
    duration_s: float
    encode_fps: float | None
    score: float | None
    harmonic_mean: float | None
    perc1: float | None
    perc5: float | None
    perc10: float | None
    min: float | None
    label: float | None
    command: str
    decode_fps: float | None = None  # as `decoding` measures it; None where it was not


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The encodes of one content by one codec at one height, from the lowest bitrate up."""

    content_id: int
    codec: str
    height_px: int
    asset_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Knee:
    """Where a hull goes from one height to another: between these two bitrates."""

    from_height_px: int
    to_height_px: int
    from_kbps: float
    to_kbps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Hull:
    """The upper convex hull of one content and codec over all heights, from the lowest bitrate up."""

    content_id: int
    codec: str
    heights_px: tuple[int, ...]  # all that are there
    asset_ids: tuple[int, ...]
    knees: tuple[Knee, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """BD-rate and BD-quality of one codec against the anchor; without them `why_not` says why.

    `over` says of which encodes: all of one height, or the hull over several. `content_id` is None for the mean of the
    contents that have one, which `contents` counts.
    """

    content_id: int | None
    content: str
    anchor: str
    test: str
    over: str
    rate_percent: float | None = None
    quality: float | None = None
    overlap: float | None = None
    quality_overlap: tuple[float, float] | None = None
    contents: int = 1
    why_not: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """All of it. `score` is the executor whose scores these are; `codecs` in the order of the recipe."""

    dataset: str
    score: str
    pool: str
    codecs: tuple[str, ...]
    anchor: str
    interpolation: str
    encodes: tuple[LadderEncode, ...]
    curves: tuple[Curve, ...]
    hulls: tuple[Hull, ...]
    deltas: tuple[Delta, ...]

    @property
    def contents(self) -> dict[int, str]:
        """The name of each content, by its number, in the order of the recipe."""
        return {encode.content_id: encode.content for encode in self.encodes}


def read_ladder(
    scored: ScoredDataset,
    stored: Mapping[Path, StoredEncode],
    *,
    anchor: str | None = None,
    tests: Sequence[str] = (),
    interpolation: str = "pchip",
) -> Ladder | None:
    """The ladder that the encodes of a dataset are; None where none of them is a stored encode.

    *anchor* and *tests* are codecs as `find_codec` takes them; by default the first codec against all others. Raises
    HarnessError for a codec that is not there.
    """
    encodes = []
    for outcome in scored.outcomes:
        known = stored.get(Path(os.path.abspath(outcome.asset.distorted.path)))
        if known is not None:
            encodes.append(_encode(outcome, known, scored))
    if not encodes:
        return None
    codecs = tuple(dict.fromkeys(encode.codec for encode in encodes))
    base = find_codec(anchor, codecs) if anchor else codecs[0]
    compared = [find_codec(test, codecs) for test in tests] or [codec for codec in codecs if codec != base]
    hulls = _hulls(encodes)
    return Ladder(
        dataset=scored.recipe.name,
        score=scored.extraction.executor_id,
        pool=scored.pool,
        codecs=codecs,
        anchor=base,
        interpolation=interpolation,
        encodes=tuple(encodes),
        curves=tuple(_curves(encodes)),
        hulls=hulls,
        deltas=tuple(_deltas(encodes, hulls, base, compared, interpolation)),
    )


def with_decode_fps(ladder: Ladder, speeds: Mapping[int, float | None]) -> Ladder:
    """The same with how fast its encodes decode, by asset_id."""
    return replace(
        ladder, encodes=tuple(replace(each, decode_fps=speeds.get(each.asset_id)) for each in ladder.encodes)
    )


def find_codec(named: str, codecs: Sequence[str]) -> str:
    """The codec that is called so, or the only one whose encoder is. HarnessError, naming all, where there is none."""
    found = [codec for codec in codecs if codec == named] or [c for c in codecs if c.split()[0] == named]
    if len(found) != 1:
        which = "is of several presets" if found else "is not in this ladder"
        raise HarnessError(f"{named!r} {which}; there are {', '.join(map(repr, found or codecs))}")
    return found[0]


def _encode(outcome: Outcome, known: StoredEncode, scored: ScoredDataset) -> LadderEncode:
    asset, encoded, result = outcome.asset, known.encoded, outcome.result
    frames = next(iter(outcome.frames.values())) if outcome.frames else []
    percents = {f"perc{percent}": percentile(frames, percent) if frames else None for percent in PERCENTS}
    pools = result.pools if result is not None else {}
    bitrate = known.option("b:v")
    # libvpx and libaom are given one beside their CRF.
    is_average = bitrate not in (None, "0") and known.option("crf") is None
    quality = next((f"{name}{value}" for name in ("crf", "qp") if (value := known.option(name)) is not None), "")
    further = [
        f"{name.removeprefix('-').removesuffix(':v')}={value}"
        for name, value in zip(known.arguments[::2], known.arguments[1::2], strict=False)
        if name.removeprefix("-") not in (*_NOT_PRESETS, *_PRESETS)
    ]
    names = [known.encoder, known.option(*_PRESETS) or "", *further, "average bitrate" if is_average else ""]
    return LadderEncode(
        asset_id=asset.asset_id,
        content_id=asset.content_id,
        content=asset.shown_content,
        file=encoded.path.name,
        codec=" ".join(filter(None, names)),
        encoder=known.encoder,
        encoder_version=known.version,
        rate=f"{int(bitrate or 0) / 1000:g}k" if is_average else quality,
        width_px=encoded.width_px,
        height_px=encoded.height_px,
        bitrate_kbps=encoded.bitrate_bps / 1000,
        size_bytes=encoded.n_bytes,
        n_frames=encoded.n_frames,
        duration_s=encoded.duration_s,
        encode_fps=encoded.n_frames / encoded.encode_s if encoded.encode_s > 0 else None,
        score=pools.get(scored.pool),
        harmonic_mean=_finite(pools.get("harmonic_mean")),
        min=pools.get("min"),
        label=asset.groundtruth,
        command=shlex.join(known.command(asset.reference.path, encoded.path.name)),
        **percents,
    )


def _finite(number: float | None) -> float | None:
    return None if number is None or number != number else number


def _curves(encodes: Sequence[LadderEncode]) -> list[Curve]:
    groups: dict[tuple[int, str, int], list[LadderEncode]] = {}
    for encode in encodes:
        groups.setdefault((encode.content_id, encode.codec, encode.height_px), []).append(encode)
    return [
        Curve(content_id=content_id, codec=codec, height_px=height_px, asset_ids=_by_rate(group))
        for (content_id, codec, height_px), group in groups.items()
    ]


def _by_rate(encodes: Sequence[LadderEncode]) -> tuple[int, ...]:
    return tuple(encode.asset_id for encode in sorted(encodes, key=lambda encode: encode.bitrate_kbps))


def _hulls(encodes: Sequence[LadderEncode]) -> tuple[Hull, ...]:
    groups: dict[tuple[int, str], list[LadderEncode]] = {}
    for encode in encodes:
        groups.setdefault((encode.content_id, encode.codec), []).append(encode)
    found = []
    for (content_id, codec), group in groups.items():
        scored = [encode for encode in group if encode.score is not None]
        kept = [scored[index] for index in hull([_point(encode) for encode in scored])]
        knees = [
            Knee(
                from_height_px=low.height_px,
                to_height_px=high.height_px,
                from_kbps=low.bitrate_kbps,
                to_kbps=high.bitrate_kbps,
            )
            for low, high in itertools.pairwise(kept)
            if low.height_px != high.height_px
        ]
        found.append(
            Hull(
                content_id=content_id,
                codec=codec,
                heights_px=tuple(sorted({encode.height_px for encode in group})),
                asset_ids=tuple(encode.asset_id for encode in kept),
                knees=tuple(knees),
            )
        )
    return tuple(found)


def _point(encode: LadderEncode) -> Point:
    assert encode.score is not None
    return encode.bitrate_kbps, encode.score


def _deltas(
    encodes: Sequence[LadderEncode], hulls: Sequence[Hull], anchor: str, tests: Sequence[str], interpolation: str
) -> list[Delta]:
    """Those of each content, then their mean, for each codec that is not the anchor."""
    of = {(each.content_id, each.codec): each for each in hulls}
    contents = {encode.content_id: encode.content for encode in encodes}
    made: list[Delta] = []
    for test in tests:
        found = [
            _delta(encodes, of[content, anchor], of[content, test], name, interpolation)
            for content, name in contents.items()
            if (content, anchor) in of and (content, test) in of
        ]
        rates = [each.rate_percent for each in found if each.rate_percent is not None]
        qualities = [each.quality for each in found if each.quality is not None]
        made += found
        if len(found) > 1 and rates:
            made.append(
                Delta(
                    content_id=None,
                    content="mean",
                    anchor=anchor,
                    test=test,
                    over=f"{len(rates)} of {len(found)} contents",
                    rate_percent=fmean(rates),
                    quality=fmean(qualities) if qualities else None,
                    contents=len(rates),
                )
            )
    return made


def _delta(encodes: Sequence[LadderEncode], anchor: Hull, test: Hull, content: str, interpolation: str) -> Delta:
    points, overs, unscored = [], [], []
    for each in (anchor, test):
        is_one = len(each.heights_px) == 1
        overs.append(f"{each.heights_px[0]}p" if is_one else "hull of " + ", ".join(f"{h}p" for h in each.heights_px))
        wanted = None if is_one else set(each.asset_ids)
        own = [encode for encode in encodes if (encode.content_id, encode.codec) == (each.content_id, each.codec)]
        if n := sum(encode.score is None for encode in own):
            unscored.append(f"{n} of {len(own)} encodes of {each.codec}")
        scored = [encode for encode in own if encode.score is not None]
        points.append([_point(encode) for encode in scored if wanted is None or encode.asset_id in wanted])
    about = {"content_id": anchor.content_id, "content": content, "anchor": anchor.codec, "test": test.codec}
    over = overs[0] if overs[0] == overs[1] else f"{overs[0]} against {overs[1]}"
    try:
        found = bd_rate(points[0], points[1], interpolation)
    except BdRateError as error:
        why_not = f"{error.reason}: {error}"
        if unscored and isinstance(error, TooFewPointsError):
            why_not = f"not scored: {' and '.join(unscored)} have no stored score; `harness.test … --cache-result` on "
            why_not += "this recipe, with the same quality type and model, measures them"
        return Delta(**about, over=over, why_not=why_not)  # type: ignore[arg-type]
    return Delta(
        **about,  # type: ignore[arg-type]
        over=over,
        rate_percent=found.rate_percent,
        quality=found.quality,
        overlap=found.overlap,
        quality_overlap=found.quality_overlap,
    )
