"""`ws.models`: what it says of each model of the three surfaces, whole and broken, with a harness and without."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import sys
import tracemalloc
from importlib.util import find_spec
from pathlib import Path

import pytest
from trained_models import FEATURES, LIBSVM, forest, head, model
from trees import python, workspace, write, ws

from vmaf_workspace.report.models import Model, Surface, find_models, installed_inspector, trained_models


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return workspace(tmp_path / "ws")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of the fork, the current directory."""
    (tmp_path / "fork" / "compat" / "python-vmaf").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "fork")
    return tmp_path / "fork"


def only(found: list[Model], surface: Surface) -> list[Model]:
    return [model for model in found if model.surface is surface]


def test_a_whole_trained_model_says_all_that_is_known_of_it(root: Path) -> None:
    model(root)
    (found,) = only(find_models(root), Surface.TRAINED)
    assert (found.name, found.kind, found.members) == ("m", "LIBSVMNUSVR", 1)
    assert found.files == ("m.card.json", "m.json", "m.pkl", "m.pkl.model")
    assert (found.missing, found.problem, found.why_not) == ((), None, None)
    assert found.features == tuple(FEATURES)
    assert (found.made_at, found.dataset, found.srocc) == ("2026-10-01T12:00:00Z", "NFLX", 0.93)
    assert found.label_source == "VMAF_V0.6.1neg"
    assert found.in_libvmaf is True
    assert found.in_snapshot is False
    assert found.apparent_bytes == sum((root / "model" / name).stat().st_size for name in found.files)


@pytest.mark.parametrize(
    ("gone", "missing"),
    [("m.pkl.model", ("m.pkl.model",)), ("m.pkl", ("m.pkl",)), ("m.json", ()), ("m.card.json", ())],
)
def test_what_a_group_lacks_is_named(gone: str, missing: tuple[str, ...], root: Path) -> None:
    model(root)
    (root / "model" / gone).unlink()
    (found,) = only(find_models(root), Surface.TRAINED)
    assert found.missing == missing
    assert (found.problem is None) == (gone not in ("m.pkl.model",))
    assert found.in_libvmaf is (gone != "m.json")
    assert found.kind == "LIBSVMNUSVR"


def test_members_of_a_bootstrap_are_counted_by_their_numbers(root: Path) -> None:
    for name in ("", ".0001", ".0003"):
        write(root / "model" / f"b.pkl{name}")
        write(root / "model" / f"b.pkl{name}.model")
    (root / "model" / "b.pkl.0001.model").unlink()
    (found,) = trained_models(root)
    assert found.missing == ("b.pkl.0001.model", "b.pkl.0002", "b.pkl.0002.model")


def test_a_model_that_does_not_load_says_why_and_the_rest_is_listed(root: Path) -> None:
    model(root, "good")
    write(root / "model" / "bad.pkl", 10)
    write(root / "model" / "bad.pkl.model", 10)
    model(root, "evil").write_bytes(b"cos\nsystem\n(S'touch EVALUATED'\ntR.")
    (root / "model" / "wrong.json").write_text(json.dumps(head(model="svm_type c_svc\n")))
    found = {each.name: each for each in only(find_models(root), Surface.TRAINED)}
    assert found["good"].problem is None
    assert "not a whole pickle" in str(found["bad"].problem)
    assert "system" in str(found["evil"].problem)
    assert found["wrong"].problem is not None
    assert found["wrong"].in_libvmaf is False
    assert not Path("EVALUATED").exists()


def test_models_in_folders_and_under_odd_names_are_found_and_other_files_are_none(root: Path) -> None:
    model(root, "folder/deep: a,b'[c]")
    write(root / "model" / "notes.txt")
    write(root / "model" / ".hidden.pkl")
    (found,) = only(find_models(root), Surface.TRAINED)
    assert (found.name, found.missing, found.problem) == ("folder/deep: a,b'[c]", (), None)
    assert found.in_libvmaf is True


