from __future__ import annotations

import builtins
import copyreg
import os
import pickle
import subprocess
import sys
import tracemalloc
from collections import OrderedDict
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vmaf_harness.errors import HarnessError
from vmaf_harness.model import pickles


def shared_by_many() -> list[object]:
    """Two lists in two lists …: a list whose text would have 2^60 brackets."""
    made: list[object] = []
    for _ in range(60):
        made = [made, made]
    return made


MODEL = {
    "param_dict": {"C": 4.0, "nu": 0.9, "score_clip": [0.0, 100.0], "norm_type": "clip_0to1"},
    "model_dict": {"model": None, "feature_names": ["VMAF_feature_adm2_score"], "slopes": [0.012, -2.5e-3], "on": True},
}


class Calls:
    """Pickles as a call of whatever it is given."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_containers_of_every_protocol_come_back(protocol: int) -> None:
    value = {**MODEL, "more": ({1, 2}, frozenset("ab"), b"\x00\xff", b"", -1, 2**70, 1.5, float("inf"), "ü", None)}
    assert pickles.loads(pickle.dumps(value, protocol), "x.pkl") == value


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(4, dtype=">i2"),
        np.array([True, False]),
        np.array([1 + 2j], dtype=np.complex64),
        np.array(["ab", "c"]),
        np.array([b"ab"]),
        np.array([[0.1]], dtype=np.float32),
        np.empty((0, 3)),
        np.array(7.0),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_of_every_protocol_come_back(array: Any, protocol: int) -> None:
    content = pickle.dumps({"a": array, "b": [array]}, protocol)
    for name in (b"numpy.core.", b"numpy._core."):  # as numpy before 2 and since then spells it
        if protocol < 4:  # there the length of a name is not written before it
            content = content.replace(b"numpy._core.", name)
        back = pickles.loads(content, "x.pkl")
        assert type(back["a"]) is np.ndarray
        assert back["a"].dtype == array.dtype
        np.testing.assert_array_equal(back["a"], array)
        assert back["b"][0] is back["a"]


def test_numbers_of_numpy_come_back() -> None:
    value = [np.float64(0.1), np.int32(-3), np.bool_(True)]
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        back = pickles.loads(pickle.dumps(value, protocol), "x.pkl")
        assert [(type(b), b) for b in back] == [(type(v), v) for v in value]


def test_a_protocol_0_pickle_of_python_2_is_read_as_latin_1() -> None:
    content = (
        b"(dp0\nS'param_dict'\np1\n(dp2\nS'C'\np3\nF4.0\nsS'name'\np4\nS'caf\\xe9'\np5\nssS'model_dict'\np6\n(dp7\n"
        b"S'feature_names'\np8\n(lp9\nS'VMAF_feature_adm2_score'\np10\nasS'model'\np11\nNsS'on'\np12\nI01\nsS'n'\nL5L\nss."
    )
    assert pickles.loads(content, "old.pkl") == {
        "param_dict": {"C": 4.0, "name": "café"},
        "model_dict": {"feature_names": ["VMAF_feature_adm2_score"], "model": None, "on": True, "n": 5},
    }


def test_an_array_of_python_2_is_read() -> None:
    content = (
        b"cnumpy.core.multiarray\n_reconstruct\np0\n(cnumpy\nndarray\np1\n(I0\ntp2\nS'b'\np3\ntp4\nRp5\n(I1\n(I2\ntp6\n"
        b"cnumpy\ndtype\np7\n(S'f8'\np8\nI0\nI1\ntp9\nRp10\n(I3\nS'<'\np11\nNNNI-1\nI-1\nI0\ntp12\nbI00\n"
        b"S'\\x00\\x00\\x00\\x00\\x00\\x00\\xf0?\\x00\\x00\\x00\\x00\\x00\\x00\\x00@'\np13\ntp14\nb."
    )
    np.testing.assert_array_equal(pickles.loads(content, "old.pkl"), [1.0, 2.0])


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"cos\nsystem\n(S'touch owned'\ntR.", "os.system"),
        (b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x0btouch owned\x85R.", "posix.system"),
        (b'c__builtin__\neval\n(S\'open("owned","w")\'\ntR.', "__builtin__.eval"),
        (b"\x80\x04\x8c\x08builtins\x8c\x04exec\x93\x8c\x11open('owned', 'w')\x85R.", "builtins.exec"),
        (b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93.", "builtins.getattr"),
        (b"\x80\x04\x8c\x0bcollections\x8c\x19OrderedDict.fromkeys.call\x93.", "OrderedDict.fromkeys.call"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.", "ndarray.tofile"),
        (b"(S'touch owned'\nios\nsystem\n.", "os.system"),
        (b"(cos\nsystem\nS'touch owned'\no.", "os.system"),
        (b"\x80\x02csubprocess\nPopen\n)\x81.", "subprocess.Popen"),
        (b"ccopy_reg\n_reconstructor\n(c__builtin__\nobject\nc__builtin__\nobject\nNtR.", "copy_reg._reconstructor"),
        (b"cnumpy.core.multiarray\nfromfile\n.", "numpy.core.multiarray.fromfile"),
        (b"cnumpy\nload\n.", "numpy.load"),
    ],
)
def test_a_global_that_is_not_data_is_named_and_not_run(content: bytes, named: str, nowhere: Path) -> None:
    path = nowhere / "m.pkl"
    path.write_bytes(content)
    with pytest.raises(HarnessError, match="refused the global") as caught:
        pickles.read(path)
    assert named in str(caught.value)
    assert str(path) in str(caught.value)
    assert os.listdir(nowhere) == ["m.pkl"]


@pytest.mark.parametrize(
    "payload",
    [
        Calls(os.system, "touch owned"),
        Calls(builtins.eval, "open('owned', 'w')"),
        Calls(subprocess.check_output, ["touch", "owned"]),
        Calls(getattr, OrderedDict, "fromkeys"),
        Calls(copyreg._reconstructor, Path, object, None),  # type: ignore[attr-defined]
        Calls(bytearray, 10**12),
        Calls(np.dtype, shared_by_many()),
        Fraction(1, 3),
        OrderedDict.fromkeys,
        np.dtype([("a", "O")]),
        np.array([object()], dtype=object),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        np.array([1], dtype="M8[s]"),
        np.ndarray,
        OrderedDict,
    ],
)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_objects_are_refused_by_every_protocol(payload: object, protocol: int, nowhere: Path) -> None:
    content = pickle.dumps({"model_dict": {"model": payload}}, protocol)
    with pytest.raises(HarnessError, match="refused"):
        pickles.loads(content, "m.pkl")
    assert os.listdir(nowhere) == []


def test_objects_of_scikit_learn_are_refused() -> None:
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.svm import NuSVR

    x, y = np.arange(8.0).reshape(4, 2), np.arange(4.0)
    forest = RandomForestRegressor(n_estimators=2).fit(x, y)
    for estimator, why in (
        (NuSVR().fit(x, y), r"refused the global sklearn\."),
        (forest, "not read here: scikit-learn"),
    ):
        with pytest.raises(HarnessError, match=why):
            pickles.loads(pickle.dumps({"model_dict": {"model": estimator}}), "forest.pkl")


def test_what_a_pickle_may_call_cannot_be_changed_by_it() -> None:
    # BUILD on a function sets its attributes, which the next file would meet
    defaults = b"c_codecs\nencode\n(N(dS'__defaults__'\n(S'x'\ntsttb."
    for content in (defaults, b"cnumpy\ndtype\n(dS'a'\nI1\nsb.", b"ccollections\nOrderedDict\n(dS'pop'\nI1\nsb."):
        with pytest.raises(HarnessError):
            pickles.loads(content, "m.pkl")
    assert pickles.loads(pickle.dumps(b"\xff", 2), "m.pkl") == b"\xff"


def test_a_dtype_that_lies_about_its_memory_is_refused() -> None:
    honest = pickle.dumps(np.arange(2.0), 2)
    assert honest.count(b"NNNJ") == 1  # no subarray, no names, no fields
    lies = honest.replace(b"NNNJ", b"NX\x01\x00\x00\x00aNJ")
    with pytest.raises(HarnessError, match="refused a dtype with fields"):
        pickles.loads(lies, "m.pkl")


@pytest.mark.parametrize(
    "bomb",
    [
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fa.",  # eight exabytes of text
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\x00\x00.",
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I100000000000\ntcnumpy\ndtype\n"
        b"(S'f8'\ntRI00\nS'abcdefgh'\ntb.",
        b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(S'S999999999'\ntRS'a'\ntR.",
        b"(" * 100_000 + b"t" * 100_000 + b".",
    ],
    ids=range(6),
)
def test_small_files_that_ask_for_huge_memory_are_refused(bomb: bytes) -> None:
    with pytest.raises(HarnessError):
        pickles.loads(bomb, "bomb.pkl")


def test_a_byte_array_takes_no_memory_before_it_is_there() -> None:
    tracemalloc.start()
    try:
        with pytest.raises(HarnessError, match="not a whole pickle"):
            pickles.loads(b"\x80\x05\x96" + (1 << 28).to_bytes(8, "little") + b".", "bomb.pkl")
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert pickles.loads(pickle.dumps(bytearray(b"abc"), 5), "x.pkl") == b"abc"


@pytest.mark.parametrize(
    "content",
    [
        b"cbuiltins\nset\nq\x01](" + b"".join(b"M" + i.to_bytes(2, "little") for i in range(60_000)) + b"eq\x02",
        b"c_codecs\nencode\nq\x01X" + (1 << 18).to_bytes(4, "little") + b"a" * (1 << 18) + b"q\x02",
    ],
    ids=["sets", "bytes"],
)
def test_a_pickle_is_not_made_much_larger_than_its_file(content: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(HarnessError, match="refused to make more of the file than it holds"):
            pickles.loads(b"\x80\x02](" + content + b"h\x01h\x02\x85R" * 200 + b"e.", "bomb.pkl")
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()


def test_a_shape_of_thousands_of_sides_is_refused_at_once() -> None:
    side = b"\x8a\xff" + b"\x7f" * 255  # multiplied, two hundred thousand such would take hours
    content = b"cnumpy.core.multiarray\n_reconstruct\n)R(K\x01(" + side + b"q\x01" + b"h\x01" * 200_000
    content += b"tcnumpy\ndtype\n(X\x02\x00\x00\x00f8tRI00\nC\x08" + b"\0" * 8 + b"tb."
    text = "import sys; from vmaf_harness.model import pickles; pickles.loads(sys.stdin.buffer.read(), 'bomb.pkl')"
    done = subprocess.run([sys.executable, "-c", text], input=content, capture_output=True, check=False, timeout=20)
    assert b"refused an array's shape" in done.stderr


def test_the_elements_of_an_array_cannot_be_assigned_to() -> None:
    # numpy would make an array of whatever it is given, such as lists of lists without end
    with pytest.raises(HarnessError, match="_Array"):
        pickles.loads(pickle.dumps(np.zeros(2), 5)[:-1] + b"K\x00G" + b"\0" * 8 + b"s.", "m.pkl")


@pytest.mark.parametrize("places", [b"]r\xff\xff\xff\x7f.", b"(lp4000000000\n."], ids=range(2))
def test_a_memo_of_thousands_of_millions_of_places_takes_no_memory(places: bytes) -> None:
    tracemalloc.start()
    try:
        assert pickles.loads(places, "bomb.pkl") == []
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


PAIRS = b")" + b"2\x86" * 60  # a pair of a pair of a pair …, each of one twice


@pytest.mark.parametrize(
    "content",
    [
        b"}" + PAIRS + b"K\x01s.",
        b"}(" + PAIRS + b"K\x01u.",
        b"(" + PAIRS + b"K\x01d.",
        b"\x8f(" + PAIRS + b"\x90.",
        b"(" + PAIRS + b"\x91.",
        b"cbuiltins\nset\n](" + PAIRS + b"e\x85R.",
        b"cbuiltins\nfrozenset\n](" + PAIRS + b"e\x85R.",
        b"ccollections\nOrderedDict\n](" + PAIRS + b"K\x01\x86e\x85R.",
        b"ccollections\nOrderedDict\n)R" + PAIRS + b"K\x01s.",
        b"}((K\x01\x91\x91K\x01s.",  # a frozen set of a frozen set
        b"}(" + b"(" + b"K\x01" * 300_000 + b"tq\x01N" + b"h\x01N" * 300_000 + b"u.",  # a long tuple, again and again
        b"}("
        + b"".join(b"\x8a\x0d" + (5 + i * (2**61 - 1)).to_bytes(13, "little") + b"N" for i in range(60_000))
        + b"u.",
    ],
    ids=range(12),
)
def test_keys_whose_hash_would_never_be_done_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "evil.pkl"
    path.write_bytes(b"\x80\x04" + content)
    text = (
        "import sys; from pathlib import Path; from vmaf_harness.model import pickles; pickles.read(Path(sys.argv[1]))"
    )
    # In a process of its own, which can be ended: nothing else ends a hash.
    done = subprocess.run([sys.executable, "-c", text, path], capture_output=True, text=True, check=False, timeout=20)
    assert "evil.pkl: refused a" in done.stderr
    assert "as a key or in a set" in done.stderr


def test_keys_that_are_hashed_at_once_come_back() -> None:
    value = {"a": {2, 3, None}, 1.5: frozenset({b"4", "c"}), 7: b"d", -(2**63): {True}, None: ()}
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickles.loads(pickle.dumps(value, protocol), "x.pkl") == value
        ordered = OrderedDict([("b", 1), ("a", OrderedDict())])
        assert list(pickles.loads(pickle.dumps(ordered, protocol), "x.pkl")) == ["b", "a"]


def test_what_is_referred_to_often_is_kept_once() -> None:
    laughs: list[Any] = ["lol"]
    for _ in range(100):  # 2^100 elements, if each were copied
        laughs = [laughs, laughs]
    back = pickles.loads(pickle.dumps(laughs), "x.pkl")
    assert back[0] is back[1]


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x80\x04", pickle.dumps(MODEL)[:-9], b"\x80\xff.", b"I1x\n."])
def test_what_is_no_whole_pickle_is_an_error_with_its_path(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "cut.pkl"
    path.write_bytes(content)
    with pytest.raises(HarnessError, match=r"cut\.pkl: not a whole pickle"):
        pickles.read(path)


def test_a_missing_file_is_an_error_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="No such file or directory; name a file"):
        pickles.read(tmp_path / "missing.pkl")


def test_equal_data_gives_equal_bytes_whatever_is_the_same_object() -> None:
    shared = "".join(["nor", "m"])
    one = {"a": shared, "b": shared, "c": [0.1, np.arange(3.0)]}
    other = {"a": "".join(["no", "rm"]), "b": "".join(["n", "orm"]), "c": [float("0.1"), np.arange(3.0)]}
    assert pickles.dumps(one) == pickles.dumps(other)
    np.testing.assert_equal(pickles.loads(pickles.dumps(one), "x"), one)
    np.testing.assert_equal(pickle.loads(pickles.dumps(one)), one)  # noqa: S301 - upstream's harness reads it so


def test_writing_replaces_the_file_whole_and_leaves_nothing_beside_it(nowhere: Path) -> None:
    path = nowhere / "set.pkl"
    for value in ({"C": 1.0}, MODEL):
        pickles.write(path, value)
        assert pickles.read(path) == value
    assert os.listdir(nowhere) == ["set.pkl"]


def test_a_write_that_fails_keeps_the_old_file(nowhere: Path) -> None:
    path = nowhere / "set.pkl"
    pickles.write(path, MODEL)
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        pickles.write(path, {"f": lambda: None})
    with pytest.raises(HarnessError, match="cannot be written"):
        pickles.write(nowhere / "missing" / "set.pkl", MODEL)
    assert pickles.read(path) == MODEL
    assert os.listdir(nowhere) == ["set.pkl"]
