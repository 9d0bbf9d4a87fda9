"""The one form that both videos of a pair are brought to before they are compared, written out for both sides."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction

from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.header import FULL, LIMITED, UNTAGGED, Header
from vmaf_harness.measure.notes import Note, Side
from vmaf_harness.measure.pixel_format import PixelFormat, parse_pixel_format, planar_format
from vmaf_harness.recipe.asset import Asset, Video

FORM_VERSION = 2  # the version of `common_form`, part of the key of every stored result; 1 was what ffmpeg negotiated

_BEFORE_SCALING = ("crop", "pad")  # the other filters of a recipe work at the quality size, as in VMAF's own harness
_NO_TAGS = "colorspace=unknown:color_primaries=unknown:color_trc=unknown"
_RANGE_NAMES = {LIMITED: "limited", FULL: "full"}
_HDR = {"smpte2084": "PQ", "arib-std-b67": "HLG"}
_SAME_MATRIX = {"smpte170m": "bt470bg", "bt2020ncl": "bt2020nc"}  # two names of the same numbers
# Matrices that swscale makes YUV of RGB by, and its names of them (libswscale/utils.c, libavfilter/vf_scale.c).
_SWSCALE_NAMES = {
    "bt709": "bt709",
    "bt470bg": "bt470",
    "smpte170m": "smpte170m",
    "fcc": "fcc",
    "smpte240m": "smpte240m",
    "bt2020nc": "bt2020",
    "bt2020c": "bt2020",
}
_BT601 = "bt470"  # what ffmpeg makes YUV of RGB by when nobody names a matrix
_UPSTREAM_DEPTH = 8
_MAX_STRETCH = Fraction(1, 10)  # by how much shapes may differ before a size must be given on purpose
_MAX_PADDING_PX = 16  # encoders that code whole blocks leave at most so many rows more


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonForm:
    """What both videos become: size, planar format and range; the filters of each side that do it, and what to know."""

    width_px: int
    height_px: int
    pix_fmt: str
    range: str
    reference: tuple[str, ...] = ()
    distorted: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()


def common_form(asset: Asset, reference: Header, distorted: Header) -> CommonForm:
    """The form that a pair is compared in, and how each side gets there.

    The rule, for every number of this harness:

    - *YUV is compared sample by sample, as it is decoded.* Tags of matrix, primaries and transfer are taken away on
      both sides before any filter: ffmpeg takes "unknown" for BT.601 and converts one side (75.15 became 71.39).
    - *RGB* is converted by the matrix that its partner is tagged with, by BT.601 where it has no tag (by which ffmpeg
      makes YUV of RGB), to the range of its partner. Two RGB videos are converted by BT.709 to limited range.
    - *Gray* has its samples taken as luma, between chroma without colour.
    - *Depth and chroma* are the greater of the two, in bits (8, 10, 12, 16) and as 4:2:0, 4:2:2 or 4:4:4, unless the
      recipe names ``workfile_yuv_type``; never fewer bits than `Asset.least_depth`. Limited samples are shifted (8 bits
      ×4 are 10), full ones stretched.
    - *Range* is the reference's; the distorted video is converted. Where nobody says, it is limited.
    - *Alpha* is left out, not blended. *Rotation* of the container is applied. The *shape of a pixel* (SAR) moves no
      sample: the picture is scaled to the quality size, by default the reference's.

    Crop and pad of a recipe come before the scaling, its other filters after it. Every conversion is written out with
    both its ends, so that nothing is left for ffmpeg to negotiate; a filter of a recipe that cannot take this form
    gets ffmpeg's conversion before it, and is brought back after it. `Form.notes` says what was converted, and what
    differs. Raises HarnessError for a pixel format without such samples, and where the shapes differ by more than a
    tenth although no quality size was given.
    """
    of_reference, of_distorted = _Side(asset.reference, reference), _Side(asset.distorted, distorted)
    formats = [planar_format(side.wanted.chroma, side.wanted.depth) for side in (of_reference, of_distorted)]
    form = CommonForm(
        width_px=asset.quality_width_px or reference.width_px,
        height_px=asset.quality_height_px or reference.height_px,
        pix_fmt=_deep_enough(asset.workfile_yuv_type or _larger_format(*formats), asset.least_depth),
        range=of_reference.range or of_distorted.range or LIMITED,
    )
    notes = [*_conversion_notes(of_reference, of_distorted, form, asset)]
    if not any(name in _BEFORE_SCALING for video in (asset.reference, asset.distorted) for name, _ in video.filters):
        notes += [*size_notes(asset, form, reference, distorted), *check_shapes(asset, reference, distorted)]
    return replace(
        form,
        reference=_filter_chain(of_reference, of_distorted, form, asset),
        distorted=_filter_chain(of_distorted, of_reference, form, asset),
        notes=tuple(notes),
    )


class _Side:
    """One video of a pair: what its samples are, and of which range."""

    def __init__(self, video: Video, header: Header) -> None:
        self.video, self.header = video, header
        self.samples = parse_pixel_format(header.pix_fmt)
        # RGB has no range of its own among YUV.
        self.range = None if self.samples.kind == "rgb" else header.range or LIMITED

    @property
    def wanted(self) -> PixelFormat:
        """What it holds after the recipe's own `format_cmd`, which is there to choose that."""
        chosen = dict(self.video.filters).get("format", "")
        match = re.match(r"(?:pix_fmts=)?([a-z0-9]+)", chosen)
        with suppress(HarnessError):  # ffmpeg tells what is wrong with it
            return parse_pixel_format(match[1]) if match else self.samples
        return self.samples


