"""What is said beside a number: times that pair wrong frames, damage, and where people read it."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from clips import Clips, Measured, container, ffmpeg, recipe

from vmaf_harness.commands import score
from vmaf_harness.engine.binary import Engine
from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.frames import first_mispaired, read_frames
from vmaf_harness.measure.measurement import Measurement
from vmaf_harness.measure.notes import Note, summarize_notes
from vmaf_harness.measure.store import store_directory
from vmaf_harness.recipe.asset import Asset
from vmaf_harness.script import run_extraction, run_testing
from vmaf_workspace.locate import locate
from vmaf_workspace.report.doctor import Level, examine
from vmaf_workspace.report.status import stored_results

Printed = pytest.CaptureFixture[str]
FINE = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "8")
VARIABLE = ("-fps_mode", "passthrough", "-enc_time_base", "1/1000", *FINE)


@pytest.fixture(scope="module")
def moving(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 frames at 25 a second, each unlike its neighbours."""
    path = tmp_path_factory.mktemp("moving") / "moving.mkv"
    ffmpeg(engine, "-f", "lavfi", "-i", "testsrc2=s=192x108:r=25:d=1.92", *FINE, path)
    return path


def kinds(measurement: Measurement) -> dict[str, str]:
    return {note.kind: note.text for note in measurement.notes}


# Times


