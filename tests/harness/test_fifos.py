"""A FIFO in the place of a small file of the harness's own: nobody waits for a writer that never comes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clips import asset, container

from vmaf_harness.encode.store import EncodeResultStore
from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.store import CONTENT_HASHES, ContentHashes, stored_entry
from vmaf_harness.report.model_card import read_model_report
from vmaf_harness.report.summary import read_entries
from vmaf_harness.training.card import is_of_training
from vmaf_workspace.setup import setup


@pytest.fixture(autouse=True)
def _ended_where_it_waits() -> Iterator[None]:
    """Whoever opens a FIFO to read it waits for ever."""
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


def hashes(root: Path) -> object:
    video = root / "v.mp4"
    video.write_bytes(b"video")
    return len(ContentHashes(root / CONTENT_HASHES).of(video))


def report(root: Path) -> object:
    with pytest.raises(HarnessError, match="is no card"):
        read_model_report(root, "m", ())
    return None


def trained_on(root: Path) -> object:
    video = root / "v.mp4"
    video.write_bytes(b"video")
    return is_of_training("m", root, "mine", [asset(container(video), container(video))])


READERS: list[tuple[str, Callable[[Path], object], object]] = [
    (CONTENT_HASHES, hashes, 64),
    ("entry.json", lambda root: stored_entry(root / "entry.json"), None),
    (
        "result_store_dir/encode_store/x264/mine/0/1.json",
        lambda root: EncodeResultStore(root, warn=print).entries(),
        {},
    ),
    ("model/m.card.json", lambda root: read_entries(root), []),
    ("output/run/statistics.json", lambda root: read_entries(root), []),
    ("model/m.card.json", report, None),
    ("model/m.card.json", trained_on, False),
]


@pytest.mark.parametrize(("place", "read", "expected"), READERS)
def test_a_fifo_in_the_place_of_a_small_file_is_not_waited_for(
    vmaf_workspace: Path, place: str, read: Callable[[Path], object], expected: object
) -> None:
    setup(vmaf_workspace)
    fifo = vmaf_workspace / place
    fifo.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(fifo)
    assert read(vmaf_workspace) == expected