def test_a_pipe_is_no_model_and_nobody_waits_for_its_end(root: Path, checkout: Path) -> None:
    model(root)
    (root / "model" / "m.card.json").unlink(missing_ok=True)
    tiny = checkout / "model" / "tiny"
    tiny.mkdir(parents=True)
    write(tiny / "t.onnx")
    os.mkfifo(root / "elsewhere")
    for path in (root / "model" / "p.pkl", root / "model" / "m.card.json", root / "model_param" / "p.pkl"):
        os.mkfifo(path)
    (root / "model" / "link.json").symlink_to(root / "elsewhere")
    (root / "model" / "gone.json").symlink_to("nowhere")
    for path in (tiny / "t.json", tiny / "pipe.onnx"):
        os.mkfifo(path)
    listed = ws("models", "--workspace", root, "--json")
    names = [each["name"] for each in listed.json["models"] if each["surface"] in ("trained", "tiny")]
    assert (listed.code, names) == (0, ["gone", "m", "tiny/t"]), listed
    examined = ws("doctor", "--workspace", root)
    assert (examined.code, "gone" in examined.out, "p.pkl" in examined.out) == (1, True, False), examined


def test_in_the_last_snapshot_means_exactly_these_files(root: Path, tmp_path: Path) -> None:
    at = str(tmp_path / "backups")
    model(root, "old")
    model(root, "changed")
    assert ws("backup-models", "--workspace", root, "--at", at).code == 0
    model(root, "new")
    (root / "model" / "changed.json").write_text(json.dumps(head(model=LIBSVM, score_clip=[0.0, 100.0])))
    (root / "model" / "old.json").touch()  # read, and found the same
    held = {each.name: each.in_snapshot for each in only(find_models(root, at=at), Surface.TRAINED)}
    assert held == {"old": True, "changed": False, "new": False}


