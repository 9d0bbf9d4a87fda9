"""Everything of ours that reads what others may have written: what is right for it, and how it reads that."""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vmaf_harness.encode.store import EncodeResultStore
from vmaf_harness.engine.binary import Engine
from vmaf_harness.measure.import_results import import_results
from vmaf_harness.measure.measurement import Measurement
from vmaf_harness.measure.store import FileResultStore
from vmaf_harness.measure.upstream_form import read_results
from vmaf_harness.model import pickles
from vmaf_harness.model.feature_param import read_feature_param
from vmaf_harness.model.files import read_model
from vmaf_harness.model.model_param import read_model_param
from vmaf_harness.model.quality_type import extraction
from vmaf_harness.recipe.asset import NOTYUV, Asset, Video
from vmaf_harness.recipe.dataset import read_recipe, read_references
from vmaf_harness.report.summary import read_entries
from vmaf_workspace import guard, sidecar
from vmaf_workspace.contract import MARKER
from vmaf_workspace.live.lock import RUN_FILE, Run
from vmaf_workspace.migration.plan import JOURNAL, read_journal
from vmaf_workspace.removal.candidates import plan_clean
from vmaf_workspace.removal.plan import load_plan, save_plan
from vmaf_workspace.report.models import trained_models
from vmaf_workspace.report.status import stored_results
from vmaf_workspace.setup import setup
from vmaf_workspace.snapshot.backup import backup
from vmaf_workspace.snapshot.locate import open_location
from vmaf_workspace.snapshot.store import list_snapshots, load_snapshot

ENGINE = Engine("/usr/bin/ffmpeg", "9.0", "3.0.0")
RECIPE = """dataset_name = 'small'
yuv_fmt = 'notyuv'
quality_width, quality_height = 352, 288
ref_dir = 'videos'
ref_videos = [{'content_id': 0, 'content_name': 'a', 'path': ref_dir + '/a.mp4', 'fps': 25.0}]
dis_videos = [
    {'content_id': 0, 'asset_id': 0, 'dmos': 100, 'path': 'videos/a.mp4'},
    {'content_id': 0, 'asset_id': 1, 'dmos': 55.5, 'path': 'videos/b.mp4', 'enc_bitdepth': 8, 'duration_sec': 1.5},
]
"""
FEATURES = """feature_dict = {'VMAF_feature': ['vif_scale0', 'adm2', 'motion2'], 'PSNR_feature': ['psnr']}
feature_optional_dict = {'VMAF_feature': {'adm_enhn_gain_limit': 1.0}}
"""
MODEL = """feature_dict = {'VMAF_feature': 'all'}
model_type = 'LIBSVMNUSVR'
model_param_dict = {'norm_type': 'clip_0to1', 'score_clip': [0.0, 100.0], 'gamma': 0.04, 'C': 4.0, 'nu': 0.9}
"""
TABLE = {
    "dataset": {0: "small"},
    "content_id": {0: 0},
    "asset_id": {0: 1},
    "ref_name": {0: "a"},
    "dis_name": {0: "b"},
    "asset": {0: "test_0_1"},
    "executor_id": {0: "VMAF_V0.6.1"},
    "scores_key": {0: "VMAF_scores"},
    "scores": {0: [50.0, 60.0, float("nan")]},
}
UPSTREAM = {
    "executorId": "VMAF_V0.6.1",
    "asset": {"identifier": "test_0_1"},
    "frames": [{"frameNum": 0, "VMAF_score": 50.0}, {"frameNum": 1, "VMAF_score": 60.0}],
    "aggregate": {"VMAF_score": 55.0, "method": "mean"},
}
XML = b"""<?xml version="1.0" ?>
<result executorId="VMAF_V0.6.1"><asset identifier="test_0_1"/><frames>
<frame frameNum="0" VMAF_score="50.0"/><frame frameNum="1" VMAF_score="60.0"/></frames>
<aggregate method="mean" VMAF_score="55.0"/></result>
"""


@dataclass(slots=True)
class Place:
    """A workspace of one reader's own, and the file that is spoiled in it."""

    root: Path
    file: Path
    read: Callable[[], object]
    contents: list[bytes] = field(default_factory=list)  # right ones; that of the file by default

    def rights(self) -> list[bytes]:
        """What is spoiled; each is read as it is, first."""
        return self.contents or [self.file.read_bytes()]


def _text(name: str, text: str, read: Callable[[Path], object]) -> Callable[[Path], Place]:
    def make(top: Path) -> Place:
        (top / name).write_text(text)
        return Place(top, top / name, lambda: read(top / name))

    return make


def _model(top: Path) -> Place:
    spec = find_spec("ffmpeg_quality_metrics")
    assert spec is not None
    assert spec.origin is not None
    (built_in,) = Path(spec.origin).parent.rglob("vmaf_v0.6.1.json")
    about = json.loads(built_in.read_bytes())
    lines = about["model_dict"]["model"].split("\n")
    head = [f"total_sv {2}" if line.startswith("total_sv") else line for line in lines[: lines.index("SV") + 3]]
    about["model_dict"]["model"] = "\n".join([*head, ""])
    place = Place(top, top / "m.json", lambda: read_model(top / "m.json"))
    place.contents = [json.dumps(about).encode()]
    return place


