"""The files of a model go together: whole or not at all, whenever the writer is killed."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.svm import NuSVR

from vmaf_harness.errors import ForeignModelError, HarnessError
from vmaf_harness.model import pickles
from vmaf_harness.model.feature_param import FeatureParam
from vmaf_harness.model.files import finish_write, group_files, read_model, write_model
from vmaf_harness.model.model import Model
from vmaf_harness.model.model_param import build_model_param
from vmaf_harness.model.svm import Svm
from vmaf_harness.training.fit import Table, Workers, fit

FEATURES = FeatureParam(atoms=(("VMAF_feature", "adm2"), ("VMAF_feature", "vif_scale0")))


def table(seed: int = 0, n: int = 30) -> Table:
    random = np.random.RandomState(seed)
    columns = {name: random.uniform(size=n) for name in FEATURES.feature_names}
    labels = 100 * columns["VMAF_feature_adm2_score"] + random.normal(size=n)
    return Table(features=columns, labels=labels, assets=[f"asset {i}" for i in range(n)])


def model(seed: int = 0, members: int = 1, **parameters: Any) -> Model:
    kind = "LIBSVMNUSVR" if members == 1 else "BOOTSTRAP_LIBSVMNUSVR"
    given = {"norm_type": "clip_0to1", "num_models": members, **parameters}
    return fit(table(seed), FEATURES, build_model_param(kind, given), workers=Workers(threads=1))


def forest() -> Model:
    return fit(
        table(), FEATURES, build_model_param("RANDOMFOREST", {"n_estimators": 7, "random_state": 0, "max_depth": None})
    )


def names(directory: Path) -> list[str]:
    return sorted(os.listdir(directory))


def test_a_pkl_has_the_structure_of_upstream(nowhere: Path) -> None:
    made = model(score_clip=[0.0, 100.0], score_transform={"p1": 1.1, "out_gte_in": "true"}, C=4.0)
    write_model(nowhere / "m.pkl", made)
    info = pickle.loads((nowhere / "m.pkl").read_bytes())  # noqa: S301 - as upstream's harness reads it
    assert list(info) == ["param_dict", "model_dict"]
    assert info["param_dict"]["C"] == 4.0
    kept = info["model_dict"]
    assert kept["model"] is None
    assert kept["model_type"] == "LIBSVMNUSVR"
    assert kept["norm_type"] == "linear_rescale"
    assert kept["feature_names"] == ["VMAF_feature_adm2_score", "VMAF_feature_vif_scale0_score"]
    assert kept["feature_dict"] == {"VMAF_feature": ["adm2", "vif_scale0"]}
    assert (type(kept["slopes"]), type(kept["slopes"][0]), len(kept["intercepts"])) == (list, float, 3)
    assert kept["score_clip"] == [0.0, 100.0]
    assert kept["score_transform"] == {"p1": 1.1, "out_gte_in": "true"}
    text = (nowhere / "m.pkl.model").read_text()
    assert text.startswith("svm_type nu_svr\nkernel_type rbf\ngamma 0.5\nnr_class 2\ntotal_sv ")


class ForkUnpickler(pickle.Unpickler):
    """Finds what the Lusoris fork's reader of models finds (python-vmaf's tools/safe_pickle.py, 2026), nothing else."""

    KNOWN = frozenset(
        [("builtins", "object"), ("builtins", "set"), ("numpy", "dtype"), ("numpy", "ndarray")]
        + [(module, "_reconstructor") for module in ("copyreg", "copy_reg")]
        + [(f"dill.{module}", "_load_type") for module in ("dill", "_dill")]
        + [(f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")]
        + [(f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")]
        + [(f"sklearn.ensemble.{module}", "RandomForestRegressor") for module in ("forest", "_forest")]
        + [(f"sklearn.tree.{module}", "DecisionTreeRegressor") for module in ("tree", "_classes")]
        + [("sklearn.tree._tree", "Tree")]
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.KNOWN:
            raise pickle.UnpicklingError(f"{module}.{name}")
        return super().find_class(module, name)


@pytest.mark.parametrize("model_type", ["LIBSVMNUSVR", "BOOTSTRAP_LIBSVMNUSVR", "RANDOMFOREST", "LINEARREG", "5PL"])
def test_every_pkl_loads_by_the_allow_list_of_the_fork(model_type: str, nowhere: Path) -> None:
    own = {"norm_type": "clip_0to1", **({"num_models": 3} if model_type.startswith("BOOT") else {})}
    atoms = FEATURES.atoms[:1] if model_type == "5PL" else FEATURES.atoms
    made = fit(table(), FeatureParam(atoms=atoms), build_model_param(model_type, own))
    for path in write_model(nowhere / "m.pkl", made):
        if not re.search(r"\.pkl(\.\d+)?$", path.name):
            continue
        with path.open("rb") as file:
            found = ForkUnpickler(file, encoding="ASCII").load()  # as the fork calls it
        assert found["model_dict"]["model_type"] == model_type
        assert found["model_dict"]["feature_names"] == list(made.feature_names)
        assert found["model_dict"]["slopes"] == list(made.slopes or ())


def test_a_model_of_python_2_is_read(nowhere: Path) -> None:
    made = model()
    info: Any = {"param_dict": {"C": 4.0}, "model_dict": dict(made.as_dict([])["model_dict"])}
    info["model_dict"]["feature_dict"] = {"VMAF_feature": "all"}
    text = re.sub(rb"\nV(.*)", rb"\nS'\1'", pickle.dumps(info, 0))  # text of Python 2 was bytes
    assert b"S'linear_rescale'" in text
    (nowhere / "old.pkl").write_bytes(text)
    (nowhere / "old.pkl.model").write_text(made.texts()[0].replace("\n", "\r\n"))
    again = read_model(nowhere / "old.pkl")
    write_model(nowhere / "new.pkl", again)
    assert read_model(nowhere / "new.json").feature_dict == {"VMAF_feature": "all"}
    np.testing.assert_array_equal(again.predict(table().features), made.predict(table().features))


def test_equal_models_are_equal_bytes_whether_written_or_read_before(nowhere: Path) -> None:
    for made in (model(), model(members=3), forest()):
        first = {path.name: path.read_bytes() for path in write_model(nowhere / "m.pkl", made)}
        again = read_model(nowhere / "m.pkl")
        (nowhere / "again").mkdir(exist_ok=True)
        assert first == {p.name: p.read_bytes() for p in write_model(nowhere / "again" / "m.pkl", again)}


def test_a_forest_is_arrays_and_predicts_as_scikit_learn(nowhere: Path) -> None:
    from sklearn.ensemble import RandomForestRegressor

    paths = write_model(nowhere / "f.pkl", forest())
    assert [path.name for path in paths] == ["f.pkl"]  # no .model, and libvmaf has no forest
    assert b"sklearn" not in paths[0].read_bytes()
    again = read_model(paths[0])
    given = table()
    x = np.stack([np.asarray(given.features[name]) for name in FEATURES.feature_names], axis=1)
    grown = RandomForestRegressor(n_estimators=7, random_state=0).fit(x, np.asarray(given.labels, dtype=float))
    others = np.random.RandomState(5).uniform(size=(200, 2))
    columns = dict(zip(FEATURES.feature_names, others.T, strict=True))
    np.testing.assert_allclose(again.predict(columns), grown.predict(others), rtol=1e-12)


def forest_with(field: str, value: Any) -> dict[str, Any]:
    info = forest().as_dict([])
    info["model_dict"]["model"] = {**info["model_dict"]["model"], field: value}
    return info


@pytest.mark.parametrize("field", ["roots", "feature", "threshold", "children", "value"])
def test_a_forest_that_leads_nowhere_is_refused(nowhere: Path, field: str) -> None:
    arrays = forest().as_dict([])["model_dict"]["model"]
    wrong = [np.zeros((0, 7)), arrays[field].astype(complex), None, [[1], [1, 2]]]
    if arrays[field].dtype.kind == "i":
        wrong += [np.full_like(arrays[field], 10**6), np.full_like(arrays[field], -2)]
        if field == "children":
            wrong.append(np.zeros_like(arrays[field]))  # every node its own child: without end
            inner = arrays[field][:, 0] >= 0
            last = len(inner) - 1  # a node of the last tree, so that each tree would be walked as all of them
            wrong.append(np.where(inner[:, None], last, arrays[field]))
        if field == "roots":
            wrong.append(np.zeros(1000, dtype=np.int64))  # one tree a thousand times
    else:
        wrong.append(np.full_like(arrays[field], np.nan))
    for value in wrong:
        if field == "feature" and np.array_equal(value, np.full_like(arrays[field], -2)):
            value = np.full_like(arrays[field], 2)
        pickles.write(nowhere / "f.pkl", forest_with(field, value))
        with pytest.raises(HarnessError, match=r"f\.pkl: model_dict\.model"):
            read_model(nowhere / "f.pkl")


def test_a_pkl_without_its_model_says_which_file_is_missing(nowhere: Path) -> None:
    write_model(nowhere / "m.pkl", model(members=3))
    for lost in ("m.pkl.0002.model", "m.pkl.0001", "m.pkl.model"):
        (nowhere / lost).rename(nowhere / "elsewhere")
        with pytest.raises(HarnessError, match=rf"lacks its {lost}: the files of a model go together"):
            read_model(nowhere / "m.pkl")
        (nowhere / "elsewhere").rename(nowhere / lost)
    assert len(read_model(nowhere / "m.pkl").members) == 3
    with pytest.raises(HarnessError, match="no such model"):
        read_model(nowhere / "other.pkl")


def test_parts_of_two_groups_are_told(nowhere: Path) -> None:
    write_model(nowhere / "a.pkl", model(0))
    write_model(nowhere / "b.pkl", model(1))
    shutil.copy(nowhere / "b.pkl.model", nowhere / "a.pkl.model")
    with pytest.raises(HarnessError, match="do not belong together"):
        read_model(nowhere / "a.pkl")


@pytest.mark.parametrize(
    "key",
    [
        *("model_type", "norm_type", "feature_names", "slopes", "intercepts", "score_clip", "score_transform"),
        *("feature_dict", "feature_opts_dicts", "chroma_correction_parameter", "group_sha256"),
    ],
)
def test_a_field_that_is_no_plain_data_is_named(nowhere: Path, key: str) -> None:
    shared: list[object] = []
    for _ in range(60):  # a list whose text would have 2^60 brackets
        shared = [shared, shared]
    write_model(nowhere / "m", model())
    info = pickles.read(nowhere / "m.pkl")
    for value in (np.array([1, 2]), {1, 2}, 1 << 20_000, shared):
        info["model_dict"][key] = value
        (nowhere / "m.pkl").write_bytes(pickle.dumps(info))
        with pytest.raises(HarnessError, match=rf"m\.pkl: model_dict\.{key}: expected finite numbers, text, "):
            read_model(nowhere / "m.pkl")


def test_a_model_of_scikit_learn_objects_and_a_tampered_one_are_refused(nowhere: Path) -> None:
    (nowhere / "m.pkl").write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")
    with pytest.raises(HarnessError, match=r"refused the global os\.system"):
        read_model(nowhere / "m.pkl")
    assert names(nowhere) == ["m.pkl"]


class Touch:
    """Pickled, it makes a file when it is read by `pickle`."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch owned",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_forest_of_scikit_learn_is_told_from_what_is_no_data(nowhere: Path, protocol: int) -> None:
    """In every protocol, and nothing of either is run."""
    grown = RandomForestRegressor(n_estimators=3, random_state=0).fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0])
    info: dict[str, Any] = {"param_dict": {}, "model_dict": {"model_type": "RANDOMFOREST", "model": grown}}
    path = nowhere / "m.pkl"
    path.write_bytes(pickle.dumps(info, protocol=protocol))
    with pytest.raises(ForeignModelError, match=r"m\.pkl: not read here: scikit-learn objects"):
        read_model(path)
    for info["extra"] in (Touch(), NuSVR()):  # a name that is not of a forest
        path.write_bytes(pickle.dumps(info, protocol=protocol))
        with pytest.raises(HarnessError, match="refused the global") as caught:
            read_model(path)
        assert not isinstance(caught.value, ForeignModelError)
    assert names(nowhere) == ["m.pkl"]


