"""The rate–quality plot of one content of a ladder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vmaf_harness.report.ladder import Ladder, LadderEncode
from vmaf_harness.report.rate_plot import RateLine, rate_quality_plot
from vmaf_workspace.wording import count_text


def ladder_plot(path: Path, ladder: Ladder, content_id: int) -> dict[str, list[LadderEncode]]:
    """Draw it into *path*; the encodes of each group of points, by the group's id in an SVG, in their order there.

    Colours tell codecs, markers heights, or codecs as well where there is one height; hulls are drawn where a codec has
    several. Raises PlotError where no
    encode has a score, and as `rate_quality_plot` does.
    """
    by_id = {encode.asset_id: encode for encode in ladder.encodes}
    heights = sorted({encode.height_px for encode in ladder.encodes if encode.content_id == content_id})
    lines, groups = [], {}
    for number, curve in enumerate(each for each in ladder.curves if each.content_id == content_id):
        encodes = [by_id[asset_id] for asset_id in curve.asset_ids if by_id[asset_id].score is not None]
        if not encodes:
            continue
        gid = f"curve-{number}"
        groups[gid] = encodes
        lines.append(
            RateLine(
                name=f"{curve.codec} {curve.height_px}p",
                points=_points(encodes),
                colour=ladder.codecs.index(curve.codec),
                marker=heights.index(curve.height_px) if len(heights) > 1 else ladder.codecs.index(curve.codec),
                gid=gid,
            )
        )
    for hull in ladder.hulls:
        if hull.content_id == content_id and len(hull.heights_px) > 1 and hull.asset_ids:
            on_hull = [by_id[asset_id] for asset_id in hull.asset_ids]
            colour = ladder.codecs.index(hull.codec)
            lines.append(RateLine(name=f"hull: {hull.codec}", points=_points(on_hull), colour=colour, is_hull=True))
    numbers = count_text(sum(map(len, groups.values())), "encode")
    rate_quality_plot(path, lines, f"{ladder.dataset}: {ladder.contents[content_id]}", numbers, ladder.score)
    return groups


def _points(encodes: Sequence[LadderEncode]) -> list[tuple[float, float]]:
    return [(encode.bitrate_kbps, encode.score) for encode in encodes if encode.score is not None]
