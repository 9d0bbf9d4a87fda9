"""The same snapshots behind URLs: in memory, and on a real S3 server with uploads that die and listings that lag."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from snapshot_trees import bring_back, content_of, models, place, take
from trees import age, in_a_mount_namespace, process, write, ws

from vmaf_workspace.disk.content import LARGE
from vmaf_workspace.errors import RefusedError, WorkspaceError
from vmaf_workspace.snapshot import remote, store
from vmaf_workspace.snapshot.location import NAME_PATTERNS
from vmaf_workspace.snapshot.manifest import STAGING, object_name
from vmaf_workspace.snapshot.retention import RetentionPolicy, forget, plan_forget
from vmaf_workspace.snapshot.staging import finish_interrupted
from vmaf_workspace.snapshot.verify import verify

s3fs = pytest.importorskip("s3fs", reason="backups in s3:// need the extra s3")
pytest.importorskip("moto.server")

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass
class Faulty:
    """moto's S3, and what goes wrong in it."""

    app: App
    die_at_put: int = 0  # from this PUT on, counted from 1, each is refused
    cut_at_put: int = 0  # this PUT alone is read half, then its connection is cut
    lag: bool = False  # listings answer what the first one of this query answered
    puts: int = 0
    victim: int = 0  # this process is killed
    kill_at: int = 0  # by this of its requests that write, counted from 1
    kill_when: str = "half"  # of the request is sent, and it is not carried out; or "after" it was
    writes: int = 0
    spoiled: str = ""  # what is read of a path with this in it has one bit turned, its checksum is that of before
    refused: Callable[[str], int] | None = None  # the status that "GET /path?query" gets instead, 0 for its own
    seen: dict[str, tuple[str, list[tuple[str, str]], bytes]] = field(default_factory=dict)
    lock: Any = field(default_factory=threading.Lock)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        query = environ.get("QUERY_STRING", "")
        request = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}?{unquote(query)}"
        if self.refused is not None and (refusal := self.refused(request)):
            code = {403: "AccessDenied", 404: "NoSuchKey"}[refusal]
            start_response(f"{refusal} No", [("Content-Type", "text/xml")])
            return [f"<Error><Code>{code}</Code></Error>".encode()]
        if environ["REQUEST_METHOD"] == "PUT" and environ["PATH_INFO"].count("/") > 1:
            with self.lock:
                self.puts += 1
                dies = self.die_at_put and self.puts >= self.die_at_put
                cut = self.puts == self.cut_at_put
            if cut:
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0) // 2)
                environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
                raise ConnectionAbortedError("cut")
            if dies:
                start_response("403 Forbidden", [("Content-Type", "text/plain")])
                return [b"the upload died"]
        if self.victim and environ["REQUEST_METHOD"] in ("PUT", "POST", "DELETE"):
            with self.lock:
                self.writes += 1
                dies = self.writes == self.kill_at
            if dies and self.kill_when == "after":
                b"".join(self.app(environ, start_response))
            elif dies:
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0) // 2)
            if dies:
                os.kill(self.victim, signal.SIGKILL)
                environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
                raise ConnectionAbortedError("killed")
        if self.spoiled and environ["REQUEST_METHOD"] == "GET" and self.spoiled in environ["PATH_INFO"]:
            headers: list[tuple[str, str]] = []
            content = bytearray(b"".join(self.app(environ, lambda _, found: headers.extend(found))))
            checksum = base64.b64encode(binascii.crc32(content).to_bytes(4, "big")).decode()
            content[0] ^= 1
            start_response("200 OK", [("x-amz-checksum-crc32", checksum), *headers])
            return [bytes(content)]
        if self.lag and environ["REQUEST_METHOD"] == "GET" and "list-type" in query:
            if query not in self.seen:
                answer: list[Any] = []

                def keep(status: str, headers: list[tuple[str, str]], *rest: Any) -> None:
                    answer.extend([status, headers])

                body = b"".join(self.app(environ, keep))
                self.seen[query] = (answer[0], answer[1], body)
            status, seen_headers, body = self.seen[query]
            start_response(status, seen_headers)
            return [body]
        return self.app(environ, start_response)


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Faulty, str]]:
    """A server on a free port of this host, for all tests of the module."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    faulty = Faulty(DomainDispatcherApplication(create_backend_app))
    running = make_server("127.0.0.1", 0, faulty, threaded=True)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield faulty, f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture
def s3(server: tuple[Faulty, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Faulty, str]]:
    """The faults, none yet, and the URL of a place in a bucket that only this test uses."""
    faulty, endpoint = server
    faulty.die_at_put, faulty.cut_at_put, faulty.lag, faulty.puts, faulty.victim = 0, 0, False, 0, 0
    faulty.seen.clear()
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",  # of no account: the server takes any
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    bucket = f"bucket-{uuid.uuid4().hex}"
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir(bucket)
    yield faulty, f"s3://{bucket}/vmaf"
    faulty.die_at_put, faulty.cut_at_put, faulty.lag = 0, 0, False
    faulty.refused, faulty.spoiled = None, ""
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture(params=["memory", "s3"])
def url(request: pytest.FixtureRequest) -> str:
    """A place that is new to each test."""
    if request.param == "memory":
        return f"memory://{uuid.uuid4().hex}/vmaf"
    found: tuple[Faulty, str] = request.getfixturevalue("s3")
    return found[1]


def test_the_whole_way_by_url(url: str, tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    write(root / "model" / os.fsdecode(b"odd\n\xff.pkl"), 3)
    age(write(root / "model" / "large", LARGE + 1))
    (root / "model" / "link").symlink_to("m.pkl")
    first = take(root, url, note="the first", pin=True)
    assert take(root, url).stored_objects == 0
    location = place(url)
    assert verify(location).problems == []
    listed = store.list_snapshots(location)
    assert [(each.pinned, each.verified) for each in listed] == [(True, True), (False, True)]
    was = content_of(root)
    bring_back(tmp_path / "out", url, first.id)
    assert content_of(tmp_path / "out") == was
    write(root / "model" / "m.pkl", 9)
    done = bring_back(root, url, first.id, overwrite=True)
    assert (done.safety is not None, content_of(root)) == (True, was)


def test_an_object_that_the_store_itself_finds_damaged_is_named_and_the_others_are_still_read(
    s3: tuple[Faulty, str], tmp_path: Path
) -> None:
    faulty, url = s3
    root = models(tmp_path / "ws")
    snapshot = store.load_snapshot(place(url), take(root, url).id)
    by_path = {file.path: file.sha256 for file in snapshot.files}
    faulty.spoiled = by_path["model/m.pkl.model"]
    found = verify(place(url))
    faulty.spoiled = ""
    ((what, problem),) = found.problems
    assert ("model/m.pkl.model" in what, "cannot be read" in problem) == (True, True)
    assert found.objects == len(snapshot.objects)
    assert take(root, url).stored_objects == 1  # what was found is stored again
    assert verify(place(url)).problems == []


def test_damage_is_named_and_refused(url: str, tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    snapshot = store.load_snapshot(place(url), take(root, url).id)
    location = place(url)
    sha256 = next(file.sha256 for file in snapshot.files if file.path == "model/m.pkl.model")
    location.write(object_name(sha256), b"y" * 10)
    ((what, problem),) = verify(location).problems
    assert "model/m.pkl.model" in what
    assert "content" in problem
    take(root, url)
    assert verify(location).problems == []  # stored again
    location.write(object_name(sha256), b"y" * 10)
    with pytest.raises(WorkspaceError, match="cannot be restored"):
        bring_back(tmp_path / "out", url)
    assert content_of(tmp_path / "out") == {}
    location.remove(object_name(sha256))
    assert "missing" in verify(location).problems[0][1]
    location.write(f"snapshots/{snapshot.id}.json", b"{}")
    assert "damaged" in verify(location).problems[0][1]


def test_forget_and_prune_spare_what_may_be_too_fresh_to_tell(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = models(tmp_path / "ws")
    take(root, url)
    age(write(root / "model" / "m.pkl", 20))
    take(root, url)
    location = place(url)
    assert len(forget(location, plan_forget(store.list_snapshots(location), RetentionPolicy(last=1)))) == 1
    pruned = store.prune(location)
    assert (pruned.objects, pruned.kept_fresh) == (0, 1)
    monkeypatch.setattr(location, "settle_s", 0.0)
    pruned = store.prune(location)
    assert (pruned.objects, pruned.apparent_bytes) == (1, 1)
    assert verify(location).problems == []


def test_two_prunes_at_once_free_each_object_once(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = models(tmp_path / "ws")
    take(root, url)
    age(write(root / "model" / "m.pkl", 20))
    take(root, url)
    location, other = place(url), place(url)
    forget(location, plan_forget(store.list_snapshots(location), RetentionPolicy(last=1)))
    for each in (location, other):
        monkeypatch.setattr(each, "settle_s", -1.0)
    listing = location.sizes

    def sizes(folder: str) -> dict[str, int]:
        found = listing(folder)
        if folder == "objects":
            assert store.prune(other).objects == 1
        return found

    monkeypatch.setattr(location, "sizes", sizes)
    assert (store.prune(location).objects, verify(place(url)).problems) == (0, [])


def test_a_prune_knows_of_a_backup_on_another_machine(url: str, tmp_path: Path) -> None:
    take(models(tmp_path / "ws"), url)
    with (
        store.announced_backup(place(url), "a backup elsewhere"),
        pytest.raises(WorkspaceError, match="while a backup runs"),
    ):
        store.prune(place(url))
    assert store.prune(place(url)).objects == 0


def test_the_announcement_of_a_machine_that_died_expires(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(models(tmp_path / "ws"), url)
    dead = place(url)
    dead.write("running/backup-00000000deadbeef.json", b"{}")
    with pytest.raises(WorkspaceError, match="while a backup runs"):
        store.prune(place(url))
    monkeypatch.setattr(remote, "STALE_S", -1.0)
    store.prune(place(url))
    assert dead.sizes("running") == {}


def test_two_machines_at_once(url: str, tmp_path: Path) -> None:
    roots = [models(tmp_path / name) for name in ("one", "other")]
    for root in roots:
        for n in range(20):
            age(write(root / "model" / f"m{n}.pkl", n))
    failures: list[BaseException] = []

    def work(root: Path) -> None:
        try:
            take(root, url)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(root,)) for root in roots]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(verify(place(url)).whole) == 2


def test_an_upload_that_dies_leaves_no_snapshot_and_the_next_backup_is_whole(
    s3: tuple[Faulty, str], tmp_path: Path
) -> None:
    faulty, url = s3
    root = models(tmp_path / "ws")
    kept = take(root, url).id
    per_backup = faulty.puts
    for name in ("m.pkl", "m.pkl.model", "m.card.json"):
        age(write(root / "model" / name, 300 + len(name)))
    for n in range(1, per_backup + 1):
        faulty.puts, faulty.die_at_put = 0, n
        try:
            take(root, url)
        except WorkspaceError as error:
            lines = str(error).splitlines()
            assert len(lines) == 3
            assert url in lines[0]
        faulty.die_at_put = 0
        location = place(url)
        assert kept in store.list_ids(location)
        assert verify(location).problems == []
        if len(store.list_ids(location)) > 1:
            break
    else:
        take(root, url)
    bring_back(tmp_path / "out", url)
    assert content_of(tmp_path / "out") == content_of(root)


def test_a_connection_that_is_cut_once_is_tried_again(s3: tuple[Faulty, str], tmp_path: Path) -> None:
    faulty, url = s3
    root = models(tmp_path / "ws")
    for n in (1, 3, 7):
        faulty.puts, faulty.cut_at_put = 0, n
        age(write(root / "model" / "m.pkl", 100 + n))
        take(root, url)
        faulty.cut_at_put = 0
        assert verify(place(url)).problems == []
    assert len(store.list_ids(place(url))) == 3


def test_a_listing_that_lags_costs_a_second_look_and_never_a_file(s3: tuple[Faulty, str], tmp_path: Path) -> None:
    faulty, url = s3
    root = models(tmp_path / "ws")
    faulty.lag = True
    assert store.list_ids(place(url)) == []
    take(root, url)
    age(write(root / "model" / "m.pkl", 30))
    take(root, url)
    assert store.list_ids(place(url)) == []  # nobody sees them yet
    with pytest.raises(RefusedError, match="no snapshot"):
        store.prune(place(url))
    faulty.lag = False
    assert len(store.list_ids(place(url))) == 2
    assert verify(place(url)).problems == []


def test_an_orphan_that_a_backup_uses_again_is_too_young_for_a_prune_that_has_not_seen_it(
    url: str, tmp_path: Path
) -> None:
    root = models(tmp_path / "ws")
    kept = take(root, url).id
    content = b"y" * 20
    age(write(root / "model" / "m.pkl")).write_bytes(content)
    age(root / "model" / "m.pkl")
    forgotten = take(root, url).id
    location = place(url)
    location.remove(f"snapshots/{forgotten}.json")
    orphan = object_name(hashlib.sha256(content).hexdigest())
    time.sleep(1.1)  # S3 tells whole seconds
    was_s = location.age_s(orphan)
    take(root, url)
    assert location.age_s(orphan) < was_s
    assert kept in store.list_ids(location)


def test_a_large_file_that_changes_while_it_is_stored_leaves_no_object_of_another_content(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = models(tmp_path / "ws")
    path = root / "model" / "large"
    old, new = (letter * (LARGE + 1) for letter in (b"o", b"n"))
    age(write(path)).write_bytes(old)
    age(path)
    location = place(url)
    put = remote.Remote.put

    def late(self: remote.Remote, name: str, content: memoryview | Path, **options: Any) -> bool:
        if isinstance(content, Path) and content.read_bytes() == old:
            path.write_bytes(new)
            age(path)
        return put(self, name, content, **options)

    monkeypatch.setattr(remote.Remote, "put", late)
    take(root, url)
    monkeypatch.undo()
    assert location.sizes_of([object_name(hashlib.sha256(old).hexdigest())]) == [None]
    path.write_bytes(old)
    age(path)
    take(root, url)
    assert verify(location).problems == []


def test_a_place_by_url_with_somebodys_files_is_refused_and_never_pruned(url: str, tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    location = place(url)
    location.write("objects/render/scene.blend", b"x")
    before = location.sizes("objects")
    for call in (lambda: take(root, url), lambda: store.prune(location)):
        with pytest.raises(RefusedError):
            call()
    assert (location.sizes("objects"), location.sizes("running")) == (before, {})


@pytest.mark.parametrize("has_snapshot", [False, True], ids=["new", "with a snapshot"])
@pytest.mark.parametrize("name", ["running/marathon-times.csv", "running/2026/pb.gpx", "damaged/photo.jpg", "pins/y"])
def test_somebodys_files_in_our_folders_of_a_bucket_stay(
    name: str, has_snapshot: bool, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "STALE_S", -1.0)  # they are as old as those of the dead
    root = models(tmp_path / "ws")
    if has_snapshot:
        take(root, url)
    place(url).write(name, b"not yours")
    for call in (lambda: take(root, url), lambda: store.prune(place(url))):
        before = place(url).sizes("")
        with pytest.raises(RefusedError, match=f"{name}|there is no snapshot in"):
            call()
        assert place(url).sizes("") == before
    place(url).others_at_work("backup")
    with pytest.raises(RefusedError, match="no name of ours"):
        place(url).remove(name)
    assert name in place(url).sizes("")


@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.parametrize("folder", ["pins", "verified", "damaged", "running", "objects", "snapshots"])
def test_a_listing_that_is_refused_is_an_error_and_nothing_is_taken_for_empty(
    folder: str, status: int, s3: tuple[Faulty, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty, url = s3
    monkeypatch.setattr(remote.Remote, "settle_s", -1.0)
    root = models(tmp_path / "ws")
    take(root, url, pin=True)
    verify(place(url))
    age(write(root / "model" / "m.pkl", 30))
    take(root, url)
    before = place(url).sizes("")
    faulty.refused = lambda request: status if f"prefix=vmaf/{folder}/" in request else 0
    calls: dict[str, Callable[[], object]] = {
        "snapshots": lambda: store.list_snapshots(place(url)),
        "forget": lambda: forget(place(url), plan_forget(store.list_snapshots(place(url)), RetentionPolicy(last=1))),
        "prune": lambda: store.prune(place(url)),
        "backup": lambda: take(root, url),
    }
    if folder in ("damaged", "running", "objects"):
        del calls["snapshots"], calls["forget"]  # they ask for none of that
    for name, call in calls.items():
        with pytest.raises(WorkspaceError, match="cannot list it"):
            pytest.fail(f"{name} gave {call()}")
    faulty.refused = None
    assert {n: size for n, size in place(url).sizes("").items() if not n.startswith("running/")} == before


def test_a_policy_that_allows_our_prefix_alone_is_enough(s3: tuple[Faulty, str], tmp_path: Path) -> None:
    faulty, url = s3

    def narrow(request: str) -> int:
        if "list-type" in request:
            return 0 if "prefix=vmaf/" in request else 403
        return (
            403
            if request.startswith("HEAD") and request.endswith(tuple(f"/{folder}?" for folder in NAME_PATTERNS))
            else 0
        )

    faulty.refused = narrow
    root = models(tmp_path / "ws")
    taken = take(root, url)
    assert [listed.id for listed in store.list_snapshots(place(url))] == [taken.id]
    assert verify(place(url)).whole == [taken.id]
    take(root, url)
    store.prune(place(url))


def test_a_listing_that_leaves_a_pinned_snapshot_out_frees_nothing(
    s3: tuple[Faulty, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty, url = s3
    monkeypatch.setattr(remote.Remote, "settle_s", -1.0)
    root = models(tmp_path / "ws")
    first = take(root, url)
    faulty.lag = True
    assert store.list_ids(place(url)) == [first.id]
    faulty.lag = False
    age(write(root / "model" / "m.pkl", 30))
    second = take(root, url, pin=True)
    faulty.lag = True
    with pytest.raises(RefusedError, match=second.id):
        store.prune(place(url))
    faulty.lag = False
    assert verify(place(url)).problems == []


def test_a_listing_that_shows_what_is_gone_is_not_believed(s3: tuple[Faulty, str], tmp_path: Path) -> None:
    faulty, url = s3
    root = models(tmp_path / "ws")
    snapshot = store.load_snapshot(place(url), take(root, url).id)
    faulty.lag = True
    location = place(url)
    assert len(location.sizes("objects")) == 5
    for sha256 in snapshot.objects:
        location.remove(object_name(sha256))
    assert len(location.sizes("objects")) == 5
    take(root, url)
    faulty.lag = False
    assert verify(place(url)).problems == []


def test_a_bucket_that_is_not_there_is_explained(s3: tuple[Faulty, str], tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    with pytest.raises(WorkspaceError) as caught:
        take(root, f"s3://{uuid.uuid4().hex}/vmaf")
    assert len(str(caught.value).splitlines()) == 3


def test_an_unreachable_store_is_explained_to_people(s3: tuple[Faulty, str], tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    done = ws(
        "backup-models", "--workspace", root, "--at", s3[1], env=os.environ | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    )
    assert (done.code, len(done.err.strip().splitlines())) == (1, 3), done


def test_a_full_workspace_is_not_said_to_be_the_fault_of_the_store(s3: tuple[Faulty, str], tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    age(write(root / "model" / "big", 600_000))
    take(root, s3[1])
    (tmp_path / "out").mkdir()
    done = in_a_mount_namespace(
        """
