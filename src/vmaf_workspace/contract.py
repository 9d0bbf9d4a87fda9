"""The eight subdirectories of a workspace, and what losing each one costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Loss(StrEnum):
    """What is gone when a subdirectory is emptied."""

    NOTHING = "nothing"  # the next run rewrites it
    TIME = "time"  # the harness can compute it again, slowly
    WORK = "work"  # gone, unless a snapshot holds it
    INPUT = "input"  # brought in from outside; no task removes it


@dataclass(frozen=True, slots=True, kw_only=True)
class Subdir:
    """One row of the contract; tasks, `ws.status` and the README table are written from it."""

    name: str
    written_by: str
    holds: str
    loss: Loss
    costs: str  # `loss` in words a tired person reads
    removed_by: str | None  # the one task that empties it

    @property
    def backed_up(self) -> bool:
        """Whether snapshots hold it."""
        return self.loss is Loss.WORK


SUBDIRS: tuple[Subdir, ...] = (
    Subdir(
        name="dataset",
        written_by="dataset loaders of `run_*`",
        holds="YUV and MP4 videos that the `*_dataset.py` recipes name",
        loss=Loss.INPUT,
        costs="input: not ours to remove",
        removed_by=None,
    ),
    Subdir(
        name="encode",
        written_by="`run_encode`",
        holds="encoder output for distorted versions",
        loss=Loss.TIME,
        costs="time: encode again (hours)",
        removed_by="ws.purge-cache --with-encodes",
    ),
    Subdir(
        name="model",
        written_by="`run_vmaf_training`",
        holds="trained LIBSVM models (`.pkl` + `.pkl.model`, `.json`); never ONNX",
        loss=Loss.WORK,
        costs="work: train again",
        removed_by="ws.wipe-models",
    ),
    Subdir(
        name="model_param",
        written_by="custom and tuning runs",
        holds="pickled hyper-parameter sets",
        loss=Loss.WORK,
        costs="work: tune again",
        removed_by="ws.wipe-models",
    ),
    Subdir(
        name="output",
        written_by="any run with `--cache-result`",
        holds="per-run pickled feature caches, plots",
        loss=Loss.NOTHING,
        costs="nothing",
        removed_by="ws.clean-scratch",
    ),
    Subdir(
        name="result_store_dir",
        written_by="`FileResultStore`, `EncodeResultStore`",
        holds="persistent feature and encode results, so that re-runs are fast",
        loss=Loss.TIME,
        costs="time: extract again (slow)",
        removed_by="ws.purge-cache",
    ),
    Subdir(
        name="checkpoints_dir",
        written_by="training",
        holds="intermediate models of long training runs",
        loss=Loss.WORK,
        costs="work: train again",
        removed_by="ws.wipe-models",
    ),
    Subdir(
        name="workdir",
        written_by="`VmafConfig.workdir_path()`",
        holds="one uuid directory a run: decode temp, FIFOs, intermediate YUVs",
        loss=Loss.NOTHING,
        costs="nothing",
        removed_by="ws.clean-scratch",
    ),
)

BY_NAME = {subdir.name: subdir for subdir in SUBDIRS}
SCRATCH = tuple(s.name for s in SUBDIRS if s.loss is Loss.NOTHING)

FILE_RESULT_STORE = "file_result_store"  # below result_store_dir/
ENCODE_STORE = "encode_store"  # below result_store_dir/
RESULT_FORMAT = 2  # of entries there; those of an older rule of comparing are not served, and stay until purged
STORES = (FILE_RESULT_STORE, ENCODE_STORE)

MARKER = ".vmaf-workspace"  # the directory at the root that says: this tree is ours
PLACEHOLDER = ".gitignore"
PLACEHOLDER_TEXT = "*\n!.gitignore\n"
CACHE_TAG = "CACHEDIR.TAG"
# The first line is fixed: https://bford.info/cachedir/
CACHE_TAG_TEXT = (
    "Signature: 8a477f597d28d172789f06886806bc55\n# Made by vmaf-workspace: what is in here can be made again.\n"
)
KEPT_NAMES = frozenset({PLACEHOLDER, CACHE_TAG, MARKER})  # removal empties a subdirectory and keeps these
LOST_AND_FOUND = "lost+found"  # what a disk of its own has at its top: the system's, and nobody's work


def executor_and_dataset(parts: Sequence[str]) -> tuple[str, str] | None:
    """Whose entry it is, of its path below a store; None where that has no place for both.

    Read from the right, `<executor>/<dataset>/<content>/<file>`: upstream's executor holds the path of its model, with
    its slashes.
    """
    return ("/".join(parts[:-3]), parts[-3]) if len(parts) > 3 else None
