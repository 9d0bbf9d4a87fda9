"""Reports: a table of models and runs, the numbers of a dataset or a model, the page; and BD-rates of a ladder."""

from __future__ import annotations

import shlex
import sys
import webbrowser
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmaf_harness.errors import HarnessError
from vmaf_harness.report.mark import check_page
from vmaf_harness.script.options import BdRating, Reporting
from vmaf_harness.script.progress import warn
from vmaf_workspace.commands import tables
from vmaf_workspace.commands.command import located
from vmaf_workspace.disk.atomic import write_atomically
from vmaf_workspace.errors import DONE, FAILED, UsageError, WorkspaceError
from vmaf_workspace.wording import bytes_text, printable, say

if TYPE_CHECKING:
    from vmaf_harness.report.ladder import Ladder
    from vmaf_harness.report.testing import ScoredDataset

_ROWS = 40  # of a table of encodes or assets


def run(options: Reporting) -> int:
    """Print what is asked for, and write the page; nothing else is changed."""
    if options.open and options.html is None:
        raise UsageError("--open opens the page: name its file by --html")
    if options.dataset is not None and options.encodes is not None:
        raise UsageError("--encodes takes the place of --dataset: give one of them")
    if options.html is not None:
        check_page(options.html)
    root = located(options.workspace).path
    is_of_all = options.dataset is None and options.encodes is None
    if is_of_all and options.vmaf_model is None and options.html is None:
        return _show_entries(root, json=options.json)
    from vmaf_harness.report.contents import Asked, read_report

    asked = Asked(
        dataset=options.dataset,
        encodes=options.encodes,
        model=options.vmaf_model,
        quality_type=options.quality_type,
        pool=options.pool,
        anchor=options.anchor,
        interpolation=options.interpolation,
        clips=options.clips if options.json or options.html is not None else 0,  # the table shows neither
    )
    found = read_report(root, asked, warn=warn, told=_tell)
    if is_of_all and options.vmaf_model is not None and found.model is None:
        raise HarnessError(
            f"{options.vmaf_model} has no card in model/, so there is nothing to report; `ws.models` lists all"
        )
    if options.json:
        print(tables.object_json("report", **found.as_dict()))
    elif found.ladder is not None and options.html is None:
        show_ladder(found.ladder)
    if options.html is not None:
        from vmaf_harness.report.page import page_html

        content = page_html(found, asked).encode("utf-8", "backslashreplace")
        if options.dry_run:
            warn(f"{options.html} would have {bytes_text(len(content))}; dry run: nothing was changed")
            return DONE
        check_page(options.html)  # once more, after what may take minutes
        try:
            write_atomically(options.html, content)
        except OSError as error:
            raise HarnessError(f"{options.html}: {error.strerror}; make its directory, or name another file") from error
        print(f"{printable(str(options.html))}: {bytes_text(len(content))}", file=sys.stderr)
        if options.open and not webbrowser.open(options.html.absolute().as_uri()):
            warn(f"no browser was found; open {options.html} in one")
            return FAILED
    elif not options.json and found.ladder is None:
        warn("this has no table: --json prints its numbers, --html FILE writes a page")
    return DONE


def run_bd_rate(options: BdRating) -> int:
    """Print the deltas of a ladder; FAILED where a content that both codecs have has none."""
    from vmaf_harness.encode.store import EncodeResultStore
    from vmaf_harness.report.ladder import read_ladder
    from vmaf_harness.report.stored import stored_dataset
    from vmaf_harness.report.stored_ladder import stored_ladder

    root = located(options.workspace).path
    given: dict[str, Any] = {"quality_type": options.quality_type, "model": options.vmaf_model, "pool": options.pool}
    stored = EncodeResultStore(root, warn=warn).entries()
    if options.dataset is not None:
        scored = stored_dataset(root, options.dataset, **given, warn=warn)
    else:
        scored = stored_ladder(root, options.encodes or "", stored, **given, warn=warn)
    ladder = read_ladder(
        scored,
        stored,
        anchor=options.anchor,
        tests=options.test,
        interpolation=options.interpolation,
    )
    if ladder is None:
        raise HarnessError(f"{scored.recipe.path} names no encode of run_encode, so there is no ladder to compare")
    failed = any(each.why_not is not None for each in ladder.deltas)
    code = FAILED if failed or not ladder.deltas else DONE
    if options.json:
        about = {"anchor": ladder.anchor, "interpolation": ladder.interpolation, "score": ladder.score}
        deltas = [asdict(delta) for delta in ladder.deltas]
        print(tables.object_json("bd-rate", **about, deltas=deltas, exit_code=code))
        return code
    if not ladder.deltas:
        raise HarnessError(f"there is one codec, {ladder.anchor!r}, and nothing to compare it with")
    show_deltas(ladder)
    return code


