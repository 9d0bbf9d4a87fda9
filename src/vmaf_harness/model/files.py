"""The files of a model, which belong together: `m.pkl`, `m.pkl.model`, `m.pkl.0001` …, `m.json`, `m.bootstrap.json`.

A group is written whole or not at all, although no file system renames several files at once:
1. every part is written into a directory `.m.XXXXXXXX.tmp` beside the group, a manifest of their names last;
2. that directory is renamed to `.m.whole`: from here on the new group exists, until here the old one does;
3. each part is renamed to where it belongs, `m.pkl` last; parts of the old group that the new one lacks are removed,
   and then the directory.
All of it happens under the lock of the directory, so that no backup and no reader of ours sees it half done. Killed
before 2, there is a directory that the next writer of this group removes once it is old. Killed in 3, a reader takes
from `.m.whole` what is still there; the next writer, or `finish_write`, finishes. Other programs may see parts of two
groups then; their texts do not have the `group_sha256` that each `.pkl` carries.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from vmaf_harness.errors import ForeignModelError, HarnessError
from vmaf_harness.model import pickles
from vmaf_harness.model.model import (
    GROUP_HASH,
    SHARED_FIELDS,
    Model,
    build_model,
    check_model_info,
    group_hash,
    num_models,
)
from vmaf_harness.model.model_param import SVR_TYPES
from vmaf_workspace.disk.scan import open_directory
from vmaf_workspace.groups import model_lock
from vmaf_workspace.sidecar import onnx_of

_MANIFEST = "manifest.json"
_MAX_NAME_BYTES = 255 - len(".bootstrap.json")  # bytes; no other part's name is longer
_LEFT_OVER_S = 3600.0  # a directory this old belongs to a writer that was killed


def read_model(path: Path) -> Model:
    """Read a model from its `.pkl`, with all parts of its group, or from a `.json`, a bootstrap collection too.

    Raises HarnessError for a part that is missing, parts that do not belong together, members that differ in more than
    their regressor, a pickle that is not plain data, and, naming the field, for whatever is no model; for a whole model
    that only VMAF's own harness reads, it is a ForeignModelError.
    """
    with _kept_from_writers(path.parent):
        if (described := onnx_of(path)) is not None:
            raise ForeignModelError(f"{path}: not read here: no model of its own, it describes {described.name}")
        return parse_json_model(_read_part(path, ""), str(path)) if path.suffix == ".json" else _read_pkl(path)


def write_model(
    path: Path,
    model: Model,
    *,
    extra: Mapping[str, bytes] | None = None,
    check: Callable[[Mapping[str, bytes]], None] | None = None,
) -> list[Path]:
    """Write all files of a model's group, whole or not at all, over one of that name; the paths, `.pkl` first.

    *path* is that of the `.pkl`; the suffix may be left out. *extra* are further parts by suffix (``.card.json``).
    *check* gets the content of all parts by name, before the first is written, and raises where they may not be.
    There is no JSON of a model that libvmaf cannot load (`Model.why_no_json`). Raises HarnessError where it cannot be
    written.
    """
    directory, stem = path.parent, _stem(path)
    parts = {f"{stem}{suffix}": content for suffix, content in {**_part_contents(model), **(extra or {})}.items()}
    check_name(path)
    if not directory.is_dir():
        raise HarnessError(f"{directory} is not there; make it first, or correct the path of the model")
    try:
        with model_lock(directory):
            _remove_left_over(directory, stem)
            stage = directory / f".{stem}.{uuid.uuid4().hex[:8]}.tmp"
            stage.mkdir()
            try:
                for name, content in [*parts.items(), (_MANIFEST, json.dumps(list(parts)).encode())]:
                    with (stage / name).open("xb") as file:
                        file.write(content)
                        file.flush()
                        os.fsync(file.fileno())
                _finish_write(path)  # what a killed writer had begun
                if check is not None:
                    check(parts)
                os.rename(stage, _staged_group(path))
                _finish_write(path)
            except BaseException:
                shutil.rmtree(stage, ignore_errors=True)
                raise
    except OSError as error:
        raise HarnessError(f"{directory / stem}: cannot write the model there: {error.strerror}") from error
    return [directory / name for name in parts]


def check_name(path: Path) -> None:
    """Raise HarnessError where the files of a group cannot be called after this `.pkl`."""
    stem = _stem(path)
    if not stem or stem.startswith(".") or stem.endswith((".bootstrap", ".card")):
        raise HarnessError(
            f"a model cannot be called {stem!r}: that is how parts of models are called; name it otherwise"
        )
    if len(os.fsencode(stem)) > _MAX_NAME_BYTES:
        raise HarnessError(
            f"a model cannot be called {stem!r}: its files would have longer names than file systems take; "
            f"name it with at most {_MAX_NAME_BYTES} bytes"
        )


def finish_write(path: Path) -> None:
    """Finish what a killed writer of this group had begun; nothing happens where there is no such thing.

    Raises HarnessError where that cannot be written.
    """
    try:
        with model_lock(path.parent):
            _finish_write(path)
    except OSError as error:
        raise HarnessError(f"{path}: cannot finish writing the model: {error.strerror}") from error


def group_files(path: Path) -> list[Path]:
    """The files there that belong to the group of this `.pkl`, sorted."""
    stem = re.escape(_stem(path))
    pattern = re.compile(rf"{stem}(\.pkl(\.\d{{4}})?(\.model)?|(\.bootstrap|\.card)?\.json)")
    return sorted(each for each in path.parent.iterdir() if pattern.fullmatch(each.name))


def json_bytes(info: Mapping[str, Any]) -> bytes:
    """JSON as people and libvmaf read it; ValueError for a number that is not finite."""
    return json.dumps(info, indent=1, allow_nan=False).encode("ascii") + b"\n"


def json_model(model: Model) -> bytes:
    """The JSON of a model, of one with several members the collection of them; HarnessError where there can be none."""
    texts = model.texts()
    every = {str(index): model.as_json_dict(texts, index) for index in range(len(texts))}
    return json_bytes(every if len(texts) > 1 else every["0"])


def _part_contents(model: Model) -> dict[str, bytes]:
    """The files of a model by suffix."""
    texts = model.texts()
    head = pickles.dumps(model.as_dict(texts))
    parts = {".pkl": head}
    for index, text in enumerate(texts):
        number = f".{index:04d}" if index else ""
        parts |= {f".pkl{number}": head, f".pkl{number}.model": text.encode("ascii")}
    if model.why_no_json is None:
        parts[".json"] = json_bytes(model.as_json_dict(texts, 0))
        if len(texts) > 1:
            parts[".bootstrap.json"] = json_model(model)
    return parts


def _read_pkl(path: Path) -> Model:
    head = _read_part(path, "")
    info = check_model_info(pickles.loads(head, str(path)), str(path))
    info.setdefault("param_dict", {})
    if info["model_dict"]["model_type"] not in SVR_TYPES:
        return build_model(info, [], str(path))
    texts, infos = [], [(info, str(path))]
    for index in range(num_models(info)):
        number = f".{index:04d}" if index else ""
        if index and (own := _read_part(path, number)) != head:
            whose = f"{path}{number}"
            infos.append((check_model_info(pickles.loads(own, whose), whose), whose))
        name = f"{path}{number}.model"
        try:
            texts.append((_read_part(path, f"{number}.model").decode("ascii"), name))
        except UnicodeDecodeError:
            raise HarnessError(f"{name}: not LIBSVM's text of a model") from None
    _check_alike(infos)
    expected = info["model_dict"].get(GROUP_HASH)
    if expected is not None and expected != group_hash([text for text, _ in texts]):
        raise HarnessError(
            f"{path} and its .model files do not belong together: copy the whole group again, restore it, or train anew"
        )
    return build_model(info, texts, str(path))


def _read_part(path: Path, suffix: str) -> bytes:
    """The content of `<path><suffix>`; from the directory of an interrupted writer while it is there."""
    name = path.name + suffix
    for place in (_staged_group(path) / name, path.parent / name):
        try:
            return place.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise HarnessError(f"{place}: {error.strerror}") from error
    if not suffix:
        raise HarnessError(f"{path}: no such model")
    raise HarnessError(f"{path} lacks its {name}: the files of a model go together; bring {name} beside it")


def is_collection(content: bytes, name: str) -> bool:
    """Whether a JSON holds models under 0, 1, …; HarnessError for what is no JSON, or not as libvmaf reads it."""
    data = _parse_json(content, name)
    return "model_dict" not in data and "0" in data


def parse_json_model(content: bytes, name: str) -> Model:
    """The model in a JSON, a collection too; *name* is what errors call it. Raises HarnessError, naming the field."""
    data = _parse_json(content, name)
    if not ("model_dict" in data or "0" in data):
        raise HarnessError(f"{name}: model_dict: expected a dictionary (or models under the keys 0, 1, …)")
    keys = [""] if "model_dict" in data else [str(index) for index in range(len(data))]
    infos, texts = [], []
    for key in keys:
        whose = f"{name}: {key}" if key else name
        if key and key not in data:
            raise HarnessError(f"{whose}: a collection has models under 0, 1, … without a gap")
        info = check_model_info(data[key] if key else data, whose)
        model = info["model_dict"]
        if model["model_type"] not in SVR_TYPES or not isinstance(model.get("model"), str):
            raise HarnessError(f"{whose}: model_dict.model: expected LIBSVM's text")
        infos.append((info, whose))
        texts.append((model["model"], f"{whose}: model_dict.model"))
    _check_alike(infos)
    return build_model(infos[0][0], texts, name)


def _parse_json(content: bytes, name: str) -> dict[str, Any]:
    """A JSON object; libvmaf reads UTF-8 without a byte order mark, so that is all that is read here, too."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = "\ufeff"
    if text.startswith("\ufeff"):
        raise HarnessError(f"{name}: not UTF-8 without a byte order mark, and libvmaf reads nothing else; save it so")
    try:
        data = json.loads(text, object_pairs_hook=_unique_fields)
    except (ValueError, RecursionError) as error:
        raise HarnessError(f"{name}: not JSON: {error}") from None
    if not isinstance(data, dict):
        raise HarnessError(f"{name}: model_dict: expected a dictionary (or models under the keys 0, 1, …)")
    return data


