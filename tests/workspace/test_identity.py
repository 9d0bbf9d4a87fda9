"""Copies, twins of one image, one place at two mounts, what moved and what was set back are told apart."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from snapshot_trees import content_of, models, place, reforged, take
from trees import MOUNTING, Ended, age, in_a_mount_namespace, python, run, workspace, write, ws

from vmaf_workspace.contract import MARKER
from vmaf_workspace.errors import RefusedError
from vmaf_workspace.guard import LARGEST
from vmaf_workspace.identity import owner
from vmaf_workspace.migration.execution import migrate
from vmaf_workspace.setup import identify_for_snapshot
from vmaf_workspace.snapshot import store, wipe
from vmaf_workspace.snapshot.manifest import short_id

KEY = "workspace.json"


def marker(root: Path) -> Path:
    return root / MARKER / KEY


def model(root: Path, text: str) -> Path:
    """One model with this content, written long ago."""
    path = root / "model" / "m.json"
    path.write_text(text)
    return age(path)


def image(tmp_path: Path) -> Path:
    """A workspace without models, as an image of a container or a machine has one."""
    return workspace(tmp_path / "image")


def copied(source: Path, to: Path) -> Path:
    """With `cp -a`, which keeps every time that can be kept."""
    subprocess.run(["cp", "-a", source, to], check=True)
    return to


def at(root: Path) -> Sequence[str | Path]:
    return ("--workspace", root, "--at", root.parent / "b")


def before_turns(data: dict[str, object]) -> None:
    """Make a manifest what older versions wrote."""
    for name in ("machine", "was", "turn"):
        del data[name]


def latest(root: Path) -> str | None:
    found = store.latest_snapshot(place(root.parent / "b"), root)
    return None if found is None else found.id


def in_a_container(
    seen_as: Path, root: Path, command: Sequence[str | Path], *, host: str = "", machine: str = "", tmp_path: Path
) -> Ended:
    """Run `vmaf-ws` with *root* mounted at *seen_as*, a host's name and a machine's id of its own."""
    code = """
import socket
root, seen_as, host, machine, *command = sys.argv[1:]
if host:
    socket.sethostname(host)
if machine:
    mount("--bind", machine, "/etc/machine-id")
if root != seen_as:
    mount("--bind", root, seen_as)