DIFFERENT: dict[str, Any] = {
    "model_type": "RESIDUEBOOTSTRAP_LIBSVMNUSVR",
    "feature_opts_dicts": [{"adm_p_norm": 4.0}, {}],
    "score_transform": {"p0": 1.0, "enabled": True},
    "score_clip": [0.0, 50.0],
    "chroma_correction_parameter": 0.5,
    "feature_dict": {"VMAF_feature": ["adm2"]},
    "slopes": [0.01, 1.0, 1.0],
    "intercepts": [0.01, 1.0, 1.0],
}


@pytest.mark.parametrize("field", DIFFERENT)
def test_members_that_are_not_of_one_model_are_refused_by_name(nowhere: Path, field: str) -> None:
    write_model(nowhere / "m", model(members=3, score_clip=[0.0, 100.0]))
    collection = json.loads((nowhere / "m.bootstrap.json").read_bytes())
    collection["2"]["model_dict"][field] = DIFFERENT[field]
    (nowhere / "m.bootstrap.json").write_text(json.dumps(collection))
    with pytest.raises(
        HarnessError, match=rf"m\.bootstrap\.json: 2: model_dict\.{field}: differs from that of model 0"
    ):
        read_model(nowhere / "m.bootstrap.json")
    head = pickles.read(nowhere / "m.pkl.0002")
    head["model_dict"][field] = DIFFERENT[field]
    pickles.write(nowhere / "m.pkl.0002", head)
    with pytest.raises(HarnessError, match=rf"m\.pkl\.0002: model_dict\.{field}: differs from that of model 0"):
        read_model(nowhere / "m.pkl")