def show_ladder(ladder: Ladder) -> None:
    """The encodes and the deltas of a ladder, as tables."""
    several = len({encode.content_id for encode in ladder.encodes}) > 1
    header = (*(("|CONTENT",) if several else ()), "|CODEC", "RATE", ">HEIGHT", ">KBIT/S", ">SCORE", ">5 %", ">MIN")
    rows = [
        (
            *((printable(encode.content),) if several else ()),
            printable(encode.codec),
            encode.rate,
            str(encode.height_px),
            f"{encode.bitrate_kbps:.1f}",
            *("-" if each is None else f"{each:.2f}" for each in (encode.score, encode.perc5, encode.min)),
        )
        for encode in sorted(ladder.encodes, key=lambda each: (each.content_id, each.codec, each.bitrate_kbps))
    ]
    tables.print_table(header, rows[:_ROWS])
    if len(rows) > _ROWS:
        say(f"… and {len(rows) - _ROWS} more; `harness.report` with --json, or --html FILE, has all")
    say(f"scores: {ladder.score}, {ladder.pool}")
    if any(encode.score is not None for encode in ladder.encodes) and ladder.deltas:
        print()
        show_deltas(ladder)


_LITTLE_OVERLAP = 0.25  # of the range of scores of both curves; a choice of ours


def show_deltas(ladder: Ladder) -> None:
    """The deltas of a ladder, as a table; why there is none below it."""
    rows = []
    reasons: dict[str, list[str]] = {}
    for each in ladder.deltas:
        numbers = ["-"] * 3
        if each.why_not is not None:
            reason, _, more = each.why_not.partition(": ")
            reasons.setdefault(more, []).append(f"{each.content}, {each.test}")
            numbers = [reason, "-", "-"]
        elif each.rate_percent is not None:
            quality = "-" if each.quality is None else f"{each.quality:+.2f}"
            numbers = [f"{each.rate_percent:+.2f} %", quality, "" if each.overlap is None else f"{each.overlap:.0%}"]
        rows.append((printable(each.content), printable(each.test), *numbers, each.over))
    tables.print_table(
        ("|CONTENT", "|TEST", ">BD-RATE", f">BD-{ladder.score.split('_V')[0]}", ">OVERLAP", "OVER"), rows
    )
    say(f"against {printable(ladder.anchor)}, by {ladder.interpolation}; below 0 %: fewer bits at the same score")
    for each in ladder.deltas:
        if each.overlap is not None and each.overlap < _LITTLE_OVERLAP:
            warn(
                f"{each.content}, {each.test}: the curves share {each.overlap:.0%} of their scores only, so this delta "
                "says little; encode at rates whose scores meet"
            )
    for why, of in reasons.items():
        more = f" and {len(of) - 1} more" if len(of) > 1 else ""
        warn(f"{of[0]}{more}: {why}")


def show_tested(dataset: ScoredDataset) -> None:
    """The assets of a dataset with their labels and scores, as a table."""
    rows = []
    for outcome, score in dataset.scored[:_ROWS]:
        asset = outcome.asset
        label = "-" if asset.groundtruth is None else f"{asset.groundtruth:.2f}"
        name, content = printable(asset.distorted.path.name), printable(asset.shown_content)
        rows.append((name, str(asset.asset_id), content, label, f"{score:.2f}"))
    tables.print_table(("|FILE", ">ASSET", "|CONTENT", ">LABEL", ">SCORE"), rows)
    if len(dataset.scored) > _ROWS:
        say(f"… and {len(dataset.scored) - _ROWS} more; --print-result has all")


def show_encoded(root: Path, recipe: Path, directory: Callable[[], Path], suffix: str | None) -> None:
    """What a ladder came to: on a terminal its table; with a *suffix* a plot of each content in *directory*.

    What cannot be shown is a warning: the encodes are there.
    """
    if suffix is None and not sys.stdout.isatty():
        return
    from vmaf_harness.encode.store import EncodeResultStore
    from vmaf_harness.report.ladder import read_ladder
    from vmaf_harness.report.ladder_plot import ladder_plot
    from vmaf_harness.report.stored import stored_dataset

    try:
        scored = stored_dataset(root, recipe, warn=warn)
        ladder = read_ladder(scored, EncodeResultStore(root, warn=warn).entries())
        if ladder is None:
            return
        if sys.stdout.isatty():
            show_ladder(ladder)
        for content_id in ladder.contents if suffix is not None else ():
            path = directory() / f"{ladder.dataset}_{ladder.score}_rates_{content_id}.{suffix}"
            ladder_plot(path, ladder, content_id)
            warn(path)
    except WorkspaceError as error:
        warn(error)
    warn(f"`harness.report --dataset {shlex.quote(str(recipe))} --html FILE` writes a page of it")


def _show_entries(root: Path, *, json: bool) -> int:
    """What is known of models and runs: a table, or the object."""
    from vmaf_harness.report.summary import HEADER, read_entries, table

    found = read_entries(root)
    if json:
        print(tables.object_json("report", entries=[asdict(each) for each in found]))
        return DONE
    if not found:
        print("no model and no run has statistics here", file=sys.stderr)
        return DONE
    rows, notes = table(found)
    tables.print_table(HEADER, rows)
    for note in notes:
        say(note)
    return DONE


def _tell(done: int, total: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        print(f"\rvideos decoded: {done}/{total}", end=end, file=sys.stderr, flush=True)