done = subprocess.run([sys.executable, "-m", "vmaf_workspace.cli", *command])
sys.exit(done.returncode)
"""
    if machine and not os.path.exists("/etc/machine-id"):
        pytest.skip("this machine has no /etc/machine-id to put another in the place of")
    if run(["unshare", "--uts", "true"]).code != 0:
        pytest.skip("this machine lets the test give no container a name of its own (unshare --uts)")
    file = ""
    if machine:
        file = str(tmp_path / f"machine-{machine}")
        Path(file).write_text(machine * 32 + "\n")
    prefix = ["unshare", "-m", "--uts"]
    if run([*prefix, "sh", "-c", "mount -t tmpfs none /mnt"]).code != 0:
        pytest.skip("this machine lets the test make no mount of its own (unshare -m)")
    return python(MOUNTING + code, root, seen_as, host, file, *command, prefix=prefix)


# Copies


@pytest.mark.parametrize("original", ["there", "gone"])
@pytest.mark.parametrize("how", [["cp", "-a"], ["rsync", "-a"], ["tar"]], ids=lambda how: how[0])
def test_copies_are_nobody_until_their_first_write_and_then_themselves(
    how: list[str], original: str, tmp_path: Path
) -> None:
    if shutil.which(how[0]) is None:
        pytest.skip(f"{how[0]} is missing")
    first = models(tmp_path / "first")
    take(first, tmp_path / "b")
    copies = [tmp_path / "one", tmp_path / "two"]
    for copy in copies:
        if how == ["tar"]:
            copy.mkdir()
            subprocess.run(["sh", "-c", 'tar -C "$0" -cf - . | tar -C "$1" -xpf -', first, copy], check=True)
        else:
            subprocess.run([*how, f"{first}/.", copy], check=True)
    if original == "gone":
        shutil.rmtree(first)
    for copy in copies:
        assert owner(copy).identity == ""
        done = ws("restore-models", *at(copy))
        assert (done.code, f"its marker is that of\n{first} on " in done.err) == (3, True), done
        assert ws("wipe-models", *at(copy), "--yes").code == 3, "nobody knows whether the snapshot stays"
    taken = {}
    for copy in copies:
        model(copy, copy.name)
        taken[copy] = take(copy, tmp_path / "b").id
    assert len({owner(copy).identity for copy in copies} | {""}) == 3
    for copy in copies:
        assert latest(copy) == taken[copy]
        assert ws("forget", *at(copy), "--keep-last", "1", "--yes", "--drop-last-copies").code == 0
    assert set(taken.values()) <= set(store.list_ids(place(tmp_path / "b")))


def test_one_host_forgets_nothing_of_the_other_copy_and_restores_its_own(tmp_path: Path) -> None:
    template = workspace(tmp_path / "template")
    a, b = (copied(template, tmp_path / name) for name in "ab")
    shutil.rmtree(template)
    for root in (a, b):
        model(root, root.name)
        take(root, tmp_path / "b_")
    there = ("--at", tmp_path / "b_")
    assert ws("forget", "--workspace", b, *there, "--keep-last", "1", "--yes").code == 0
    assert ws("prune", *there).code == 0
    (a / "model" / "m.json").unlink()
    assert ws("restore-models", "--workspace", a, *there).code == 0
    assert (a / "model" / "m.json").read_text() == "a"


def test_a_setup_of_a_copy_is_its_first_write(tmp_path: Path) -> None:
    first = image(tmp_path)
    copy = copied(first, tmp_path / "copy")
    assert ws("setup", "--workspace", copy).code == 0
    assert owner(copy).identity not in ("", owner(first).identity)


def test_a_copy_whose_marker_cannot_be_written_has_its_place_alone(tmp_path: Path) -> None:
    first = models(tmp_path / "first")
    take(first, tmp_path / "b")
    copy = copied(first, tmp_path / "copy")
    done = in_a_mount_namespace(
        """
root, at = sys.argv[1:]
mount("--bind", root, root)
mount("-o", "remount,ro,bind", root)
backup = ws("backup-models", "--workspace", root, "--at", at, "--json")
restore = ws("restore-models", "--workspace", root, "--at", at, "--dry-run", "--json")
print(json.dumps([backup, restore]))
""",
        copy,
        tmp_path / "b",
    )
    backup, restore = json.loads(done.out)
    assert (backup[0], restore[0]) == (0, 0), done
    assert json.loads(restore[1])["snapshot"] == json.loads(backup[1])["snapshot"]


# Moves


def test_what_was_renamed_is_itself_before_and_after_its_next_backup(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    taken = [take(root, tmp_path / "b").id]
    for name in ("here", "there", "ws"):
        own = owner(root).identity
        root = root.rename(tmp_path / name)
        assert (owner(root).identity, latest(root)) == (own, taken[-1])
        taken.append(take(root, tmp_path / "b").id)
        assert latest(root) == taken[-1]
    assert ws("forget", *at(root), "--keep-last", "1", "--yes", "--json").json["forgotten"] == taken[:-1]


def test_what_was_moved_to_another_disk_by_hand_is_refused_with_both_shown(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    taken = take(root, tmp_path / "b").id
    moved = copied(root, tmp_path / "moved")  # what `mv` does across disks
    shutil.rmtree(root)
    done = ws("restore-models", *at(moved))
    assert (done.code, short_id(taken) in done.err, str(root) in done.err) == (3, True, True), done
    assert ws("restore-models", *at(moved), "--snapshot", short_id(taken)).code == 0


@pytest.mark.parametrize("across", [False, True])
def test_what_was_migrated_is_itself_and_its_manifests_say_where_it_was(across: bool, tmp_path: Path) -> None:
    if not across:
        root, to = models(tmp_path / "ws"), tmp_path / "to"
        taken = take(root, tmp_path / "b").id
        migrate(root, to)
        assert latest(to) == taken
        assert [old.path for old in owner(to).was] == [str(root)]
        newer = take(to, tmp_path / "b").id
        assert [old.path for old in store.load_snapshot(place(tmp_path / "b"), newer).was] == [str(root)]
        assert ws("forget", *at(to), "--keep-last", "1", "--yes", "--json").json["forgotten"] == [taken]
        return
    root = models(tmp_path / "ws")
    (tmp_path / "disk").mkdir()
    done = in_a_mount_namespace(
        """
