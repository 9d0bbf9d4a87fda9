"""A report as one file of HTML: it loads nothing, says all without a script, and more with it.

Jinja2 fills the template, and escapes whatever comes from a recipe or a file; matplotlib draws, as SVG, what the plots
of a run show as pictures, so that there is one way to draw a thing.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.pictures import FramePicture
from vmaf_harness.report.clips import Clip
from vmaf_harness.report.contents import Asked, Report
from vmaf_harness.report.decoding import frames_of_each
from vmaf_harness.report.drawing import PlotError
from vmaf_harness.report.frame_plot import FrameLine, content_frames_plot
from vmaf_harness.report.inline_svg import inline_svg
from vmaf_harness.report.label_plot import residual_plot, scatter_plot
from vmaf_harness.report.ladder import Ladder, LadderEncode
from vmaf_harness.report.ladder_plot import ladder_plot
from vmaf_harness.report.mark import MARK
from vmaf_harness.report.tested import Tested
from vmaf_harness.report.testing import ScoredDataset, plot_data
from vmaf_workspace.installation import install_command
from vmaf_workspace.wording import bytes_text, count_text

PAGE_BYTES = 4_600_000  # that a page may have with its pictures, so that it can be sent
_LEAST_PICTURE_BYTES, _MOST_PICTURE_BYTES = 600_000, 3_000_000
_FRAMES_DRAWN = 100_000  # of all clips
_LOSSLESS_PX = 120_000  # pixels of a frame; larger ones are WebP of this quality
_WEBP_QUALITY = 90
_DIFFERENCE_GAIN = 4


def page_html(report: Report, asked: Asked) -> str:
    """The whole page. Raises PlotError where matplotlib fails, HarnessError where Jinja2 is not installed."""
    environment = _environment()
    data = report.as_dict()
    ladder, scored, tested = report.ladder, report.scored, report.tested
    script = _template("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    contents = list(ladder.contents.items()) if ladder else []
    sections = [("ladder", "Ladder")] if ladder else []
    frame_plots = {} if scored is None else _frame_plots(scored, ladder, report.clips)
    rate_plots = {content: _rate_plot(ladder, content) for content, _ in contents} if ladder else {}
    label_plots = _label_plots(scored, tested) if scored and tested else []
    embedded = json.dumps(data).replace("<", "\\u003c")
    drawn = sum(len(plot) for plot in (*frame_plots.values(), *rate_plots.values(), *label_plots))
    left = PAGE_BYTES - drawn - 2 * len(embedded)  # a table has as many bytes as its numbers
    left = max(_LEAST_PICTURE_BYTES, min(_MOST_PICTURE_BYTES, left))
    pictures = _pictures(report.clips, report.pictures, left)
    sections += [("clips", "Clips")] if frame_plots else []
    sections += [("dataset", "Scores against labels")] if tested else []
    sections += [("model", "Model")] if report.model else []
    sections += [("workspace", "Workspace"), ("runs", "Models and runs")] if report.workspace else []
    html: str = environment.get_template("page.html.j2").render(
        mark=MARK,
        title=_title(report, asked),
        made=time.strftime("%Y-%m-%d %H:%M"),
        version=version("vmaf-workspace"),
        engine=_engine(scored),
        policy=f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'",
        css=_markup(_template("page.css")),
        script=_markup(script),
        json=_markup(embedded),
        data={"unscored": 0, "clips": [], "ladder": None, "tested": None, "model": None, "workspace": None} | data,
        score=scored.extraction.executor_id if scored else "",
        recipe="" if asked.dataset is None else str(asked.dataset),
        quality_type=asked.quality_type,
        asked_model=asked.model,
        sections=sections,
        decoded_frames=frames_of_each(len(ladder.encodes)) if ladder else 0,
        contents=contents,
        names=_contents_of(scored),
        bd_quality=f"BD-{scored.extraction.type}" if scored else "",
        rate_plots=rate_plots,
        frame_plots=frame_plots,
        pictured=[asset for asset, shown in pictures.items() if shown],
        pictures=pictures,
        label_plots=label_plots,
        by_asset={asset["asset_id"]: asset for asset in data.get("tested", {}).get("assets", [])},
    )
    return html


def _environment() -> Any:
    try:
        import jinja2
    except ImportError as error:
        raise HarnessError(f"no page without Jinja2 ({error}); `{install_command('report')}`") from error
    made = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, loader=jinja2.FunctionLoader(_template), trim_blocks=True
    )
    made.filters |= {"num": _number, "bytes": bytes_text, "when": _when}
    return made


def _template(name: str) -> str:
    return (files("vmaf_harness.report") / "templates" / name).read_text(encoding="utf-8")


def _markup(text: str) -> Any:
    """Text that is HTML already."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704  # our own style and script, drawings whose texts ElementTree escaped


