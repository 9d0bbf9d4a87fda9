"""What is known of each encode: `result_store_dir/encode_store`, in the path shape of the `FileResultStore`.

`<store>/<executor_id>/<dataset>/<content_id>/<key>.json` is one JSON line. An entry counts only while the file that it
names is there, byte for byte.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vmaf_harness.encode import Encoded
from vmaf_harness.encode_plan import Encode, Picture
from vmaf_harness.errors import HarnessError
from vmaf_harness.recipe import Reference
from vmaf_harness.store import BROKEN, CONTENT_HASHES, ContentHashes
from vmaf_harness.store import directory as file_result_store
from vmaf_workspace.config import below
from vmaf_workspace.contract import ENCODE_STORE
from vmaf_workspace.errors import RefusedError
from vmaf_workspace.setup import ensure, explained
from vmaf_workspace.whole import write_whole

FORMAT = 1
PICTURES = ".pictures.json"  # what each reference decodes to


class EncodeResultStore:
    """Encodes of the workspace *root*; *warn* gets a line for each entry that does not hold any more."""

    def __init__(self, root: Path, *, warn: Callable[[str], None]) -> None:
        """Nothing is read or written yet."""
        self.root = root
        self.directory = root / "result_store_dir" / ENCODE_STORE
        self._warn = warn
        # The same references and encodes are scored afterwards: hashed here, they are not hashed again there.
        self._hash_memory = file_result_store(root) / CONTENT_HASHES
        self._hashes = ContentHashes(self._hash_memory)
        self._pictures: dict[str, dict[str, Any]] | None = None
        self._has_new_pictures = False

    def source_sha256(self, reference: Reference) -> str:
        """The hash of a reference's file; HarnessError where it cannot be read."""
        return self._hashes.of(reference.video.path)

    def learn(self, paths: Iterable[Path]) -> None:
        """Hash files that are not known yet, several at once; unreadable ones are passed over."""
        self._hashes.learn(paths)

    def picture(self, reference: Reference, look: Callable[[], Picture]) -> Picture:
        """What a reference decodes to, remembered by its content; *look* is asked where nobody knows."""
        if self._pictures is None:
            self._pictures = _read(self.directory / PICTURES)
        video = reference.video
        of = [self.source_sha256(reference), video.yuv_fmt, video.width_px, video.height_px, video.filters]
        name = json.dumps(of)
        with suppress(KeyError, TypeError):
            return Picture(**self._pictures[name])
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

        Its use is recorded as the entry's time, where that can be written. The file stays untouched.
        """
        path = self.path(encode)
        try:
            line = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._warn(f"{path}: {error.strerror}; encoded again")
            return None
        encoded = self._parsed(line)
        if encoded is None:
            with suppress(OSError):
                path.replace(f"{path}{BROKEN}")
            self._warn(f"{path}: not a whole entry; set aside as {path.name}{BROKEN}, encoded again")
            return None
        try:
            is_same = encoded.path.stat().st_size == encoded.n_bytes and self._hashes.of(encoded.path) == encoded.sha256
        except (OSError, HarnessError):
            self._warn(f"{encoded.path} is missing; encoded again")
            return None
        if not is_same:
            self._warn(f"{encoded.path} is not what was encoded; encoded again")
            return None
        with suppress(OSError):
            os.utime(path)
        return encoded

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
            "key_of": encode.made_of,
        }
        path = self.path(encode)
        with explained(self.root):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, json.dumps(first).encode() + b"\n")

    def save(self) -> None:
        """Write down hashes and sizes learned; silently not where that cannot be written."""
        with suppress(OSError):
            self._hash_memory.parent.mkdir(exist_ok=True)
            self._hashes.save()
            if self._has_new_pictures:
                self.directory.mkdir(exist_ok=True)
                write_whole(self.directory / PICTURES, json.dumps(self._pictures).encode() + b"\n")
                self._has_new_pictures = False

    def ensure(self) -> None:
        """Make the workspace, before the first write."""
        ensure(self.root)

    def _parsed(self, line: bytes) -> Encoded | None:
        try:
            entry = json.loads(line)
            if entry["format"] != FORMAT or not line.endswith(b"\n"):
                return None
            fields = {name: entry[name] for name in Encoded.__dataclass_fields__}
            return Encoded(**{**fields, "path": below(self.root / "encode", entry["path"])})
        except (ValueError, KeyError, TypeError, RefusedError):
            return None


def _read(memory: Path) -> dict[str, dict[str, Any]]:
    try:
        pictures = json.loads(memory.read_bytes())
    except (OSError, ValueError):  # a memory that cannot be read is no memory
        return {}
    return pictures if isinstance(pictures, dict) else {}