root, disk, at = sys.argv[1:]
mount("-t", "tmpfs", "none", disk)
run = []
first = ws("backup-models", "--workspace", root, "--at", at, "--json")
moved = ws("migrate", "--workspace", root, "--to", f"{disk}/ws", "--yes", "--json")
found = ws("restore-models", "--workspace", f"{disk}/ws", "--at", at, "--json")
second = ws("backup-models", "--workspace", f"{disk}/ws", "--at", at, "--json")
gone = ws("forget", "--at", at, "--keep-last", "1", "--yes", "--json")
print(json.dumps([first, moved, found, second, gone]))
""",
        root,
        tmp_path / "disk",
        tmp_path / "b",
    )
    first, moved, found, _, gone = json.loads(done.out)
    assert (first[0], moved[0], found[0]) == (0, 0, 0), done
    assert json.loads(found[1])["snapshot"] == json.loads(first[1])["snapshot"]
    assert json.loads(gone[1])["forgotten"] == [json.loads(first[1])["snapshot"]]


def test_what_an_older_version_migrated_finds_its_snapshots(tmp_path: Path) -> None:
    root, to = models(tmp_path / "ws"), tmp_path / "to"
    newer = take(root, tmp_path / "b").id
    taken = reforged(tmp_path / "b", newer, before_turns)
    (tmp_path / "b" / "snapshots" / f"{newer}.json").unlink()
    own = owner(root).identity
    root.rename(to)
    marker(to).write_text(json.dumps({"version": 1, "made_at_s": 1, "id": own}))
    (to / MARKER / "migration.json").write_text(json.dumps({"from": str(root), "to": str(to), "state": "done"}))
    assert latest(to) == taken


# One place, two mounts


def test_one_place_seen_at_two_mounts_is_one_workspace(tmp_path: Path) -> None:
    """Across bindfs, inodes and devices may differ: what is written through one must be there in the other."""
    if shutil.which("bindfs") is None or not os.path.exists("/dev/fuse"):
        pytest.skip("bindfs (Debian's package of this name) or /dev/fuse is missing")
    root, seen = models(tmp_path / "ws"), tmp_path / "seen"
    seen.mkdir()
    done = in_a_mount_namespace(
        """
root, seen, at = sys.argv[1:]
if subprocess.run(["bindfs", root, seen]).returncode:
    print(json.dumps(None))
    sys.exit()
said = []
for path in (root, seen, root, seen):
    said.append(json.loads(ws("backup-models", "--workspace", path, "--at", at, "--json")[1])["snapshot"])
latest = [json.loads(ws("restore-models", "--workspace", p, "--at", at, "--json")[1])["snapshot"] for p in (root, seen)]
gone = json.loads(ws("forget", "--at", at, "--keep-last", "1", "--yes", "--json")[1])["forgotten"]
subprocess.run(["umount", seen], check=True)
after = json.loads(ws("restore-models", "--workspace", root, "--at", at, "--json")[1])["snapshot"]
print(json.dumps([said, latest, gone, after]))
""",
        root,
        seen,
        tmp_path / "b",
    )
    found = json.loads(done.out)
    if found is None:
        pytest.skip("bindfs may not mount here")
    said, latest_of, gone, after = found
    assert latest_of == [said[-1], said[-1]]
    assert gone == said[:-1]
    assert after == said[-1]


def test_a_bind_mount_is_the_place_itself(tmp_path: Path) -> None:
    root, seen = models(tmp_path / "ws"), tmp_path / "seen"
    seen.mkdir()
    done = in_a_mount_namespace(
        """
