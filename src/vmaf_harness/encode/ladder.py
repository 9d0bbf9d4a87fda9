"""The rungs of an encoding ladder: encoder × rate × height × preset, as people write them on a command line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vmaf_harness.encode.encoders import ENCODER_NAME, Encoder
from vmaf_workspace.errors import UsageError

OWN_HEIGHT = "source"  # the height that means: as tall as the reference
# Options that every encoder of ffmpeg understands, beside its private ones (libavcodec/options_table.h).
GENERIC_OPTIONS = frozenset(
    (
        *(
            "bf",
            "bufsize",
            "flags",
            "g",
            "keyint_min",
            "level",
            "maxrate",
            "minrate",
            "profile",
            "qmax",
            "qmin",
            "refs",
        ),
        *("refs", "color_primaries", "color_range", "color_trc", "colorspace", "threads"),
    )
)
_OPTIONS_WITH_FLAGS = frozenset({"b", "crf", "qp", "preset", "cpu-used", "speed"})
_BITRATE = re.compile(r"(\d+(?:\.\d+)?)([kKmM]?)")
_SCALES = {"": 1, "k": 1000, "m": 1_000_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One way to encode; either `crf` or `bitrate_bps`. A `height_px` of None is the reference's own."""

    encoder: Encoder
    crf: str | None = None
    bitrate_bps: int | None = None
    height_px: int | None = None
    preset: str | None = None
    options: tuple[tuple[str, str], ...] = ()

    @property
    def rate(self) -> str:
        """``crf28`` or ``500k``, as it stands in file names."""
        if self.bitrate_bps is None:
            return f"{self.encoder.quality_option}{self.crf}"
        return f"{self.bitrate_bps / 1000:g}k"


def read_ladder(
    encoders: dict[str, Encoder],
    *,
    crfs: Sequence[str] = (),
    bitrates: Sequence[str] = (),
    heights: Sequence[str] = (),
    presets: Sequence[str] = (),
    options: Sequence[str] = (),
) -> tuple[Rung, ...]:
    """Combine everything with everything; a value may be for one encoder alone, as in ``libx264=28``.

    `options` are ``ENCODER:NAME=VALUE``. Raises UsageError for a value that cannot be read, for one of an encoder that
    is not asked for or does not take it, and where an encoder gets no rate or has no such control.
    """
    heights_px = [_height(height) for height in dict.fromkeys(heights or (OWN_HEIGHT,))]
    further = [_option(text, encoders) for text in options]
    rungs = []
    for encoder in encoders.values():
        rates = dict.fromkeys(_bitrate(value) for value in _values_for(encoder, bitrates, encoders, "--bitrate"))
        wanted = _values_for(encoder, crfs, encoders, "--crf")
        if encoder.quality_option is None and rates and not any(crf.startswith(f"{encoder.name}=") for crf in crfs):
            wanted = []  # a CRF for all is for those that have one
        qualities = dict.fromkeys(_crf(value, encoder) for value in wanted)
        if not qualities and not rates:
            raise UsageError(f"{encoder.name} is given no rate; add --crf or --bitrate")
        speeds = [_preset(value, encoder) for value in _values_for(encoder, presets, encoders, "--preset")]
        own = tuple((name, value) for owner, name, value in further if owner == encoder.name)
        rungs += [
            Rung(encoder=encoder, crf=crf, bitrate_bps=bitrate_bps, height_px=height_px, preset=preset, options=own)
            for height_px in heights_px
            for preset in (speeds or (None,))
            for crf, bitrate_bps in [*((crf, None) for crf in qualities), *((None, bps) for bps in rates)]
        ]
    return tuple(rungs)


def _values_for(encoder: Encoder, values: Sequence[str], encoders: dict[str, Encoder], flag: str) -> list[str]:
    """The values for this encoder, each once; what it is given by name comes in place of what is for all."""
    for_all, own = [], []
    for value in values:
        name, named, rest = value.partition("=")
        if not named:
            for_all.append(value)
        elif name not in encoders:
            raise UsageError(f"{flag} {value}: {name!r} is not among the encoders of --codec")
        elif name == encoder.name:
            own.append(rest)
    return list(dict.fromkeys(own or for_all))


def _crf(text: str, encoder: Encoder) -> str:
    if encoder.quality_option is None:
        raise UsageError(f"{encoder.name} has no CRF in this ffmpeg; give it --bitrate {encoder.name}=RATE")
    if not re.fullmatch(r"-?\d{1,3}(\.\d{1,3})?", text):
        raise UsageError(f"--crf: expected a number, or ENCODER=NUMBER, got {text!r}")
    limits = encoder.quality_limits
    if limits is not None and not limits.holds(float(text)):
        raise UsageError(f"--crf {text}: {encoder.name} takes {limits} in this ffmpeg; nothing was encoded")
    return f"{float(text):g}"


def _bitrate(text: str) -> int:
    match = _BITRATE.fullmatch(text)
    bitrate_bps = round(float(match[1]) * _SCALES[match[2].lower()]) if match else 0
    if not 1000 <= bitrate_bps <= 10**10:
        raise UsageError(f"--bitrate: expected bits a second such as 500k or 1.5M, or ENCODER=RATE, got {text!r}")
    return bitrate_bps


def _height(text: str) -> int | None:
    if text == OWN_HEIGHT:
        return None
    if not re.fullmatch(r"\d{1,5}", text) or int(text) < 2 or int(text) % 2:
        raise UsageError(f"--height: expected an even number of pixels, or {OWN_HEIGHT!r}, got {text!r}")
    return int(text)


def _preset(text: str, encoder: Encoder) -> str:
    if encoder.preset_option is None:
        raise UsageError(f"{encoder.name} has no presets in this ffmpeg; name those of the others, ENCODER=PRESET")
    if not re.fullmatch(r"-?[A-Za-z0-9]{1,20}", text):
        raise UsageError(f"--preset: expected a name or a number, or ENCODER=PRESET, got {text!r}")
    limits = encoder.options[encoder.preset_option]
    if limits is not None and re.fullmatch(r"-?\d+", text) and not limits.holds(int(text)):
        raise UsageError(f"--preset {text}: {encoder.name} takes {limits} in this ffmpeg; nothing was encoded")
    return text


def _option(text: str, encoders: dict[str, Encoder]) -> tuple[str, str, str]:
    match = re.fullmatch(rf"({ENCODER_NAME.pattern}):({ENCODER_NAME.pattern})=(.+)", text, re.DOTALL)
    if match is None:
        raise UsageError(f"--option: expected ENCODER:NAME=VALUE such as libx264:tune=psnr, got {text!r}")
    owner, name, value = match.groups()
    if owner not in encoders:
        raise UsageError(f"--option {text}: {owner!r} is not among the encoders of --codec")
    if name in _OPTIONS_WITH_FLAGS:
        raise UsageError(f"--option {text}: {name} has a flag of its own: --crf, --bitrate or --preset")
    if name not in {*encoders[owner].options, *GENERIC_OPTIONS}:
        raise UsageError(f"--option {text}: {owner} has no option {name!r} in this ffmpeg")
    return owner, name, value