out = Path(sys.argv[2])
mount("-t", "tmpfs", "-o", "size=400k", "none", out)
code, _, err = ws("restore-models", "--workspace", sys.argv[1], "--at", sys.argv[3], "--into", out)
print(code, os.listdir(out))
print(err)
""",
        root,
        tmp_path / "out",
        s3[1],
    )
    assert done.out.startswith(f"1 []\nrestore-models: no space left for the workspace {tmp_path / 'out'}"), done


def test_tasks_work_by_url(s3: tuple[Faulty, str], tmp_path: Path) -> None:
    root = models(tmp_path / "ws")
    at = ("--workspace", root, "--at", s3[1])
    for command in ("backup-models", "verify", "snapshots", "diff", "prune", "restore-models"):
        done = ws(command, *at)
        assert done.code == 0, done
        how_long = re.compile(r"[a-z ]+: [0-9.]+ \w+ in ")  # said of what took more than a second
        said = [line for line in done.err.splitlines() if not how_long.match(line)]
        assert all(re.match("warning: in the snapshot, and broken|  model", line) for line in said), done  # no pickles
    assert ws("wipe-models", *at, "--yes").code == 0
    assert ws("restore-models", *at).code == 0


KILLED = """
import os, sys
from pathlib import Path
import s3fs
sys.path.insert(0, sys.argv[1])
from snapshot_trees import bring_back, place, take
from vmaf_workspace.commands.workspace import COMMANDS
from vmaf_workspace.snapshot import remote
from vmaf_workspace.snapshot.retention import RetentionPolicy, forget, plan_forget
from vmaf_workspace.snapshot.store import prune, list_snapshots

