from __future__ import annotations

import math
import re
import statistics
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmaf_harness.errors import HarnessError
from vmaf_harness.recipe.asset import Asset, RawScores, Video
from vmaf_harness.recipe.dataset import Recipe, read_recipe
from vmaf_harness.recipe.subjective import (
    DEFAULT_MODEL,
    MODELS,
    OWN_MODELS,
    SUREAL_MODELS,
    _scores_by_observer,
    label_assets,
)

NAN = math.nan
# Two contents, whose references are asset 0 and asset 2, and one observer (the last) who likes everything.
PANEL = [
    (0, "r0", [5, 5, 4, 5, 4, 5]),
    (0, "d0", [2, 1, 2, 2, 1, 5]),
    (1, "r1", [4, 5, 5, 4, 4, 5]),
    (1, "d1", [3, 3, 4, 3, 2, 5]),
    (1, "d2", [1, 2, 1, 1, 1, 4]),
]


def recipe_of(
    panel: list[tuple[int, str, RawScores]], *, ref_score: float | None = 5.0, label_kind: str | None = "os"
) -> Recipe:
    assets = tuple(
        Asset(
            dataset="d",
            content_id=content,
            asset_id=number,
            reference=Video(path=Path(f"r{content}"), yuv_fmt="notyuv"),
            distorted=Video(path=Path(name), yuv_fmt="notyuv"),
            raw_scores=scores,
        )
        for number, (content, name, scores) in enumerate(panel)
    )
    return Recipe(name="d", path=Path("x.py"), assets=assets, missing=(), label_kind=label_kind, ref_score=ref_score)


def in_lists(panel: list[tuple[int, str, list[int]]]) -> list[tuple[int, str, RawScores]]:
    return [(c, name, tuple((i, (float(s),)) for i, s in enumerate(scores))) for c, name, scores in panel]


def labels(recipe: Recipe, model: str | None) -> list[float]:
    found = [asset.groundtruth for asset in label_assets(recipe, model)]
    assert None not in found
    return [float(label) for label in found if label is not None]


def test_mos_is_the_mean_of_the_scores() -> None:
    expected = [statistics.fmean(scores) for _, _, scores in PANEL]
    assert labels(recipe_of(in_lists(PANEL)), "MOS") == pytest.approx(expected)


def test_dmos_is_the_distance_from_the_reference_s_mos_below_ref_score() -> None:
    mos = [statistics.fmean(scores) for _, _, scores in PANEL]
    expected = [5.0, mos[1] - mos[0] + 5, 5.0, mos[3] - mos[2] + 5, mos[4] - mos[2] + 5]
    assert labels(recipe_of(in_lists(PANEL)), "DMOS") == pytest.approx(expected)


def test_repeated_scores_count_one_by_one_and_missing_ones_do_not() -> None:
    scores: RawScores = (("a", (1.0, 2.0)), ("b", (NAN,)), ("c", (6.0,)))
    asset = label_assets(recipe_of([(0, "d0", scores)]), "MOS")[0]
    assert asset.groundtruth == 3.0
    assert asset.groundtruth_std == pytest.approx(statistics.stdev([1, 2, 6]) / math.sqrt(3))


def test_a_single_score_has_no_standard_error() -> None:
    asset = label_assets(recipe_of([(0, "d0", (("a", (4.0,)),))]), "MOS")[0]
    assert (asset.groundtruth, asset.groundtruth_std) == (4.0, None)


@settings(deadline=None)
@given(st.lists(st.floats(1, 5), min_size=1, max_size=30))
def test_the_order_of_the_observers_makes_no_difference(scores: list[float]) -> None:
    forward = recipe_of([(0, "d0", tuple((i, (s,)) for i, s in enumerate(scores)))])
    backward = recipe_of([(0, "d0", tuple((i, (s,)) for i, s in enumerate(reversed(scores))))])
    assert labels(forward, "MOS") == pytest.approx(labels(backward, "MOS"))


def test_an_asset_without_scores_stays_without_a_label_and_in_its_place() -> None:
    recipe = recipe_of(in_lists(PANEL))
    recipe = Recipe(
        name="d",
        path=recipe.path,
        assets=(
            recipe.assets[0],
            Asset(
                dataset="d",
                content_id=0,
                asset_id=9,
                reference=recipe.assets[0].reference,
                distorted=recipe.assets[1].distorted,
            ),
            recipe.assets[1],
        ),
        missing=(),
        label_kind="os",
        ref_score=5.0,
    )
    found = label_assets(recipe, "DMOS")
    assert [asset.asset_id for asset in found] == [0, 9, 1]
    assert [asset.groundtruth is None for asset in found] == [False, True, False]


