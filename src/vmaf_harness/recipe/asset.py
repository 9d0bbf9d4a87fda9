"""What is measured: a pair of videos, and how many frames a raw one has."""

from __future__ import annotations

import os
import re
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path

from vmaf_harness.engine.container import detect_container
from vmaf_harness.errors import HarnessError

NOTYUV = "notyuv"  # anything ffmpeg decodes; size and format come from the file
RAW_FORMATS = tuple(f"yuv{chroma}p{depth}" for chroma in (420, 422, 444) for depth in ("", "10le", "12le", "16le"))
YUV_FORMATS = (*RAW_FORMATS, NOTYUV)
RESAMPLING_TYPES = ("bilinear", "bicubic", "lanczos")  # names of ffmpeg's scaler flags
DEFAULT_RESAMPLING_TYPE = "bicubic"
FILTERS = ("crop", "pad", "gblur", "eq", "lutyuv", "yadif", "format", "fps", "select")  # in the order they are applied
PAIRINGS = ("index", "time")
RAW_FPS = 25.0  # ffmpeg's rate for raw video that names none (libavformat/rawvideodec.c)

_TIME_ROUNDING_S = 0.002  # containers round times to whole milliseconds

RawScores = tuple[tuple[int | str, tuple[float, ...]], ...]  # (observer, scores) pairs; a missing score is NaN


