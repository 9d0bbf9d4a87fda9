"""What was measured, kept: a file a result, named by everything that the numbers depend on.

`<store>/<executor_id>/<dataset>/<content_id>/<key>.json`: the first line is the summary, the second the frames. Nothing
here is written before there is a result; reading works on a read-only disk.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from glob import escape, glob
from operator import attrgetter
from pathlib import Path
from typing import Any

from vmaf_harness.engine.binary import Engine
from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.common_form import FORM_VERSION
from vmaf_harness.measure.extraction import Extraction
from vmaf_harness.measure.measurement import Measurement
from vmaf_harness.measure.notes import Note
from vmaf_harness.recipe.asset import Asset, Video
from vmaf_harness.statistics import POOLS, pool_all
from vmaf_workspace.config import below
from vmaf_workspace.contract import FILE_RESULT_STORE, MARKER, RESULT_FORMAT
from vmaf_workspace.disk.atomic import read_regular, write_atomically
from vmaf_workspace.disk.workers import cores
from vmaf_workspace.errors import RefusedError
from vmaf_workspace.live.claim import claim
from vmaf_workspace.setup import ensure, write_errors_explained

CONTENT_HASHES = ".content_hashes.jsonl"
CLAIMS = "claims"  # in the marker
BROKEN = ".broken"  # suffix of an entry that could not be read
_FLOAT_LIMIT = 1 << 1023
_LEFT_OVER_S = 3600.0  # a temporary file this old belongs to a writer that was killed
_PATIENCE_S = 10.0  # with purges, each of which has just removed the last file there
_SUMMARY = 4096  # bytes that most summaries fit into
_KEY_OF = b', "key_of": '  # as `put` writes it; within a text its quotes would be escaped
_RACY_S = 2.0  # coarsest time stamps of a file system in use (FAT): a file this fresh may still change unseen


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What is known of one asset without its frames: the score pooled in every way, and the means of all metrics."""

    pools: Mapping[str, float]
    means: Mapping[str, float]
    n_frames: int
    extraction_s: float
    versions: Mapping[str, str]  # of ffmpeg and libvmaf
    notes: tuple[Note, ...] = ()  # what a person should know of these numbers


def summarize(measurement: Measurement, extraction: Extraction, engine: Engine) -> Result:
    """Pool a measurement; NaN where a pool is not defined for such scores.

    The mean is libvmaf's own, which was taken before its log was rounded.
    """
    return Result(
        pools=pool_all(measurement.frames[extraction.score]) | {"mean": measurement.means[extraction.score]},
        means=measurement.means,
        n_frames=measurement.n_frames,
        extraction_s=measurement.extraction_s,
        versions=engine.versions,
        notes=measurement.notes,
    )