def test_a_field_given_twice_in_a_json_is_refused(nowhere: Path) -> None:
    write_model(nowhere / "m", model())
    text = (nowhere / "m.json").read_text()
    (nowhere / "m.json").write_text(text.replace('"norm_type"', '"norm_type": "none", "norm_type"', 1))
    with pytest.raises(HarnessError, match="a field is given twice"):
        read_model(nowhere / "m.json")


def test_a_bootstrap_of_two_assets_has_members_without_vectors_and_is_read_as_written(nowhere: Path) -> None:
    two = table().rows([0, 1])
    given = build_model_param("BOOTSTRAP_LIBSVMNUSVR", {"norm_type": "clip_0to1", "num_models": 8, "C": 4.0})
    made = fit(two, FEATURES, given)
    drawn = [member for member in made.members if isinstance(member, Svm)]
    assert {len(member.coefs) for member in drawn} == {0, 2}  # a row drawn twice is no rise

    def of_members(model: Model) -> Any:
        return np.stack([replace(model, members=(member,)).predict(two.features) for member in model.members])

    write_model(nowhere / "m", made)
    for name in ("m.pkl", "m.bootstrap.json"):
        back = read_model(nowhere / name)
        np.testing.assert_array_equal(of_members(back), of_members(made))
        assert back.interval(two.features)["low"].tolist() == made.interval(two.features)["low"].tolist()
    labels = np.asarray(two.labels)
    for member, scores in zip(drawn, of_members(made), strict=True):
        if not len(member.coefs):
            assert scores == pytest.approx([scores[0]] * 2)  # the label of the row that was drawn
            assert np.isclose(labels, scores[0], atol=1e-6).any()


