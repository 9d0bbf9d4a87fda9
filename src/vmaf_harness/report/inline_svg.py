"""An SVG of matplotlib's made part of a page: its colours the page's, its points known, no id there twice."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree

from vmaf_harness.report.drawing import AXIS, CURVE, FAINT, LINE_COLOURS, TEXT

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_COLOURS = {"#ffffff": "var(--paper)", TEXT: "var(--ink)", FAINT: "var(--grid)", AXIS: "var(--axis)"}
_COLOURS |= {CURVE: "var(--c0)"} | {colour: f"var(--c{index})" for index, colour in enumerate(LINE_COLOURS)}
_HEX = re.compile(r"#[0-9a-f]{6}\b")
_REFERENCE = re.compile(r"url\(#([\w.-]+)\)")
_LONG = re.compile(r"(\d+\.\d)\d+")
_SLIM_POINTS = 480  # in width: such a picture can be read on a phone
_FONTS = re.compile(r"font-family: [^;]+;")

Marks = Mapping[str, Sequence[tuple[int, str]]]  # id of a group -> (asset_id, words) of each point in it


def inline_svg(text: str, prefix: str, *, about: str, points: Marks, lines: Mapping[str, tuple[int, str]]) -> str:
    """The picture as an element of HTML; *about* is what it shows, for those who do not see it.

    Each point of the groups *points*, and each group of *lines*, gets its asset_id and its words, which a browser shows
    without any script. Raises ValueError where a group has another number of points.
    """
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    top = ElementTree.fromstring(text)  # noqa: S314  # matplotlib wrote it just now
    for element in top.findall(f"{{{_SVG}}}metadata"):
        top.remove(element)
    width, height = (float(top.attrib.pop(name).removesuffix("pt")) for name in ("width", "height"))
    shape = "plot slim" if width < _SLIM_POINTS else "plot square" if width < 1.5 * height else "plot"
    top.attrib |= {"role": "img", "aria-label": about, "class": shape}
    for group in top.iter(f"{{{_SVG}}}g"):
        gid = group.get("id", "")
        if gid in points:
            found = group.findall(f".//{{{_SVG}}}use") or group.findall(f"{{{_SVG}}}path")
            for point, (asset_id, words) in zip(found, points[gid], strict=True):
                _mark(point, "point", asset_id, words)
        elif gid in lines:
            _mark(group, "line", *lines[gid])
    _rename(top, prefix)
    return ElementTree.tostring(top, encoding="unicode")


def _mark(element: ElementTree.Element, kind: str, asset_id: int, words: str) -> None:
    element.attrib |= {"class": kind, "data-asset": str(asset_id)}
    title = ElementTree.Element(f"{{{_SVG}}}title")
    title.text = words
    element.insert(0, title)


def _rename(top: ElementTree.Element, prefix: str) -> None:
    """Ids that are referred to get a name of this picture's own, the others go; colours become those of the page."""
    wanted = set()
    for element in top.iter():
        for value in element.attrib.values():
            wanted.update(_REFERENCE.findall(value))
        wanted.add(element.get(f"{{{_XLINK}}}href", "").removeprefix("#"))
    for element in top.iter():
        for name, value in list(element.attrib.items()):
            if name == "id":
                del element.attrib["id"]
                if value in wanted:
                    element.attrib["id"] = f"{prefix}-{value}"
            elif name == f"{{{_XLINK}}}href":
                element.attrib[name] = f"#{prefix}-{value.removeprefix('#')}"
            elif name == "d":  # to a tenth of a point, a twentieth of a line's width: most bytes of a page are these
                element.attrib[name] = " ".join(_LONG.sub(r"\1", value).split())
            elif name == "style":
                value = _FONTS.sub("", value)
                element.attrib[name] = _HEX.sub(lambda match: _COLOURS.get(match[0], match[0]), value)
            else:
                element.attrib[name] = _REFERENCE.sub(rf"url(#{prefix}-\1)", value)