def test_labels_that_a_recipe_has_are_kept_and_a_model_for_them_is_named_as_unused() -> None:
    recipe = recipe_of([(0, "d0", ())], label_kind="dmos")
    warned: list[str] = []
    assert label_assets(recipe, warn=warned.append) is recipe.assets
    assert warned == []
    assert label_assets(recipe, "MOS", warn=warned.append) is recipe.assets
    assert warned == ["x.py: MOS is not used: this recipe has labels of its own (dmos)"]


def test_a_model_for_a_recipe_without_any_label_is_refused() -> None:
    with pytest.raises(HarnessError, match="MOS needs raw scores"):
        label_assets(recipe_of([(0, "d0", ())], label_kind=None), "MOS")


def test_lists_and_dictionaries_of_scores_do_not_mix() -> None:
    one, other = recipe_of([(0, "d0", ((0, (3.0,)), (1, (4.0,)))), (0, "d1", (("Ann", (3.0,)),))]).assets
    recipe = recipe_of([])
    for asset, first in ((one, other), (other, one)):
        with pytest.raises(HarnessError, match="asset 0 are a list, and those of asset 1 a dictionary"):
            _scores_by_observer(recipe, asset, first)


@pytest.mark.parametrize(
    ("panel", "ref_score", "model", "said"),
    [
        (in_lists(PANEL), 5.0, "mos", "unknown subjective model 'mos'; known are MOS, DMOS, MLE_CO_AP2"),
        (in_lists(PANEL), None, "DMOS", "DMOS needs ref_score"),
        (in_lists(PANEL[1:]), 5.0, "DMOS", "content 0 has none; add its reference to dis_videos"),
        (in_lists([*PANEL, PANEL[0]]), 5.0, "DMOS", "content 0 has its reference twice"),
        ([(0, "r0", (("a", (NAN,)),))], 5.0, "MOS", "asset 0 has no score at all"),
    ],
)
def test_scores_that_a_model_is_not_defined_for_are_refused(
    panel: list[tuple[int, str, RawScores]], ref_score: float | None, model: str, said: str
) -> None:
    with pytest.raises(HarnessError) as caught:
        label_assets(recipe_of(panel, ref_score=ref_score), model)
    assert said in str(caught.value)


def test_raw_scores_of_a_recipe_file_become_labels(tmp_path: Path) -> None:
    for name in ("r.mp4", "d.mp4"):
        (tmp_path / name).write_bytes(b"0")
    (tmp_path / "raw_dataset.py").write_text(
        "dataset_name = 'd'\nyuv_fmt = 'notyuv'\nquality_width = 64\nquality_height = 48\nref_score = 100\n"
        "ref_videos = [{'content_id': 0, 'path': 'r.mp4'}]\n"
        "dis_videos = [{'content_id': 0, 'asset_id': 0, 'path': 'r.mp4', 'os': {'x': 90, 'y': [80, None]}},\n"
        "  {'content_id': 0, 'asset_id': 1, 'path': 'd.mp4', 'os': {'y': 45}}]\n"
    )
    recipe = read_recipe(tmp_path / "raw_dataset.py")
    assert labels(recipe, "MOS") == [85, 45]
    assert labels(recipe, "DMOS") == [100, 60]