def _number(value: float | None, digits: int) -> str:
    """A number with so many digits after the point, and a true minus sign; a dash where there is none."""
    if value is None:
        return "–"
    return f"{value:.{digits}f}".replace("-", "−") if round(value, digits) else f"{0:.{digits}f}"


def _when(time_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(time_s))


def _contents_of(scored: ScoredDataset | None) -> dict[int, str]:
    return {o.asset.content_id: o.asset.shown_content for o in scored.outcomes} if scored else {}


def _title(report: Report, asked: Asked) -> str:
    if report.scored is not None:
        name, what = report.scored.recipe.name, "ladder" if report.ladder else "dataset"
        about = name if what in name.lower() else f"{name}: {what}"
        return about + (f", scored by {asked.model}" if asked.model else "")
    return f"Model {report.model.name}" if report.model is not None else "VMAF workspace"


def _engine(scored: ScoredDataset | None) -> str:
    found = next((outcome.result.versions for outcome, _ in scored.scored if outcome.result), {}) if scored else {}
    return ", ".join(f"{name} {number}" for name, number in found.items())


@contextmanager
def _svg_file() -> Iterator[Path]:
    with TemporaryDirectory(prefix="vmaf-plot-") as directory:
        yield Path(directory) / "plot.svg"


def _inlined(
    path: Path,
    prefix: str,
    about: str,
    points: Mapping[str, Sequence[tuple[int, str]]] | None = None,
    lines: Mapping[str, tuple[int, str]] | None = None,
) -> Any:
    """A drawing as part of a page."""
    text = path.read_text(encoding="utf-8")
    return _markup(inline_svg(text, prefix, about=about, points=points or {}, lines=lines or {}))


def _rate_plot(ladder: Ladder, content_id: int) -> Any:
    name = ladder.contents[content_id]
    if all(encode.score is None for encode in ladder.encodes if encode.content_id == content_id):
        return f"{name}: no encode has a score"
    with _svg_file() as path:
        groups = ladder_plot(path, ladder, content_id)
        points = {gid: [(encode.asset_id, _words(encode)) for encode in encodes] for gid, encodes in groups.items()}
        about = f"Rate–quality plot of {name}; the table below has its numbers"
        return _inlined(path, f"rate{content_id}", about, points)


def _words(encode: LadderEncode) -> str:
    """What is said of a point."""
    about = f"{encode.content}: {encode.codec} {encode.rate} {encode.width_px}×{encode.height_px}"
    numbers = f"{encode.bitrate_kbps:.1f} kbit/s, score {_number(encode.score, 2)}"
    low = f"1 % {_number(encode.perc1, 2)}, 5 % {_number(encode.perc5, 2)}, min {_number(encode.min, 2)}"
    return f"{about}\n{numbers}\n{low}\n{encode.command}"