class FileResultStore:
    """Results of one extraction by one engine, in the workspace *root*.

    *warn* gets a line for each entry that could not be read; such an entry is set aside and counts as missing.
    """

    def __init__(
        self,
        root: Path,
        extraction: Extraction,
        engine: Engine,
        *,
        warn: Callable[[str], None],
        has_others: bool = False,
    ) -> None:
        """Nothing is read or written yet; where others work at the same dataset, *has_others*, videos are hashed once.

        Then the workspace is made, since what is learnt is told at once.
        """
        self.root = root
        self.directory = store_directory(root)
        self._extraction, self._engine, self._warn = extraction, engine, warn
        claims = told_to_others(root) if has_others else None
        self._hashes = ContentHashes(self.directory / CONTENT_HASHES, claims=claims)
        self._directories: dict[tuple[str, int], str] = {}
        self._key_parts: dict[object, list[str]] = {}
        self._identity, self._has_cambi = extraction.identity, extraction.has_cambi

    def hash_contents(self, assets: Iterable[Asset]) -> None:
        """Hash the videos of *assets* that are not known yet, several at once; unreadable ones are left for `path`."""
        videos = {video.path: None for asset in assets for video in (asset.reference, asset.distorted)}
        self._hashes.hash_files(videos)

    def path(self, asset: Asset) -> str:
        """Where the result of *asset* is, or would be.

        Raises HarnessError where one of its videos cannot be read, RefusedError for a dataset that is no file name.
        """
        place = (asset.dataset, asset.content_id)
        if place not in self._directories:
            self._directories[place] = str(self._place(asset))
        return f"{self._directories[place]}/{self._key(asset)}.json"

    def get(self, asset: Asset, path: str | None = None) -> Result | None:
        """The stored result, None where there is none, or where a metric is no number, which may be another time.

        Its use is recorded as its time, where that can be written. *path* is what `path` said, where it was asked.
        """
        path = self.path(asset) if path is None else path
        try:
            line, size = _first_line(path)
        except FileNotFoundError:
            return None
        except IsADirectoryError:
            self._set_aside(path)
            return None
        except OSError as error:
            self._warn(f"{path}: {error.strerror}; measured again")
            return None
        result = _parse_summary(line, size)
        if result is None:
            self._set_aside(path)
            return None
        if any(map(math.isnan, result.means.values())):
            nan = [metric for metric, mean in result.means.items() if math.isnan(mean)]
            self._warn(f"{path}: {', '.join(nan)} is no number; measured again")
            return None
        with suppress(OSError):
            os.utime(path)
        return result

    def frames(self, asset: Asset) -> dict[str, list[float]] | None:
        """The stored metrics of each frame, None where there are none."""
        try:
            lines = read_regular(self.path(asset), follow=True).split(b"\n", 2)
            frames: dict[str, list[float]] = json.loads(lines[1])["frames"]
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return None
        whole = isinstance(frames, dict) and all(map(_are_numbers, frames.values()))
        return frames if whole and self._extraction.score in frames else None

    def put(self, asset: Asset, measurement: Measurement, path: str) -> Result:
        """Store a measurement at *path*, whole or not at all; *path* is what `path` said before measuring.

        Raises HarnessError where a video changed since then, WorkspaceError where the disk is full or read-only.
        """
        result = summarize(measurement, self._extraction, self._engine)
        self._hashes.forget_changed({asset.reference.path, asset.distorted.path})
        made_of = self._made_of(asset)
        if not path.endswith(f"/{self._key(asset)}.json"):
            raise HarnessError(f"asset {asset.asset_id}: a video changed while it was measured; run it again")
        frames = json.dumps({"frames": measurement.frames}).encode() + b"\n"
        first = {
            "format": RESULT_FORMAT,
            "extraction_s": result.extraction_s,
            "n_frames": result.n_frames,
            "score": self._extraction.score,
            "pools": dict(result.pools),
            "means": dict(result.means),
            "versions": dict(result.versions),
            "notes": [asdict(note) for note in result.notes],
            "asset_id": asset.asset_id,
            "frames_bytes": len(frames),
            "key_of": made_of,
        }
        ensure(self.root)
        content = json.dumps(first).encode() + b"\n" + frames
        with write_errors_explained(self.root):
            _remove_left_over(Path(path))
            write_in_directory(Path(path), lambda: write_atomically(Path(path), content, reader=_check_readable))
        return result

    def save_hashes(self) -> None:
        """Write down the hashes learned; silently not where that cannot be written."""
        if self.directory.is_dir():
            self._hashes.save()

    def _place(self, asset: Asset) -> Path:
        for name in (self._extraction.executor_id, asset.dataset):
            if not name or name.startswith(".") or "/" in name or "\0" in name or len(os.fsencode(name)) > 255:
                raise RefusedError(
                    f"{name!r} cannot be the name of a directory in the result store; rename the dataset"
                )
        return below(self.directory, self._extraction.executor_id, asset.dataset, str(asset.content_id))

    def _key(self, asset: Asset) -> str:
        """The hash of `_made_of`, of whose text all but the content of the two files is mostly that of others."""
        about = (_about_pair(asset), _about_video(asset.reference), _about_video(asset.distorted))
        parts = self._key_parts.get(about)
        if parts is None:
            made_of = self._made_of(asset)
            for side in ("reference", "distorted"):
                made_of[side]["sha256"] = "\0"
            parts = self._key_parts[about] = _encode(made_of).split(r'"sha256": "\u0000"')
        before, between, after = parts
        reference, distorted = self._hashes.of(asset.reference.path), self._hashes.of(asset.distorted.path)
        text = f'{before}"sha256": "{distorted}"{between}"sha256": "{reference}"{after}'
        return hashlib.sha256(text.encode()).hexdigest()

    def _made_of(self, asset: Asset) -> dict[str, Any]:
        return {**self._identity, "engine": self._engine.versions, **self.asset_key(asset)}

    def asset_key(self, asset: Asset) -> dict[str, Any]:
        """The part of a key that is of the asset; HarnessError where one of its videos cannot be read."""
        made_of: dict[str, Any] = {
            "common_form": FORM_VERSION,
            "pairing": asset.pairing or "index",
            "reference": self._video(asset.reference),
            "distorted": self._video(asset.distorted),
            "quality_size_px": [asset.quality_width_px, asset.quality_height_px],
            "resampling_type": asset.resampling_type,
            "workfile_yuv_type": asset.workfile_yuv_type,
        }
        if self._has_cambi:
            made_of["encode"] = [asset.encode_width_px, asset.encode_height_px, asset.encode_depth]
        if asset.least_depth is not None:
            made_of["least_depth"] = asset.least_depth
        return made_of

    def _video(self, video: Video) -> dict[str, Any]:
        return {
            "sha256": self._hashes.of(video.path),
            "yuv_fmt": video.yuv_fmt,
            "size_px": [video.width_px, video.height_px],
            "fps": video.fps,
            "frames": [video.start_frame, video.end_frame, video.duration_s],
            "filters": [list(given) for given in video.filters],
            **({} if video.resampling_type is None else {"resampling_type": video.resampling_type}),
        }

    def _set_aside(self, path: str) -> None:
        where = "left where it is"
        for aside in (path + BROKEN, f"{path}.{os.urandom(4).hex()}{BROKEN}"):
            try:
                os.replace(path, aside)
            except OSError:  # one of the two is a directory, and the other is in its way
                continue
            where = f"set aside as {os.path.basename(aside)}"
            break
        self._warn(f"{path}: not a whole result; {where}, measured again")


