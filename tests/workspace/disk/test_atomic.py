"""Small files of ours are read in as little memory as they take."""

from __future__ import annotations

from pathlib import Path

from trees import python, write

READ = """
import resource, sys
from vmaf_workspace.disk.atomic import read_regular
resource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 29))
print(len(read_regular(sys.argv[1])))
"""


def test_a_small_file_is_read_where_memory_is_limited(tmp_path: Path) -> None:
    done = python(READ, write(tmp_path / "small", 10))
    assert (done.code, done.out) == (0, "10\n"), done


def test_a_file_whose_size_is_not_known_is_read_to_its_end() -> None:
    done = python(READ, "/proc/self/status")
    assert int(done.out) > 100, done