def test_a_file_whose_size_and_time_alone_are_as_in_the_snapshot_is_not_in_it(root: Path, tmp_path: Path) -> None:
    at = str(tmp_path / "backups")
    for name in ("linked", "same", "rewritten"):
        model(root, name)
    linked, rewritten = root / "model" / "linked.json", root / "model" / "rewritten.json"
    linked.rename(tmp_path / "elsewhere.json")
    linked.symlink_to(tmp_path / "elsewhere.json")
    (root / "model" / "same.json").rename(tmp_path / "same.json")
    (root / "model" / "same.json").symlink_to(tmp_path / "same.json")
    assert ws("backup-models", "--workspace", root, "--at", at).code == 0
    linked.unlink()
    linked.write_text(json.dumps(head(model=LIBSVM)))
    about, text = rewritten.stat(), rewritten.read_text()
    rewritten.write_text(text.replace("0.05", "0.07"))
    os.utime(rewritten, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert rewritten.stat().st_size == about.st_size
    held = {each.name: each.in_snapshot for each in only(find_models(root, at=at), Surface.TRAINED)}
    assert held == {"linked": False, "same": True, "rewritten": False}


def test_shipped_models_are_those_of_the_checkout_and_each_is_tried(root: Path, checkout: Path) -> None:
    spec = find_spec("ffmpeg_quality_metrics")
    assert spec is not None
    assert spec.origin is not None
    shipped = next(Path(spec.origin).parent.rglob("vmaf_v0.6.1*.json"))
    write(checkout / "model" / "other" / shipped.name).write_bytes(shipped.read_bytes())
    write(checkout / "model" / "broken.json")
    found = {each.name: each for each in only(find_models(root), Surface.SHIPPED)}
    good = found[f"other/{shipped.stem}"]
    assert (good.in_libvmaf, good.problem, good.in_snapshot) == (True, None, None)
    assert len(good.features or ()) == 6
    assert (found["broken"].in_libvmaf, found["broken"].problem is None) == (False, False)


def test_built_in_models_are_those_that_this_libvmaf_has(root: Path) -> None:
    names = {each.name for each in only(find_models(root), Surface.BUILT_IN)}
    assert {"vmaf_v0.6.1", "vmaf_v0.6.1neg", "vmaf_4k_v0.6.1"} <= names
    assert "vmaf_v1.0.16" not in names


def test_one_that_libvmaf_lacks_is_left_out_and_the_others_are_there(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = installed_inspector()
    assert engine is not None
    older = tmp_path / "ffmpeg"
    older.write_text(f'#!/bin/sh\ncase "$*" in *_hfr_*) exit 1;; esac\nexec \'{engine.engine()["path"]}\' "$@"\n')
    older.chmod(0o755)
    before = {each.name for each in only(find_models(root), Surface.BUILT_IN)}
    monkeypatch.setenv("VMAF_FFMPEG", str(older))
    lacking = {each.name for each in only(find_models(root), Surface.BUILT_IN)}
    assert lacking
    assert lacking == {name for name in before if "_hfr_" not in name} != before


def test_tiny_models_are_told_by_their_sidecars(root: Path, checkout: Path) -> None:
    tiny = checkout / "model" / "tiny"
    for name in ("whole", "changed", "alone"):
        write(tiny / f"{name}.onnx", 10)
    write(tiny / "whole.onnx.data", 100)
    sha256 = hashlib.sha256(b"x" * 10).hexdigest()
    (tiny / "whole.json").write_text(json.dumps({"kind": "fr", "feature_order": ["adm2", "vif"], "sha256": sha256}))
    (tiny / "changed.json").write_text(json.dumps({"kind": "fr", "features": ["adm2"], "sha256": "0" * 64}))
    found = {each.name: each for each in only(find_models(root), Surface.TINY)}
    assert only(find_models(root), Surface.SHIPPED) == []
    whole = found["tiny/whole"]
    assert (whole.kind, whole.features, whole.problem, whole.missing) == ("fr", ("adm2", "vif"), None, ())
    assert len(whole.files) == 3
    assert "sha256" in str(found["tiny/changed"].problem)
    assert found["tiny/alone"].missing == ("tiny/alone.json",)


def test_a_tiny_model_is_checked_against_what_knows_its_hash_and_else_said_to_be_unchecked(
    root: Path, checkout: Path
) -> None:
    tiny = checkout / "model" / "tiny"
    sha256 = {size: hashlib.sha256(b"x" * size).hexdigest() for size in range(1, 8)}
    names = ("bare", "listed", "wrong", "base", "base.int8", "codec", "unlisted")
    for size, name in enumerate(names, 1):
        write(tiny / f"{name}.onnx", size)
    fr = {"kind": "fr", "feature_order": ["adm2"]}
    about = {
        "bare": fr,
        "listed": fr,
        "wrong": fr,
        "base": {**fr, "sha256": sha256[4], "int8_sha256": sha256[5]},
        "codec": {**fr, "sha256": sha256[6], "input_names": ["features", "codec_block"]},
    }
    for name, each in about.items():
        (tiny / f"{name}.json").write_text(json.dumps(each))
    listed = [{"onnx": "listed.onnx", "sha256": sha256[2]}, {"onnx": "wrong.onnx", "sha256": sha256[1]}]
    listed += [{"onnx": "unlisted.onnx", "sha256": sha256[7]}]
    (tiny / "registry.json").write_text(json.dumps({"models": listed}))
    found = {each.name.removeprefix("tiny/"): each for each in only(find_models(root), Surface.TINY)}
    assert set(found) == set(names)
    assert all(each.missing == () for each in found.values())
    assert {name for name, each in found.items() if each.problem} == {"wrong"}
    assert "not the one in registry.json" in str(found["wrong"].problem)
    assert found["bare"].note == "not checked: neither bare.json nor registry.json has its sha256"
    assert [found[name].note for name in ("listed", "base", "base.int8")] == [None] * 3
    assert found["base.int8"].files == ("tiny/base.int8.onnx", "tiny/base.json")
    assert found["codec"].note == "not for run_testing: beside the features it asks for codec_block"
    assert "there is no unlisted.json" in str(found["unlisted"].note)
    assert "to know:" in ws("models", "--workspace", root).out


def test_a_sidecar_beside_an_onnx_is_no_model_of_its_own(root: Path, checkout: Path) -> None:
    (checkout / "model").mkdir()
    for directory in (checkout / "model", root / "model"):
        write(directory / "konvid.onnx", 10)
        (directory / "konvid.json").write_text(json.dumps({"kind": "nr", "feature_order": ["adm2"]}))
        (directory / "alone.json").write_text(json.dumps({"kind": "nr"}))
    found = find_models(root)
    assert [each.name for each in only(found, Surface.SHIPPED) + only(found, Surface.TRAINED)] == ["alone", "alone"]


def test_a_forest_of_another_harness_is_whole_and_not_read_here(root: Path) -> None:
    forest(root / "model" / "rf.pkl")
    (found,) = only(find_models(root), Surface.TRAINED)
    assert (found.missing, found.problem) == ((), None)
    assert "scikit-learn objects" in str(found.note)
    niqe = head(model_type="NIQE")
    (root / "model" / "rf.pkl").write_bytes(pickle.dumps(niqe))
    (found,) = only(find_models(root), Surface.TRAINED)
    assert (found.missing, found.problem) == ((), None)
    assert "a NIQE model" in str(found.note)


def test_a_forest_is_one_file_without_a_harness_too(root: Path) -> None:
    forest(root / "model" / "rf.pkl")
    model(root, "svm")
    (root / "model" / "svm.pkl.model").unlink()
    assert [each.missing for each in trained_models(root)] == [(), ("svm.pkl.model",)]


def test_what_libvmaf_cannot_have_of_a_model_is_why_there_is_no_json(root: Path) -> None:
    names = ["VMAF_feature_adm2_score", "VMAF_feature_ansnr_score"]
    path = model(root)
    path.write_bytes(pickle.dumps(head(feature_names=names)))
    path.with_name("m.json").unlink()
    (found,) = only(find_models(root), Surface.TRAINED)
    assert found.problem is None
    assert found.why_not == "libvmaf does not offer VMAF_feature_ansnr_score to models"


def test_without_a_harness_the_names_and_cards_are_listed_and_loading_is_unknown(root: Path) -> None:
    model(root)
    code = """
import sys
for name in ("vmaf_harness", "numpy"):
    sys.modules[name] = None
from vmaf_workspace.cli import main
sys.exit(main(sys.argv[1:]))
"""
    done = python(code, "models", "--json", "--workspace", root)
    assert done.code == 0, done
    (found,) = done.json["models"]
    assert (found["in_libvmaf"], found["srocc"], found["missing"]) == (None, 0.93, [])
    assert python(code, "models", "--workspace", root).code == 0


def test_the_table_names_what_is_wrong_below_it(root: Path) -> None:
    model(root)
    (root / "model" / "m.pkl.model").unlink()
    done = ws("models", "--workspace", root)
    assert done.code == 0
    assert "TRAINING SROCC" in done.out
    assert "0.9300" in done.out
    assert "labels: scores of VMAF_V0.6.1neg, no opinions" in " ".join(done.out.split())
    assert "m.pkl.model" in done.out
    assert ws("models", "--workspace", root / "missing").code == 0


def test_an_engine_that_cannot_be_used_is_named_and_not_taken_for_a_missing_harness(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMAF_FFMPEG", str(root / "no ffmpeg"))
    said = f"none that libvmaf loads; `vmaf-ws doctor --workspace {root}` tries the engine"
    assert said in ws("models", "--workspace", root).out
    model(root)
    done = ws("models", "--workspace", root)
    assert "can be started; install imageio-ffmpeg" in done.out, done


def test_listing_imports_no_harness_unless_there_is_something_to_ask() -> None:
    code = (
        "import sys, vmaf_workspace.report.models, vmaf_workspace.report.doctor; print('vmaf_harness' in sys.modules)"
    )
    assert python(code).out.strip() == "False", sys.path


@pytest.mark.parametrize("name", ["m.pkl.99999999.model", "m.pkl.999999999999", f"m.pkl.{'9' * 200}"])
def test_the_name_of_a_file_decides_nothing_but_a_name(name: str, tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    write(root / "model" / name)
    tracemalloc.start()
    try:
        (model,) = trained_models(root)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert model.missing[0] == "m.pkl"
    assert model.missing[-1] == "…"
    assert len(model.missing) < 200


@pytest.mark.parametrize("number", ["1" + "0" * 400, "NaN", "Infinity", '"1"'])
def test_a_card_whose_srocc_is_no_number_is_none(number: str, tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    write(root / "model" / "m.pkl")
    (root / "model" / "m.card.json").write_text(f'{{"statistics": {{"srocc": {number}}}}}')
    (model,) = trained_models(root)
    assert model.srocc is None
