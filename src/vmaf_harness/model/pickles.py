"""Pickles that are only data: read by an allow-list, never run; written whole.

A pickle is a program that may call whatever it can name. Here it can name containers and numpy's arrays and numbers,
and even of those only stand-ins: numpy's own `__setstate__` believes what a pickle says of a dtype's memory. Our own
parameter sets and feature tables are plain dictionaries, so they need no name at all.
"""

from __future__ import annotations

import io
import math
import pickle
import re
import reprlib
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar, Never

from vmaf_harness.errors import ForeignModelError, HarnessError
from vmaf_workspace.disk.atomic import read_regular, write_atomically

MAX_BYTES = 1 << 30
_ALLOWED = "a pickle here holds dictionaries, lists, text, numbers and numpy arrays only"
_PROTOCOL = 4  # the newest that every Python in use reads, whatever runs this


def read(path: Path) -> Any:
    """The object in a pickle of any protocol; text of Python 2 is taken as latin-1.

    Nothing that the file names is called. Raises HarnessError, naming it, for a global that is not allowed, and for a
    file that is missing, no pickle, cut short, or larger than `MAX_BYTES`; ForeignModelError, which is one, for the
    scikit-learn objects that a forest of VMAF's own harness is.
    """
    try:
        content = read_regular(path, follow=True, at_most=MAX_BYTES)
    except OSError as error:
        raise HarnessError(f"{path}: {error.strerror}; name a file that can be read") from error
    return loads(content, str(path))


def loads(content: bytes, name: str) -> Any:
    """The object in these bytes, as `read` does it; *name* is what an error calls them."""
    try:
        return _StandInReplacer().of(_Unpickler(content).load())
    except _RefusedError as refused:
        if _is_of_scikit_learn(content):
            raise ForeignModelError(
                f"{name}: not read here: scikit-learn objects, such as forests of VMAF's own harness, which reads it"
            ) from None
        raise HarnessError(f"{name}: {refused}; {_ALLOWED}, and nothing in it was run") from None
    except RecursionError:
        raise HarnessError(f"{name}: nested too deeply for a pickle; {_ALLOWED}") from None
    except Exception as error:  # the unpickler raises whatever a damaged file leads it to
        raise HarnessError(f"{name}: not a whole pickle ({type(error).__name__}: {error})") from error


def dumps(value: object) -> bytes:
    """Pickle plain data; equal data gives equal bytes."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, protocol=_PROTOCOL)
    # No memo: it would tell by references which equal strings were one object, and after a resumed run they are not.
    pickler.fast = True
    pickler.dump(value)
    return buffer.getvalue()


def write(path: Path, value: object) -> None:
    """Pickle plain data into a file, whole or not at all.

    Raises HarnessError where it cannot be written; nothing is left behind then.
    """
    write_bytes(path, dumps(value))


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file, whole or not at all; HarnessError where that fails, with nothing left behind."""
    try:
        write_atomically(path, content)
    except OSError as error:
        raise HarnessError(f"{path} cannot be written: {error.strerror}") from error


class _RefusedError(Exception):
    """The pickle asks for something that is not data."""


def _check_keys(keys: Iterable[object]) -> None:
    """Refuse what takes long to hash, or to tell from others of the same hash: that need not end.

    A hundred bytes can be a tuple of tuples that is never gone through, and a million numbers can have one hash.
    """
    for key in keys:
        kind = type(key)
        if kind not in _KEYS or (isinstance(key, int) and key.bit_length() > 64):
            what = "a large number" if kind is int else f"a {kind.__name__.strip('_').lower()}"
            raise _RefusedError(f"refused {what} as a key or in a set")


_KEYS = frozenset({str, bytes, int, float, bool, type(None)})


def _checking_keys(opcode: bytes, keys: slice) -> Callable[[Any], None]:
    """What an opcode does, after a look at what it will hash: these of the values on the stack since the mark."""
    load: Any = pickle._Unpickler.dispatch[opcode[0]]

    def checked(unpickler: Any) -> None:
        _check_keys(unpickler.stack[keys])
        load(unpickler)

    return checked


def _read_bytearray(unpickler: Any) -> None:
    """BYTEARRAY8, without believing the length: the memory for it would be taken before it is read."""
    (length,) = struct.unpack("<Q", unpickler.read(8))
    unpickler.append(bytearray(unpickler.read(length)))


def _build(unpickler: Any) -> None:
    """BUILD, whose state may be as long as the arguments of a call."""
    state = unpickler.stack[-1]
    unpickler.spend(state if isinstance(state, tuple) else (state,))
    pickle._Unpickler.dispatch[pickle.BUILD[0]](unpickler)


