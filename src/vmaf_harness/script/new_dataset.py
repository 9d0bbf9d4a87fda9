"""Writes the recipe of a directory of videos, with marks where a person has to fill something in."""

from __future__ import annotations

from vmaf_harness.encode.draft import check_may_write, find_videos, write_draft
from vmaf_harness.encode.recipe import output_path
from vmaf_harness.errors import HarnessError
from vmaf_harness.recipe.fields import FILL_IN
from vmaf_harness.report.testing import printable_lines
from vmaf_harness.script.options import Drafting
from vmaf_harness.script.progress import warn
from vmaf_workspace.commands.command import located
from vmaf_workspace.errors import DONE
from vmaf_workspace.setup import ensure
from vmaf_workspace.wording import count_text


def run(options: Drafting) -> int:
    """Write it; 0 done, 1 failed, 3 where a recipe is there that a person has filled in."""
    root = located(options.workspace).path
    output = output_path(options.output_dataset or options.directory.resolve().name, root)
    is_there = check_may_write(output)
    draft = find_videos(options.directory)
    if output.parent == root / "dataset":
        ensure(root)
    elif not output.parent.is_dir():
        raise HarnessError(f"{output.parent} is no directory; make it, or name another output_dataset")
    to_fill = write_draft(output, draft, options.label)
    print(printable_lines(output))
    if is_there:
        warn("it replaces a draft that was there, which nobody had edited")
    for path, why in draft.unreadable:
        warn(f"left out: {why.removesuffix('; name a video file')}" + ("" if str(path) in why else f" ({path})"))
    for path in draft.left_out:
        warn(f"left out: {path} begins with the name of no reference")
    encodes = count_text(draft.n_encodes, "encode")
    warn(f"{count_text(len(draft.contents), 'reference')}, {encodes} (by their names: see that they are right)")
    if to_fill:
        warn(f"fill in every {FILL_IN!r} there: {', '.join(to_fill)}")
    return DONE
