"""The last screen of the demo: what was made, the page to open, three commands to paste; 24 lines of 80 columns."""

from __future__ import annotations

import shlex
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmaf_harness.demo.clips import NAME, PAIR, DemoClip
from vmaf_workspace.wording import count_text, duration_text, printable

WIDTH = 79
_MOST_NAMES = 6
_PLACES = {
    f"dataset/{NAME}/": "clips, recipes, plots, the page",
    f"encode/{NAME}/": "encodes",
    "result_store_dir/": "what is known of encodes; their scores",
    f"model_param/{NAME}.pkl": "how to fit, as it was tuned",
    f"model/{NAME}.*": "the model, for this harness and for libvmaf",
    "checkpoints_dir/": "parts of training, to go on from",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a demo came to; `files` are the paths below the workspace of all that demos made there."""

    root: Path
    clips: tuple[DemoClip, ...]
    rates: Mapping[str, Sequence[int]]
    teacher: str
    files: tuple[str, ...]
    seconds: float


def closing_screen(done: Done) -> list[str]:
    """Its lines."""
    lines = [f"== Made in {printable(str(done.root))} within {duration_text(done.seconds)}"]
    names = [printable(clip.name) for clip in done.clips]
    if len(names) > _MOST_NAMES:
        names = [*names[: _MOST_NAMES - 1], f"{len(names) - _MOST_NAMES + 1} more"]
    n_encodes = len(done.clips) * sum(map(len, done.rates.values()))
    codecs = " and ".join(f"{codec} at {len(crfs)} rates" for codec, crfs in done.rates.items())
    lengths = sorted({clip.n_frames for clip in done.clips})
    frames = " to ".join(map(str, dict.fromkeys((lengths[0], lengths[-1]))))
    about = f"Clips: {', '.join(names)}; {frames} frames of each. {n_encodes} encodes: {codecs}. "
    about += f"The labels are scores of {done.teacher}, nobody's opinions."
    lines += textwrap.wrap(about, WIDTH, max_lines=5, break_on_hyphens=False)
    for place, what in _PLACES.items():
        n = sum(path.startswith(place.rstrip("*")) for path in done.files)
        lines.append(f"  {place:21} {count_text(n, 'file'):>9}  {what}")
    if (page := f"dataset/{NAME}/{NAME}.html") in done.files:
        lines += ["The page to open:", printable(str(done.root / page))]
    lines += ["To go on, and to remove all of this again, paste:", f"cd {shlex.quote(str(done.root))}"]
    for command in _commands(done):
        lines += _folded(command)
    return lines


def _commands(done: Done) -> list[list[str]]:
    """Three, for a shell that is in the workspace."""
    program, here, model = _program("vmaf-harness"), ["--workspace", "."], ["--vmaf-model", NAME]
    reference, distorted = (f"dataset/{NAME}/{clip}.mp4" for clip in PAIR)
    first = [*program, "score", "--reference", reference, "--distorted", distorted, *model, *here]
    if distorted not in done.files:
        first = [*_program("vmaf-ws"), "models", *here]
    test = [*program, "test", f"dataset/{NAME}/{NAME}_dataset.py", *model, "--print-result", *here]
    return [first, test, [*program, "demo", "--clean", *here]]


def _folded(words: Sequence[str]) -> list[str]:
    """A command in lines that can be pasted together."""
    lines = [""]
    for word in map(shlex.quote, words):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > WIDTH - 2:
            lines[-1] += " \\"
            lines.append(f"    {word}")
        else:
            lines[-1] = f"{lines[-1]} {word}".lstrip() if len(lines) == 1 else f"{lines[-1]} {word}"
    return lines


def _program(name: str) -> list[str]:
    """The console script of this Python, by its name where that is what a shell finds."""
    beside = Path(sys.executable).with_name(name)
    if not beside.exists():
        return [sys.executable, "-m", f"{name.replace('-ws', '-workspace').replace('-', '_')}.cli"]
    found = shutil.which(name)
    return [name] if found and Path(found).samefile(beside) else [str(beside)]