def test_a_smaller_group_leaves_nothing_of_the_larger_one(nowhere: Path) -> None:
    write_model(nowhere / "m.pkl", model(members=4), extra={".card.json": b"{}"})
    (nowhere / "m.pkl.txt").write_text("not of the group")
    (nowhere / "mm.pkl").write_text("neither")
    write_model(nowhere / "m.pkl", model())
    assert names(nowhere) == ["m.json", "m.pkl", "m.pkl.model", "m.pkl.txt", "mm.pkl"]
    assert [path.name for path in group_files(nowhere / "m")] == ["m.json", "m.pkl", "m.pkl.model"]


@pytest.mark.parametrize("directory", ["missing", "file"])
def test_a_place_that_is_no_directory_is_an_error(nowhere: Path, directory: str) -> None:
    (nowhere / "file").write_text("")
    with pytest.raises(HarnessError, match="is not there; make it first"):
        write_model(nowhere / directory / "m.pkl", model())
    assert names(nowhere) == ["file"]


@pytest.mark.parametrize("name", [".pkl", ".m.pkl", "m.bootstrap", "m.card.pkl"])
def test_names_that_parts_of_models_have_are_refused(nowhere: Path, name: str) -> None:
    with pytest.raises(HarnessError, match="a model cannot be called"):
        write_model(nowhere / name, model())
    assert names(nowhere) == []


def test_the_longest_name_has_room_for_every_part(nowhere: Path) -> None:
    for name in ("x" * 240, "ü" * 120):
        written = write_model(nowhere / name, model(members=2))
        assert max(len(os.fsencode(path.name)) for path in written) == 255
        assert len(read_model(nowhere / f"{name}.pkl").members) == 2
        with pytest.raises(HarnessError, match="at most 240 bytes"):
            write_model(nowhere / f"{name}x", model())


def test_a_write_that_fails_keeps_the_old_group(nowhere: Path) -> None:
    write_model(nowhere / "m.pkl", model(0))
    before = {path.name: path.read_bytes() for path in group_files(nowhere / "m.pkl")}
    with pytest.raises(HarnessError, match="cannot write the model there: File name too long"):
        write_model(nowhere / "m.pkl", model(1), extra={"x" * 300: b""})
    assert {path.name: path.read_bytes() for path in nowhere.iterdir()} == before


