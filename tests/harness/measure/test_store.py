"""Results are found again as long as nothing that they depend on has changed, and only then."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from clips import asset, container
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vmaf_harness.engine.binary import Engine
from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.extraction import Extraction
from vmaf_harness.measure.measurement import Measurement
from vmaf_harness.measure.notes import DAMAGE, Note
from vmaf_harness.measure.store import CONTENT_HASHES, ContentHashes, FileResultStore, store_directory
from vmaf_harness.model.quality_type import extraction
from vmaf_harness.recipe.asset import Asset
from vmaf_workspace.errors import RefusedError
from vmaf_workspace.setup import setup

ENGINE = Engine("/usr/bin/ffmpeg", "9.0", "3.0.0")
VMAF = extraction("VMAF")
RACES = 60
MEASURED = Measurement(
    frames={"vmaf": [50.0, 60.0, 100.0], "integer_motion2": [0.0, 1.0, 2.0]},
    means={"vmaf": 70.000001, "integer_motion2": 1.0},
    extraction_s=1.25,
)


@pytest.fixture
def pair(tmp_path: Path) -> Asset:
    (tmp_path / "r.mp4").write_bytes(b"reference")
    (tmp_path / "d.mp4").write_bytes(b"distorted")
    return asset(container(tmp_path / "r.mp4"), container(tmp_path / "d.mp4"))


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def store(vmaf_workspace: Path, warnings: list[str]) -> Callable[..., FileResultStore]:
    """A store as a new process finds it."""

    def make(kind: Extraction = VMAF, engine: Engine = ENGINE) -> FileResultStore:
        return FileResultStore(vmaf_workspace, kind, engine, warn=warnings.append)

    return make


def put(store: FileResultStore, pair: Asset) -> Path:
    path = store.path(pair)
    store.put(pair, MEASURED, path)
    return Path(path)


def test_a_result_is_found_again(store: Callable[..., FileResultStore], pair: Asset, warnings: list[str]) -> None:
    assert store().get(pair) is None
    path = put(store(), pair)
    found = store().get(pair)
    assert found is not None
    assert (found.n_frames, found.extraction_s, found.versions) == (3, 1.25, {"ffmpeg": "9.0", "libvmaf": "3.0.0"})
    assert found.pools["mean"] == 70.000001  # libvmaf's own, not that of rounded frames
    assert (found.pools["min"], found.pools["median"]) == (50.0, 60.0)
    assert found.means == {"vmaf": 70.000001, "integer_motion2": 1.0}
    assert store().frames(pair) == MEASURED.frames
    assert path.relative_to(store_directory(path.parents[5])).parts[:3] == ("VMAF_V0.6.1", "d", "0")
    assert warnings == []


def test_the_first_line_is_the_summary_and_the_second_the_frames(
    store: Callable[..., FileResultStore], pair: Asset
) -> None:
    first, second, rest = put(store(), pair).read_bytes().split(b"\n")
    summary = json.loads(first)
    assert summary["extraction_s"] == 1.25
    assert summary["key_of"]["executor_id"] == "VMAF_V0.6.1"
    assert json.loads(second) == {"frames": MEASURED.frames}
    assert rest == b""


@pytest.mark.parametrize(
    "change",
    [
        {"pools": {"mean": 70.0}},
        {"pools": [70.0]},
        {"pools": None},
        {"means": {"vmaf": "70"}},
        {"n_frames": 3.0},
        {"n_frames": True},
        {"extraction_s": None},
        {"versions": {"ffmpeg": 9}},
        {"versions": "9.0"},
        {"notes": [{"kind": [], "side": "reference", "text": "cut"}]},
        {"notes": [{"kind": "damage", "side": "reference", "text": 3}]},
    ],
)
def test_a_whole_entry_that_says_something_else_is_set_aside_and_named_once(
    store: Callable[..., FileResultStore], pair: Asset, warnings: list[str], change: dict[str, Any]
) -> None:
    path = put(store(), pair)
    first, second, _ = path.read_bytes().split(b"\n")
    path.write_bytes(json.dumps(json.loads(first) | change).encode() + b"\n" + second + b"\n")
    assert store().get(pair) is None
    assert store().get(pair) is None
    assert len(warnings) == 1
    assert f"set aside as {path.name}.broken" in warnings[0]
    put(store(), pair)
    assert store().get(pair) is not None


@pytest.mark.parametrize("field", ["means", "pools"])
def test_a_number_that_no_float_holds_is_a_miss(field: str, store: Callable[..., FileResultStore], pair: Asset) -> None:
    path = put(store(), pair)
    first, frames = path.read_bytes().split(b"\n", 1)
    entry = json.loads(first)
    entry[field][next(iter(entry[field]))] = 10**400
    path.write_bytes(json.dumps(entry).encode() + b"\n" + frames)
    assert store().get(pair) is None
    assert put(store(), pair) == path
    assert store().get(pair) is not None


def test_a_measurement_that_could_not_be_read_again_is_an_error_and_is_not_stored(
    store: Callable[..., FileResultStore], pair: Asset
) -> None:
    kept = store()
    path = Path(kept.path(pair))
    odd = replace(MEASURED, frames={**MEASURED.frames, "integer_motion2": [0.0, 10**400, 2.0]})
    with pytest.raises(HarnessError, match="could not be read again"):
        kept.put(pair, odd, str(path))
    assert (path.exists(), os.listdir(path.parent)) == (False, [])


@pytest.mark.parametrize("frames", [3, {"vmaf": 3}, {"vmaf": ["3"]}, {"psnr": [3.0]}])
def test_frames_that_are_no_numbers_are_none(
    store: Callable[..., FileResultStore], pair: Asset, frames: object
) -> None:
    path = put(store(), pair)
    path.write_bytes(path.read_bytes().split(b"\n")[0] + b"\n" + json.dumps({"frames": frames}).encode() + b"\n")
    assert store().frames(pair) is None


@pytest.mark.parametrize("in_the_way", ["nothing", "a file", "a directory"])
def test_a_directory_in_the_place_of_an_entry_is_set_aside_and_named_once(
    store: Callable[..., FileResultStore], pair: Asset, warnings: list[str], in_the_way: str
) -> None:
    path = put(store(), pair)
    path.unlink()
    path.mkdir()
    aside = path.with_name(path.name + ".broken")
    if in_the_way == "a file":
        aside.touch()
    elif in_the_way == "a directory":
        (aside / "kept").mkdir(parents=True)
    assert store().get(pair) is None
    assert len(warnings) == 1
    assert str(path) in warnings[0]
    assert put(store(), pair) == path
    assert store().get(pair) is not None
    assert len(warnings) == 1


def test_a_fifo_in_the_place_of_an_entry_is_not_waited_for(
    store: Callable[..., FileResultStore], pair: Asset, warnings: list[str]
) -> None:
    path = put(store(), pair)
    path.unlink()
    os.mkfifo(path)
    assert store().get(pair) is None
    assert len(warnings) == 1
    assert put(store(), pair) == path
    assert store().get(pair) is not None


def test_a_text_that_reads_like_the_end_of_a_summary_ends_none(
    store: Callable[..., FileResultStore], pair: Asset, warnings: list[str]
) -> None:
    kept = store()
    note = Note(kind=DAMAGE, side="distorted", text='x", "key_of": {}}')
    path = kept.path(pair)
    assert kept.put(pair, replace(MEASURED, notes=(note,)), path) == store().get(pair)
    assert warnings == []


@pytest.mark.parametrize(
    "change",
    [
        {"quality_width_px": 352},
        {"resampling_type": "lanczos"},
        {"workfile_yuv_type": "yuv420p10le"},
        {"dataset": "other"},
        {"content_id": 1},
    ],
)
def test_whatever_changes_the_number_or_the_place_is_another_result(
    store: Callable[..., FileResultStore], pair: Asset, change: dict[str, Any]
) -> None:
    put(store(), pair)
    assert store().get(replace(pair, **change)) is None
    assert store().get(pair) is not None


@pytest.mark.parametrize(
    "change",
    [
        {"start_frame": 1},
        {"end_frame": 1},
        {"fps": 30.0},
        {"duration_s": 1.0},
        {"filters": (("crop", "8:8:0:0"),)},
        {"resampling_type": "lanczos"},
    ],
)
def test_whatever_changes_a_video_is_another_result(
    store: Callable[..., FileResultStore], pair: Asset, change: dict[str, Any]
) -> None:
    put(store(), pair)
    assert store().get(replace(pair, distorted=replace(pair.distorted, **change))) is None
    assert store().get(replace(pair, reference=replace(pair.reference, **change))) is None


def test_an_entry_is_named_by_the_hash_of_what_it_was_made_of_whatever_the_store_was_asked_before(
    store: Callable[..., FileResultStore], pair: Asset
) -> None:
    same, turned = (
        replace(pair, distorted=pair.reference),
        replace(pair, distorted=pair.reference, reference=pair.distorted),
    )
    filtered = replace(pair.distorted, filters=(("eq", '"sha256": "\\u0000"'),), fps=25.0)
    others = [replace(pair, pairing="time"), replace(pair, least_depth=10), replace(pair, distorted=filtered)]
    kept = store()
    for each in (pair, same, turned, *others, replace(pair, reference=filtered), pair):
        path = put(kept, each)
        made_of = json.loads(path.read_bytes().partition(b"\n")[0])["key_of"]
        assert path.stem == hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
        assert made_of["reference"]["sha256"] == hashlib.sha256(each.reference.path.read_bytes()).hexdigest()
        assert made_of["distorted"]["sha256"] == hashlib.sha256(each.distorted.path.read_bytes()).hexdigest()


def test_another_extraction_or_engine_is_another_result(store: Callable[..., FileResultStore], pair: Asset) -> None:
    put(store(), pair)
    assert store(extraction("VMAF", phone_model=True)).get(pair) is None
    assert store(extraction("PSNR")).get(pair) is None
    assert store(engine=replace(ENGINE, libvmaf="3.0.1")).get(pair) is None
    assert store(engine=replace(ENGINE, ffmpeg="9.1")).get(pair) is None
    assert store(engine=replace(ENGINE, path="/elsewhere/ffmpeg")).get(pair) is not None


def test_a_label_or_a_name_is_not_part_of_the_number(store: Callable[..., FileResultStore], pair: Asset) -> None:
    put(store(), pair)
    assert store().get(replace(pair, groundtruth=3.0, asset_id=9, content_name="x")) is not None


def test_a_moved_video_keeps_its_result(store: Callable[..., FileResultStore], pair: Asset, tmp_path: Path) -> None:
    put(store(), pair)
    moved = shutil.move(pair.distorted.path, tmp_path / "moved.mp4")
    assert store().get(replace(pair, distorted=container(Path(moved)))) is not None


def test_a_video_replaced_under_the_same_name_is_another_result(
    store: Callable[..., FileResultStore], pair: Asset
) -> None:
    put(store(), pair)
    _age(pair.distorted.path)
    store().hash_contents([pair])
    pair.distorted.path.write_bytes(b"DISTORTED")  # of the same size
    assert store().get(pair) is None


def test_a_replacement_with_the_old_size_and_time_is_noticed(
    store: Callable[..., FileResultStore], pair: Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vmaf_harness.measure.store._RACY_S", -1.0)  # the file counts as old at once
    first = store()
    put(first, pair)
    first.save_hashes()
    before = os.stat(pair.distorted.path)
    with pair.distorted.path.open("r+b") as file:
        file.write(b"DISTORTED")
    os.utime(pair.distorted.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert store().get(pair) is None


def test_a_video_that_changes_while_it_is_measured_is_an_error_and_nothing_is_stored(
    store: Callable[..., FileResultStore], pair: Asset
) -> None:
    made = store()
    path = made.path(pair)
    pair.distorted.path.write_bytes(b"another one")
    with pytest.raises(HarnessError, match="changed while it was measured"):
        made.put(pair, MEASURED, path)
    assert not os.path.exists(path)


def test_a_missing_video_is_an_error(store: Callable[..., FileResultStore], pair: Asset) -> None:
    pair.reference.path.unlink()
    made = store()
    made.hash_contents([pair])
    with pytest.raises(HarnessError, match=r"r\.mp4: No such file"):
        made.path(pair)


@pytest.mark.parametrize("how", ["half", "first line", "empty", "zeros", "binary", "another", "lists", "longer"])
def test_an_entry_that_is_not_whole_is_a_miss_set_aside_and_named_once(
    store: Callable[..., FileResultStore], pair: Asset, warnings: list[str], how: str
) -> None:
    path = put(store(), pair)
    content = path.read_bytes()
    broken = {
        "half": content[: len(content) // 2],
        "first line": content.split(b"\n")[0] + b"\n",
        "empty": b"",
        "zeros": bytes(len(content)),
        "binary": b"\xff" * 99,
        "another": b"{}\n{}\n",
        "lists": b"[]\n",
        "longer": content + b"x",
    }[how]
    path.write_bytes(broken)
    made = store()
    assert made.get(pair) is None
    assert made.get(pair) is None
    assert len(warnings) == 1
    assert str(path) in warnings[0]
    assert path.with_name(path.name + ".broken").read_bytes() == broken
    put(store(), pair)
    assert store().get(pair) is not None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(cut=st.integers(min_value=0, max_value=10_000))
def test_an_entry_cut_anywhere_is_never_read(
    store: Callable[..., FileResultStore], pair: Asset, warnings: list[str], cut: int
) -> None:
    path = put(store(), pair)
    content = path.read_bytes()
    path.write_bytes(content[: cut % len(content)])
    assert store().get(pair) is None


def test_a_use_is_recorded_as_the_time_of_the_entry(store: Callable[..., FileResultStore], pair: Asset) -> None:
    path = put(store(), pair)
    os.utime(path, (1, 1))
    store().get(pair)
    assert path.stat().st_mtime > time.time() - 60


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "../../x", "/etc", "a\0b", "x" * 256, ".hidden"])
def test_a_dataset_that_is_no_file_name_is_refused(
    store: Callable[..., FileResultStore], pair: Asset, name: str
) -> None:
    with pytest.raises(RefusedError):
        store().path(replace(pair, dataset=name))


def test_a_write_that_fails_leaves_nothing_behind(
    store: Callable[..., FileResultStore], pair: Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(store(), pair)
    before = path.read_bytes()
    path.unlink()
    path.mkdir()  # what the finished file cannot replace
    with pytest.raises(OSError, match="directory"):
        put(store(), pair)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    path.rmdir()
    assert put(store(), pair).read_bytes() == before


def test_a_result_is_stored_although_a_purge_takes_its_directory_away_again_and_again(
    store: Callable[..., FileResultStore], pair: Asset
) -> None:
    purging = (
        "import os, sys\nprint('ready', flush=True)\nwhile True:\n try: os.rmdir(sys.argv[1])\n except OSError: pass"
    )
    results = store()
    path = results.path(pair)
    with subprocess.Popen([sys.executable, "-c", purging, Path(path).parent], stdout=subprocess.PIPE) as purge:
        try:
            assert purge.stdout is not None
            purge.stdout.readline()
            for _ in range(RACES):
                results.put(pair, MEASURED, path)
                assert results.get(pair) is not None
                os.unlink(path)
        finally:
            purge.kill()


def test_what_a_killed_writer_left_is_never_read_and_goes_with_the_next_write(
    store: Callable[..., FileResultStore], pair: Asset, warnings: list[str]
) -> None:
    path = Path(store().path(pair))
    setup(store().root)
    path.parent.mkdir(parents=True)
    left = path.with_name(f".{path.stem}.0a1b2c3d.tmp")
    left.write_bytes(b"half")
    os.utime(left, (1, 1))
    fresh = path.with_name(f".{path.stem}.99999999.tmp")  # perhaps another writer, at work
    fresh.write_bytes(b"half")
    assert store().get(pair) is None
    put(store(), pair)
    assert not left.exists()
    assert fresh.exists()
    assert warnings == []


# Hashes of contents


def _age(path: Path) -> None:
    os.utime(path, (1_000_000_000, 1_000_000_000))


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as old enough to be remembered as soon as they are written."""
    monkeypatch.setattr("vmaf_harness.measure.store._RACY_S", -1.0)


