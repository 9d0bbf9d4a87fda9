"""What the samples of a pixel format are, told from ffmpeg's name of it: YUV, gray or RGB, chroma, bits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from vmaf_harness.errors import HarnessError


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelFormat:
    """What a pixel format holds: `chroma` as in 4:2:0, `depth` in bits (16 for floats), and whether there is alpha."""

    kind: Literal["yuv", "gray", "rgb"]
    chroma: str
    depth: int
    has_alpha: bool = False


# Names of libavutil/pixdesc.c without the order of their bytes; `depth` is 8 where the name has no number.
_PATTERNS: tuple[tuple[Literal["yuv", "gray", "rgb"], str, str], ...] = (
    ("yuv", "", r"yuv[aj]?(?P<chroma>4\d\d)p(?P<depth>\d*)(?:msb)?"),
    ("yuv", "420", r"nv12|nv21|p0(?P<depth>10|12|16)"),
    ("yuv", "422", r"nv16|nv2(?P<nv20>0)|[yu]yvy422|y[uv]y[uv]422|[py]2(?P<depth>10|12|16)"),
    ("yuv", "411", r"uyyvyy411"),
    ("yuv", "444", r"nv24|nv42|p4(?P<depth>10|12|16)|ayuv|vuya|uyva|vuyx|vyu444"),
    ("yuv", "444", r"(?P<deep>xv30|v30x|xv36|xv48|ayuv64)"),
    ("gray", "400", r"gray(?P<depth>\d*)|ya(?P<depth_ya>8|16)|mono[wb]|(?:gray|ya)f\d+"),
    ("rgb", "444", r"gbra?p(?P<depth>\d*)(?:msb)?|x2(?:rgb|bgr)(?P<depth_x>10)|pal8"),
    ("rgb", "444", r"[0a]?(?:rgb|bgr)[0a]?|(?:rgb|bgr)(?:4_byte|4|8|24|444|555|565)"),
    ("rgb", "444", r"(?P<deep>(?:rgb|bgr)a?(?:48|64|96|128)|(?:rgb|gbr)a?p?f\d+|gbra?p32)"),
)
_DEPTHS = {"xv30": 10, "v30x": 10, "xv36": 12}  # other deep ones have 16 bits or more


def parse_pixel_format(pix_fmt: str) -> PixelFormat:
    """What ffmpeg's *pix_fmt* holds; HarnessError for one that is neither YUV, gray nor RGB, such as a camera's raw."""
    name = re.sub(r"(le|be)$", "", pix_fmt)
    for kind, chroma, pattern in _PATTERNS:
        if (match := re.fullmatch(pattern, name)) is None:
            continue
        found = {part: value for part, value in match.groupdict().items() if value}
        depth = int(found.get("depth") or found.get("depth_ya") or found.get("depth_x") or 8)
        if "deep" in found:
            depth = _DEPTHS.get(found["deep"], 16)
        if "nv20" in found:
            depth = 10
        if re.search(r"f\d+$", name):
            depth = 16
        has_alpha = name.startswith("ya") if kind == "gray" else "a" in name.removeprefix("pal")
        return PixelFormat(kind=kind, chroma=found.get("chroma", chroma), depth=min(depth, 16), has_alpha=has_alpha)
    raise HarnessError(
        f"{pix_fmt} is no pixel format that can be compared: neither YUV, nor gray, nor RGB; convert the video first "
        "(ffmpeg -i … -pix_fmt yuv444p16le -c:v ffv1 …)"
    )


def planar_format(chroma: str, depth: int) -> str:
    """The planar YUV of libvmaf's that holds both without loss: 4:2:0, 4:2:2 or 4:4:4; 8, 10, 12 or 16 bits."""
    least = {"400": "420", "420": "420", "422": "422", "440": "444", "411": "422", "410": "420"}.get(chroma, "444")
    bits = next(each for each in (8, 10, 12, 16) if each >= min(depth, 16))
    return f"yuv{least}p" + (f"{bits}le" if bits > 8 else "")
