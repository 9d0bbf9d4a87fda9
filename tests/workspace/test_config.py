"""The drop-in of the harness's own `config` module: looked up each time, never out of its directory."""

from __future__ import annotations

import os
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vmaf_workspace import config
from vmaf_workspace.config import FIVE, VmafConfig, adopt, below
from vmaf_workspace.errors import RefusedError, WorkspaceError
from vmaf_workspace.locate import RESOURCE_VARIABLE, VARIABLE

CHECKOUT = Path(__file__).parent.parent.parent
METHODS = {
    VmafConfig.workspace_path: "",
    VmafConfig.workdir_path: "/workdir",
    VmafConfig.encode_path: "/encode",
    VmafConfig.encode_store_path: "/result_store_dir/encode_store",
    VmafConfig.file_result_store_path: "/result_store_dir/file_result_store",
}


@pytest.mark.parametrize(("method", "place"), METHODS.items())
def test_each_path_is_a_str_below_the_workspace_of_the_moment(
    method: Callable[..., str], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for root in ("/one", "/other"):
        monkeypatch.setenv(VARIABLE, root)
        assert method() == root + place
        assert method("a", "b c.yuv") == f"{root}{place}/a/b c.yuv"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("out", [("..",), ("a", "../.."), ("../workdir2",), ("/etc",), ("a", "/etc"), ("a/../../b",)])
def test_no_component_leads_out(method: Callable[..., str], out: tuple[str, ...]) -> None:
    with pytest.raises(RefusedError, match="below it"):
        method(*out)


def test_a_symlink_followed_by_dots_does_not_lead_out(tmp_path: Path) -> None:
    (tmp_path / "outside" / "deep").mkdir(parents=True)
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "link").symlink_to(tmp_path / "outside" / "deep")
    assert below(tmp_path / "inside", "link/../file") == tmp_path / "inside" / "file"


def test_a_workspace_whose_own_path_has_dots_is_kept_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "/a/../b")
    assert VmafConfig.workdir_path("x") == "/a/../b/workdir/x"


def test_workspace_is_an_attribute_that_follows_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for root in ("/one", "/other"):
        monkeypatch.setenv(VARIABLE, root)
        assert root == config.WORKSPACE
    with pytest.raises(AttributeError, match="NOTHING"):
        config.NOTHING  # noqa: B018


def test_asking_makes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "ws"))
    for method in METHODS:
        method("a")
    assert not (tmp_path / "ws").exists()


def test_a_name_that_is_not_utf8_survives_as_a_str(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, os.fsdecode(b"/w\xff"))
    assert os.fsencode(VmafConfig.workdir_path()) == b"/w\xff/workdir"


def test_the_forks_config_module_re_exports_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "/ws")
    module = runpy.run_path(str(CHECKOUT / "compat" / "python-vmaf" / "config.py"))
    assert module["VmafConfig"].workdir_path() == "/ws/workdir"


def test_resources_come_from_the_variable_then_from_the_checkout(
    tmp_path: Path, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (nowhere / "compat" / "python-vmaf").mkdir(parents=True)
    with pytest.raises(WorkspaceError, match=RESOURCE_VARIABLE):
        VmafConfig.resource_path("param", "x.py")
    for place in ("resource", "python/vmaf/resource", "compat/python-vmaf/resource"):
        # The fork's lies beside its config.py; it has a resource/ at the root, too, with pictures in it.
        (nowhere / place).mkdir(parents=True)
        assert VmafConfig.resource_path("param", "x.py") == str(nowhere / place / "param" / "x.py")
        assert VmafConfig.root_path("a") == str(nowhere / "a")
    monkeypatch.setenv(RESOURCE_VARIABLE, str(tmp_path / "mine"))
    assert VmafConfig.resource_path("x.py") == str(tmp_path / "mine" / "x.py")
    assert VmafConfig.root_path() == str(tmp_path)
    monkeypatch.setenv(RESOURCE_VARIABLE, " ")
    assert VmafConfig.resource_path("x.py") == str(nowhere / "compat/python-vmaf/resource/x.py")
    with pytest.raises(WorkspaceError, match="python/test/resource"):
        VmafConfig.test_resource_path("yuv")


# What `vmaf.config` offers upstream and in the fork: names and signatures.
THEIRS = """
import os
PYTHON_ROOT = "/theirs/python"
ROOT = "/theirs"
VMAF_RESOURCE_ROOT = "https://example.org/resource"
WORKSPACE = "/theirs/workspace"
RESOURCE = "/theirs/resource"

def download_reactively(local, remote):
    return local

class VmafExternalConfig(object):
    {external}

class VmafConfig(object):
    {paths}
    @classmethod
    def test_resource_path(cls, *components, bypass_download=False):
        return os.path.join(ROOT, "test_resource_path", *components, str(bypass_download))

class DisplayConfig(object):
    @staticmethod
    def show(**kwargs):
        return kwargs
"""
TOOLS = ("ffmpeg", "matlab", "matlab_runtime", "cvx", "psnr", "moment", "ssim", "ms_ssim", "vmaf", "vmafexec")
PATHS = ("root_path", "model_path", "resource_path", "tools_resource_path")


def theirs() -> dict[str, Any]:
    """The names of such a module, as it is after its own code has run."""
    method = "@classmethod\n    def {0}(cls, *components):\n        return os.path.join(ROOT, '{0}', *components)\n    "
    names = ("ffmpeg_env", *(f"{name}_path" for name in TOOLS))
    external = "".join(method.format(name) for name in (*names, *(f"get_and_assert_{name}" for name in TOOLS)))
    module: dict[str, Any] = {"__name__": "vmaf.config"}
    exec(THEIRS.format(external=external, paths="".join(map(method.format, (*FIVE, *PATHS)))), module)  # noqa: S102
    return module


def test_adopt_replaces_the_five_paths_of_a_harness_and_leaves_every_other_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = theirs()
    config = module["VmafConfig"]
    before = dict(module)
    classes = {name: dict(vars(value)) for name, value in module.items() if isinstance(value, type)}
    adopt(config)
    for root in ("/one", "/other"):
        monkeypatch.setenv(VARIABLE, root)
        assert {name: getattr(config, name)("a", "b") for name in FIVE} == {
            method.__name__: f"{root}{place}/a/b" for method, place in METHODS.items()
        }
    assert module == before
    for name, of_the_class in classes.items():
        changed = {each for each, value in vars(module[name]).items() if of_the_class.get(each) is not value}
        assert changed == (set(FIVE) if name == "VmafConfig" else set())
    assert config.model_path("m.json") == "/theirs/model_path/m.json"
    assert config.test_resource_path("yuv", bypass_download=True) == "/theirs/test_resource_path/yuv/True"


def test_adopt_of_another_class_says_what_it_lacks_and_changes_nothing() -> None:
    config = theirs()["VmafConfig"]
    del config.encode_path
    before = dict(vars(config))
    with pytest.raises(WorkspaceError, match="has no encode_path; give"):
        adopt(config)
    assert dict(vars(config)) == before