def _frame_plots(scored: ScoredDataset, ladder: Ladder | None, clips: Sequence[Clip]) -> dict[int, Any]:
    """Of each content: the scores of the frames of all its clips, the worst clip's thick and with its levels."""
    codec_of = {encode.asset_id: ladder.codecs.index(encode.codec) for encode in ladder.encodes} if ladder else {}
    thick: dict[int, Clip] = {}
    for clip in clips:
        thick.setdefault(clip.content_id, clip)  # the worst of a content comes first
    names: dict[int, str] = {}
    lines: dict[int, list[FrameLine]] = {}
    words: dict[int, dict[str, tuple[int, str]]] = {}
    for number, (outcome, score) in enumerate(scored.scored):
        asset, gid = outcome.asset, f"frames-{outcome.asset.asset_id}"
        names[asset.content_id] = asset.shown_content
        worst = thick.get(asset.content_id)
        name = asset.distorted.path.name
        lines.setdefault(asset.content_id, []).append(
            FrameLine(
                name=name,
                scores=next(iter((outcome.frames or {}).values()), []),
                colour=codec_of.get(asset.asset_id, 0 if ladder else number),
                gid=gid,
                is_bold=worst is not None and worst.asset_id == asset.asset_id,
            )
        )
        words.setdefault(asset.content_id, {})[gid] = (asset.asset_id, f"{name}\nscore {score:.2f}")
    made = {}
    most = max(50, min(400, _FRAMES_DRAWN // max(1, len(scored.scored))))
    for content_id, of_content in lines.items():
        worst = thick.get(content_id)
        levels = {"mean": worst.mean, **worst.percentiles} if worst else {}
        levels = {name.replace("perc", "") + " %" * name.startswith("perc"): each for name, each in levels.items()}
        cuts = worst.cuts if worst else ()
        title = f"{names[content_id]}: each frame"

        about = f"Score of each frame of {count_text(len(of_content), 'clip')} of {names[content_id]}"
        with _svg_file() as path, suppress(PlotError):  # where no score is finite, as PSNR of equal frames
            content_frames_plot(path, of_content, title, scored.extraction.executor_id, levels, cuts, most)
            made[content_id] = _inlined(path, f"frames{content_id}", about, lines=words[content_id])
    return made


def _label_plots(scored: ScoredDataset, tested: Tested) -> list[Any]:
    pairs = plot_data(scored)
    points: dict[str, list[tuple[int, str]]] = {}
    for asset in tested.assets:
        if math.isfinite(asset.label) and math.isfinite(asset.score):
            error = f", error {_number(asset.error, 2)}" if asset.error is not None else ""
            numbers = f"label {_number(asset.label, 2)}, score {_number(asset.score, 2)}{error}"
            words = f"{asset.content}: {asset.file}\n{numbers}"
            points.setdefault(f"content-{asset.content_id}", []).append((asset.asset_id, words))
    n = count_text(len(tested.assets), "asset")
    made = []
    with _svg_file() as path:
        scatter_plot(path, pairs)
        made.append(_inlined(path, "scatter", f"Scores over labels of {n}", points))
    with _svg_file() as path:
        if residual_plot(path, pairs):
            made.append(_inlined(path, "errors", f"Errors over labels of {n}", points))
    return made


def _pictures(
    clips: Sequence[Clip], taken: Mapping[int, Sequence[FramePicture]], left: int
) -> dict[int, list[dict[str, Any]]]:
    """The pictures of each clip, as the template shows them, as long as they are not more than *left* bytes."""
    made = {}
    for clip in clips:
        scores = {worst.frame: worst.score for worst in clip.worst}
        shown = [_shown(picture, scores[picture.frame]) for picture in taken.get(clip.asset_id, ())]
        n_bytes = sum(len(uri) for each in shown for _, _, uri in each["images"])
        if not shown or n_bytes > left:
            continue
        left -= n_bytes
        made[clip.asset_id] = shown
    return made


def _shown(picture: FramePicture, score: float) -> dict[str, Any]:
    size = (picture.width_px, picture.height_px)
    is_lossless = size[0] * size[1] <= _LOSSLESS_PX
    how = "lossless" if is_lossless else f"WebP, quality {_WEBP_QUALITY}"
    images = [
        ("reference", f"reference ({how})", _data_uri("RGB", size, picture.reference, is_lossless=is_lossless)),
        ("distorted", f"distorted ({how})", _data_uri("RGB", size, picture.distorted, is_lossless=is_lossless)),
    ]
    table = bytes(min(255, _DIFFERENCE_GAIN * value) for value in range(256))
    brighter = picture.difference.translate(table)
    about = f"difference of luma, times {_DIFFERENCE_GAIN}"
    images.append(("difference of", about, _data_uri("L", size, brighter, is_lossless=is_lossless)))
    time_s = picture.time_s if math.isfinite(picture.time_s) else None
    about_frame = {"frame": picture.frame, "time_s": time_s, "score": score}
    return {**about_frame, "width_px": size[0], "height_px": size[1], "images": images}


def _data_uri(mode: str, size: tuple[int, int], samples: bytes, *, is_lossless: bool) -> str:
    from PIL import Image  # matplotlib brings it

    file = io.BytesIO()
    Image.frombytes(mode, size, samples).save(file, "WEBP", lossless=is_lossless, quality=_WEBP_QUALITY, method=4)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
