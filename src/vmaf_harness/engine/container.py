"""By what first bytes a file is known to be a container, whatever its name or a recipe says."""

from __future__ import annotations

import re
from pathlib import Path

_SIGNATURES = (
    (re.compile(rb".{4}(?:ftyp|moov|mdat|wide|styp)", re.DOTALL), "MP4 or QuickTime"),
    (re.compile(rb"\x1aE\xdf\xa3"), "Matroska or WebM"),
    (re.compile(rb"RIFF.{4}AVI ", re.DOTALL), "AVI"),
    (re.compile(rb"FLV\x01"), "FLV"),
    (re.compile(rb"OggS"), "Ogg"),
    (re.compile(rb"DKIF"), "IVF"),
    (re.compile(rb"YUV4MPEG2 "), "YUV4MPEG2 (y4m)"),
    (re.compile(rb"G.{187}G.{187}G", re.DOTALL), "MPEG-TS"),
    (re.compile(rb"\x00\x00\x01\xba"), "MPEG-PS"),
    (re.compile(rb"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02"), "MXF"),
)
_SIGNATURE_BYTES = 377  # three packets of MPEG-TS begin within


def detect_container(path: Path) -> str | None:
    """What container the file begins as; None for anything else, raw video above all, and where it cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(_SIGNATURE_BYTES)
    except OSError:
        return None
    return next((name for pattern, name in _SIGNATURES if pattern.match(head)), None)
