"""Which part of N a task of an array is."""

from __future__ import annotations

import pytest

from vmaf_harness.engine.shard import Shard, read_shard
from vmaf_workspace.errors import UsageError


@pytest.mark.parametrize("of", [1, 2, 3, 7, 50])
def test_the_parts_of_any_number_are_the_whole_and_nothing_twice(of: int) -> None:
    items = [f"item {i}" for i in range(23)]
    parts = [Shard(number, of).part(items) for number in range(1, of + 1)]
    assert sorted(item for part in parts for item in part) == sorted(items)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["0/4", "5/4", "1/0", "-1/4", "1", "1/", "a/b", "1/4/2", "Auto", "1.0/2"])
def test_what_is_no_part_is_refused_by_the_name_of_the_flag(text: str) -> None:
    with pytest.raises(UsageError, match=r"--shard: expected I/N"):
        read_shard(text, "--shard", {})


def slurm(task: int, first: int, count: int, step: int = 1) -> dict[str, str]:
    name = "SLURM_ARRAY_TASK_"
    numbers = {"ID": task, "MIN": first, "COUNT": count, "STEP": step, "MAX": first + (count - 1) * step}
    return {name + what: str(number) for what, number in numbers.items()}


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        (slurm(0, 0, 4), Shard(1, 4)),
        (slurm(3, 0, 4), Shard(4, 4)),
        (slurm(1, 1, 4), Shard(1, 4)),
        (slurm(4, 1, 4), Shard(4, 4)),
        (slurm(6, 2, 8, step=2), Shard(3, 8)),
        (slurm(3, 3, 1), Shard(1, 1)),  # a task that is submitted once more by itself does all
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "0", "AWS_BATCH_JOB_ARRAY_SIZE": "3"}, Shard(1, 3)),
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "2", "AWS_BATCH_JOB_ARRAY_SIZE": "3"}, Shard(3, 3)),
    ],
)
def test_auto_is_what_the_array_job_says(environ: dict[str, str], wanted: Shard) -> None:
    assert read_shard("auto", "--shard", environ) == wanted


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"SLURM_ARRAY_TASK_ID": "3"},
        {"SLURM_ARRAY_TASK_ID": "x", "SLURM_ARRAY_TASK_COUNT": "4"},
        {"AWS_BATCH_JOB_ARRAY_INDEX": "3"},
        {"AWS_BATCH_JOB_ARRAY_INDEX": "3", "AWS_BATCH_JOB_ARRAY_SIZE": "3"},
        slurm(5, 2, 8, step=2),
        slurm(7, 0, 4),  # --array=0,3,5,7
    ],
)
def test_auto_where_nobody_says_it_is_an_error_and_never_a_guess(environ: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="give I/N"):
        read_shard("auto", "--shard", environ)
