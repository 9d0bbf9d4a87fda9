"""The page: its numbers are those of `--json`, nothing in a name is ever markup, and it is whole in itself."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from ladders import N_FRAMES, Laddered
from trainable import Trainable

from vmaf_harness.report import page
from vmaf_harness.report.clips import worst_frames
from vmaf_harness.report.contents import Asked, Report, read_report
from vmaf_harness.report.page import _title, page_html
from vmaf_harness.script import run_testing, run_vmaf_cross_validation, run_vmaf_training
from vmaf_harness.script.options import Reporting
from vmaf_harness.script.reporting import run
from vmaf_workspace.errors import UsageError

EVIL = "</script><img src=x onerror=alert(1)>\"'&{{7*7}}"


class Read(HTMLParser):
    """Tags, rows of tables as (attributes, text) of their cells, and the JSON of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[tuple[dict[str, str | None], str]]] = []
        self.json = ""
        self._in_json = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append((dict(attrs), ""))
        self._in_json = tag == "script" and dict(attrs).get("id") == "data"

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002  # the base class calls it
        self._in_json = False

    def handle_data(self, data: str) -> None:
        if self._in_json:
            self.json += data
        elif self.rows and self.rows[-1]:
            about, text = self.rows[-1][-1]
            self.rows[-1][-1] = (about, text + data)


@pytest.fixture(scope="module")
def found(laddered: Laddered) -> Report:
    return read_report(laddered.workspace, Asked(dataset=laddered.recipe), warn=pytest.fail)


@pytest.fixture(scope="module")
def html(found: Report, laddered: Laddered) -> str:
    return page_html(found, Asked(dataset=laddered.recipe))