def _pickle(top: Path) -> Place:
    about = {
        "param_dict": {"C": 1.0, "kernel": "rbf"},
        "model_dict": {"model_type": "LIBSVMNUSVR", "norm": [1.5, None]},
    }
    place = Place(top, top / "m.pkl", lambda: pickles.read(top / "m.pkl"))
    place.contents = [pickle.dumps(about, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    return place


def _stored(top: Path) -> Place:
    (top / "r.mp4").write_bytes(b"reference")
    (top / "d.mp4").write_bytes(b"distorted")
    videos = [Video(path=top / name, yuv_fmt=NOTYUV) for name in ("r.mp4", "d.mp4")]
    asset = Asset(dataset="small", content_id=0, asset_id=0, reference=videos[0], distorted=videos[1])
    root = top / "ws"
    store = FileResultStore(root, extraction("VMAF"), ENGINE, warn=lambda _: None)
    path = store.path(asset)
    frames = {"vmaf": [50.0, 60.0, 100.0], "integer_motion2": [0.0, 1.0, 2.0]}
    store.put(asset, Measurement(frames=frames, means={"vmaf": 70.000001}, extraction_s=1.25), path)
    content = Path(path).read_bytes()

    def read() -> object:
        found = FileResultStore(root, extraction("VMAF"), ENGINE, warn=lambda _: None)
        return found.get(asset), found.frames(asset), stored_results(root), read_entries(root)

    return Place(top, Path(path), read, [content])


def _imported(top: Path) -> Place:
    (top / "small.py").write_text(RECIPE)
    (top / "videos").mkdir()
    for name in "ab":
        (top / "videos" / f"{name}.mp4").write_bytes(name.encode())
    theirs = top / "theirs" / "VMAF_V0.6.1" / "small" / "0"
    theirs.mkdir(parents=True)
    recipe = read_recipe(top / "small.py")

    def read() -> object:
        return import_results(recipe, top / "theirs", top / "ws", dry_run=True)

    return Place(top, theirs / ("ab" * 20), read, [str(TABLE).encode(), str(TABLE).replace("nan", "1.0").encode()])


def _encodes(top: Path) -> Place:
    root = top / "ws"
    setup(root)
    store = EncodeResultStore(root, warn=lambda _: None)
    about = dict.fromkeys(("n_bytes", "width_px", "height_px", "n_frames", "duration_s", "bitrate_bps"), 1)
    line = {"format": 1, "path": "x.mp4", "sha256": "0" * 64, "encode_s": 0.5, "command": "ffmpeg", **about}
    place = Place(top, top / "line", lambda: store._parsed(place.file.read_bytes()))
    place.contents = [json.dumps(line).encode() + b"\n"]
    return place


def _models(top: Path) -> Path:
    root = top / "ws"
    setup(root)
    (root / "model" / "m.json").write_text("{}")
    (root / "model" / "m.pkl").write_bytes(b"x")
    return root


def _manifest(top: Path) -> Place:
    root = _models(top)
    location = open_location(str(top / "bk"))
    taken = backup(root, location).id
    path = top / "bk" / "snapshots" / f"{taken}.json"
    read = lambda: (list_snapshots(location), load_snapshot(location, taken))  # noqa: E731
    return Place(top, path, read)


def _plan(top: Path) -> Place:
    root = _models(top)
    (root / "workdir" / "old").mkdir()
    (root / "workdir" / "old" / "f").write_bytes(b"x")
    plan = plan_clean(root, min_age_s=0)
    save_plan(plan, top / "plan.json")
    kind: dict[str, Any] = {"operation": "clean-scratch", "root": root, "subdirs": frozenset({"workdir", "output"})}
    return Place(top, top / "plan.json", lambda: load_plan(top / "plan.json", **kind))


def _run_file(top: Path) -> Place:
    root = _models(top)
    with Run(root) as run:
        content = run.workdir(RUN_FILE).read_bytes()
    dead = root / "workdir" / "dead"
    dead.mkdir()
    return Place(top, dead / RUN_FILE, lambda: plan_clean(root), [content])


def _marker_file(root: Path) -> Path:
    return next(path for path in sorted((root / MARKER).rglob("*")) if path.is_file())


def _marker(top: Path) -> Place:
    root = _models(top)
    marker = _marker_file(root)
    return Place(top, marker, lambda: (guard.check(root), guard.is_marked(root), plan_clean(root)))


def _journal(top: Path) -> Place:
    root = _models(top)
    journal = {
        "from": str(top / "a"),
        "to": str(root),
        "state": "copying",
        "pid": 1,
        "host": "h",
        "since_s": time.time(),
    }
    return Place(top, root / MARKER / JOURNAL, lambda: read_journal(root), [json.dumps(journal).encode()])


def _card(top: Path) -> Place:
    root = _models(top)
    card = {"format": 1, "statistics": {"srocc": 0.9, "n": 10}, "dataset": "small", "features": ["a"], "labels": "MOS"}
    path = root / "model" / "m.json.card.json"
    return Place(top, path, lambda: (sidecar.read_card(path), trained_models(root)), [json.dumps(card).encode()])


READERS: dict[str, Callable[[Path], Place]] = {
    "recipe": _text("r.py", RECIPE, read_recipe),
    "references": _text("r.py", RECIPE, read_references),
    "feature-parameters": _text("p.py", FEATURES, read_feature_param),
    "model-parameters": _text("p.py", MODEL, read_model_param),
    "json-model": _model,
    "pickle": _pickle,
    "stored-result": _stored,
    "store-of-others": _imported,
    "result-json": _text("r.json", json.dumps(UPSTREAM), lambda path: read_results([path])),
    "result-xml": _text("r.xml", XML.decode(), lambda path: read_results([path])),
    "encode-store": _encodes,
    "manifest": _manifest,
    "plan": _plan,
    "run-file": _run_file,
    "marker": _marker,
    "journal": _journal,
    "card": _card,
}