_EVERY, _EVERY_OTHER = slice(None), slice(None, None, 2)
_HASHING_OPCODES = {
    pickle.SETITEM: slice(-2, -1),
    pickle.SETITEMS: _EVERY_OTHER,
    pickle.DICT: _EVERY_OTHER,
    pickle.ADDITEMS: _EVERY,
    pickle.FROZENSET: _EVERY,
}


class _Unpickler(pickle._Unpickler):
    """Finds stand-ins only, and hashes nothing that it did not look at.

    The one in Python, since the one in C looks at no key before it hashes it, and allocates whatever memo a file asks
    for. A million numbers take it 0.9 s.
    """

    dispatch: ClassVar[dict[int, Any]] = {
        **pickle._Unpickler.dispatch,
        **{opcode[0]: _checking_keys(opcode, keys) for opcode, keys in _HASHING_OPCODES.items()},
        pickle.BYTEARRAY8[0]: _read_bytearray,
        pickle.BUILD[0]: _build,
    }

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="latin-1")
        self._left = 2 * len(content) + 1000

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a global; a dotted name or an unknown one is refused."""
        found = _ALLOWED_GLOBALS.get((module, name))
        if found is None:
            raise _RefusedError(f"refused the global {module}.{name}")
        return _AllowedCall(found, self.spend)

    def spend(self, arguments: tuple[Any, ...]) -> None:
        """Refuse calls that get more than the file has: two bytes can name a megabyte again, for one more copy."""
        self._left -= len(arguments) + sum(len(each) for each in arguments if isinstance(each, _SIZED))
        if self._left < 0:
            raise _RefusedError("refused to make more of the file than it holds")

    def persistent_load(self, pid: Any) -> Never:  # noqa: ARG002 - its signature
        """Refuse: there is nothing outside the file."""
        raise _RefusedError("refused a persistent id")


def _is_of_scikit_learn(content: bytes) -> bool:
    """Whether a pickle holds forests or trees of scikit-learn and plain data, and names nothing else at all.

    Found out with stand-ins that do nothing; the objects are not made. So it is no proof that loading it is safe.
    """
    scan = _NameScanner(content)
    try:
        scan.load()
    except Exception:  # a name that is not of them, or a damaged file
        return False
    return any(_TREES.fullmatch(name) for name in scan.names)


_TREES = re.compile(r"sklearn\.(?:ensemble|tree)\.(?:\w+\.)?[A-Z]\w+")
_BESIDE_TREES = re.compile(
    r"(?:copy_?reg\.(?:_reconstructor|__newobj__)|(?:__builtin__|builtins)\.object|dill\.(?:_dill|dill)\._load_type)"
)


class _Inert:
    """Stands for an object of any class, and does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __new__(cls, *_: Any, **__: Any) -> _Inert:
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None: ...

    def append(self, item: Any) -> None: ...

    def extend(self, items: Any) -> None: ...


class _NameScanner(_Unpickler):
    """Goes through a pickle for the names in it."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.names: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        """A class that does nothing; refused where the name is not of scikit-learn's trees or what they hold."""
        full = f"{module}.{name}"
        if (module, name) not in _ALLOWED_GLOBALS and not _TREES.fullmatch(full) and not _BESIDE_TREES.fullmatch(full):
            raise _RefusedError(f"refused the global {full}")
        self.names.add(full)
        return _Inert


class _AllowedCall:
    """A function of ours that a pickle may call, and do nothing else to: BUILD would set attributes of a function."""

    __slots__ = ("_function", "_spend")

    def __init__(self, function: Callable[..., Any], spend: Callable[[tuple[Any, ...]], None]) -> None:
        self._function, self._spend = function, spend

    def __call__(self, *arguments: Any) -> Any:
        self._spend(arguments)
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> Never:
        raise _RefusedError("refused to change what a global means")


