"""Errors travel between processes, as those of a worker on another host do."""

from __future__ import annotations

import importlib
import pickle
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import vmaf_harness
import vmaf_workspace
from vmaf_harness.encode.transcode import EncodeError
from vmaf_harness.errors import HarnessError, RecipeError
from vmaf_workspace.errors import WorkspaceError

FACES = ("vmaf_workspace.pytest_plugin", "vmaf_workspace.nox", "vmaf_workspace.__main__")  # act, or need their host


def kinds(of: type[WorkspaceError]) -> Iterator[type[WorkspaceError]]:
    yield of
    for kind in of.__subclasses__():
        yield from kinds(kind)


def test_every_error_of_ours_arrives_as_it_was_sent() -> None:
    for package in (vmaf_workspace, vmaf_harness):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name not in FACES and "redirect" not in module.name:
                importlib.import_module(module.name)
    found = set(kinds(WorkspaceError))
    assert len(found) > 15
    for kind in found:
        error = kind.__new__(kind, "what, why, what to do")
        error.__dict__["a_field"] = (1, "two")
        arrived = pickle.loads(pickle.dumps(error))  # noqa: S301
        assert type(arrived) is kind
        assert (str(arrived), arrived.__dict__["a_field"], arrived.exit_code) == (
            str(error),
            (1, "two"),
            error.exit_code,
        )


@pytest.mark.parametrize(
    "error",
    [
        RecipeError(Path("r.py"), "no number", line=3, place="dis_videos[0].crf"),
        EncodeError({}, {0: HarnessError("one failed")}),
    ],
)
def test_an_error_with_fields_keeps_them(error: HarnessError) -> None:
    arrived = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert str(arrived) == str(error) != ""
    assert repr(arrived.__dict__) == repr(error.__dict__)