def _unique_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; of two fields of one name, libvmaf may take the first and Python the last."""
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError(f"a field is given twice in the object of {', '.join(list(made)[:3])} …")
    return made


def _check_alike(infos: Sequence[tuple[Mapping[str, Any], str]]) -> None:
    """Refuse members that are more than resamples of one model: the first stands for them all."""
    first = infos[0][0]["model_dict"]
    for info, name in infos[1:]:
        for field in SHARED_FIELDS:
            if info["model_dict"].get(field) != first.get(field):
                raise HarnessError(f"{name}: model_dict.{field}: differs from that of model 0")


def _stem(path: Path) -> str:
    return path.name.removesuffix(".pkl")


def _staged_group(path: Path) -> Path:
    stem = path.name.removesuffix(".json").removesuffix(".bootstrap").removesuffix(".pkl")
    return path.parent / f".{stem}.whole"


def _finish_write(path: Path) -> None:
    directory, stem = path.parent, _stem(path)
    whole = _staged_group(path)
    try:
        parts = json.loads((whole / _MANIFEST).read_bytes())
    except FileNotFoundError:
        with suppress(FileNotFoundError):
            whole.rmdir()  # its last step was all that was left
        return
    for name in sorted(parts, key=lambda name: name == f"{stem}.pkl"):  # the .pkl last
        with suppress(FileNotFoundError):  # moved before the kill
            os.replace(whole / name, directory / name)
    for old in group_files(path):
        if old.name not in parts:
            old.unlink()
    (whole / _MANIFEST).unlink()
    whole.rmdir()


@contextmanager
def _kept_from_writers(directory: Path) -> Iterator[None]:
    """Wait for writers and keep them out; not where the directory cannot be opened or its file system has no locks."""
    with ExitStack() as held:
        with suppress(OSError):
            fcntl.flock(held.enter_context(open_directory(directory, follow=True)), fcntl.LOCK_SH)
        yield


def _remove_left_over(directory: Path, stem: str) -> None:
    pattern = re.compile(rf"\.{re.escape(stem)}\.[0-9a-f]{{8}}\.tmp")
    for left in [each for each in directory.iterdir() if pattern.fullmatch(each.name)]:
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _LEFT_OVER_S:
                shutil.rmtree(left)
