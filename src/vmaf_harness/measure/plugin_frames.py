"""What features of plug-ins are computed from: both videos in their common form, frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from vmaf_harness.errors import EngineError
from vmaf_harness.measure.common_form import CommonForm
from vmaf_harness.measure.header import FULL
from vmaf_harness.measure.pixel_format import parse_pixel_format
from vmaf_harness.plugins import FramePair, PluginUse, checked_numbers

REFERENCE_YUV, DISTORTED_YUV = "reference.yuv", "distorted.yuv"  # in a job's scratch


def plugin_metric(kind: str, atom: str) -> str:
    """What a feature of a plug-in is called among the metrics: as in a model."""
    return f"{kind}_{atom}_score"


def plugin_columns(
    use: PluginUse, directory: Path, form: CommonForm, n_frames: int, check: Callable[[], None], *, every: int = 1
) -> dict[str, list[float]]:
    """The features of one plug-in, by metric, of the raw videos in *directory*; *check* raises where the run stopped.

    It gets *n_frames* pairs: the first, and each that follows *every* frames later, as libvmaf counts ``n_subsample``.
    Raises PluginError where the plug-in is missing, has another version than *use*, raises, or gives anything but a
    finite number for each of its atoms and frames.
    """
    found = use.load()
    pairs = _FramePairs(directory, form, range(0, n_frames * every, every), check)
    try:
        given = found.call("extract", iter(pairs))
    finally:
        pairs.close()
    check()
    if not isinstance(given, dict) or {*given} != {*use.atoms}:
        got = ", ".join(map(str, given)) if isinstance(given, dict) else type(given).__name__
        raise found.error(f"has to return {', '.join(use.atoms)} from extract, by name, and returns {got[:200]}")
    return {
        plugin_metric(use.name, atom): checked_numbers(found, "extract", given[atom], n_frames, atom)
        for atom in use.atoms
    }


class _FramePairs:
    """Reads the pairs one after the other, so that a plug-in that goes through them needs no more memory for longer
    videos.
    """

    def __init__(self, directory: Path, form: CommonForm, numbers: range, check: Callable[[], None]) -> None:
        self._form, self._numbers, self._check = form, numbers, check
        self._files = [(directory / name).open("rb") for name in (REFERENCE_YUV, DISTORTED_YUV)]

    def __iter__(self) -> Iterator[FramePair]:
        depth, is_full = parse_pixel_format(self._form.pix_fmt).depth, self._form.range == FULL
        for number in self._numbers:
            self._check()
            reference, distorted = (self._planes(file, depth, number) for file in self._files)
            yield FramePair(reference, distorted, depth, is_full)

    def close(self) -> None:
        for file in self._files:
            file.close()

    def _planes(self, file: BinaryIO, depth: int, number: int) -> tuple[Any, Any, Any]:
        import numpy as np

        across, down = {"420": (2, 2), "422": (2, 1)}.get(parse_pixel_format(self._form.pix_fmt).chroma, (1, 1))
        width, height = self._form.width_px, self._form.height_px
        chroma = (-(-height // down), -(-width // across))
        dtype = np.dtype("<u2" if depth > 8 else "u1")
        one = (height * width + 2 * chroma[0] * chroma[1]) * dtype.itemsize
        file.seek(number * one)
        content = file.read(one)
        if len(content) != one:
            raise EngineError(f"{file.name} ends before frame {number}; is the disk of the workspace full?")
        samples = np.frombuffer(content, dtype=dtype)  # read only, as the bytes are
        y, u, v = np.split(samples, [height * width, height * width + chroma[0] * chroma[1]])
        return y.reshape(height, width), u.reshape(chroma), v.reshape(chroma)
