"""Every line of the resolution order, and that asking is reading: nothing is made, nothing is remembered."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trees import python, subprocess_env, write, ws

from vmaf_workspace.errors import UsageError, WorkspaceError
from vmaf_workspace.locate import VARIABLE, Source, checkout_at, find_checkout, locate


def fork(root: Path) -> Path:
    (root / "compat" / "python-vmaf").mkdir(parents=True)
    return root / "compat" / "python-vmaf" / "workspace"


def earlier_fork(root: Path) -> Path:
    (root / "python" / "vmaf" / "workspace").mkdir(parents=True)
    return root / "python" / "vmaf" / "workspace"


def earlier_fork_by_its_config(root: Path) -> Path:
    (root / "python" / "vmaf").mkdir(parents=True)
    (root / "python" / "vmaf" / "config.py").write_text("ROOT = os.environ.get('VMAF_WORKSPACE')\n")
    return root / "python" / "vmaf" / "workspace"


def upstream(root: Path) -> Path:
    (root / "python" / "vmaf").mkdir(parents=True)
    (root / "python" / "vmaf" / "config.py").write_bytes(b"ROOT = '\xff'\n")
    return root / "workspace"


LAYOUTS = [fork, earlier_fork, earlier_fork_by_its_config, upstream]


def test_an_explicit_path_comes_before_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "variable"))
    found = locate(tmp_path / "given")
    assert (found.path, found.source) == (tmp_path / "given", Source.EXPLICIT)


@pytest.mark.parametrize("blank", ["", "  ", "\t\n"])
def test_a_blank_explicit_path_counts_as_none(blank: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert locate(blank).source is Source.ENVIRONMENT


def test_the_variable_comes_before_the_checkout(tmp_path: Path, nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fork(nowhere)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "variable"))
    found = locate()
    assert (found.path, found.source, found.warnings) == (tmp_path / "variable", Source.ENVIRONMENT, ())
    assert VARIABLE in found.reason


def test_unset_outside_a_checkout_means_the_users_data_directory() -> None:
    found = locate()
    assert found.source is Source.USER_DATA
    assert found.path == Path.home() / ".local" / "share" / "vmaf-workspace" / "workspace"
    assert not found.warnings


@pytest.mark.parametrize("blank", ["", " ", "\t", " \n "])
def test_a_blank_variable_counts_as_unset_with_a_warning(
    blank: str, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    default = fork(nowhere)
    monkeypatch.setenv(VARIABLE, blank)
    found = locate()
    assert (found.path, found.source) == (default, Source.CHECKOUT)
    assert "blank" in found.warnings[0]


@pytest.mark.parametrize("text", [" {} ", "\t{}\n"])
def test_padding_of_the_variable_is_no_part_of_the_path(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, text.format(tmp_path / "a b"))
    assert locate().path == tmp_path / "a b"


def test_a_relative_path_counts_from_the_current_directory_of_the_moment(
    tmp_path: Path, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "ws")
    assert locate().path == nowhere / "ws"
    monkeypatch.chdir(tmp_path)
    assert locate().path == tmp_path / "ws"
    assert locate("./given").path == tmp_path / "given"


def test_a_tilde_is_the_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "~/ws")
    assert locate().path == Path(os.environ["HOME"]) / "ws"
    assert locate("~").path == Path(os.environ["HOME"])


@pytest.mark.parametrize("text", ["~nobody-of-this-name/ws", "~nobody-of-this-name"])
def test_a_tilde_of_nobody_is_an_error_that_says_so(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(UsageError, match=f"{VARIABLE}.*nobody-of-this-name.*write the path out"):
        locate()


@pytest.mark.parametrize(
    "text", ["$HOME/ws", "%HOME%/ws", '"/data/ws"', "'/data/ws'", "`pwd`/ws", "s3://b/ws", "file:///ws"]
)
def test_a_value_that_no_shell_has_read_or_that_is_no_path_is_refused(text: str, nowhere: Path) -> None:
    for flag, environ in ((text, {}), (None, {VARIABLE: text})):
        with pytest.raises(UsageError, match="write"):
            locate(flag, environ=environ)
    assert locate(f"./{text}").path == nowhere / text
    assert locate("/a$b/%c").path == Path("/a$b/%c")


def test_a_nul_byte_is_an_error() -> None:
    with pytest.raises(UsageError, match="NUL"):
        locate("a\0b")


@pytest.mark.parametrize("name", ["with space", "über ☃", "-rf", "a;touch X;b", "new\nline", os.fsdecode(b"\xff\xfe")])
def test_any_name_is_taken_as_it_is(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f"{tmp_path}/{name}/ws")
    assert locate().path == tmp_path / name / "ws"
    done = ws("where")
    assert (done.code, done.out) == (0, f"{tmp_path}/{name}/ws\n")


def test_a_symlink_is_not_resolved_and_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "link" / "ws"))
    assert locate().path == tmp_path / "link" / "ws"
    assert os.listdir(tmp_path / "real") == []


def test_a_file_in_its_place_is_named_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(VARIABLE, str(tmp_path / "file"))
    assert locate().path == tmp_path / "file"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_enclosing_checkout_is_found_upward_by_its_layout(
    layout: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    default = layout(tmp_path / "checkout")
    deep = tmp_path / "checkout" / "libvmaf" / "src"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    found = locate()
    assert (found.path, found.source) == (default, Source.CHECKOUT)
    assert str(deep) in found.reason


@pytest.mark.parametrize(
    ("layouts", "default"),
    [
        ((upstream, fork), "compat/python-vmaf/workspace"),
        ((earlier_fork, fork), "compat/python-vmaf/workspace"),
        ((earlier_fork_by_its_config, fork), "compat/python-vmaf/workspace"),
        ((upstream, lambda root: (root / "python" / "vmaf" / "workspace").mkdir()), "python/vmaf/workspace"),
    ],
)
def test_of_several_layouts_in_one_checkout_the_first_of_the_order_counts(
    layouts: tuple[Callable[[Path], object], ...], default: str, tmp_path: Path
) -> None:
    for layout in layouts:
        layout(tmp_path / "one")
    checkout = checkout_at(tmp_path / "one")
    assert checkout is not None
    assert checkout.workspace == tmp_path / "one" / default


def test_the_nearest_of_nested_checkouts_counts(tmp_path: Path) -> None:
    fork(tmp_path)
    inner = upstream(tmp_path / "subprojects" / "vmaf")
    checkout = find_checkout(tmp_path / "subprojects" / "vmaf" / "python")
    assert checkout is not None
    assert checkout.workspace == inner


def test_a_file_where_the_layout_has_a_directory_is_no_checkout(tmp_path: Path) -> None:
    (tmp_path / "compat").mkdir()
    (tmp_path / "compat" / "python-vmaf").touch()
    (tmp_path / "python" / "vmaf" / "config.py").mkdir(parents=True)
    assert checkout_at(tmp_path) is None


def test_a_fifo_where_the_layout_has_a_file_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "python" / "vmaf").mkdir(parents=True)
    os.mkfifo(tmp_path / "python" / "vmaf" / "config.py")
    assert checkout_at(tmp_path) is None


def test_changes_of_directory_and_environment_after_import_are_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = fork(tmp_path / "one"), upstream(tmp_path / "other")
    monkeypatch.chdir(tmp_path / "one")
    assert locate().path == one
    monkeypatch.chdir(tmp_path / "other")
    assert locate().path == other
    monkeypatch.setenv(VARIABLE, "/elsewhere")
    assert locate().path == Path("/elsewhere")


def test_a_current_directory_that_was_removed_is_an_error_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(WorkspaceError, match="cd to one"):
        locate()
    assert locate("/absolute").path == Path("/absolute")


def test_the_command_line_bears_a_current_directory_that_was_removed(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    code = "import os, sys; os.chdir(sys.argv[1]); os.rmdir(sys.argv[1]); from vmaf_workspace.cli import main; "
    lost = python(code + "sys.exit(main(['where']))", tmp_path / "gone")
    assert (lost.code, lost.out) == (1, "")
    assert "current directory no longer exists" in lost.err
    assert "Traceback" not in lost.err
    (tmp_path / "gone").mkdir()
    named = python(code + "sys.exit(main(['where', '--workspace', '/absolute']))", tmp_path / "gone")
    assert (named.code, named.out) == (0, "/absolute\n")


def test_where_imports_nothing_heavy() -> None:
    heavy = ["rich", "numpy", "fsspec", "invoke", "concurrent.futures", "logging", "json", "asyncio", "platformdirs"]
    code = (
        "import sys, vmaf_workspace.cli as cli; code = cli.main(['where', '--workspace', '/ws']); "
        f"print([name for name in {heavy} if name in sys.modules]); sys.exit(code)"
    )
    done = python(code)
    assert (done.code, done.out.splitlines()) == (0, ["/ws", "[]"]), done.err


def test_a_user_without_a_home_is_told_what_to_set_and_backs_up_where_that_is_said(tmp_path: Path) -> None:
    prefix = ["setpriv", "--reuid", "23456", "--regid", "23456", "--clear-groups"]
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root becomes a user that nobody knows")
    place = tmp_path / "theirs"
    place.mkdir()
    os.chown(place, 23456, 23456)
    for above in [each for each in place.parents if each.stat().st_mode & 0o777 == 0o700]:  # pytest's own
        above.chmod(0o711)
    gone = {"HOME": None, "XDG_DATA_HOME": None, "XDG_CACHE_HOME": None, "VMAF_WORKSPACE": None, "VMAF_BACKUPS": None}
    options: dict[str, Any] = {"prefix": prefix, "cwd": place, "env": subprocess_env(**gone)}
    code = "import sys; from vmaf_workspace.cli import main; sys.exit(main(sys.argv[1:]))"
    if python("import vmaf_workspace", prefix=prefix, cwd=place).code != 0:
        pytest.skip("another user may not read these packages")
    for command in ("where", "setup", "snapshots"):
        done = python(code, command, **options)
        assert (done.code, "no home directory" in done.err, "Traceback" in done.err) == (1, True, False), done
    assert os.listdir(place) == []
    for command in ("setup", "backup-models", "doctor"):
        at: list[str | Path] = [] if command == "setup" else ["--at", place / "b"]
        done = python(code, command, "--workspace", place / "ws", *at, **options)
        assert "Traceback" not in done.err, done
        assert command == "doctor" or done.code == 0, done
        if command == "setup":
            write(place / "ws" / "model" / "m.json")
            os.chown(place / "ws" / "model" / "m.json", 23456, 23456)
    assert len(os.listdir(place / "b" / "snapshots")) == 1


@pytest.mark.parametrize("home", ["", " ", "rel"])
def test_a_tilde_is_never_the_root_or_the_current_directory_where_home_is_blank_or_relative(
    home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", home)
    monkeypatch.setenv(VARIABLE, "~/ws")
    assert locate().path == Path(pwd.getpwuid(os.getuid()).pw_dir) / "ws"