@pytest.mark.usefixtures("old")
def test_a_remembered_file_is_not_read_again(tmp_path: Path) -> None:
    video, memory = tmp_path / "v", tmp_path / "hashes"
    video.write_bytes(b"x")
    first = ContentHashes(memory)
    digest = first.of(video)
    first.save()
    line = json.loads(memory.read_bytes())
    memory.write_text(json.dumps([*line[:-1], "remembered"]))
    assert ContentHashes(memory).of(video) == "remembered" != digest


def test_a_file_that_has_just_been_written_is_not_remembered(tmp_path: Path) -> None:
    video, memory = tmp_path / "v", tmp_path / "hashes"
    video.write_bytes(b"x")
    hashes = ContentHashes(memory)
    hashes.of(video)
    hashes.save()
    assert not memory.exists()


@pytest.mark.usefixtures("old")
def test_a_torn_last_line_costs_one_hash_and_no_other(tmp_path: Path) -> None:
    videos = [tmp_path / name for name in "abc"]
    memory = tmp_path / "hashes"
    for i, video in enumerate(videos):
        video.write_bytes(b"%d" % i)
        hashes = ContentHashes(memory)
        hashes.of(video)
        hashes.save()
    whole = memory.read_bytes()
    memory.write_bytes(whole[:-30])
    again = ContentHashes(memory)
    digests = [again.of(video) for video in videos]
    again.save()
    assert [ContentHashes(memory).of(video) for video in videos] == digests
    assert memory.read_bytes().startswith(whole[:-30] + b"\n")