root, seen, at = sys.argv[1:]
mount("--bind", root, seen)
said = [json.loads(ws("backup-models", "--workspace", p, "--at", at, "--json")[1])["snapshot"] for p in (root, seen)]
gone = json.loads(ws("forget", "--at", at, "--keep-last", "1", "--yes", "--json")[1])["forgotten"]
print(json.dumps([said, gone]))
""",
        root,
        seen,
        tmp_path / "b",
    )
    said, gone = json.loads(done.out)
    assert gone == said[:1]


# Containers and machines


def test_a_volume_that_each_container_mounts_is_one_workspace(tmp_path: Path) -> None:
    """`docker run -v`: a new name at each run, another path inside than outside, and one workspace."""
    root, inside = models(tmp_path / "ws"), tmp_path / "inside"
    inside.mkdir()
    command = ["backup-models", "--workspace", str(inside), "--at", str(tmp_path / "b"), "--json"]
    taken = [take(root, tmp_path / "b").id]
    for host in ("c0ffee", "decaf"):
        done = in_a_container(inside, root, command, host=host, tmp_path=tmp_path)
        assert done.code == 0, done
        taken.append(done.json["snapshot"])
        assert latest(root) == taken[-1]
    assert ws("forget", *at(root), "--keep-last", "1", "--yes", "--json").json["forgotten"] == taken[:-1]


@pytest.mark.parametrize("host", ["of its own", "the same"])
@pytest.mark.parametrize("machine", ["", "of its own"])
def test_containers_of_one_image_never_get_each_others_models(host: str, machine: str, tmp_path: Path) -> None:
    """At one path; with one name and one machine's id, nothing but the turns of their snapshots tells them apart."""
    seen_as = image(tmp_path)
    names = ("alice", "bob")
    roots = {name: copied(seen_as, tmp_path / name) for name in names}

    def inside(name: str, *command: str) -> Ended:
        args = (*command, "--workspace", str(seen_as), "--at", str(tmp_path / "b"))
        return in_a_container(
            seen_as,
            roots[name],
            args,
            host=name if host == "of its own" else "",  # that of the image
            machine="" if not machine else "ab"[names.index(name)],
            tmp_path=tmp_path,
        )

    for name in names:
        model(roots[name], name)
    first = inside("alice", "backup-models", "--json")
    assert first.code == 0, first
    done = inside("bob", "restore-models")
    assert (done.code, short_id(first.json["snapshot"]) in done.err) == (3, True), done
    assert inside("bob", "diff").code == 3
    shutil.copy(roots["alice"] / "model" / "m.json", roots["bob"] / "model" / "m.json")  # the same model by chance
    assert inside("bob", "wipe-models", "--yes").code == 3, "on a snapshot of alice's"
    model(roots["bob"], "bob")
    second = inside("bob", "backup-models", "--json")
    assert second.code == 0, second
    for name, other in (names, names[::-1]):
        done = inside(name, "forget", "--keep-last", "1", "--yes", "--json")
        assert (done.code, done.json["forgotten"]) == (0, []), other
    for name in names:
        (roots[name] / "model" / "m.json").unlink()
        assert inside(name, "restore-models").code == 0
        assert (roots[name] / "model" / "m.json").read_text() == name