@pytest.fixture
def phone(engine: Engine, moving: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A capture of variable rate, and its transcode to a constant one: as many frames, other ones."""
    times = "setpts='if(lt(N,24),N*0.02,0.48+(N-24)*0.06)/TB'"
    ffmpeg(engine, "-i", moving, "-vf", times, *VARIABLE, tmp_path / "phone.mp4")
    ffmpeg(
        engine,
        "-i",
        tmp_path / "phone.mp4",
        "-vf",
        "fps=25,tpad=stop_mode=clone:stop=2",
        "-frames:v",
        "48",
        *FINE,
        tmp_path / "cfr.mp4",
    )
    return tmp_path / "phone.mp4", tmp_path / "cfr.mp4"


def test_a_variable_rate_against_a_constant_one_names_the_first_frame_that_is_another(
    phone: tuple[Path, Path], measured: Measured
) -> None:
    by_number, by_time = measured(*phone), measured(*phone, pairing="time")
    assert "from frame 2 (counted from 0) on: there by +40 ms" in kinds(by_number)["pairing"]
    assert "pairing" not in kinds(by_time)
    assert by_time.n_frames == 48
    assert by_time.means["vmaf"] > 90 > 60 > by_number.means["vmaf"]


def test_a_stall_that_catches_up_is_paired_by_time(
    engine: Engine, moving: Path, measured: Measured, tmp_path: Path
) -> None:
    stall = "setpts='(N*0.04+if(between(N,20,22),0.12-(N-20)*0.04,0))/TB'"  # three frames late, then on time again
    ffmpeg(engine, "-i", moving, "-vf", stall, *VARIABLE, tmp_path / "stall.mp4")
    ffmpeg(engine, "-i", tmp_path / "stall.mp4", "-vf", "fps=25", *FINE, tmp_path / "cfr.mp4")
    pair = (tmp_path / "stall.mp4", tmp_path / "cfr.mp4")
    assert "from frame 20 " in kinds(measured(*pair))["pairing"]
    assert measured(*pair, pairing="time").means["vmaf"] > measured(*pair).means["vmaf"] + 1


def test_50_frames_a_second_are_compared_with_25_by_time(engine: Engine, measured: Measured, tmp_path: Path) -> None:
    ffmpeg(engine, "-f", "lavfi", "-i", "testsrc2=s=192x108:r=50:d=0.96", *FINE, tmp_path / "50.mp4")
    ffmpeg(engine, "-i", tmp_path / "50.mp4", "-vf", "fps=25", *FINE, tmp_path / "25.mp4")
    with pytest.raises(HarnessError, match=r"gives 48 frames and .* gives 24; .*--pair-by time"):
        measured(tmp_path / "50.mp4", tmp_path / "25.mp4")
    # Frame by frame as of the file of those 24 frames that are shown then, the last one too, whose motion looks ahead.
    ffmpeg(engine, "-i", tmp_path / "50.mp4", "-vf", "select='not(mod(n,2))'", "-c:v", "ffv1", tmp_path / "shown.mkv")
    found = measured(tmp_path / "50.mp4", tmp_path / "25.mp4", pairing="time")
    assert found.frames == measured(tmp_path / "shown.mkv", tmp_path / "25.mp4", pairing="index").frames
    doubled = ("-vf", "setpts=2*N/TB/50,fps=50:round=down:eof_action=pass,tpad=stop=1:stop_mode=clone", "-c:v", "ffv1")
    ffmpeg(engine, "-i", tmp_path / "25.mp4", *doubled, "-frames:v", "48", tmp_path / "doubled.mkv")
    other = measured(tmp_path / "25.mp4", tmp_path / "50.mp4", pairing="time")
    assert other.n_frames == 48
    assert other.frames == measured(tmp_path / "doubled.mkv", tmp_path / "50.mp4", pairing="index").frames


def test_by_time_both_have_to_last_as_long(engine: Engine, moving: Path, measured: Measured, tmp_path: Path) -> None:
    ffmpeg(engine, "-i", moving, "-frames:v", "30", *FINE, tmp_path / "short.mp4")
    with pytest.raises(HarnessError, match=r"1\.880 s after its first, .* 1\.160 s"):
        measured(moving, tmp_path / "short.mp4", pairing="time")
    ffmpeg(engine, "-i", moving, "-frames:v", "1", *FINE, tmp_path / "one.mp4")
    for pair in ((moving, tmp_path / "one.mp4"), (tmp_path / "one.mp4", moving)):
        with pytest.raises(HarnessError, match=r"0\.000 s"):
            measured(*pair, pairing="time")
    about = {"yuv_fmt": "yuv420p", "width_px": 192, "height_px": 108}
    for name, source in (("long.yuv", moving), ("short.yuv", tmp_path / "short.mp4")):
        ffmpeg(engine, "-i", source, "-f", "rawvideo", tmp_path / name)
    raw = [replace(container(tmp_path / name), **about) for name in ("long.yuv", "short.yuv")]  # type: ignore[arg-type]
    for pair_of_raw in ((raw[0], raw[1]), (moving, raw[1]), (raw[1], moving)):
        with pytest.raises(HarnessError, match=r"1\.160 s"):
            measured(*pair_of_raw, pairing="time")


@pytest.mark.parametrize(
    "options",
    [
        ("-r", "24", "-i", "{}", "-c", "copy"),  # 25 called 24
        ("-itsoffset", "7.3", "-i", "{}", "-c", "copy", "-copyts"),
        ("-i", "{}", "-c", "copy", "-video_track_timescale", "1001"),
    ],
    ids=["factor", "offset", "clock"],
)
def test_a_start_a_factor_and_another_clock_are_no_wrong_pairs(
    options: tuple[str, ...], engine: Engine, moving: Path, measured: Measured, tmp_path: Path
) -> None:
    plain = tmp_path / "plain.mp4"
    ffmpeg(engine, "-i", moving, "-c:v", "libx264", "-bf", "0", "-crf", "8", plain)
    other = tmp_path / "other.mp4"
    ffmpeg(engine, *(each.format(plain) for each in options), other)
    assert "pairing" not in kinds(measured(plain, other))


def test_frames_are_apart_from_half_an_interval_on() -> None:
    even = [n * 0.04 for n in range(10)]
    assert first_mispaired(even, even) is None
    assert first_mispaired(even, [3.0 + each * 1.001 for each in even]) is None
    late = [each + (0.0201 if index == 4 else 0.0) for index, each in enumerate(even)]
    found = first_mispaired(even, late)
    assert found is not None
    assert (found[0], round(found[1], 6)) == (4, 0.0201)
    assert first_mispaired(even, [each + (0.0199 if n == 4 else 0.0) for n, each in enumerate(even)]) is None
    assert first_mispaired(even, [*even[:9], float("nan")]) is None


# Rates


@dataclass(frozen=True, slots=True)
class Shown:
    """The frames of `moving`, each shown as long as a rate says; a file a rate and a container."""

    engine: Engine
    moving: Path
    directory: Path

    def at(self, rate: str, suffix: str = ".mp4", *, frames: int = 48, clock: str = "1/120000") -> Path:
        path = self.directory / f"{rate.replace('/', '_')}-{frames}-{clock.rpartition('/')[2]}{suffix}"
        times = f"settb={clock},setpts=N/({rate})/TB"
        codec: tuple[str, ...] = ("-enc_time_base", clock, "-c:v", "libx264", "-preset", "ultrafast", "-qp", "20")
        if suffix == ".y4m":
            times, codec = f"settb=1/({rate}),setpts=N,fps={rate}", ("-pix_fmt", "yuv420p")
        how = ("-vf", times, "-frames:v", str(frames), "-fps_mode", "passthrough", *codec)
        ffmpeg(self.engine, "-i", self.moving, *how, path)
        return path


@pytest.fixture
def shown(engine: Engine, moving: Path, tmp_path: Path) -> Shown:
    return Shown(engine, moving, tmp_path)


@pytest.mark.parametrize("rate", ["60", "50", "30", "12.5", "30000/1001"])
def test_a_rate_that_differs_is_noted_with_both_and_changes_no_number(
    rate: str, shown: Shown, measured: Measured
) -> None:
    reference, other, same = shown.at("25"), shown.at(rate), shown.at("25", ".mkv", clock="1/1000")
    found = measured(reference, other)
    text = kinds(found)["rate"]
    assert text.startswith(f"{float(Fraction(rate)):.4g} frames/s, its reference 25: ")
    assert "paired by number" in text
    assert "--pair-by time" in text
    assert found.frames == measured(reference, same).frames
    assert "its reference 25" not in str(measured(other, reference).notes)
    assert "25 frames/s, its reference" in kinds(measured(other, reference))["rate"]


def test_a_rate_that_is_one_or_that_nobody_says_is_not_noted(
    shown: Shown, engine: Engine, moving: Path, measured: Measured, tmp_path: Path
) -> None:
    ntsc = shown.at("30000/1001")
    for other in (shown.at("29.97"), shown.at("30000/1001", ".mkv", clock="1/1000"), shown.at("30000/1001", ".y4m")):
        assert "rate" not in kinds(measured(ntsc, other)), other
    assert "rate" in kinds(measured(ntsc, shown.at("25", ".y4m")))  # it says so itself
    silent = tmp_path / "silent.y4m"
    told = shown.at("60", ".y4m").read_bytes()
    assert b" F60:1 " in told
    silent.write_bytes(told.replace(b" F60:1", b"", 1))
    stream = tmp_path / "stream.264"
    ffmpeg(engine, "-i", moving, *FINE, stream)
    raw = replace(container(tmp_path / "some.yuv"), yuv_fmt="yuv420p", width_px=192, height_px=108, fps=60.0)
    ffmpeg(engine, "-i", moving, "-f", "rawvideo", raw.path)
    for nobody in (silent, raw, replace(raw, fps=None)):
        assert "rate" not in kinds(measured(ntsc, nobody)), nobody
        assert "rate" not in kinds(measured(nobody, ntsc)), nobody
    one, also = shown.at("25", frames=1), shown.at("60", frames=1)
    assert "rate" not in kinds(measured(one, also))


def test_of_two_variable_rates_that_agree_none_is_noted(
    phone: tuple[Path, Path], engine: Engine, measured: Measured, tmp_path: Path
) -> None:
    ffmpeg(engine, "-i", phone[0], *VARIABLE, tmp_path / "again.mkv")
    assert not kinds(measured(phone[0], tmp_path / "again.mkv"))


def test_a_rate_that_differs_is_said_stored_and_written_unless_it_is_meant(
    shown: Shown, vmaf_workspace: Path, capsys: Printed, tmp_path: Path
) -> None:
    pair: dict[str, Any] = {"reference": str(shown.at("25")), "distorted": str(shown.at("60"))}
    assert score(**pair) == 0
    assert "rate: " in capsys.readouterr().err
    told = []
    for pair_by in (None, "index"):
        assert score(**pair, pair_by=pair_by, json=True) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert [[note["kind"] for note in each["notes"]] for each in told] == [["rate"], []]
    assert told[0]["score"] == told[1]["score"]
    names = [Path(pair[side]).name for side in ("reference", "distorted")]
    made = recipe(tmp_path, names[0], names[1:], head="yuv_fmt = 'notyuv'\nquality_width = 192\nquality_height = 108")
    for _ in range(2):  # measured, and from the store
        assert run_testing.main(["VMAF", str(made), "--cache-result", "--suppress-plot"]) == 0
        assert "60 frames/s, its reference 25" in capsys.readouterr().err.replace("\n", " ")
        newest = max((vmaf_workspace / "output").glob("*/scores.csv"), key=lambda path: path.stat().st_mtime_ns)
        (row,) = csv.DictReader(newest.read_text(encoding="utf-8").splitlines())
        assert row["notes"].startswith("rate: distorted: 60 frames/s, its reference 25")


def test_words_of_another_thread_within_showinfos_lines_change_nothing() -> None:
    head = "[showinfo@a @ 0x1] [info] "
    frame = "n: {0:3d} pts: {0:6d} pts_time:0 duration: 1 fmt:yuv420p cl:left sar:1/1 s:64x48 i:P iskey:0 type:P "
    log = [head + "config in time_base: 1/25, frame_rate: 25/1"]
    for n in range(4):
        log.append(("[h264 @ 0x2] some words" if n == 1 else "") + head + frame.format(n))
        torn = "color_range:[h264 @ 0x2] [verbose] words" if n == 2 else "color_range:pc color_space:unknown"
        log.append(head + torn)
    found = read_frames(log, ("a",))["a"]
    assert found.times_s == [0.0, 0.04, 0.08, 0.12]
    assert found.first is not None
    assert (found.first.range, found.change) == ("pc", None)


# Damage


@pytest.fixture
def damaged(engine: Engine, clips: Clips, tmp_path: Path) -> Path:
    """A transport stream that lost packets of its pictures."""
    whole = tmp_path / "whole.ts"
    source = clips.mp4("reference")
    ffmpeg(engine, "-i", source, "-c:v", "libx264", "-crf", "14", "-muxdelay", "0", whole)
    data = whole.read_bytes()
    packets = [data[at : at + 188] for at in range(0, len(data), 188)]
    lost = {len(packets) // 3, len(packets) // 2, 2 * len(packets) // 3}
    damaged = tmp_path / "damaged.ts"
    damaged.write_bytes(b"".join(packet for index, packet in enumerate(packets) if index not in lost))
    return damaged


def test_a_damaged_video_is_scored_with_a_note_and_a_damaged_reference_is_refused(
    damaged: Path, clips: Clips, measured: Measured
) -> None:
    found = kinds(measured(clips.mp4("reference"), damaged))
    assert "ffmpeg complains" in found["damage"]
    with pytest.raises(HarnessError, match=r"damaged\.ts is damaged: .* bring the reference again"):
        measured(damaged, clips.mp4("reference"))


def test_damage_that_cost_frames_is_the_reason_that_is_given(
    damaged: Path, engine: Engine, clips: Clips, measured: Measured, tmp_path: Path
) -> None:
    """Not advice on ranges, by which frames would be compared that are shifted."""
    data = damaged.with_name("whole.ts").read_bytes()
    packets = [data[at : at + 188] for at in range(0, len(data), 188)]
    starts = [n for n, packet in enumerate(packets) if packet[1] & 0x40 and (packet[1] & 0x1F, packet[2]) == (1, 0)]
    lost = range(starts[5], starts[6])  # all of one picture, and the next one's beginning
    cut = tmp_path / "cut.ts"
    cut.write_bytes(b"".join(packet for n, packet in enumerate(packets) if n not in {*lost, starts[6]}))
    with pytest.raises(HarnessError, match=r"gives 12 .*cut\.ts gives 1[01]; it is damaged: ffmpeg complains"):
        measured(clips.mp4("reference"), cut)
    with pytest.raises(HarnessError, match=r"cut\.ts is damaged: .* bring the reference again"):
        measured(cut, clips.mp4("reference"))


def test_of_two_of_one_codec_the_damaged_one_is_told(
    damaged: Path, clips: Clips, engine: Engine, measured: Measured, tmp_path: Path
) -> None:
    """Both are H.264, so that its decoder's complaints name neither."""
    found = measured(clips.mp4("reference"), damaged)
    assert [(note.kind, note.side) for note in found.notes if note.kind == "damage"] == [("damage", "distorted")]


def test_damage_is_said_stored_and_written_and_refused_where_asked(
    damaged: Path, clips: Clips, vmaf_workspace: Path, capsys: Printed, tmp_path: Path
) -> None:
    (tmp_path / "reference.mp4").write_bytes(clips.mp4("reference").read_bytes())
    made = recipe(tmp_path, "reference.mp4", ["damaged.ts", "reference.mp4"])
    arguments = ["VMAF", str(made), "--cache-result", "--suppress-plot", "--print-result"]
    for _ in range(2):  # measured, and from the store
        assert run_testing.main(arguments) == 0
        assert "damage: " in capsys.readouterr().err
        newest = max((vmaf_workspace / "output").glob("*/scores.csv"), key=lambda path: path.stat().st_mtime_ns)
        rows = list(csv.DictReader(newest.read_text(encoding="utf-8").splitlines()))
        assert rows[0]["notes"].startswith("damage: distorted: damaged: ffmpeg complains")
        assert rows[1]["notes"] == ""
    for cache in (["--cache-result"], []):
        assert run_testing.main(["VMAF", str(made), "--suppress-plot", "--refuse-damaged", "--keep-going", *cache]) == 1
        err = capsys.readouterr().err
        assert "damaged.ts is damaged" in err
        assert "1 asset scored" in err


def test_features_for_training_carry_the_note_and_refuse_it_where_asked(
    damaged: Path, clips: Clips, vmaf_workspace: Path, capsys: Printed, tmp_path: Path
) -> None:
    (tmp_path / "reference.mp4").write_bytes(clips.mp4("reference").read_bytes())
    made = recipe(tmp_path, "reference.mp4", ["damaged.ts", "reference.mp4"])
    features = tmp_path / "features.py"
    features.write_text("feature_dict = {'VMAF_integer_feature': ['adm2', 'motion2']}\n")
    assert run_extraction.main([str(made), str(features)]) == 0
    assert "damage: " in capsys.readouterr().err
    assert run_extraction.main([str(made), str(features), "--refuse-damaged"]) == 1
    assert "refused, as asked" in capsys.readouterr().err


# Where people read it


def test_score_test_and_extraction_give_one_number(
    engine: Engine, clips: Clips, vmaf_workspace: Path, capsys: Printed, tmp_path: Path
) -> None:
    """Of 8-bit limited against 10-bit full range, tagged otherwise: all that used to be negotiated."""
    ffmpeg(engine, "-i", clips.mp4("reference"), "-c", "copy", tmp_path / "reference.mp4")
    odd = "scale=out_range=pc,format=yuv420p10le,setparams=range=pc:colorspace=bt2020nc"
    ffmpeg(engine, "-i", clips.mp4("x264"), "-vf", odd, "-c:v", "libx264", "-qp", "0", tmp_path / "odd.mp4")
    assert score(reference=str(tmp_path / "reference.mp4"), distorted=str(tmp_path / "odd.mp4"), json=True) == 0
    of_pair = json.loads(capsys.readouterr().out)
    assert [note["kind"] for note in of_pair["notes"]] == ["format", "range"]
    made = recipe(tmp_path, "reference.mp4", ["odd.mp4"])
    assert run_testing.main(["VMAF", str(made), "--suppress-plot", "--cache-result"]) == 0
    told = capsys.readouterr()
    assert f"VMAF {of_pair['score']:.6f} " in told.out
    assert "range: " in told.err
    features = tmp_path / "features.py"
    features.write_text("feature_dict = {'VMAF_integer_feature': ['adm2', 'motion2', 'vif_scale0']}\n")
    assert run_extraction.main([str(made), str(features)]) == 0
    tables = (vmaf_workspace / "output").glob("*/features.csv")
    table = max(tables, key=lambda path: path.stat().st_mtime_ns)
    row = next(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    frames = of_pair["frames"]
    for atom in ("adm2", "vif_scale0"):
        mean = sum(frames[f"integer_{atom}"]) / len(frames[f"integer_{atom}"])
        assert float(row[f"VMAF_integer_feature_{atom}_score"]) == pytest.approx(mean, abs=2e-6)


def test_the_same_thing_is_said_once_for_many_assets() -> None:
    def asset(name: str, **fields: object) -> Asset:
        video = container(Path(name))
        about: dict[str, object] = {"dataset": "d", "content_id": 0, "asset_id": 0, **fields}
        return Asset(reference=container(Path("ref")), distorted=video, **about)  # type: ignore[arg-type]

    depth = Note(kind="depth", side="distorted", text="10 bits")
    apart = Note(kind="pairing", side="distorted", text="apart")
    told = summarize_notes(
        [(asset("a"), [depth]), (asset("b"), [depth, apart]), (asset("c", pairing="index"), [depth, apart])]
    )
    assert told == ["depth: a and 2 more: 10 bits", "pairing: b: apart"]


def test_pairing_by_number_may_be_meant(
    phone: tuple[Path, Path], vmaf_workspace: Path, capsys: Printed, tmp_path: Path
) -> None:
    pair: dict[str, Any] = {"reference": str(phone[0]), "distorted": str(phone[1])}
    told = []
    for pair_by in (None, "index", "time"):
        assert score(**pair, pair_by=pair_by, json=True) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert [[note["kind"] for note in each["notes"]] for each in told] == [["pairing"], [], ["rate"]]
    assert told[0]["score"] == told[1]["score"] < told[2]["score"]


def test_a_recipe_says_how_frames_are_paired(
    phone: tuple[Path, Path], vmaf_workspace: Path, capsys: Printed, tmp_path: Path
) -> None:
    scores = []
    for head in ("", "pairing = 'time'\n"):
        made = tmp_path / "p_dataset.py"
        made.write_text(
            f"dataset_name = 'p'\nyuv_fmt = 'notyuv'\nquality_width = 192\nquality_height = 108\n{head}"
            "ref_videos = [{'content_id': 0, 'path': 'phone.mp4'}]\n"
            "dis_videos = [{'content_id': 0, 'asset_id': 0, 'path': 'cfr.mp4', 'dmos': 50.0}]\n"
        )
        assert run_testing.main(["VMAF", str(made), "--suppress-plot", "--cache-result"]) == 0
        told = capsys.readouterr()
        scores.append(float(told.out.split("VMAF ")[1].split()[0]))
        assert ("frames are paired by number" in told.err) == (head == "")
    assert scores[1] > scores[0] + 20


# Results of an older rule


def test_results_of_an_older_rule_are_not_served_and_are_counted(
    clips: Clips, vmaf_workspace: Path, capsys: Printed, tmp_path: Path
) -> None:
    (tmp_path / "reference.mp4").write_bytes(clips.mp4("reference").read_bytes())
    made = recipe(tmp_path, "reference.mp4", ["reference.mp4"])
    arguments = ["VMAF", str(made), "--cache-result", "--suppress-plot"]
    assert run_testing.main(arguments) == 0
    (entry,) = store_directory(vmaf_workspace).glob("*/*/*/*.json")
    old = entry.with_name("0" * 64 + ".json")
    old.write_bytes(entry.read_bytes().replace(b'{"format": 2,', b'{"format": 1,'))
    (found,) = [each for each in stored_results(vmaf_workspace) if each.store == "file_result_store"]
    assert (found.usage.files, found.older) == (2, 1)
    location = replace(locate(str(vmaf_workspace)), path=vmaf_workspace)
    (finding,) = [each for each in examine(location) if "older rule" in each.found]
    assert (finding.level, "ws.purge-cache" in finding.remedy) == (Level.WARNING, True)
    entry.unlink()
    capsys.readouterr()
    assert run_testing.main(arguments) == 0
    assert "0 of them stored before" in capsys.readouterr().err