@dataclass(frozen=True, slots=True, kw_only=True)
class Video:
    """One input of the engine.

    `width_px` and `height_px` are None with ``notyuv``. `start_frame` and `end_frame` are 0-based and inclusive;
    None means the first, and the last, of the file. `duration_s` is set only where a recipe limits the duration and
    no frame rate is known; the engine then trims by time. `resampling_type` is None where the asset's holds.
    """

    path: Path
    yuv_fmt: str
    width_px: int | None = None
    height_px: int | None = None
    fps: float | None = None
    start_frame: int | None = None
    end_frame: int | None = None
    duration_s: float | None = None
    filters: tuple[tuple[str, str], ...] = ()
    resampling_type: str | None = None

    @property
    def is_raw(self) -> bool:
        """Whether the file is headerless YUV, so that the recipe has to say its size and format."""
        return self.yuv_fmt != NOTYUV


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A distorted video and its reference, with the label that people gave it.

    Both videos are scaled to the quality size before they are compared; None means the reference's own size.
    Frames are paired by their number (`pairing` ``index``) or by their ``time``; None is by number, with a note where
    the times say that this pairs wrong ones.
    `encode_width_px`, `encode_height_px` and `encode_depth` (bits) are those that the distorted video was encoded at,
    which CAMBI looks at; None means the distorted file's own. Both videos are compared in `least_depth` bits at least.
    An observer in `raw_scores` is a position where the recipe has a list. `groundtruth` is None where a recipe has raw
    scores, or no label. Where `in_recipe` is false, two videos were named alone: no person knows an `asset_id`, and no
    field can be given.
    """

    dataset: str
    content_id: int
    asset_id: int
    reference: Video
    distorted: Video
    content_name: str | None = None
    quality_width_px: int | None = None
    quality_height_px: int | None = None
    resampling_type: str = DEFAULT_RESAMPLING_TYPE
    workfile_yuv_type: str | None = None
    groundtruth: float | None = None
    groundtruth_std: float | None = None
    raw_scores: RawScores | None = None
    pairing: str | None = None
    encode_width_px: int | None = None
    encode_height_px: int | None = None
    encode_depth: int | None = None
    least_depth: int | None = None
    in_recipe: bool = True

    @property
    def prefix(self) -> str:
        """What an error of it begins with."""
        return f"asset {self.asset_id}: " if self.in_recipe else ""

    @property
    def shown_content(self) -> str:
        """What people call its content: the recipe's name of it, else its reference's."""
        return self.content_name or self.reference.path.stem


def frame_bytes(yuv_fmt: str, width_px: int, height_px: int) -> int:
    """Bytes of one frame of planar YUV, as ffmpeg's rawvideo counts them: chroma of an odd size is rounded up.

    Raises HarnessError for a format that is not raw.
    """
    if yuv_fmt not in RAW_FORMATS:
        raise HarnessError(f"{yuv_fmt} has no fixed frame size; known are {', '.join(RAW_FORMATS)}")
    chroma_width = width_px if "444" in yuv_fmt else (width_px + 1) // 2
    chroma_height = (height_px + 1) // 2 if "420" in yuv_fmt else height_px
    samples = width_px * height_px + 2 * chroma_width * chroma_height
    return samples * (2 if yuv_fmt.endswith("le") else 1)


def frame_count(video: Video) -> int:
    """How many frames the file of a raw video holds, whatever its range.

    Raises HarnessError where the file cannot be read, is empty, ends within a frame, or begins as a container does, and
    where its first frame has values that its `yuv_fmt` has not.
    """
    if video.width_px is None or video.height_px is None:
        raise HarnessError(f"{video.path}: raw video ({video.yuv_fmt}) needs its width and height")
    size = _file_bytes(video.path)
    if (known := detect_container(video.path)) is not None:
        raise HarnessError(f"{video.path} is {known}, no raw video; give it yuv_fmt 'notyuv'")
    one = frame_bytes(video.yuv_fmt, video.width_px, video.height_px)
    count, rest = divmod(size, one)
    if rest or not count:
        what = f"{count} frames and {rest} bytes left over" if size else "no frame"
        raise HarnessError(
            f"{video.path}: {size} bytes are {what}: a frame of {video.yuv_fmt} at {video.width_px}×{video.height_px} "
            f"has {one} bytes; the file is cut short, or its width, height or yuv_fmt is wrong"
        )
    _check_depth(video, one)
    return count


def _check_depth(video: Video, n_bytes: int) -> None:
    """Raise HarnessError where words of the first frame hold more than its 10 or 12 bits, as two samples of 8 do."""
    match = re.search(r"p(10|12)le$", video.yuv_fmt)
    if match is None:
        return
    with video.path.open("rb") as file:
        greatest = max(file.read(n_bytes)[1::2], default=0)
    if greatest >> (int(match[1]) - 8):
        raise HarnessError(
            f"{video.path}: its first frame has values above {(1 << int(match[1])) - 1}, which {video.yuv_fmt} has "
            "not; is it of 8 or of 16 bits? correct yuv_fmt (and height, if frames of 8 bits were read as half as many)"
        )


def check_asset(asset: Asset) -> None:
    """Compare what the recipe says of raw videos with their files' sizes; nothing is read.

    Raises HarnessError for a missing file, a partial last frame, a range beyond the last frame, and for a reference
    and a distorted video of different length: they would be compared only as far as the shorter one goes.
    """
    reference, distorted = selected_frames(asset.reference), selected_frames(asset.distorted)
    if reference is not None and distorted is not None and reference != distorted and asset.pairing != "time":
        raise HarnessError(
            f"{asset.prefix}{asset.reference.path} gives {reference} frames and {asset.distorted.path} gives "
            f"{distorted}; {common_frames_remedy(asset, reference, distorted)}, or check width, height and yuv_fmt of "
            "both"
        )


def common_frames_remedy(asset: Asset, reference: int, distorted: int) -> str:
    """What a person can do where one of the two has more frames than the other."""
    if asset.in_recipe:
        return "name the common ones with start_frame and end_frame"
    least = min(reference, distorted)
    return (
        f"`score` compares what they share with --n-frames {least} where both begin with the same frame, else with "
        "--ref-start-frame or --dis-start-frame, too"
    )


def pair_frames_remedy(asset: Asset, shift: int, n_frames: int) -> str:
    """How *n_frames* of each are paired, of which those of the reference come *shift* frames later than now."""
    reference = (asset.reference.start_frame or 0) + max(shift, 0)
    distorted = (asset.distorted.start_frame or 0) + max(-shift, 0)
    if not asset.in_recipe:
        starts = {"--ref-start-frame": reference, "--dis-start-frame": distorted}
        flags = [f"{flag} {number}" for flag, number in starts.items() if number]
        return f"score {' '.join(flags)} --n-frames {n_frames} pairs them"
    return (
        f"what they share is frames {reference} to {reference + n_frames - 1} of the reference and {distorted} to "
        f"{distorted + n_frames - 1} of it: ref_start_frame, dis_start_frame and their …_end_frame say so"
    )


def cut_remedy(longer: Video, last_s: float) -> str:
    """How to make a shorter one of it, up to the frame that is shown at *last_s*; or a recipe."""
    path = shlex.quote(str(longer.path))
    if longer.is_raw:
        assert longer.width_px is not None
        assert longer.height_px is not None
        n_frames = round(last_s * (longer.fps or RAW_FPS)) + 1
        n_bytes = n_frames * frame_bytes(longer.yuv_fmt, longer.width_px, longer.height_px)
        command = f"head -c {n_bytes} {path} > cut.yuv"
    else:
        command = (
            f"ffmpeg -i {path} -map 0:V:0 -t {last_s + _TIME_ROUNDING_S:.3f} -fps_mode passthrough -c:v ffv1 cut.mkv"
        )
    return f"cut the longer one ({command}), or `test` a recipe (`new-dataset` writes one)"


def selected_frames(video: Video) -> int | None:
    """How many frames take part; None where only decoding tells."""
    if not video.is_raw:
        _file_bytes(video.path)
        return None
    count = frame_count(video)
    first = video.start_frame or 0
    last = count - 1 if video.end_frame is None else video.end_frame
    if first >= count or last >= count:
        wanted = f"{first} to {last}" if video.end_frame is not None else f"{first} and later"
        raise HarnessError(
            f"{video.path}: frames {wanted} are asked for (counted from 0), but the file has {count}; "
            "correct start_frame, end_frame, or duration_sec and fps (of `score`: --ref-start-frame, "
            "--dis-start-frame, --n-frames)"
        )
    selected = last - first + 1
    if video.duration_s is not None:
        selected = min(selected, round(video.duration_s * RAW_FPS))
    return selected


def url_problem(written: str) -> str | None:
    """What is wrong with a path that is a URL, also one that pathlib took a slash from; None where it is none."""
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):/+", written)
    if match is None:
        return None
    return f"{match[1]}://{written[match.end() :]}: URLs are not read; download it first, and give the file's path"


def _file_bytes(path: Path) -> int:
    try:
        status = os.stat(path)
    except OSError as error:
        if (url := url_problem(str(path))) is not None:
            raise HarnessError(url) from error
        raise HarnessError(f"{path}: {error.strerror}; correct the path, or bring the file there") from error
    if not stat.S_ISREG(status.st_mode):
        raise HarnessError(f"{path}: not a regular file; name a video file")
    return status.st_size