def _larger_format(one: str, other: str) -> str:
    """The planar format that holds both of two."""
    both = [parse_pixel_format(one), parse_pixel_format(other)]
    return planar_format(max(each.chroma for each in both), max(each.depth for each in both))  # "420" < "422" < "444"


def _deep_enough(pix_fmt: str, least_depth: int | None) -> str:
    form = parse_pixel_format(pix_fmt)
    return pix_fmt if form.depth >= (least_depth or 0) else planar_format(form.chroma, least_depth or 0)


def _filter_chain(side: _Side, partner: _Side, form: CommonForm, asset: Asset) -> tuple[str, ...]:
    """From decoded frames to frames of the common form."""
    filters = side.video.filters
    before = [f"{name}={given}" for name, given in filters if name in _BEFORE_SCALING]
    after = [f"{name}={given}" for name, given in filters if name not in _BEFORE_SCALING]
    flags = side.video.resampling_type or asset.resampling_type
    size = f"scale={form.width_px}:{form.height_px}:flags={flags}"  # does nothing to a frame that has this size
    ranges = f"in_range={side.range}:out_range={form.range}"
    to_form = [f"format={form.pix_fmt}"]
    if side.samples.kind == "yuv":
        chain = [f"setparams=range={side.range}:{_NO_TAGS}", *before, f"{size}:{ranges}", *to_form]
    elif side.samples.kind == "gray":
        # ffmpeg calls all gray full range; from full to full no sample moves, then the frames get the range they have.
        own = planar_format(side.samples.chroma, side.samples.depth)
        chain = [*before, f"{size}:in_range={FULL}:out_range={FULL}", f"format={own}"]
        chain += [f"setparams=range={side.range}:{_NO_TAGS}", f"scale=flags={flags}:{ranges}", *to_form]
    else:
        chain = [
            *before,
            f"{size}:in_range={FULL}:out_range={form.range}:out_color_matrix={_rgb_matrix(partner)}",
            *to_form,
        ]
    if after:  # whatever they made of it
        chain += [*after, f"scale=flags={flags}:in_range=auto:out_range={form.range}", *to_form]
    return (*chain, f"setparams=range={form.range}:{_NO_TAGS}")


