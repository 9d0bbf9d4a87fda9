"""How small, and how wide, a picture may be for what libvmaf computes of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import ceil

from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.common_form import CommonForm
from vmaf_harness.measure.extraction import Extraction
from vmaf_harness.measure.notes import Note
from vmaf_harness.measure.pixel_format import parse_pixel_format

_CAMBI_PX, _ENCODE_PX = 216, (180, 150)  # libvmaf/src/feature/cambi.c
_CAMBI_WINDOW_PX = 65  # of 3840×2160; of other sizes by width and height together
_ADM_PX = 17  # of the integer one; the float one and motion take 8 pixels, too
_SPEED_BLOCK_PX = 5
_SPEED_PX = 80  # 5 × 5 blocks after 4 halvings (libvmaf/src/feature/speed.c)
_SPEED_PRESCALES = {"5d0h": 0.6, "3d0h_2160": 0.5}  # of the built-in models whose names end so


def takes_encode(width_px: int, height_px: int) -> bool:
    """Whether CAMBI can be told of an encode of this size."""
    return width_px >= _ENCODE_PX[0] and height_px >= _ENCODE_PX[1] and max(width_px, height_px) >= _CAMBI_PX


def too_small(extraction: Extraction, form: CommonForm, encode: Mapping[str, int]) -> str | None:
    """Why libvmaf does not compute CAMBI, ADM or SpEED at this size, as far as the size says; None where it does."""
    size_px = (encode.get("enc_width", form.width_px), encode.get("enc_height", form.height_px))
    is_tiny = not takes_encode(*size_px) if "enc_width" in encode else max(size_px) < _CAMBI_PX
    if extraction.has_cambi and is_tiny:
        return (
            f"{size_px[0]}×{size_px[1]} is too small for CAMBI: the longer side needs {_CAMBI_PX} pixels, and what was "
            f"scaled up {_ENCODE_PX[0]}×{_ENCODE_PX[1]}; VMAF v0 (vmaf_v0.6.1) takes it"
        )
    if "adm" in extraction.extractors and min(form.width_px, form.height_px) < _ADM_PX:
        return (
            f"{form.width_px}×{form.height_px} is too small for ADM, which needs {_ADM_PX} pixels or more each way; "
            "give a quality size"
        )
    if (steps := _speed_steps(extraction, form)) is None:
        return None
    # The plane, rounded down, is scaled and rounded.
    least = [by * ceil((_SPEED_PX - 0.5) / _speed_prescale(extraction)) for by in steps]
    if form.width_px >= least[0] and form.height_px >= least[1]:
        return None
    return (
        f"{form.width_px}×{form.height_px} is too small for SpEED: it needs at least {least[0]}×{least[1]} pixels "
        f"({form.pix_fmt}); give a quality size, or take VMAF v0 (vmaf_v0.6.1)"
    )


def _speed_steps(extraction: Extraction, form: CommonForm) -> tuple[int, int] | None:
    """Pixels across and down of the picture for one of the smallest plane that SpEED looks at; None without SpEED."""
    if extraction.has_v1_features or "speed_chroma" in extraction.extractors:
        chroma = parse_pixel_format(form.pix_fmt).chroma
        return 1 if chroma == "444" else 2, 2 if chroma == "420" else 1
    return (1, 1) if "speed_temporal" in extraction.extractors else None


def speed_notes(extraction: Extraction, form: CommonForm) -> list[Note]:
    """The note of a picture for which SpEED says 0 whatever is in it.

    It takes the covariance of the places in a block from all positions of one in the picture, halved four times; of no
    more positions than places that has no inverse, and everything counts as equal (libvmaf/src/feature/speed.c).
    """
    if (steps := _speed_steps(extraction, form)) is None:
        return []
    positions = 1
    for size_px, step in zip((form.width_px, form.height_px), steps, strict=True):
        halved_px = int(size_px // step * _speed_prescale(extraction) + 0.5) >> 4
        positions *= halved_px // _SPEED_BLOCK_PX * _SPEED_BLOCK_PX - _SPEED_BLOCK_PX + 1
    if positions > _SPEED_BLOCK_PX**2:
        return []
    what = "as if no chroma were lost" if extraction.has_v1_features else "whatever is in it"
    text = (
        f"{form.width_px}×{form.height_px} has too few blocks for SpEED, which says 0, {what}; compare at a larger size"
    )
    return [Note(kind="speed", side="distorted", text=text)]


def _speed_prescale(extraction: Extraction) -> float:
    """What SpEED scales its pictures by before it looks at them: the least that is asked for."""
    given = [
        float(text) for text in re.findall(r"speed_prescale=([\d.]+)", dict(extraction.options).get("feature", ""))
    ]
    given += [float(str(dict(each.options).get("speed_prescale", 1.0))) for each in extraction.wanted]
    if extraction.model is None and extraction.has_v1_features:
        name = extraction.version.partition("-")[0].removeprefix("1.0.16_").removeprefix("hfr_")
        given.append(_SPEED_PRESCALES.get(name, 1.0))
    return min([1.0, *given])


def check_memory(extraction: Extraction, form: CommonForm, encode: Mapping[str, int], what: str) -> None:
    """Raise HarnessError for a picture so wide that CAMBI leaves its memory (1872×160), which may crash or may not.

    At its last scale, of 4 halvings, its window reaches further than the picture is high (libvmaf/src/feature/cambi.c).
    """
    width_px, height_px = encode.get("enc_width", form.width_px), encode.get("enc_height", form.height_px)
    window_px = _CAMBI_WINDOW_PX * (width_px + height_px) // 375 // 16 | 1
    if extraction.has_cambi and window_px // 2 > ceil(height_px / 16):
        raise HarnessError(
            f"{what}: {width_px}×{height_px} is too wide for its "
            "height for CAMBI of this libvmaf, which writes beyond its memory there; VMAF v0 (vmaf_v0.6.1) takes it"
        )