_encode = json.JSONEncoder(sort_keys=True).encode
# Whatever of an asset and of a video a number may depend on, but for the content of files.
_NAMES = {"dataset", "content_id", "asset_id", "content_name", "in_recipe"}
_LABELS = {"groundtruth", "groundtruth_std", "raw_scores"}
_about_pair = attrgetter(*({field.name for field in fields(Asset)} - {"reference", "distorted"} - _NAMES - _LABELS))
_about_video = attrgetter(*({field.name for field in fields(Video)} - {"path"}))


def stored_entry(path: Path) -> tuple[dict[str, Any], dict[str, list[float]]] | None:
    """The summary line of an entry, whoever measured it, and its frames by metric; None where it is not whole."""
    try:
        content = read_regular(path, follow=True)
        _check_readable(content)
        line, _, frames = content.partition(b"\n")
        about, columns = json.loads(line), json.loads(frames)["frames"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, HarnessError):
        return None
    is_keyed = isinstance(about.get("key_of"), dict) and {"options", "pairing"} <= about["key_of"].keys()
    return (about, columns) if is_keyed else None


def result_of(about: Mapping[str, Any]) -> Result:
    """The result that the summary line of a whole entry holds."""
    return Result(
        pools=about["pools"],
        means=about["means"],
        n_frames=about["n_frames"],
        extraction_s=about["extraction_s"],
        versions=about["versions"],
        notes=tuple(Note(**note) for note in about["notes"]),
    )