def _rgb_matrix(partner: _Side) -> str:
    """What RGB is converted by: swscale's name of its partner's matrix."""
    return "bt709" if partner.samples.kind == "rgb" else _SWSCALE_NAMES.get(partner.header.matrix, _BT601)


def _conversion_notes(reference: _Side, distorted: _Side, form: CommonForm, asset: Asset) -> Iterator[Note]:
    """What was converted, and which tags differ."""
    name: Side
    for name, side, partner in (("reference", reference, distorted), ("distorted", distorted, reference)):
        if converted := _converted_samples(side.samples, form):
            text = f"{side.header.pix_fmt}, converted to {form.pix_fmt}: {converted}"
            yield Note(kind="format", text=text, side=name)
        if side.range is not None and side.range != form.range:
            wanted = _RANGE_NAMES[form.range]
            text = f"{_RANGE_NAMES[side.range]} range, its reference {wanted}: converted to {wanted}"
            yield Note(kind="range", text=text, side=name)
        if side.samples.kind == "rgb":
            matrix = {"bt470": "BT.601"}.get(_rgb_matrix(partner), _rgb_matrix(partner))
            yield Note(kind="rgb", text=f"RGB, converted to YUV by {matrix}, {_matrix_reason(partner)}", side=name)
        if side.samples.kind == "gray":
            yield Note(
                kind="gray",
                text=f"gray, its samples taken as luma of {_RANGE_NAMES[side.range or LIMITED]} range",
                side=name,
            )
        if side.samples.has_alpha:
            yield Note(kind="alpha", text="its alpha is left out", side=name)
        if side.header.is_interlaced and (fields := _interlace_text(side, form)):
            yield Note(kind="interlaced", text=fields, side=name)
        if side.header.videos > 1:
            size = f"{side.header.width_px}×{side.header.height_px}"
            text = f"{side.header.videos} videos are in it; the first is taken ({size})"
            yield Note(kind="streams", text=text, side=name)
    differing = [
        f"{tag} {theirs}, its reference {ours}"
        for tag in ("matrix", "primaries")
        for ours, theirs in [(getattr(reference.header, tag), getattr(distorted.header, tag))]
        if _tags_differ(ours, theirs) and "rgb" not in (reference.samples.kind, distorted.samples.kind)
    ]
    if differing:
        text = f"tagged {'; '.join(differing)}: the samples are compared as they are"
        yield Note(kind="tags", text=text, side="distorted")
    ours, theirs = (_HDR.get(side.header.transfer) for side in (reference, distorted))
    if ours != theirs:
        text = (
            f"{theirs or 'not HDR'}, its reference {ours or 'not HDR'}: the same samples are other light in the two; "
            "bring both to one transfer (tone mapping) before they are compared"
        )
        yield Note(kind="transfer", text=text, side="distorted")
    depth = parse_pixel_format(form.pix_fmt).depth
    is_open = (
        asset.quality_width_px is not None and asset.workfile_yuv_type is None and asset.least_depth is None
    )  # a recipe that does not say
    if depth > _UPSTREAM_DEPTH and is_open and not (asset.reference.is_raw or asset.distorted.is_raw):
        text = f"compared in {depth} bits; VMAF's own harness cuts to 8: workfile_yuv_type = 'yuv420p' gives its number"
        yield Note(kind="depth", text=text, side="distorted")


def _converted_samples(own: PixelFormat, form: CommonForm) -> str:
    """Which depth and chroma become which others; blank where none does."""
    common = parse_pixel_format(form.pix_fmt)
    parts = [f"{own.depth} bits to {common.depth}"] if own.depth != common.depth else []
    if own.kind == "yuv" and own.chroma != common.chroma:
        parts.append(f"{':'.join(own.chroma)} to {':'.join(common.chroma)}")
    return ", ".join(parts)


def _matrix_reason(partner: _Side) -> str:
    """Why RGB is converted by the matrix that it is converted by."""
    if partner.samples.kind == "rgb":
        return "as both are RGB"
    tag = partner.header.matrix
    if tag in _SWSCALE_NAMES:
        return "as its partner is tagged"
    return "since its partner has no tag" if tag == UNTAGGED else f"since none converts by its partner's tag ({tag})"


