"""What is known of each encode: `result_store_dir/encode_store`, in the path shape of the `FileResultStore`.

`<store>/<executor_id>/<dataset>/<content_id>/<key>.json` is one JSON line. An entry counts only while the file that it
names is there, byte for byte.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from glob import glob
from itertools import pairwise
from pathlib import Path
from typing import Any

from vmaf_harness.encode.plan import Encode, Picture
from vmaf_harness.encode.transcode import Encoded
from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.store import BROKEN, CONTENT_HASHES, ContentHashes, told_to_others, write_in_directory
from vmaf_harness.measure.store import store_directory as file_result_store
from vmaf_harness.recipe.dataset import Reference
from vmaf_harness.recipe.plain_data import is_number
from vmaf_workspace.config import below
from vmaf_workspace.contract import ENCODE_STORE
from vmaf_workspace.disk.atomic import read_regular, replacing, write_atomically
from vmaf_workspace.errors import RefusedError, WorkspaceError
from vmaf_workspace.setup import ensure, write_errors_explained

FORMAT = 1
PICTURE_VERSION = 3  # of what is looked at: 2 refuses files that name other files, 3 knows of fields
PICTURES = ".pictures.json"  # what each reference decodes to


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEncode:
    """An encode as its entry tells it, whatever ladder it is of; whether its file is still there was not looked at.

    `reference` is where the reference was when it was encoded, its content then of the hash `source_sha256`; with
    `content_name` it is None in an entry of before it was written down, and where the recipe gave no name.
    """

    encoded: Encoded
    dataset: str
    content_id: str
    source_sha256: str
    reference: Path | None
    content_name: str | None
    encoder: str
    version: str  # of the encoder
    input: tuple[str, ...]  # arguments of ffmpeg before the reference
    filters: tuple[str, ...]
    arguments: tuple[str, ...]  # of ffmpeg's output

    def option(self, *names: str) -> str | None:
        """The value of the first of these options that it was given."""
        return next((value for name, value in pairwise(self.arguments) if name in {f"-{each}" for each in names}), None)

    def command(self, reference: Path, output: str) -> list[str]:
        """The ffmpeg that makes the same bits again."""
        of_input = [*self.input, "-i", str(reference)]
        return ["ffmpeg", *of_input, "-map", "0:V:0", "-vf", ",".join(self.filters), *self.arguments, output]


class EncodeResultStore:
    """Encodes of the workspace *root*; *warn* gets a line for each entry that does not hold any more."""

    def __init__(self, root: Path, *, warn: Callable[[str], None], has_others: bool = False) -> None:
        """Nothing is read or written yet; *has_others* as in `FileResultStore`."""
        self.root = root
        self.directory = root / "result_store_dir" / ENCODE_STORE
        self._warn = warn
        # The same references and encodes are scored afterwards: hashed here, they are not hashed again there.
        self._hash_memory = file_result_store(root) / CONTENT_HASHES
        self._hashes = ContentHashes(self._hash_memory, claims=told_to_others(root) if has_others else None)
        self._entries: dict[str, dict[str, list[Path]]] = {}  # of an executor, by key
        self._pictures: dict[str, dict[str, Any]] | None = None
        self._has_new_pictures = False

    def source_sha256(self, reference: Reference) -> str:
        """The hash of a reference's file; HarnessError where it cannot be read."""
        return self._hashes.of(reference.video.path)

    def hash_files(self, paths: Iterable[Path]) -> None:
        """Hash files that are not known yet, several at once; unreadable ones are passed over."""
        self._hashes.hash_files(paths)

    def picture(self, reference: Reference, look: Callable[[], Picture]) -> Picture:
        """What a reference decodes to, remembered by its content; *look* is asked where nobody knows."""
        if self._pictures is None:
            self._pictures = _read_pictures(self.directory / PICTURES)
        video = reference.video
        size_px = (video.width_px, video.height_px)
        name = json.dumps([PICTURE_VERSION, self.source_sha256(reference), video.yuv_fmt, *size_px, video.filters])
        with suppress(KeyError, TypeError):
            known = Picture(**self._pictures[name])
            if type(known.width_px) is type(known.height_px) is int and isinstance(known.pix_fmt, str):
                return known
        picture = look()
        self._pictures[name] = asdict(picture)
        self._has_new_pictures = True
        return picture

    def path(self, encode: Encode) -> Path:
        """Where the entry of *encode* is, or would be; RefusedError for a dataset that is no file name."""
        content = str(encode.reference.content_id)
        return below(self.directory, encode.executor_id, encode.dataset, content, f"{encode.key}.json")

    def get(self, encode: Encode) -> Encoded | None:
        """The encode as it is stored; None where there is none, or where its file is missing or changed.

        One that was made for another number of the content, or for another dataset, is found by its key. Its use is
        recorded as the entry's time, where that can be written. The file stays untouched.
        """
        problems: list[str] = []
        own = self.path(encode)
        if (encoded := self._read(own, problems)) is not None:
            return encoded
        for path in self._elsewhere(encode):
            if path != own and (encoded := self._read(path, problems)) is not None:
                return encoded
        for problem in problems:
            self._warn(f"{problem}; encoded again")
        return None

    def entries(self) -> dict[Path, StoredEncode]:
        """Every encode that has an entry, by its file; what is no entry is passed over. Nothing is written."""
        found: dict[Path, StoredEncode] = {}
        for name in glob("*/*/*/*.json", root_dir=self.directory):
            with suppress(OSError, ValueError, KeyError, TypeError):
                line = read_regular(self.directory / name, follow=True)
                if (encoded := self._parsed(line)) is not None:
                    made_of = json.loads(line)["key_of"]
                    encoder, version = map(str, made_of["encoder"])
                    given: dict[str, Any] = self._source(json.loads(line).get("reference"))
                    given |= {part: tuple(map(str, made_of[part])) for part in ("input", "filters", "arguments")}
                    _, dataset, content_id, _ = name.split("/")
                    found[encoded.path] = StoredEncode(
                        encoded=encoded,
                        encoder=encoder,
                        version=version,
                        dataset=dataset,
                        content_id=content_id,
                        source_sha256=str(made_of["source_sha256"]),
                        **given,
                    )
        return found

    def adopt(self, encode: Encode, encoded: Encoded) -> Encoded:
        """Give what `get` found of another dataset or number an entry, and a link in the directory, of its own.

        A copy where the file system has no links. Where nothing can be written, the file is used where it is.
        """
        if self.path(encode).exists() and encoded.path.parent == encode.path.parent:
            return encoded
        try:
            own = encoded if encoded.path.parent == encode.path.parent else self._linked(encode, encoded)
            self.put(encode, own)
        except (OSError, WorkspaceError):
            return encoded
        return own

    def put(self, encode: Encode, encoded: Encoded) -> None:
        """Store an encode that is at its final place.

        Raises HarnessError where its reference changed meanwhile, WorkspaceError where the disk is full or read-only.
        """
        source = encode.reference.video.path
        self._hashes.forget_changed({source, encoded.path})
        if self._hashes.of(source) != encode.made_of["source_sha256"]:
            raise HarnessError(f"{source} changed while it was encoded; run it again")
        first = {
            "format": FORMAT,
            "extraction_s": encoded.encode_s,  # the name by which `ws.purge-cache` adds up what a loss costs
            **asdict(encoded),
            "path": str(encoded.path.relative_to(self.root / "encode")),
            "reference": {"path": self._below_root(source), "content_name": encode.reference.content_name},
            "key_of": encode.made_of,
        }
        path = self.path(encode)
        with write_errors_explained(self.root):
            write_in_directory(path, lambda: write_atomically(path, json.dumps(first).encode() + b"\n"))

    def save(self) -> None:
        """Write down hashes and sizes learned; silently not where that cannot be written."""
        with suppress(OSError):
            self._hash_memory.parent.mkdir(exist_ok=True)
            self._hashes.save()
            if self._has_new_pictures:
                memory, pictures = self.directory / PICTURES, json.dumps(self._pictures).encode() + b"\n"
                write_in_directory(memory, lambda: write_atomically(memory, pictures))
                self._has_new_pictures = False

    def ensure(self) -> None:
        """Make the workspace, before the first write."""
        ensure(self.root)

    def _read(self, path: Path, problems: list[str]) -> Encoded | None:
        """What the entry at *path* names, whole and unchanged; else None, and why in *problems*."""
        try:
            line = read_regular(path, follow=True)
        except FileNotFoundError:
            return None
        except OSError as error:
            problems.append(f"{path}: {error.strerror}")
            return None
        encoded = self._parsed(line)
        if encoded is None:
            with suppress(OSError):
                path.replace(f"{path}{BROKEN}")
            problems.append(f"{path}: not a whole entry; set aside as {path.name}{BROKEN}")
            return None
        try:
            is_same = encoded.path.stat().st_size == encoded.n_bytes and self._hashes.of(encoded.path) == encoded.sha256
        except (OSError, HarnessError):
            problems.append(f"{encoded.path} is missing")
            return None
        if not is_same:
            problems.append(f"{encoded.path} is not what was encoded")
            return None
        with suppress(OSError):
            os.utime(path)
        return encoded

    def _elsewhere(self, encode: Encode) -> list[Path]:
        """Entries of the same key, whatever dataset and number they were made for; listed once, since that is slow."""
        if encode.executor_id not in self._entries:
            listed: dict[str, list[Path]] = {}
            top = self.directory / encode.executor_id
            for path in (top / name for name in glob("*/*/*.json", root_dir=top)):  # whatever a purge takes meanwhile
                listed.setdefault(path.stem, []).append(path)
            self._entries[encode.executor_id] = listed
        return self._entries[encode.executor_id].get(encode.key, [])

    def _linked(self, encode: Encode, encoded: Encoded) -> Encoded:
        """A link to an encode, else a copy, under the name that *encode* has."""

        def link() -> None:
            with replacing(encode.path) as temporary:
                try:
                    os.link(encoded.path, temporary)
                except OSError:
                    shutil.copyfile(encoded.path, temporary)

        # Of two links to one file, a rename replaces neither.
        if not (encode.path.exists() and encode.path.samefile(encoded.path)):
            write_in_directory(encode.path, link)
        self._hashes.forget_changed({encode.path, encoded.path})
        return replace(encoded, path=encode.path)

    def _below_root(self, path: Path) -> str:
        """The path below the workspace of what lies in it, which may move; else the absolute one."""
        absolute, root = os.path.abspath(path), os.path.abspath(self.root)
        return os.path.relpath(absolute, root) if absolute.startswith(f"{root}/") else absolute

    def _source(self, said: object) -> dict[str, Any]:
        """Where an entry says that its reference was, and how its content was called."""
        path, name = (said.get(key) for key in ("path", "content_name")) if isinstance(said, dict) else (None, None)
        known = self.root / path if isinstance(path, str) and "\0" not in path else None
        return {"reference": known, "content_name": name if isinstance(name, str) else None}

    def _parsed(self, line: bytes) -> Encoded | None:
        try:
            entry = json.loads(line)
            if entry["format"] != FORMAT or not line.endswith(b"\n"):
                return None
            fields = {name: entry[name] for name in Encoded.__dataclass_fields__}
            if not isinstance(entry["sha256"], str) or not all(type(entry[name]) is int for name in _INTEGER_FIELDS):
                return None
            if not all(is_number(entry[name]) for name in _NUMBER_FIELDS) or b"\0" in os.fsencode(entry["path"]):
                return None
            return Encoded(**{**fields, "path": below(self.root / "encode", entry["path"])})
        except (ValueError, KeyError, TypeError, RecursionError, RefusedError):
            return None


_INTEGER_FIELDS = ("n_bytes", "width_px", "height_px", "n_frames")
_NUMBER_FIELDS = ("duration_s", "bitrate_bps", "encode_s")


def _read_pictures(memory: Path) -> dict[str, dict[str, Any]]:
    try:
        pictures = json.loads(read_regular(memory, follow=True))
    except (OSError, ValueError, RecursionError):  # a memory that cannot be read is no memory
        return {}
    return pictures if isinstance(pictures, dict) else {}