def test_without_sureal_the_error_names_the_extra_and_the_models_that_need_nothing() -> None:
    # A fresh interpreter without site-packages (-S) lacks sureal, whatever is installed.
    source = str(Path(__file__).resolve().parents[3] / "src")
    code = (
        f"import sys; sys.path.insert(0, {source!r})\n"
        "from pathlib import Path\n"
        "from vmaf_harness.recipe.asset import Asset, Video\nfrom vmaf_harness.recipe.dataset import Recipe\n"
        "from vmaf_harness.recipe.subjective import label_assets\n"
        "v = Video(path=Path('r'), yuv_fmt='notyuv')\n"
        "a = Asset(dataset='d', content_id=0, asset_id=0, reference=v, distorted=v, raw_scores=((0, (1.0,)),))\n"
        "r = Recipe(name='d', path=Path('x.py'), assets=(a,), missing=(), label_kind='os', ref_score=5.0)\n"
        "assert label_assets(r, 'MOS')[0].groundtruth == 1.0\n"
        "label_assets(r)\n"
    )
    ran = subprocess.run([sys.executable, "-S", "-E", "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert re.search(r"`.*pip install .*\[subjective\].*`, or use MOS or DMOS", ran.stderr)


# With sureal


@pytest.fixture
def sureal() -> None:
    from importlib.util import find_spec

    if find_spec("sureal") is None:
        pytest.skip("sureal is not installed (extra `subjective`)")


def noisy_panel() -> list[tuple[int, str, list[int]]]:
    """Three contents at six qualities (5 is the reference), seen by twelve careful observers and one who guesses."""
    random = Random(1)
    return [
        (
            content,
            f"r{content}" if quality == 5 else f"d{content}-{quality}",
            [min(5, max(1, round(quality + random.gauss(0, 0.6)))) for _ in range(12)] + [random.randint(1, 5)],
        )
        for content in range(3)
        for quality in (5, 4, 3, 2, 1)
    ]


@pytest.mark.usefixtures("sureal")
@pytest.mark.parametrize("model", SUREAL_MODELS)
def test_every_model_of_sureal_ranks_bad_below_good_and_prints_nothing_on_stdout(
    model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = labels(recipe_of(in_lists(noisy_panel())), model)
    for content in (found[:5], found[5:10], found[10:]):
        assert content == sorted(content, reverse=True)
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("sureal")
def test_the_default_listens_less_to_an_observer_who_guesses() -> None:
    with_guesser = noisy_panel()
    careful = labels(recipe_of(in_lists([(c, name, scores[:-1]) for c, name, scores in with_guesser])), "MOS")

    def misled(model: str | None) -> float:
        found = labels(recipe_of(in_lists(with_guesser)), model)
        return statistics.fmean(abs(label - mos) for label, mos in zip(found, careful, strict=True))

    assert misled(None) == misled(DEFAULT_MODEL) < misled("MOS")


@pytest.mark.usefixtures("sureal")
@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.lists(st.one_of(st.integers(1, 5), st.none()), min_size=4, max_size=4).filter(lambda s: s.count(None) < 3),
        min_size=4,
        max_size=8,
    )
)
def test_our_mos_and_dmos_are_those_of_sureal(table: list[list[int | None]]) -> None:
    import warnings
    from types import SimpleNamespace

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sureal.dataset_reader import RawDatasetReader
        from sureal.subjective_model import DmosModel, MosModel

        panel = [(i % 2, f"r{i % 2}" if i < 2 else f"d{i}", scores) for i, scores in enumerate(table)]
        theirs = SimpleNamespace(
            ref_score=5.0,
            ref_videos=[{"content_id": c, "path": f"r{c}"} for c in (0, 1)],
            dis_videos=[
                {"content_id": c, "asset_id": i, "path": name, "os": [NAN if s is None else s for s in scores]}
                for i, (c, name, scores) in enumerate(panel)
            ],
        )
        expected = {
            "MOS": MosModel(RawDatasetReader(theirs)).run_modeling()["quality_scores"],
            "DMOS": DmosModel(RawDatasetReader(theirs)).run_modeling()["quality_scores"],
        }
    ours = recipe_of(
        [
            (c, name, tuple((i, (NAN if s is None else float(s),)) for i, s in enumerate(scores)))
            for c, name, scores in panel
        ]
    )
    for model in OWN_MODELS:
        assert labels(ours, model) == pytest.approx([float(score) for score in expected[model]])


@pytest.mark.parametrize("ref_score", [5.0, 0.0])
def test_videos_that_a_panel_liked_equally_have_equal_labels(ref_score: float) -> None:
    # 0.1 + 0.2 is not 0.3: differences of means that people write alike are not alike in a computer.
    panel = [(c, n, s) for c in range(3) for n, s in ((f"r{c}", [0.1 * c + 0.2]), (f"d{c}", [0.1 * c + 0.1]))]
    scores = [(c, n, ((0, (s[0],)),)) for c, n, s in panel]
    found = labels(recipe_of(scores, ref_score=ref_score), "DMOS")  # type: ignore[arg-type]
    assert len({s[0] - r[0] for (_, _, r), (_, _, s) in zip(panel[::2], panel[1::2], strict=True)}) > 1
    assert set(found[1::2]) == {ref_score - 0.1}
    assert set(found[::2]) == {ref_score}


@pytest.mark.usefixtures("sureal")
def test_lists_of_different_length_are_refused_where_observers_must_be_told_apart() -> None:
    recipe = recipe_of([*in_lists(PANEL), *in_lists([(0, "d9", [1, 2])])])
    with pytest.raises(HarnessError, match="asset 5 has 2 observers and asset 0 has 6, in lists"):
        label_assets(recipe)
    assert labels(recipe, "MOS")[5] == 1.5


@pytest.mark.usefixtures("sureal")
def test_what_sureal_cannot_compute_is_an_error_with_a_way_out() -> None:
    repeated = [(c, name, tuple((i, (*s, 3.0)) for i, s in scores)) for c, name, scores in in_lists(PANEL)]
    with pytest.raises(HarnessError, match=r"LS cannot be computed from these scores: .*; try MOS or DMOS"):
        label_assets(recipe_of(repeated), "LS")


def test_every_model_is_listed_once() -> None:
    assert len(set(MODELS)) == len(MODELS)