def test_a_machine_that_was_renamed_has_its_workspace_still(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    taken = take(root, tmp_path / "b").id
    command = ["restore-models", "--workspace", str(root), "--at", str(tmp_path / "b"), "--json"]
    done = in_a_container(root, root, command, host="renamed", tmp_path=tmp_path)
    assert (done.code, done.json["snapshot"]) == (0, taken), done


@pytest.mark.slow
def test_machines_cloned_from_one_disk_are_told_apart_by_the_turns_of_their_snapshots(tmp_path: Path) -> None:
    """Byte for byte the same file system, so every inode and every time in it is the same, too."""
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("mkfs.ext4 is missing")
    (tmp_path / "mnt").mkdir()
    done = in_a_mount_namespace(
        """
import shutil, socket
top = Path(sys.argv[1])
disk, mnt, at = top / "disk", top / "mnt", top / "b"
with disk.open("wb") as file:
    file.truncate(16 << 20)
subprocess.run(["mkfs.ext4", "-q", "-F", disk], check=True)

def on(disk, *commands):
    if subprocess.run(["mount", "-o", "loop", disk, mnt]).returncode:
        print(json.dumps(None))
        sys.exit()
    try:
        return [command() for command in commands]
    finally:
        subprocess.run(["umount", mnt], check=True)

root = mnt / "ws"
task = lambda *args: lambda: ws(*args, "--workspace", root, "--at", at)
write = lambda text: lambda: ((root / "model/m.json").write_text(text), os.utime(root / "model/m.json", (1, 1)))
on(disk, lambda: ws("setup", "--workspace", root))
for name in ("one", "two"):
    shutil.copyfile(disk, top / name)
first = on(top / "one", write("one"), task("backup-models"))[1]
before = on(top / "two", write("two"), task("restore-models"))[1]
second = on(top / "two", task("backup-models"))[0]
texts = []
for name in ("one", "two"):
    path = root / "model/m.json"
    texts.append(on(top / name, path.unlink, task("restore-models"), path.read_text)[1:])
forget = task("forget", "--keep-last", "1", "--yes", "--json")
gone = [json.loads(on(top / name, forget)[0][1])["forgotten"] for name in ("one", "two")]
print(json.dumps([first[0], before[0], second[0], texts, gone]))
""",
        tmp_path,
    )
    found = json.loads(done.out)
    if found is None:
        pytest.skip("this machine mounts no disk image (-o loop)")
    first, before, second, texts, gone = found
    assert (first, before, second) == (0, 3, 0), done
    assert [(code[0], text) for code, text in texts] == [(0, "one"), (0, "two")], done
    assert gone == [[], []]


def test_a_disk_image_that_was_restored_is_refused_with_both_shown_and_then_begins_anew(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    known = take(root, tmp_path / "b").id
    saved = copied(root, tmp_path / "saved")
    model(root, "newer")
    newer = take(root, tmp_path / "b").id
    shutil.rmtree(root)
    copied(saved, root)
    done = ws("restore-models", *at(root))
    assert (done.code, short_id(known) in done.err, short_id(newer) in done.err) == (3, True, True), done
    done = ws("doctor", *at(root), "--json")
    assert any("nobody can tell" in finding["found"] for finding in done.json["findings"]), done
    assert ws("restore-models", *at(root), "--snapshot", short_id(newer)).code == 0
    assert (root / "model" / "m.json").read_text() == "newer"
    taken = take(root, tmp_path / "b").id
    assert latest(root) == taken
    gone = ws("forget", *at(root), "--keep-last", "1", "--yes", "--json").json["forgotten"]
    assert not {newer, taken} & set(gone)


# The marker, and what older versions wrote


def test_a_marker_of_an_older_version_goes_on_being_read(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    taken = take(root, tmp_path / "b").id
    own = owner(root).identity
    marker(root).write_text(json.dumps({"version": 1, "made_at_s": 1, "id": own, "at": str(root)}))
    assert (owner(root).identity, identify_for_snapshot(root).identity) == (own, own)
    assert json.loads(marker(root).read_text())["made_at_s"] == 1
    assert owner(root).place.path == str(root)
    marker(root).write_text(json.dumps({"version": 1, "made_at_s": 1, "id": own, "at": str(root)}))
    assert store.load_snapshot(place(tmp_path / "b"), taken).identity == own


def test_snapshots_that_older_versions_took_of_copies_are_each_of_their_place(tmp_path: Path) -> None:
    """Then a copy had the identity of its original, once that was gone."""
    root = models(tmp_path / "ws")
    taken = take(root, tmp_path / "b").id

    def older(path: str, host: str, note: str) -> Callable[[dict[str, object]], None]:
        def change(data: dict[str, object]) -> None:
            before_turns(data)
            data.update(workspace=path, host=host, note=note)

        return change

    others = [
        reforged(tmp_path / "b", taken, older(path, host, "its only one"))
        for path, host in (("/other", "here"), (str(root), "elsewhere"))
    ]
    (tmp_path / "b" / "snapshots" / f"{taken}.json").unlink()
    assert latest(root) is None
    assert ws("forget", *at(root), "--keep-last", "1", "--yes", "--json").json["forgotten"] == []
    assert set(store.list_ids(place(tmp_path / "b"))) == set(others)
    assert not wipe.holders_of(place(tmp_path / "b"), wipe.plan_wipe(root, ("model",))).ids


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b'{"id": 5}', b'{"id": "x", "turn": 7}', b'{"id": "x", "at": "/a", "was": [1]}', b"[" * 100_000],
    ids=lambda content: content[:20].decode(),
)
def test_a_marker_that_says_nothing_gets_an_identity(content: bytes, tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    marker(root).write_bytes(content)
    assert owner(root).identity == ""
    assert identify_for_snapshot(root).identity == owner(root).identity != ""


@pytest.mark.parametrize("kind", ["fifo", "link", "large"])
def test_a_marker_that_is_no_file_of_ours_is_not_read(kind: str, tmp_path: Path) -> None:
    root = workspace(tmp_path / "ws")
    if kind == "large":
        os.truncate(marker(root), LARGEST + 1)
    else:
        marker(root).unlink()
        os.mkfifo(marker(root)) if kind == "fifo" else marker(root).symlink_to("/dev/zero")
    assert owner(root).identity == ""


def test_backups_at_once_take_turns_and_the_last_is_the_latest(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    command = [sys.executable, "-m", "vmaf_workspace.cli", "backup-models", *map(str, at(root))]
    children = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(4)]
    assert [child.wait() for child in children] == [0] * 4
    turns = [store.load_snapshot(place(tmp_path / "b"), i).turn for i in store.list_ids(place(tmp_path / "b"))]
    assert sorted(turn for turn, _ in turns) == [1, 2, 3, 4]
    assert (
        len({store.load_snapshot(place(tmp_path / "b"), i).identity for i in store.list_ids(place(tmp_path / "b"))})
        == 1
    )
    assert latest(root) == store.list_ids(place(tmp_path / "b"))[-1]


def test_nothing_lasting_holds_a_device_number(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    take(root, tmp_path / "b")
    age(root / "model")
    take(root, tmp_path / "b")
    device = str(os.stat(root).st_dev)
    caches = [path for path in Path(os.environ["HOME"]).rglob("*.json") if "backups" in path.parts]
    assert caches
    for path in (marker(root), *(tmp_path / "b" / "snapshots").iterdir(), *caches):
        numbers = path.read_text().replace("[", " ").replace("]", " ").replace(",", " ").split()
        assert device not in numbers, path


def test_wipe_is_not_content_with_another_workspaces_snapshot(tmp_path: Path) -> None:
    a, b = workspace(tmp_path / "a"), workspace(tmp_path / "other")
    for root in (a, b):
        model(root, "shared")
    take(b, tmp_path / "b")
    before = content_of(a)
    done = ws("wipe-models", *at(a), "--yes")
    assert (done.code, content_of(a)) == (3, before), done
    take(a, tmp_path / "b")
    assert ws("wipe-models", *at(a), "--yes").code == 0


def test_a_place_where_two_workspaces_were_in_turns_has_no_latest_for_a_third(tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    kept = tmp_path / "kept"
    for _ in range(2):
        write(root / "model" / "m.pkl", 3)
        age(root / "model")
        take(root, tmp_path / "b")
        if kept.exists():
            spare = root.rename(tmp_path / "spare")
            kept.rename(root)
            spare.rename(kept)
        else:
            root.rename(kept)
            models(root)
        take(root, tmp_path / "b")
    shutil.rmtree(root)
    workspace(root)
    with pytest.raises(RefusedError, match="no snapshot"):
        store.find_snapshot(place(tmp_path / "b"), root=root)
