"""Writes the dataset recipe of a ladder's encodes, in upstream's format, and no recipe over what a person wrote."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vmaf_harness.encode.ladder_run import EncodeOutcome
from vmaf_harness.encode.plan import Encode
from vmaf_harness.encode.transcode import Encoded
from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.feature_limits import takes_encode
from vmaf_harness.measure.pixel_format import parse_pixel_format
from vmaf_harness.recipe.asset import Video
from vmaf_harness.recipe.dataset import Reference
from vmaf_harness.recipe.fields import MAX_ENCODE_PX
from vmaf_workspace.disk.atomic import write_atomically
from vmaf_workspace.errors import RefusedError

_FIRST_LINE = '"""Written by run_encode'
_LAST_LINE = "# End of what run_encode wrote, sha256 "
_DEPTHS = (8, 10, 12, 16)  # that VMAF's own harness takes for enc_bitdepth
_WORKSPACE_NAME = "workspace"  # the name of the workspace in a recipe that lies in it


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundTruth:
    """A ground truth by asset_id, and in plain words what it is."""

    about: str
    source: str  # the model, as `Recipe.label_source` has it
    by_asset: Mapping[int, float]


def output_path(given: str, root: Path) -> Path:
    """Where a recipe goes: a bare name into `dataset/` of the workspace *root*, as ``<name>_dataset.py``.

    Raises HarnessError for the name of a directory.
    """
    if not os.path.basename(given):
        raise HarnessError(f"{given!r} cannot be the name of a recipe; name it NAME, or {given}NAME_dataset.py")
    name = given if given.endswith(".py") else f"{given.removesuffix('_dataset')}_dataset.py"
    return root / "dataset" / name if os.path.basename(given) == given else Path(os.path.abspath(name))


def dataset_name(path: Path) -> str:
    """The name of the dataset that a recipe file holds."""
    return path.stem.removesuffix("_dataset") or "encodes"


def check_may_write(path: Path, root: Path, *, has_labels: bool = True) -> int:
    """See before hours of encoding that the recipe can be written at *path*; how many encodes it has there already.

    Raises RefusedError where there is something that run_encode did not write, or that was edited since, or that has
    labels where the new one has none (not *has_labels*), and HarnessError where the directory is missing (`dataset/` of
    the workspace *root* will be made) or read-only.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        directory = path.parent
        if directory != root / "dataset" and not directory.is_dir():
            raise HarnessError(f"{directory} is no directory; make it, or name another output_dataset") from None
        if directory.is_dir() and not os.access(directory, os.W_OK):
            raise HarnessError(f"{directory} cannot be written; name another output_dataset") from None
        return 0
    except (OSError, UnicodeDecodeError) as error:
        raise RefusedError(f"{path} is there, and no recipe of run_encode ({error}); give another name") from error
    body, _, last = text.rpartition(_LAST_LINE)
    if not text.startswith(_FIRST_LINE):
        raise RefusedError(f"{path} is there, and run_encode did not write it; give another name")
    if last.strip() != _digest(body):
        raise RefusedError(f"{path} was edited since run_encode wrote it; give another name, or move it away")
    encodes, labelled = body.count("'asset_id': "), body.count("'groundtruth': ")
    if labelled and not has_labels:
        raise RefusedError(
            f"{path} has labels for {labelled} of its {encodes} encodes, and would have none; give another name, "
            "--label-with, or --drop-labels"
        )
    return encodes


def write_recipe(
    path: Path, root: Path, outcomes: Sequence[EncodeOutcome], command: str, labels: GroundTruth | None
) -> None:
    """Write the recipe of the encodes that are there, unless it is written already.

    An encode that failed keeps its asset_id free. Raises HarnessError where the file cannot be written.
    """
    content = recipe_text(path, root, outcomes, command, labels).encode("utf-8")
    try:
        if path.is_file() and path.read_bytes() == content:
            return
        write_atomically(path, content)
    except OSError as error:
        raise HarnessError(f"{path}: {error.strerror}; make its directory, or give another name") from error


def recipe_text(
    path: Path, root: Path, outcomes: Sequence[EncodeOutcome], command: str, labels: GroundTruth | None
) -> str:
    """The recipe as text, for a file at *path*; paths in it are found from there where both are in the workspace."""
    root = Path(os.path.abspath(root))
    inside = _steps_up(path, root)
    there = [(asset_id, outcome) for asset_id, outcome in enumerate(outcomes) if outcome.encoded is not None]
    references = {o.encode.reference.content_id: o.encode.reference for _, o in there}
    formats = {reference.workfile_yuv_type for reference in references.values()}
    lines = [f"{_FIRST_LINE}.", "", f"    {_docstring_text(command)}", ""]
    if labels is not None:
        lines += [_docstring_text(labels.about), ""]
    lines += ["Beside each encode: its measured bitrate, of the video without its container.", '"""', ""]
    if inside is not None:
        up = "__file__"
        for _ in range(inside):
            up = f"os.path.dirname({up})"
        lines += ["import os", "", f"{_WORKSPACE_NAME} = {up.replace('__file__', 'os.path.abspath(__file__)')}", ""]
    lines.append(f"dataset_name = {dataset_name(path)!r}")
    if labels is not None:
        lines.append(f"label_source = {labels.source!r}")
    workfile_yuv_type = formats.pop() if len(formats) == 1 else None
    if workfile_yuv_type is not None:
        lines.append(f"workfile_yuv_type = {workfile_yuv_type!r}")
    lines += ["", "ref_videos = ["]
    for content_id, reference in references.items():
        where = _format_path(reference.video.path, root, inside)
        lines.append(f"    {{{_reference_fields(content_id, reference)}, 'path': {where}}},")
    lines += ["]", "", "dis_videos = ["]
    for asset_id, outcome in there:
        lines += _distorted_lines(asset_id, outcome, root, inside, labels, with_format=workfile_yuv_type is None)
    lines += ["]", ""]
    body = "\n".join(lines)
    return f"{body}{_LAST_LINE}{_digest(body)}\n"