def _interlace_text(side: _Side, form: CommonForm) -> str | None:
    """What to say of fields: they are compared as frames, or were mixed by scaling, which comes before `yadif_cmd`."""
    is_scaled = side.header.height_px != form.height_px
    if "yadif" in dict(side.video.filters):
        mixed = "interlaced, and scaled before yadif_cmd sees its fields; make frames of them first"
        return mixed if is_scaled else None
    remedy = "make frames of its fields first (ffmpeg -vf yadif)" if is_scaled else "a recipe's yadif_cmd makes frames"
    return f"interlaced, compared as if it were not; {remedy}"


def _tags_differ(one: str, other: str) -> bool:
    return UNTAGGED not in (one, other) and _SAME_MATRIX.get(one, one) != _SAME_MATRIX.get(other, other)


def size_notes(asset: Asset, form: CommonForm, reference: Header, distorted: Header) -> list[Note]:
    """Which of the two is scaled, from what to what; the headers are those of what comes into the scaler."""
    common, notes = f"{form.width_px}×{form.height_px}", []
    wanted = "its reference's" if asset.quality_width_px is None else "the quality size,"
    sides: tuple[tuple[Side, Video, Header], ...] = (
        ("reference", asset.reference, reference),
        ("distorted", asset.distorted, distorted),
    )
    for side, video, header in sides:
        own = f"{header.width_px}×{header.height_px}"
        if own != common:
            target = f"{wanted} {common}" if side == "distorted" or asset.quality_width_px is not None else common
            how = video.resampling_type or asset.resampling_type
            notes.append(Note(kind="size", side=side, text=f"{own}, scaled to {target} ({how})"))
    return notes


def check_shapes(asset: Asset, reference: Header, distorted: Header) -> list[Note]:
    """Compare the shapes in which both are shown, which scaling would hide.

    A note where they differ by more than a rounding of the size to even numbers. Raises HarnessError where they differ
    by more than a tenth, both as shown and as stored, and no quality size was given on purpose.
    """
    wanted, got = reference.shape, distorted.shape
    # The size that the distorted video would have in the reference's shape, one side kept.
    width_off = abs(distorted.height_px * wanted / distorted.sar - distorted.width_px)
    height_off = abs(distorted.width_px * distorted.sar / wanted - distorted.height_px)
    if min(width_off, height_off) <= 1:
        return []
    about = (
        f"{_size_text(distorted)} ({float(got):.3f}:1), its reference {_size_text(reference)} ({float(wanted):.3f}:1)"
    )
    rows, columns = distorted.height_px - reference.height_px, distorted.width_px - reference.width_px
    if reference.sar == distorted.sar and 0 <= rows <= _MAX_PADDING_PX and 0 <= columns <= _MAX_PADDING_PX:
        remedy = f"a recipe's crop_cmd = '{reference.width_px}:{reference.height_px}:0:0' takes away what was padded"
    else:
        remedy = "a recipe's crop_cmd or pad_cmd makes the shapes alike"
    as_stored = Fraction(distorted.width_px, distorted.height_px) * reference.height_px / reference.width_px
    off = min(max(each, 1 / each) - 1 for each in (got / wanted, as_stored))
    if off > _MAX_STRETCH and asset.quality_width_px is None:
        raise HarnessError(
            f"{asset.distorted.path}: is {about}: another picture, not another size of it; {remedy}; "
            "with a recipe's quality_width and quality_height it is stretched on purpose"
        )
    return [Note(kind="shape", text=f"{about}: it is stretched; {remedy}", side="distorted")]


def _size_text(header: Header) -> str:
    pixels = f" of {header.sar.numerator}:{header.sar.denominator} pixels" if header.sar != 1 else ""
    return f"{header.width_px}×{header.height_px}{pixels}"