def test_the_numbers_in_the_tables_are_those_of_json(
    html: str, laddered: Laddered, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(Reporting(dataset=laddered.recipe, workspace=str(laddered.workspace), json=True)) == 0
    told = json.loads(capsys.readouterr().out)
    read = Read(html)
    embedded = json.loads(read.json)
    speeds = {encode["asset_id"]: encode["decode_fps"] for encode in embedded["ladder"]["encodes"]}
    for found in (told, embedded):
        for each in (*found["clips"], *found["ladder"]["encodes"]):
            assert each.pop("decode_fps") > 0  # measured each time
    assert embedded == {name: part for name, part in told.items() if name not in ("version", "task")}
    shown = dict(numbers_of_encodes(html))
    assert len(shown) == len(told["ladder"]["encodes"]) == 32
    names = ("height_px", "bitrate_kbps", "size_bytes", "score", "harmonic_mean", "perc1", "perc5", "perc10", "min")
    for encode in told["ladder"]["encodes"]:
        assert shown[encode["asset_id"]] == [
            *(encode[name] for name in names),
            encode["encode_fps"],
            speeds[encode["asset_id"]],
        ]
    rates = [
        about["data-value"] for row in read.rows for about, text in row if text.endswith(" %") and "data-value" in about
    ]
    assert [float(str(each)) for each in rates] == [delta["rate_percent"] for delta in told["ladder"]["deltas"]]


def numbers_of_encodes(html: str) -> Iterator[tuple[int, list[float]]]:
    """asset_id and the numbers in each row of the table of encodes."""
    for asset, row in re.findall(r'<tr data-asset="(\d+)"><th scope="row">[^<]*</th>(.*?)</tr>', html):
        yield int(asset), [float(value) for value in re.findall(r'data-value="([^"]+)"', row)]


@pytest.mark.parametrize(("name", "title"), [("ladder", "ladder"), ("My_Ladder", "My_Ladder"), ("l", "l: ladder")])
def test_the_title_says_once_what_it_is(name: str, title: str, found: Report) -> None:
    assert found.scored is not None
    named = replace(found, scored=replace(found.scored, recipe=replace(found.scored.recipe, name=name)))
    assert _title(named, Asked()) == title
    assert _title(named, Asked(model="m")) == f"{title}, scored by m"


def test_what_a_cell_shows_is_its_number_rounded(html: str) -> None:
    cells = re.findall(r'<td class="number" data-value="([-\d.e]+)">([−\d.]+)( %)?</td>', html)
    assert len(cells) > 32 * 9
    for value, text, _ in cells:
        digits = len(text.partition(".")[2])
        assert float(text.replace("−", "-")) == pytest.approx(float(value), abs=0.5000001 * 10**-digits)


def test_every_encode_is_a_point_and_a_line_with_its_words(html: str, found: Report) -> None:
    assert found.ladder is not None
    for kind in ("point", "line"):
        marked = re.findall(rf'<(?:use|g|path)[^>]*class="{kind}"[^>]*data-asset="(\d+)"', html)
        assert sorted(map(int, marked)) == sorted(encode.asset_id for encode in found.ladder.encodes)
    words = re.findall(r"<title>([^<]*kbit/s[^<]*)</title>", html)
    assert len(words) == 32
    assert all("\nffmpeg " in each for each in words)


def test_worst_frames_are_pictures_beside_their_numbers(html: str, found: Report) -> None:
    assert len(found.clips) == 6
    assert {clip.content_id for clip in found.clips[:2]} == {0, 1}, "the worst of each content first"
    images = re.findall(r'<img src="data:image/webp;base64,[^"]+" width="176" height="144"', html)
    assert len(images) == sum(len(clip.worst) for clip in found.clips) * 3
    for clip in found.clips:
        assert clip.worst[0].score == pytest.approx(clip.min)
        assert f"Frame {clip.worst[0].frame}," in html
        assert clip.decode_fps
        assert clip.decode_fps > 0


def test_worst_frames_are_apart_from_each_other() -> None:
    scores = [50.0] * 100
    scores[40:44] = [10.0, 5.0, 11.0, 12.0]
    scores[70], scores[90] = 20.0, float("nan")
    assert worst_frames(scores)[:2] == [41, 70]
    assert worst_frames(scores, is_better_high=False)[0] != 41
    assert worst_frames([float("inf")] * 3) == []
    assert worst_frames([3.0, 1.0]) == [1, 0]


def test_a_name_is_never_markup(found: Report, laddered: Laddered) -> None:
    assert found.ladder is not None
    assert found.scored is not None
    encodes = tuple(
        dataclasses.replace(e, content=EVIL, codec=f"{e.codec} {EVIL}", file=EVIL, command=EVIL)
        for e in found.ladder.encodes
    )
    codecs = tuple(f"{codec} {EVIL}" for codec in found.ladder.codecs)
    curves = tuple(dataclasses.replace(each, codec=f"{each.codec} {EVIL}") for each in found.ladder.curves)
    hulls = tuple(dataclasses.replace(each, codec=f"{each.codec} {EVIL}") for each in found.ladder.hulls)
    ladder = dataclasses.replace(
        found.ladder, dataset=EVIL, score=EVIL, codecs=codecs, encodes=encodes, curves=curves, hulls=hulls
    )
    recipe = dataclasses.replace(found.scored.recipe, name=EVIL)
    clips = tuple(dataclasses.replace(clip, content=EVIL, file=EVIL, problem=EVIL) for clip in found.clips)
    evil = dataclasses.replace(
        found, ladder=ladder, scored=dataclasses.replace(found.scored, recipe=recipe), clips=clips
    )
    read = Read(made := page_html(evil, Asked(dataset=laddered.recipe, model=EVIL)))
    assert [tag for tag, about in read.tags if tag == "script"] == ["script", "script"]
    assert not [about for tag, about in read.tags if tag == "img" and not str(about["src"]).startswith("data:image/")]
    assert not [about for _, about in read.tags if any(name.startswith("on") for name in about)]
    assert "{{7*7}}" in made, "a name is no template"
    assert json.loads(read.json)["ladder"]["dataset"] == EVIL


def test_a_page_asks_for_nothing(html: str) -> None:
    read = Read(html)
    (policy,) = [about["content"] for tag, about in read.tags if about.get("http-equiv") == "Content-Security-Policy"]
    assert str(policy).startswith("default-src 'none'; img-src data:;")
    assert "script-src 'sha256-" in str(policy)
    for _, about in read.tags:
        for name in ("src", "href", "xlink:href", "action", "poster"):
            assert not about.get(name) or str(about[name]).startswith(("data:", "#"))
    assert "url(http" not in html
    assert "@import" not in html


def test_no_id_is_there_twice(html: str) -> None:
    ids = [about["id"] for _, about in Read(html).tags if "id" in about]
    assert len(ids) == len(set(ids))
    wanted = set(re.findall(r"url\(#([\w.-]+)\)", html)) | set(re.findall(r'href="#([\w.-]+)"', html))
    assert wanted <= set(ids)


def test_pictures_beyond_what_a_page_carries_are_left_out_and_said(
    found: Report, laddered: Laddered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "_LEAST_PICTURE_BYTES", 300_000)
    monkeypatch.setattr(page, "PAGE_BYTES", 1)
    made = page_html(found, Asked(dataset=laddered.recipe))
    assert 0 < len(re.findall(r"<img ", made)) < sum(len(clip.worst) for clip in found.clips) * 3
    assert "the page has as many as it can carry" in made


def test_a_score_that_is_not_stored_is_said_with_what_makes_it(laddered: Laddered) -> None:
    asked = Asked(dataset=laddered.recipe, quality_type="PSNR")
    found = read_report(laddered.workspace, asked, warn=pytest.fail)
    made = page_html(found, asked)
    assert found.as_dict()["unscored"] == 32
    assert "32 assets have no stored score of PSNR_V1.0" in made
    assert f"vmaf-harness test PSNR {laddered.recipe} --cache-result" in made


def test_a_dataset_and_its_model_are_on_one_page(
    small: Trainable, vmaf_workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_vmaf_cross_validation.main([*small.inputs, "--cache-result", "--suppress-plot", "--folds", "2"]) == 0
    assert run_vmaf_training.main([*small.inputs, "m", "--cache-result", "--suppress-plot"]) == 0
    assert run_testing.main(["VMAF", str(small.dataset), "--vmaf-model", "m", "--cache-result", "--suppress-plot"]) == 0
    file = tmp_path / "m.html"
    assert run(Reporting(dataset=small.dataset, vmaf_model="m", html=file, clips=1)) == 0
    capsys.readouterr()
    made = file.read_text()
    told = json.loads(Read(made).json)
    assert told["tested"]["statistics"]["n"] == 12
    assert told["tested"]["kind"] == "training"
    assert "fitted to these very labels" in made
    errors = {each["asset_id"]: abs(each["error"]) for each in told["tested"]["assets"]}
    assert told["tested"]["worst"] == sorted(errors, key=lambda asset: -errors[asset])[:10]
    assert made.index("contents that it had not seen") < made.index("what it was fitted to"), "the proof first"
    validated = told["model"]["validated"]["statistics"]["srocc"]
    assert f"SROCC {validated:.4f}".replace("-", "−") in made
    ranges = {each["name"]: (each["low"], each["high"]) for each in told["model"]["features"]}
    assert all(low < high for low, high in ranges.values())
    assert "libvmaf=model=path=" in made
    assert len(re.findall('class="point"', made)) == 2 * 12


def test_a_workspace_has_a_page_also_where_nothing_is(
    vmaf_workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "w.html"
    assert run(Reporting(html=file)) == 0
    made = file.read_text()
    assert "not there yet" in made
    assert "No model and no run has statistics here." in made
    assert "work: train again" in made
    assert not vmaf_workspace.exists(), "nothing is changed"
    assert "KiB" in capsys.readouterr().err


def test_without_jinja2_the_remedy_is_named(found: Report, laddered: Laddered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(Exception, match=r"pip install .*\[report\]"):
        page_html(found, Asked(dataset=laddered.recipe))


def test_a_dry_run_writes_no_page(vmaf_workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(Reporting(html=tmp_path / "w.html", dry_run=True)) == 0
    assert not (tmp_path / "w.html").exists()
    assert "dry run: nothing was changed" in capsys.readouterr().err


def test_open_needs_a_file() -> None:
    with pytest.raises(UsageError, match="name its file by --html"):
        run(Reporting(open=True))


def test_open_opens_the_file_that_was_written(
    vmaf_workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    browser.chmod(0o755)
    # The standard library reads BROWSER once a process.
    import webbrowser

    monkeypatch.setattr(webbrowser, "_tryorder", None)
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    assert run(Reporting(html=tmp_path / "w.html", open=True)) == 0
    assert (tmp_path / "opened").read_text().strip() == (tmp_path / "w.html").as_uri()


def test_clips_can_be_left_out(laddered: Laddered) -> None:
    asked = Asked(dataset=laddered.recipe, clips=0)
    found = read_report(laddered.workspace, asked, warn=pytest.fail)
    assert found.clips == ()
    made = page_html(found, asked)
    assert "<img" not in made
    assert f"{N_FRAMES} frames" in made, "the plots of frames need no decoding"