def store_directory(root: Path) -> Path:
    """The result store of the workspace *root*."""
    return root / "result_store_dir" / FILE_RESULT_STORE


def told_to_others(root: Path) -> Path:
    """Where files are claimed for hashing; the workspace *root* is made, with the place of what is learnt."""
    ensure(root)
    with write_errors_explained(root):
        store_directory(root).mkdir(exist_ok=True)
    return root / MARKER / CLAIMS


def write_in_directory(path: Path, write: Callable[[], None]) -> None:
    """Make the directory of *path* and *write* there; again where a purge, which empties it just now, takes it away."""
    until_s = time.monotonic() + _PATIENCE_S
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return write()
        except (FileNotFoundError, FileExistsError):  # the latter from `mkdir`, for what is gone at its second look
            if time.monotonic() > until_s:
                raise


class ContentHashes:
    """sha256 of files, remembered by size, times and inode in an append-only file of JSON lines."""

    def __init__(self, memory: Path, *, claims: Path | None = None) -> None:
        """Nothing is read yet. With *claims*, a directory, what several processes want is hashed by one of them."""
        self._memory, self._claims = memory, claims
        self._writing = threading.RLock()
        self._known: dict[str, list[Any]] | None = None  # path -> [size, mtime_ns, ctime_ns, inode, sha256]
        self._checked: dict[Path, str] = {}  # in this process, so that a file is looked at once
        self._new: dict[str, list[Any]] = {}
        self._stale = 0
        self._stopped = threading.Event()

    def of(self, path: Path) -> str:
        """The hash of a file's content; HarnessError where it cannot be read."""
        if path not in self._checked:
            self._checked[path] = self._look_up(path)
        return self._checked[path]

    def hash_files(self, paths: Iterable[Path]) -> None:
        """Look up many files, hashing unknown ones in several threads; those that cannot be read are passed over."""
        unknown = []
        for path in paths:
            with suppress(OSError):
                if (found := self._remembered(path, _file_stamp(path))) is not None:
                    self._checked[path] = found
                else:
                    unknown.append(path)

        def learn_one(path: Path) -> None:
            with suppress(HarnessError):
                self.of(path)

        if not unknown:
            return
        with ThreadPoolExecutor(cores()) as pool:
            try:
                list(pool.map(learn_one, unknown))
            except BaseException:
                self._stopped.set()  # else the pool would wait for the last byte of large files
                raise

    def forget_changed(self, paths: Iterable[Path]) -> None:
        """Look at these files again when they are asked for."""
        for path in paths:
            self._checked.pop(path, None)

    def save(self) -> None:
        """Append what is new, or write everything afresh once most lines are stale; silently not where that fails."""
        with self._writing, suppress(OSError):
            if not self._new:
                return
            known, new, self._new = self._known or {}, self._new, {}
            if self._stale > len(known):
                write_atomically(self._memory, _hash_lines(known))
                return
            fd = os.open(self._memory, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                os.write(fd, b"\n" + _hash_lines(new))  # the blank line ends one that a killed writer left torn
            finally:
                os.close(fd)

    def _look_up(self, path: Path) -> str:
        try:
            before = _file_stamp(path)
            found = self._remembered(path, before)
            if found is not None:
                return found
            if self._claims is None:
                return self._learnt(path, before)
            name = hashlib.sha256(os.fsencode(path)).hexdigest()[:32]
            with claim(self._claims / f"{name}.json", f"hashes {path}"):
                with self._writing:
                    self._known = None  # somebody may have learnt it while we waited
                    found = self._remembered(path, before)
                if found is None:
                    found = self._learnt(path, before)
                    self.save()
                return found
        except OSError as error:
            raise HarnessError(f"{path}: {error.strerror}; correct the path, or bring the file there") from error

    def _learnt(self, path: Path, before: list[int]) -> str:
        digest = self._hash(path)
        if _file_stamp(path) != before:
            raise HarnessError(f"{path} is being written; wait until it is whole")
        if time.time() - before[2] / 1e9 > _RACY_S:
            with self._writing:
                self._new[str(path)] = [*before, digest]
                if self._known is not None:
                    self._known[str(path)] = [*before, digest]
        return digest

    def _hash(self, path: Path) -> str:
        digest = hashlib.sha256()
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
                if self._stopped.is_set():
                    raise HarnessError("stopped while a video was read")
        return digest.hexdigest()

    def _remembered(self, path: Path, stamp: list[int]) -> str | None:
        with self._writing:
            if self._known is None:
                self._known, self._stale = {}, 0
                self._read()
            known = self._known.get(str(path))
        return str(known[4]) if known is not None and known[:4] == stamp else None

    def _read(self) -> None:
        assert self._known is not None
        try:
            lines = read_regular(self._memory, follow=True).splitlines()
        except OSError:
            return
        for line in lines:
            try:
                path, *rest = json.loads(line.decode())
                if len(rest) == 5:
                    self._stale += path in self._known
                    self._known[path] = rest
            except (ValueError, TypeError, RecursionError):  # torn, or the blank line before an append
                continue


def _file_stamp(path: Path) -> list[int]:
    status = os.stat(path)
    # ctime, too: a file replaced with its old time kept (cp -p, rsync -t) still has a new one.
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _hash_lines(known: Mapping[str, list[Any]]) -> bytes:
    return b"".join(json.dumps([path, *rest]).encode() + b"\n" for path, rest in known.items())


def _first_line(path: str) -> tuple[bytes, int]:
    """The first line of a file, and the size of the whole in bytes; a FIFO is not waited for."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        read = os.read(fd, _SUMMARY)
        while b"\n" not in read and (more := os.read(fd, 1 << 20)):
            read += more
        line, newline, _ = read.partition(b"\n")
        return line + newline, os.fstat(fd).st_size
    finally:
        os.close(fd)


def _parse_summary(line: bytes, size: int) -> Result | None:
    """The summary in the first line of an entry of *size* bytes; None where the entry is not whole."""
    # What it was measured from comes last and is told by the entry's name: half of the line, and of the time.
    about, is_last, _ = line.partition(_KEY_OF)
    try:
        first = json.loads((about + b"}" if is_last else line).decode())
        if first["format"] != RESULT_FORMAT or len(line) + first["frames_bytes"] != size:
            return None
        result = result_of(first)
        is_whole = (
            _are_numbers([*result.pools.values(), *result.means.values(), result.n_frames, result.extraction_s])
            and isinstance(result.n_frames, int)
            and result.pools.keys() >= POOLS.keys()
            and all(isinstance(version, str) for version in result.versions.values())
            and all(isinstance(text, str) for note in result.notes for text in (note.kind, note.side, note.text))
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return result if is_whole else None


def _check_readable(content: bytes) -> None:
    """Raise HarnessError for an entry that would be a miss: it would be measured, and stored, at every run."""
    line, _, frames = content.partition(b"\n")
    if _parse_summary(line + b"\n", len(content)) is None or not all(
        map(_are_numbers, json.loads(frames)["frames"].values())
    ):
        raise HarnessError(
            "what was measured could not be read again, so it was not stored; `ws.doctor` names the ffmpeg in use"
        )


def _are_numbers(values: object) -> bool:
    """Whether these are numbers that a float holds; JSON knows longer ones."""
    if not isinstance(values, list):
        return False
    if set(map(type, values)) == {float}:
        return True
    return all(type(value) is float or (type(value) is int and abs(value) < _FLOAT_LIMIT) for value in values)


def _remove_left_over(path: Path) -> None:
    """Remove temporary files of writers of the same entry that were killed."""
    # Not Path.glob, which raises where a purge takes the directory at this moment.
    for name in glob(f".{escape(path.stem)}.*.tmp", root_dir=path.parent):
        temporary = path.parent / name
        with suppress(OSError):
            if time.time() - temporary.stat().st_mtime > _LEFT_OVER_S:
                temporary.unlink()
