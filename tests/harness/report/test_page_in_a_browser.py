"""The page in headless Chromium: no request leaves it, nothing overflows, hover and click work, axe finds no fault."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from ladders import CONTENTS, Laddered

from vmaf_harness.measure.scoring import Outcome
from vmaf_harness.report.contents import Asked, Report, read_report
from vmaf_harness.report.ladder import Curve, Hull, LadderEncode
from vmaf_harness.report.page import page_html

webdriver = pytest.importorskip("selenium.webdriver")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="apt-get install chromium chromium-driver"),
]
FAULTS = {"serious", "critical"}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    profile = tmp_path_factory.mktemp("profile")
    # No sandbox: root has none in a container. No /dev/shm: it is small there.
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def found(laddered: Laddered) -> Report:
    return read_report(laddered.workspace, Asked(dataset=laddered.recipe), warn=pytest.fail)


@pytest.fixture(scope="module")
def file(found: Report, laddered: Laddered, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "ladder.html"
    path.write_text(page_html(found, Asked(dataset=laddered.recipe)), encoding="utf-8")
    return path


@pytest.fixture
def opened(browser: Any, file: Path) -> Any:
    size(browser, 1280)
    browser.get_log("performance")  # what was asked for before
    browser.get_log("browser")
    browser.get(file.as_uri())
    return browser


def size(browser: Any, width: int, *, scheme: str = "light") -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def requests(browser: Any) -> list[str]:
    """What was asked for since this was last asked."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return [url for url in sent if not url.startswith("data:")]


def test_it_opens_from_a_disk_and_asks_for_nothing_more(opened: Any, file: Path) -> None:
    opened.execute_script("scrollTo(0, document.body.scrollHeight)")  # pictures are decoded when they come near
    opened.execute_async_script("const done = arguments[0]; setTimeout(done, 300)")
    assert requests(opened) == [file.as_uri()]
    assert opened.get_log("browser") == []
    assert opened.execute_script("return [...document.images].every((each) => !each.complete || each.naturalWidth)")


def test_a_name_that_is_markup_runs_nothing(opened: Any, found: Report, laddered: Laddered, tmp_path: Path) -> None:
    assert found.ladder is not None
    evil = "</script></style></title><img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"
    encodes = tuple(replace(each, content=evil, command=evil, file=evil) for each in found.ladder.encodes)
    clips = tuple(replace(clip, content=evil, file=evil) for clip in found.clips)
    report = replace(found, clips=clips, ladder=replace(found.ladder, encodes=encodes))
    path = tmp_path / "evil.html"
    path.write_text(page_html(report, Asked(dataset=laddered.recipe)), encoding="utf-8")
    opened.get(path.as_uri())
    assert opened.execute_script("return document.images.length") == 3 * sum(len(clip.worst) for clip in found.clips)
    assert "run" not in opened.title.split()
    assert opened.get_log("browser") == []
    assert opened.execute_script("return document.querySelector('tr[data-asset] th').textContent") == evil


def test_a_script_that_somebody_adds_does_not_run(opened: Any, file: Path, tmp_path: Path) -> None:
    path = tmp_path / "added.html"
    path.write_text(file.read_text().replace("<main>", "<main><script>document.title = 'run'</script>"))
    opened.get(path.as_uri())
    assert opened.title != "run"


def test_a_point_tells_its_numbers_and_command(opened: Any, found: Report) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    assert found.ladder is not None
    point = opened.find_element(By.CSS_SELECTOR, ".point")
    encode = next(e for e in found.ladder.encodes if str(e.asset_id) == point.get_attribute("data-asset"))
    tip = opened.find_element(By.ID, "tip")
    assert not tip.is_displayed()
    opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", point)
    ActionChains(opened).move_to_element(point).perform()
    assert tip.is_displayed()
    assert f"{encode.bitrate_kbps:.1f} kbit/s, score {encode.score:.2f}" in tip.text
    assert encode.command in tip.text
    ActionChains(opened).move_to_element(opened.find_element(By.TAG_NAME, "h1")).perform()
    assert not tip.is_displayed()


def test_a_click_brings_the_frames_of_a_clip(opened: Any, found: Report) -> None:
    from selenium.webdriver.common.by import By

    assert found.ladder is not None
    with_pictures, without = found.clips[0].asset_id, 0
    assert without not in found.pictures
    for asset_id in (with_pictures, without):
        row = opened.find_element(By.CSS_SELECTOR, f"tr[data-asset='{asset_id}'] td")
        opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", row)
        row.click()
        line = opened.find_element(By.CSS_SELECTOR, f".line[data-asset='{asset_id}']")
        assert "chosen" in line.get_attribute("class")
        assert len(opened.find_elements(By.CSS_SELECTOR, ".line.chosen")) == 1
        shown = f"clip-{asset_id}" if asset_id == with_pictures else None
        target = opened.find_element(By.ID, shown) if shown else line
        script = "const box = arguments[0].getBoundingClientRect(); return box.bottom > 0 && box.top < innerHeight"
        assert opened.execute_script(script, target)


def test_a_picture_is_at_its_full_size_at_a_click(opened: Any) -> None:
    from selenium.webdriver.common.by import By

    size(opened, 400)
    image = opened.find_element(By.CSS_SELECTOR, ".frames img")
    opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", image)
    opened.execute_script("arguments[0].click()", image)
    assert image.size["width"] == int(image.get_attribute("naturalWidth"))
    assert opened.execute_script("return document.documentElement.scrollWidth") <= 400