@pytest.mark.usefixtures("old")
def test_stale_lines_go_once_they_are_most(tmp_path: Path) -> None:
    video, memory = tmp_path / "v", tmp_path / "hashes"
    for i in range(20):
        video.write_bytes(b"x" * i)
        hashes = ContentHashes(memory)
        hashes.of(video)
        hashes.save()
    assert len([line for line in memory.read_bytes().splitlines() if line]) <= 3


@pytest.mark.usefixtures("old")
def test_names_that_are_not_utf8_are_remembered(tmp_path: Path) -> None:
    video = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe"))
    video.write_bytes(b"x")
    hashes = ContentHashes(tmp_path / "hashes")
    digest = hashes.of(video)
    hashes.save()
    assert ContentHashes(tmp_path / "hashes").of(video) == digest


def test_many_files_are_hashed_at_once_and_missing_ones_passed_over(tmp_path: Path) -> None:
    videos = [tmp_path / str(i) for i in range(50)]
    for video in videos[1:]:
        video.write_bytes(video.name.encode())
    hashes = ContentHashes(tmp_path / CONTENT_HASHES)
    hashes.hash_files(videos)
    assert len({hashes.of(video) for video in videos[1:]}) == 49
    with pytest.raises(HarnessError):
        hashes.of(videos[0])
