"""Model files as the harnesses write them, for the tests of what reads them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

LIBSVM = """svm_type nu_svr
kernel_type rbf
gamma 0.05
nr_class 2
total_sv 2
rho -0.5
SV
0.5 1:0.1 2:0.2
-0.5 1:0.3 2:0.1
"""
FEATURES = ["VMAF_integer_feature_adm2_score", "VMAF_integer_feature_motion2_score"]


def head(**changes: Any) -> dict[str, Any]:
    model = {
        "model_type": "LIBSVMNUSVR",
        "norm_type": "none",
        "feature_names": FEATURES,
        "feature_dict": {"VMAF_integer_feature": ["adm2", "motion2"]},
        **changes,
    }
    return {"param_dict": {"C": 4.0}, "model_dict": model}


def model(root: Path, name: str = "m") -> Path:
    """A whole trained model: pickle, text, JSON and card; the path of its `.pkl`."""
    path = root / "model" / f"{name}.pkl"
    path.parent.mkdir(parents=True, exist_ok=True)
    name = path.stem
    path.write_bytes(pickle.dumps(head()))
    path.with_name(f"{name}.pkl.model").write_text(LIBSVM)
    path.with_name(f"{name}.json").write_text(json.dumps(head(model=LIBSVM)))
    card = {
        "model_type": "LIBSVMNUSVR",
        "dataset": {"name": "NFLX", "label_source": "VMAF_V0.6.1neg"},
        "features": FEATURES,
        "statistics": {"srocc": 0.93},
        "made_at": "2026-10-01T12:00:00Z",
    }
    path.with_name(f"{name}.card.json").write_text(json.dumps(card))
    return path


def forest(place: Path) -> Path:
    """A random forest as VMAF's own harness pickles it: one file of scikit-learn objects."""
    ensemble = pytest.importorskip("sklearn.ensemble")
    fitted = ensemble.RandomForestRegressor(n_estimators=2, random_state=0).fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0])
    info = head(model_type="RANDOMFOREST", model=fitted)
    place.write_bytes(pickle.dumps(info))
    return place
