"""Whether frames that are paired by their number look like each other, or like those a few frames before or after.

One frame too many at the start of one video took VMAF from 98 to 37 where much moves, and nothing but the number told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import sqrt
from operator import mul, sub
from pathlib import Path
from statistics import median

_SIDE_PX = 16  # of what is kept of a frame: one sample of luma in each cell of a grid, which costs next to nothing
_SIZE = _SIDE_PX * _SIDE_PX
GRID = f"scale={_SIDE_PX}:{_SIDE_PX}:flags=neighbor,format=gray"  # of an input brought to the common form
MOST = 5  # frames of a shift, each way
_REACH = MOST + 1  # a frame that is likest at the end of what is looked at has its partner further away, or nowhere
_LOOKED_AT = 200  # frames at most, from all of the video
_ENOUGH = 8  # frames that have to tell something
_MOVED = 1.0  # mean difference of samples, of 256 levels, below which two frames say nothing
_AGREE = 0.9  # of the frames in which something moved, that have to name the same shift
_CLOSER = 0.9  # how far from its partner at that shift, beside how far from the one that it has
_TEXTURE = 4.0  # standard deviation of samples, of 256 levels, below which a frame is flat


def find_shift(reference: Path, distorted: Path) -> int:
    """How many frames later in the reference the frames of the distorted video are found; 0 where nothing tells.

    Both files hold the `GRID` of each frame. Compression makes no shift: of three real clips at x264's CRF 45, two had
    the right one in 48 and more of 50 frames; of the third, whose movement was gone, none had a third of 37.
    """
    ours, theirs = distorted.read_bytes(), reference.read_bytes()
    votes: Counter[int] = Counter()
    total = [0] * (2 * _REACH + 1)
    for number in _numbers(_REACH, min(len(ours), len(theirs)) // _SIZE - _REACH):
        frame = _frame(ours, number)
        apart = [_difference(frame, _frame(theirs, number + shift)) for shift in range(-_REACH, _REACH + 1)]
        if max(apart) - min(apart) < _MOVED * _SIZE:
            continue
        votes[apart.index(min(apart)) - _REACH] += 1
        total = [sum(both) for both in zip(total, apart, strict=True)]
    shift, agreeing = max(votes.items(), key=lambda item: item[1], default=(0, 0))
    if votes.total() < _ENOUGH or agreeing < _AGREE * votes.total() or abs(shift) > MOST:
        return 0
    return shift if total[_REACH + shift] < _CLOSER * total[_REACH] else 0


def likeness(reference: Path, distorted: Path) -> float | None:
    """The correlation of two frames that are paired, as the median over the video; None where they are flat.

    Of real clips it is 0.95 at x264's CRF 51, 0.7 under noise that hides all; 0.3 and less of another video, 0.31
    to 0.53 of one with bars of a tenth at each side.
    """
    ours, theirs = distorted.read_bytes(), reference.read_bytes()
    numbers = _numbers(0, min(len(ours), len(theirs)) // _SIZE)
    found = [_correlation(_frame(ours, number), _frame(theirs, number)) for number in numbers]
    known = [each for each in found if each is not None]
    return median(known) if len(known) >= _ENOUGH else None


def _numbers(first: int, end: int) -> range:
    return range(first, end, max((end - first) // _LOOKED_AT, 1))


def _frame(grids: bytes, number: int) -> bytes:
    return grids[number * _SIZE : (number + 1) * _SIZE]


def _difference(one: Sequence[int], other: Sequence[int]) -> int:
    return sum(map(abs, map(sub, one, other)))


def _correlation(one: bytes, other: bytes) -> float | None:
    """Pearson's; None where one of the two is flat. `statistics` reckons in fractions, ten times as long."""
    sum_one, sum_other = sum(one), sum(other)
    spread_one, spread_other = _SIZE * _dot(one, one) - sum_one**2, _SIZE * _dot(other, other) - sum_other**2
    if min(spread_one, spread_other) < (_TEXTURE * _SIZE) ** 2:
        return None
    return (_SIZE * _dot(one, other) - sum_one * sum_other) / sqrt(spread_one * spread_other)


def _dot(one: bytes, other: bytes) -> int:
    return sum(map(mul, one, other))