def states(nowhere: Path, old: Model, new: Model) -> list[Path]:
    """The directory as a writer of *new* over *old* leaves it when it is killed, for each of its steps from 2 on."""
    target = nowhere / "target"
    target.mkdir()
    write_model(target / "m.pkl", new)
    parts = [path.name for path in group_files(target / "m.pkl")]
    order = sorted(parts, key=lambda name: name == "m.pkl")
    made = []
    for step in range(len(parts) + 1):
        at = nowhere / f"step{step}"
        at.mkdir()
        write_model(at / "m.pkl", old)
        whole = at / ".m.whole"
        shutil.copytree(target, whole)
        (whole / "manifest.json").write_text(json.dumps(parts))
        for name in order[:step]:
            os.replace(whole / name, at / name)
        made.append(at)
    return made


def test_a_writer_killed_at_any_step_leaves_the_new_group_to_be_read(nowhere: Path) -> None:
    old, new = model(0, members=3), model(1, members=2)
    for at in states(nowhere, old, new):
        for path in (at / "m.pkl", at / "m.json", at / "m.bootstrap.json"):
            assert read_model(path).texts()[0] == new.texts()[0]
        assert (at / ".m.whole").exists()  # who only reads, writes nothing
        finish_write(at / "m.pkl")
        finish_write(at / "m.pkl")
        assert names(at) == names(nowhere / "target")
        assert all((at / name).read_bytes() == (nowhere / "target" / name).read_bytes() for name in names(at))


def test_the_next_writer_finishes_what_was_begun(nowhere: Path) -> None:
    old, new, newest = model(0, members=3), model(1, members=2), model(2)
    for at in states(nowhere, old, new):
        write_model(at / "m.pkl", newest)
        assert names(at) == ["m.json", "m.pkl", "m.pkl.model"]
        assert read_model(at / "m.pkl").texts() == newest.texts()


def test_what_was_killed_before_it_was_whole_is_removed_once_it_is_old(nowhere: Path) -> None:
    for name, age_s in ((".m.0123abcd.tmp", 7200), (".m.4567abcd.tmp", 0), (".mm.0123abcd.tmp", 7200)):
        (nowhere / name).mkdir()
        (nowhere / name / "m.pkl").write_text("half")
        os.utime(nowhere / name, (time.time() - age_s,) * 2)
    write_model(nowhere / "m.pkl", model())
    assert names(nowhere) == [".m.4567abcd.tmp", ".mm.0123abcd.tmp", "m.json", "m.pkl", "m.pkl.model"]


WRITER = """
import sys
from pathlib import Path
from vmaf_harness.model.files import read_model, write_model
models = [read_model(Path("a.pkl")), read_model(Path("b.pkl"))]
print("ready", flush=True)
while True:
    for model in models:
        write_model(Path("m.pkl"), model)
"""


@pytest.mark.slow
def test_kill_9_at_any_time_leaves_one_of_the_two_whole(nowhere: Path) -> None:
    models = [model(0, members=3), model(1, members=5)]
    for name, each in zip("ab", models, strict=True):
        write_model(nowhere / f"{name}.pkl", each)
    write_model(nowhere / "m.pkl", models[0])
    texts = [each.texts() for each in models]
    for round_ in range(12):
        writer = subprocess.Popen([sys.executable, "-c", WRITER], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        with writer.stdout:
            assert writer.stdout.readline() == "ready\n"
            time.sleep(0.003 * round_ + 0.001)
            writer.send_signal(signal.SIGKILL)
            writer.wait()
        assert read_model(nowhere / "m.pkl").texts() in texts
        finish_write(nowhere / "m.pkl")
        assert read_model(nowhere / "m.pkl").texts() in texts
        assert read_model(nowhere / "m.bootstrap.json").texts() == read_model(nowhere / "m.pkl").texts()


def test_two_writers_at_once_leave_one_of_the_two_whole(nowhere: Path) -> None:
    models = [model(0, members=3), model(1, members=5)]
    for name, each in zip("ab", models, strict=True):
        write_model(nowhere / f"{name}.pkl", each)
    write_model(nowhere / "m.pkl", models[0])
    script = WRITER.replace("while True:", "for _ in range(20):")
    writers = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert read_model(nowhere / "m.pkl").texts() in [each.texts() for each in models]
    assert [name for name in names(nowhere) if name.startswith(".")] == []


def test_numbers_that_are_not_finite_are_never_written_as_json(nowhere: Path) -> None:
    broken = replace(model(), score_clip=(0.0, float("nan")))
    with pytest.raises((HarnessError, ValueError)):
        write_model(nowhere / "m.pkl", broken)
    assert names(nowhere) == []