def _reference_fields(content_id: int, reference: Reference) -> str:
    video = reference.video
    fields: dict[str, object] = {"content_id": content_id}
    if reference.content_name:
        fields["content_name"] = reference.content_name
    fields["yuv_fmt"] = video.yuv_fmt
    if video.is_raw:
        fields |= {"width": video.width_px, "height": video.height_px}
    fields |= {f"{name}_cmd": given for name, given in video.filters}
    return _format_fields(fields)


def _distorted_lines(
    asset_id: int,
    outcome: EncodeOutcome,
    root: Path,
    inside: int | None,
    labels: GroundTruth | None,
    *,
    with_format: bool,
) -> list[str]:
    encode, encoded = outcome.encode, outcome.encoded
    assert encoded is not None
    reference, video = encode.reference, encode.reference.video
    first, last = _frame_range(video, encoded)
    # Upstream reads what a pair has in common from here, and the format of the reference unless there is another.
    fields: dict[str, object] = {"content_id": reference.content_id, "asset_id": asset_id, "yuv_fmt": "notyuv"}
    fields["quality_width"] = reference.quality_width_px or encode.source.width_px
    fields["quality_height"] = reference.quality_height_px or encode.source.height_px
    fields |= _encode_fields(encode, encoded)
    for name, value in (
        ("resampling_type", reference.resampling_type),
        ("workfile_yuv_type", reference.workfile_yuv_type if with_format else None),
        ("fps", video.fps),
        ("start_frame", first),
        ("end_frame", last),
        ("groundtruth", labels.by_asset.get(asset_id) if labels is not None else None),
    ):
        if value is not None:
            fields[name] = value
    return [
        f"    # {encoded.bitrate_bps / 1000:.1f} kbit/s, {encoded.width_px}x{encoded.height_px},"
        f" {encoded.n_frames} frames in {encoded.duration_s:g} s",
        f"    {{{_format_fields(fields)}, 'path': {_format_path(encoded.path, root, inside)}}},",
    ]


def _encode_fields(encode: Encode, encoded: Encoded) -> dict[str, object]:
    """What was encoded, which CAMBI looks at: its size, and the depth of its samples, where a recipe may say them.

    Of a very small encode CAMBI cannot be told; it then looks at the picture scaled up, and the score has a note.
    """
    found: dict[str, object] = {}
    if takes_encode(encoded.width_px, encoded.height_px) and max(encoded.width_px, encoded.height_px) <= MAX_ENCODE_PX:
        found |= {"enc_width": encoded.width_px, "enc_height": encoded.height_px}
    with suppress(HarnessError):  # of samples that are neither YUV, gray nor RGB
        if (depth := parse_pixel_format(encode.picture.pix_fmt).depth) in _DEPTHS:
            found["enc_bitdepth"] = depth
    return found


def _frame_range(video: Video, encoded: Encoded) -> tuple[int, int] | tuple[None, None]:
    """The range of a reference; upstream reads both of its ends or neither, and no duration without a rate."""
    if video.start_frame is None and video.end_frame is None and video.duration_s is None:
        return None, None
    first, last = video.start_frame or 0, encoded.n_frames - 1 if video.end_frame is None else video.end_frame
    if first and video.end_frame is None and video.duration_s is not None:  # the encode goes on to the end
        wanted = round(video.duration_s * encoded.n_frames / encoded.duration_s)
        last = min(last, first + max(wanted, 1) - 1)
    return first, last


def _format_fields(fields: Mapping[str, object]) -> str:
    return ", ".join(f"{name!r}: {value!r}" for name, value in fields.items())


def _format_path(path: Path, root: Path, inside: int | None) -> str:
    absolute = Path(os.path.abspath(path))
    if inside is not None and absolute.is_relative_to(root):
        return f"os.path.join({_WORKSPACE_NAME}, {str(absolute.relative_to(root))!r})"
    return repr(str(absolute))


def _steps_up(path: Path, root: Path) -> int | None:
    """How many directories above a recipe the workspace is; None where it lies elsewhere, also by a symlink."""
    directory = Path(os.path.abspath(path.parent))
    if not directory.is_relative_to(root):
        return None
    steps = directory.relative_to(root)
    return len(steps.parts) + 1 if Path(os.path.realpath(directory)) == os.path.realpath(root) / steps else None


def _docstring_text(text: str) -> str:
    """Text that cannot end a docstring."""
    return text.encode("ascii", "backslashreplace").decode().replace("\\", "/").replace('"""', "'''").replace("\n", " ")


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode("utf-8")).hexdigest()