def test_a_table_is_sorted_by_number(opened: Any) -> None:
    from selenium.webdriver.common.by import By

    head = opened.find_element(By.XPATH, "//section[@id='ladder']//th[contains(., 'kbit/s')]//button")
    read = "return [...document.querySelectorAll('tr[data-asset]')].map((row) => +row.cells[4].dataset.value)"
    head.click()
    assert (values := opened.execute_script(read)[:32]) == sorted(values)
    head.click()
    assert opened.execute_script(read)[:32] == values[::-1]


@pytest.mark.parametrize("width", [400, 1280, 2000])
def test_nothing_overflows(opened: Any, width: int) -> None:
    size(opened, width)
    wide = """
        const scrolls = (each) => each && (getComputedStyle(each).overflowX === "auto" || scrolls(each.parentElement));
        const off = (each) => each.getBoundingClientRect().right > innerWidth + 1 && !scrolls(each);
        return [...document.body.querySelectorAll("*")].filter(off).map((each) => each.outerHTML.slice(0, 80));
    """
    assert opened.execute_script(wide) == []
    assert opened.execute_script("return document.documentElement.scrollWidth") <= width


def test_on_a_phone_the_scores_of_frames_are_seen_whole(opened: Any) -> None:
    size(opened, 400)
    figures = "[...document.querySelectorAll('.plots > figure')].filter((each) => each.querySelector('.line'))"
    assert opened.execute_script(f"return {figures}.length") == len(CONTENTS)
    assert opened.execute_script(f"return {figures}.every((each) => each.scrollWidth <= each.clientWidth)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(opened: Any, scheme: str) -> None:
    axe = pytest.importorskip("axe_core_python")
    size(opened, 1280, scheme=scheme)
    opened.execute_script((Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8"))
    found = opened.execute_async_script("axe.run().then(arguments[0])")
    faults = [fault for fault in found["violations"] if fault["impact"] in FAULTS]
    assert [(fault["id"], fault["nodes"][0]["html"][:200]) for fault in faults] == []
    assert len(found["passes"]) > 10


def test_without_scripts_all_tables_and_plots_are_there(opened: Any, file: Path) -> None:
    opened.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        opened.get(file.as_uri())
        opened.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
        assert opened.execute_script("return document.querySelectorAll('.point title').length") == 32, "native words"
        assert opened.execute_script("return document.querySelectorAll('thead button').length") == 0
        assert opened.execute_script("return document.querySelectorAll('tr[data-asset]').length") == 32
    finally:
        opened.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_five_hundred_encodes_are_small_and_open_soon(
    opened: Any, found: Report, laddered: Laddered, tmp_path: Path
) -> None:
    """The same ladder as of 16 pairs of contents, each clip as long as 300 frames, the pictures as large as may be."""
    random, size_px, first = Random(1), 480 * 270, found.clips[0].asset_id
    noise = random.randbytes(3 * size_px)
    large = [
        replace(each, width_px=480, height_px=270, reference=noise, distorted=noise, difference=noise[:size_px])
        for each in found.pictures[first]
    ]
    report = replace(found, pictures=found.pictures | {first: tuple(large)})
    many = page_html(_multiplied(report, 16), Asked(dataset=laddered.recipe)).encode()
    assert len(many) < 5_000_000
    path = tmp_path / "many.html"
    path.write_bytes(many)
    began = time.perf_counter()
    opened.get(path.as_uri())
    took_s = time.perf_counter() - began
    assert opened.execute_script("return document.querySelectorAll('tr[data-asset]').length") == 512
    assert took_s < 20, "2 s on a machine that has nothing else to do"
    print(f"{len(many)} bytes, {took_s:.2f} s")


def _multiplied(found: Report, times: int) -> Report:
    assert found.ladder is not None
    assert found.scored is not None
    step, contents = len(found.ladder.encodes), len(found.ladder.contents)
    encodes: list[LadderEncode] = []
    curves: list[Curve] = []
    hulls: list[Hull] = []
    outcomes: list[Outcome] = []
    for turn in range(times):

        def moved(asset_ids: Sequence[int], turn: int = turn) -> tuple[int, ...]:
            return tuple(asset_id + turn * step for asset_id in asset_ids)

        more = turn * contents
        encodes += [
            replace(e, asset_id=moved([e.asset_id])[0], content_id=e.content_id + more, content=f"{e.content} {turn}")
            for e in found.ladder.encodes
        ]
        for curve in found.ladder.curves:
            curves.append(replace(curve, content_id=curve.content_id + more, asset_ids=moved(curve.asset_ids)))
        for hull in found.ladder.hulls:
            hulls.append(replace(hull, content_id=hull.content_id + more, asset_ids=moved(hull.asset_ids)))
        for outcome in found.scored.outcomes:
            asset = replace(
                outcome.asset,
                asset_id=outcome.asset.asset_id + turn * step,
                content_id=outcome.asset.content_id + turn * contents,
                content_name=f"{outcome.asset.content_name} {turn}",
            )
            frames = {name: (column * 30)[:300] for name, column in (outcome.frames or {}).items()}
            outcomes.append(replace(outcome, asset=asset, frames=frames))
    ladder = replace(found.ladder, encodes=tuple(encodes), curves=tuple(curves), hulls=tuple(hulls))
    scored = replace(found.scored, outcomes=outcomes)
    return replace(found, ladder=ladder, scored=scored)
