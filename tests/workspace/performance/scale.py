"""How the cost grows with what is stored: `python -m performance.scale DIRECTORY [SIZE ...]`.

A size is a number of stored results. Beside it are a hundredth as many run directories and assets in a recipe, a tenth
as many files of models, and a thousandth as many snapshots. Trees are made below DIRECTORY and removed again; a million
results take 4 GB there, and as much again for the peer.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from performance.record import BIN, Record, Timed, finish, flags, place_in

SIZES = (10_000, 100_000, 1_000_000)
LONG_AGO_S = 1_700_000_000
WS = BIN / "vmaf-ws"


def make_results(store: Path, n: int) -> None:
    """*n* results in directories of 100, of 20 datasets; each younger by a second than the one before."""
    frames = b"0" * 2000 + b"\n"
    first = {"format": 2, "extraction_s": 3.5, "n_frames": 48, "means": {f"feature_{i}": 0.123456 for i in range(15)}}
    content = json.dumps(first).encode() + b"\n" + frames
    for start in range(0, n, 100):
        directory = store / f"VMAF_V{start // 100 % 2}" / f"set{start // 200 % 10}" / str(start // 2000)
        directory.mkdir(parents=True, exist_ok=True)
        fd = os.open(directory, os.O_RDONLY)
        for i in range(start, min(start + 100, n)):
            file = os.open(f"{i * 7919:064x}.json", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=fd)
            os.write(file, content)
            os.utime(file, (LONG_AGO_S + i, LONG_AGO_S + i))
            os.close(file)
        os.close(fd)


def scale_results(record: Record, place: Path, n: int) -> None:
    """Status, the plan of a purge, and a purge, of *n* stored results; warm."""
    with place_in(place) as top:
        workspace, twin = top / "workspace", top / "twin"
        here = ("--workspace", workspace)
        Timed(WS, "setup", *here)
        store = workspace / "result_store_dir" / "file_result_store"
        make_results(store, n)
        fields = "%p %s %b %T@ %i\n"
        limited = ("purge-cache", "--max-files", str(n // 2), "--max-size", "1T")
        for key, ours, peer in (
            ("results status", (WS, "status", *here), ("du", "-s", workspace)),
            ("results plan", (WS, *limited, "--dry-run", *here), ("find", workspace, "-printf", fields)),
        ):
            Timed(*peer)
            Timed(*ours)
            them, us = Timed(*peer), Timed(*ours)
            record.add(key, [us.wall_s], [them.wall_s], n=n, peak_bytes=us.peak_bytes)
        make_results(twin, n)
        os.sync()
        us = Timed(WS, "purge-cache", "--older-than", "1d", "--yes", *here)
        assert not list(store.rglob("*.json"))
        os.sync()
        them = Timed("find", twin, "-delete")
        record.add("results purge", [us.wall_s], [them.wall_s], n=n, peak_bytes=us.peak_bytes)


def scale_runs(record: Record, place: Path, n: int) -> None:
    """A clean of n / 100 run directories of ten files each."""
    with place_in(place) as top:
        workspace, twin = top / "workspace", top / "twin"
        Timed(WS, "setup", "--workspace", workspace)
        for i in range(n // 100):
            directory = workspace / "workdir" / f"{i:032x}"
            directory.mkdir()
            for j in range(10):
                (directory / f"{j}.log").write_bytes(b"x")
        shutil.copytree(workspace / "workdir", twin)
        os.sync()
        us = Timed(WS, "clean-scratch", "--min-age", "0", "--workspace", workspace)
        them = Timed("rm", "-rf", twin)
        record.add("runs clean", [us.wall_s], [them.wall_s], n=n // 100, peak_bytes=us.peak_bytes)


def scale_cached(record: Record, place: Path, n: int) -> None:
    """`run_testing` of n / 100 assets (of 1 000 000 and more n / 10), all stored before."""
    assets = n // 10 if n >= 1_000_000 else n // 100
    with place_in(place) as top:
        recipe = stored_dataset(top, assets)
        script = (sys.executable, "-m", "vmaf_harness.script.run_testing", "VMAF", recipe)
        us = [Timed(*script, "--cache-result", "--suppress-plot", "--workspace", top / "ws") for _ in range(2)][-1]
        assert f"{assets} of them stored before".encode() in us.output
        record.add("cached run", [us.wall_s], [assets * 0.15e-3], n=assets, peak_bytes=us.peak_bytes)


def stored_dataset(top: Path, n: int) -> Path:
    """A recipe of *n* small videos whose results, of 48 frames, are stored in `ws` beside it."""
    from vmaf_harness.engine.binary import find_engine
    from vmaf_harness.measure.measurement import Measurement
    from vmaf_harness.measure.store import FileResultStore
    from vmaf_harness.model.quality_type import extraction
    from vmaf_harness.recipe.dataset import read_recipe

    engine, reference = find_engine(), top / "ref.y4m"
    source = ("-f", "lavfi", "-i", "testsrc2=s=64x64:r=25,format=yuv420p", "-frames:v", "1")
    Timed(engine.path, "-v", "error", *source, reference)
    content = reference.read_bytes()
    for i in range(n):
        (top / f"dis{i:06d}.y4m").write_bytes(content[:-3] + i.to_bytes(3, "big"))  # every file its own content

    def recipe(name: str, count: int) -> Path:
        distorted = ",\n ".join(
            f"{{'content_id': 0, 'asset_id': {i}, 'path': 'dis{i:06d}.y4m', 'dmos': {100.0 - i % 90}}}"
            for i in range(count)
        )
        path = top / f"{name}_dataset.py"
        path.write_text(
            f"dataset_name = '{name}'\nyuv_fmt = 'notyuv'\nquality_width = quality_height = 64\n"
            f"ref_videos = [{{'content_id': 0, 'path': 'ref.y4m'}}]\ndis_videos = [{distorted}]\n"
        )
        return path

    one = recipe("one", 1)
    script = (sys.executable, "-m", "vmaf_harness.script.run_testing", "VMAF", one)
    Timed(*script, "--cache-result", "--suppress-plot", "--workspace", top / "ws")
    time.sleep(2.1)  # a file so fresh may still change unseen, so its hash is not remembered
    made = recipe("many", n)
    first = FileResultStore(top / "ws", extraction("VMAF"), engine, warn=print).frames(read_recipe(one).assets[0])
    assert first is not None
    frames = {metric: values * 48 for metric, values in first.items()}
    means = {metric: values[0] for metric, values in first.items()}
    store = FileResultStore(top / "ws", extraction("VMAF"), engine, warn=print)
    for asset in read_recipe(made).assets:
        store.put(asset, Measurement(frames=frames, means=means, extraction_s=1.0), store.path(asset))
    store.save_hashes()
    return made


def scale_snapshots(record: Record, place: Path, n: int) -> None:
    """n / 10 files of models: backup again, and verify; then n / 1000 snapshots, all but ten forgotten and pruned."""
    with place_in(place) as top:
        workspace, at, model = top / "workspace", top / "backups", top / "workspace" / "model"
        here = ("--workspace", workspace, "--at", at)
        env = {"XDG_CACHE_HOME": str(top / "cache"), "RESTIC_PASSWORD": "scale"}
        restic = ("restic", "-q", "-r", top / "restic") if shutil.which("restic") else None
        Timed(WS, "setup", "--workspace", workspace)
        for i in range(n // 10):
            path = model / f"{i % 50:02d}" / f"m{i:06d}.pkl"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(os.urandom(100))
            os.utime(path, (LONG_AGO_S, LONG_AGO_S))
        time.sleep(2.5)  # what is known of fresher files is not believed
        backups = [Timed(WS, "backup-models", *here, env=env) for _ in range(2)]
        peers: list[float] = []
        if restic:
            Timed(*restic, "init", env=env)
            peers = [Timed(*restic, "backup", model, env=env).wall_s for _ in range(2)][1:]
        record.add("snapshot", [backups[1].wall_s], peers, n=n // 10, peak_bytes=backups[1].peak_bytes)
        us = Timed(WS, "verify", *here, env=env)
        them = Timed("sh", "-c", "find . -type f -print0 | xargs -0 sha256sum", cwd=model)
        record.add("verify all", [us.wall_s], [them.wall_s], n=n // 10, peak_bytes=us.peak_bytes)
    with place_in(place) as top:
        workspace, at = top / "workspace", top / "backups"
        here = ("--workspace", workspace, "--at", at)
        Timed(WS, "setup", "--workspace", workspace)
        for i in range(max(n // 1000, 11)):
            (workspace / "model" / "m.json").write_text(str(i))
            Timed(WS, "backup-models", *here, env=env)
        us = Timed(WS, "forget", "--keep-last", "10", "--yes", "--drop-last-copies", *here, env=env)
        pruned = Timed(WS, "prune", *here, env=env)
        peak = max(us.peak_bytes, pruned.peak_bytes)
        record.add("forget", [us.wall_s + pruned.wall_s], [], n=max(n // 1000, 11), peak_bytes=peak)


SCALES: dict[str, Callable[[Record, Path, int], None]] = {
    "results": scale_results,
    "runs": scale_runs,
    "cached": scale_cached,
    "snapshots": scale_snapshots,
}


def main(words: Sequence[str] | None = None) -> int:
    """Measure each part at each size, the smallest first."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("place", type=Path)
    parser.add_argument("sizes", nargs="*", type=int, metavar="SIZE", help="stored results: 10000 100000 1000000")
    parser.add_argument("--only", choices=SCALES, action="append", help="this part alone; several times for more")
    flags(parser)
    wanted = parser.parse_args(words)
    wanted.place.mkdir(parents=True, exist_ok=True)
    record = Record()
    for name in wanted.only or SCALES:
        for n in sorted(wanted.sizes or SIZES):
            SCALES[name](record, wanted.place, n)
    finish(record, as_json=wanted.json, write=wanted.write, section="scale", command="nox -s scale")
    return 0


if __name__ == "__main__":
    sys.exit(main())