class _Dtype:
    """A simple numpy dtype that is being read; its byte order comes with BUILD, as numpy's does."""

    __slots__ = ("code", "order")

    def __init__(self, code: object, *_: object) -> None:
        if not (isinstance(code, str) and code[:1] in "biufcSU" and code[1:].isdecimal() and len(code) < 12):
            raise _RefusedError(f"refused the dtype {reprlib.repr(code)}")
        self.code, self.order = code, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """(version, byte order, subarray, names, fields, …): only the order may say something."""
        if not isinstance(state, tuple) or len(state) < 5 or any(part is not None for part in state[2:5]):
            raise _RefusedError("refused a dtype with fields")
        if state[1] not in ("<", ">", "|", "="):
            raise _RefusedError("refused a dtype's byte order")
        self.order = state[1]

    def array(self, data: object) -> Any:
        """One dimension of these raw bytes."""
        import numpy as np

        if isinstance(data, str):
            data = data.encode("latin-1")
        if not isinstance(data, (bytes, bytearray)):
            raise _RefusedError("refused an array of objects")
        return np.frombuffer(bytes(data), dtype=np.dtype(self.order + self.code))


class _Array:
    """An array or a number of numpy that is being read; numpy's own would let a pickle assign to its elements."""

    __slots__ = ("value",)

    def __init__(self, value: Any = None) -> None:
        self.value = value

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """(version, shape, dtype, column order, bytes), the version left out in old files."""
        shape, dtype, is_fortran, data = state[-4:]
        self.value = _make_array(dtype, data, shape, "F" if is_fortran else "C")


def _make_array(dtype: object, data: object, shape: object, order: object) -> Any:
    if not isinstance(dtype, _Dtype) or not isinstance(shape, tuple) or order not in ("C", "F"):
        raise _RefusedError("refused an array that is not plain")
    if len(shape) > 32 or any(not isinstance(length, int) or not 0 <= length < 1 << 62 for length in shape):
        raise _RefusedError("refused an array's shape")
    flat = dtype.array(data)
    if flat.size != math.prod(shape):
        raise _RefusedError(f"refused an array of {flat.size} numbers that claims the shape {shape}")
    return flat.reshape(shape, order=order).copy()


def _encode(text: object, encoding: object = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise _RefusedError("refused an encoding")
    return text.encode("latin-1")


def _bytes(*nothing: object) -> bytes:  # how protocols 0 to 2 spell b""
    if nothing:
        raise _RefusedError("refused to make bytes of arguments")
    return b""


def _set(items: Iterable[object] = ()) -> set[object]:
    _check_keys(listed := list(items))
    return set(listed)


def _ordered_dict(pairs: Iterable[tuple[object, object]] = ()) -> dict[object, object]:
    listed = [(key, value) for key, value in pairs]
    _check_keys(key for key, _ in listed)
    return dict(listed)


def _refuse_ndarray(*_: object) -> Never:
    raise _RefusedError("refused to call numpy.ndarray")


_SIZED = (str, bytes, bytearray, list, tuple, set, frozenset)
_ALLOWED_GLOBALS: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): _ordered_dict,
    ("_codecs", "encode"): _encode,
    ("numpy", "ndarray"): _refuse_ndarray,
    ("numpy", "dtype"): _Dtype,
}
for _module in ("builtins", "__builtin__"):
    _ALLOWED_GLOBALS |= {(_module, "set"): _set, (_module, "bytes"): _bytes}
    _ALLOWED_GLOBALS[_module, "frozenset"] = lambda items=(): frozenset(_set(items))
for _core in ("numpy.core", "numpy._core"):
    _ALLOWED_GLOBALS[f"{_core}.multiarray", "_reconstruct"] = lambda *_: _Array()
    _ALLOWED_GLOBALS[f"{_core}.multiarray", "scalar"] = lambda dtype, data=b"": _Array(
        _make_array(dtype, data, (), "C")[()]
    )
    _ALLOWED_GLOBALS[f"{_core}.numeric", "_frombuffer"] = lambda data, dtype, shape, order: _Array(
        _make_array(dtype, data, shape, order)
    )


class _StandInReplacer:
    """Puts what the stand-ins became into the containers, each object once, however often it is referred to."""

    def __init__(self) -> None:
        self._made: dict[int, Any] = {}

    def of(self, value: Any) -> Any:
        kind = type(value)
        if kind in (str, int, float, bool, bytes, type(None)):
            return value
        if id(value) in self._made:
            return self._made[id(value)]
        made: Any
        if kind is dict:
            made = self._made[id(value)] = {}
            made.update((key, self.of(item)) for key, item in value.items())
        elif kind is list:
            made = self._made[id(value)] = []
            made.extend(map(self.of, value))
        elif kind is tuple:
            made = self._made[id(value)] = tuple(map(self.of, value))
        elif kind is _Array:
            made = value.value
        elif kind in (_AllowedCall, _Dtype, type):
            raise _RefusedError("refused a global that is not data")
        else:
            made = value  # a set, whose items are plain, or a byte array
        return made