def backup(root, url, snapshot):
    take(root, url, pin=True)

def restore(root, url, snapshot):
    bring_back(root, url, snapshot, overwrite=True)

def tidy(root, url, snapshot):
    remote.SETTLED_S = remote.Remote.settle_s = -1.0
    forget(place(url), plan_forget(list_snapshots(place(url)), RetentionPolicy(last=1)))
    prune(place(url))

def wipe(root, url, snapshot):
    (command,) = [command for command in COMMANDS if command.name == "wipe-models"]
    assert command.function(workspace=str(root), at=url, yes=True, json=True) == 0

out = os.dup(1)
os.dup2(2, 1)
os.write(out, b"ready\\n")
while words := os.read(0, 4096).decode().split():
    pid = os.fork()
    if not pid:
        try:
            os.read(0, 1)
            globals()[words[0]](Path(words[1]), *words[2:])
            os._exit(0)
        finally:
            os._exit(1)
    os.write(out, f"{pid}\\n".encode())
    os.write(out, f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\\n".encode())
"""


@pytest.mark.slow
@pytest.mark.parametrize("when", ["half", "after"])
@pytest.mark.parametrize(("operation", "at_least"), [("backup", 9), ("restore", 5), ("tidy", 6), ("wipe", 2)])
def test_killed_at_every_request_that_writes_nothing_is_lost(
    operation: str, at_least: int, when: str, s3: tuple[Faulty, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty, bucket = s3
    faulty.kill_when = when
    monkeypatch.setattr(remote, "STALE_S", -1.0)  # whoever died is known to be dead at once
    monkeypatch.setattr(remote.Remote, "settle_s", -1.0)
    n, status = 0, -1
    with process(KILLED, Path(__file__).parents[1]) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        while status:
            n += 1
            root, url = tmp_path / str(n), f"{bucket}/{n}"
            models(root)
            old = content_of(root)
            first = take(root, url).id if operation != "backup" else "-"
            if operation in ("restore", "tidy"):
                age(write(root / "model" / "m.pkl", 2))
                age(write(root / "model" / "m.pkl.model", 20))
            new = content_of(root)
            if operation == "tidy":
                take(root, url)
            child.stdin.write(f"{operation} {root} {url} {first}")
            child.stdin.flush()
            faulty.writes, faulty.kill_at, faulty.victim = 0, n, int(child.stdout.readline())
            child.stdin.write("g")
            child.stdin.flush()
            status = int(child.stdout.readline())
            faulty.victim = 0
            assert status in (0, -signal.SIGKILL), (n, status)
            if store.list_ids(place(url)):
                assert verify(place(url)).problems == [], n
            finish_interrupted(root, "a test")
            now = {path: content for path, content in content_of(root).items() if STAGING not in path}
            if operation == "wipe":
                assert now in (old, {}), n
                bring_back(root, url)
            elif operation == "restore":
                assert now in (old, new), n
                held = [{f.path for f in store.load_snapshot(place(url), i).files} for i in store.list_ids(place(url))]
                assert now == new or len(held) == 2, n
                bring_back(root, url, first, overwrite=True)
            elif operation == "tidy":
                assert now == new
            assert content_of(root) == (new if operation == "tidy" else old), n
            take(root, url)  # the next one finishes the job
            forget(place(url), plan_forget(store.list_snapshots(place(url)), RetentionPolicy(last=1)))
            store.prune(place(url))
            named = {name for i in store.list_ids(place(url)) for name in store.load_snapshot(place(url), i).objects}
            assert {name.rpartition("/")[2] for name in place(url).sizes("objects")} == named, n
            assert place(url).sizes("running") == {}, n
            bring_back(tmp_path / f"{n}-out", url)
            assert content_of(tmp_path / f"{n}-out") == content_of(root), n
    assert n > at_least, "it wrote less often than expected: are the writes still counted?"
