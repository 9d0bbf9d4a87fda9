"""Puts the results of several parts of a video together: all frames in order, and pooled again; on stdout."""

from __future__ import annotations

import sys
from pathlib import Path

from vmaf_harness.errors import HarnessError
from vmaf_harness.measure.upstream_form import assembled, read_results
from vmaf_harness.script.options import Assembling
from vmaf_harness.script.progress import warn
from vmaf_harness.script.stop import main_of, stoppable
from vmaf_workspace.errors import DONE


@stoppable()
def run(options: Assembling) -> int:
    """The exit code: 0 done, 1 failed, 2 usage."""
    paths = _listed(options.input_file)
    results = read_results(paths)
    if others := {each.method for each in results} - {options.pool}:
        warn(f"they were pooled by {', '.join(sorted(others))}, and all frames together are by {options.pool} (--pool)")
    whole = assembled(results, paths, options.pool)
    print(whole.json() if paths[0].suffix.lower() == ".json" else whole.xml())
    return DONE


def _listed(listing: Path) -> list[Path]:
    """The files that a text names, one a line; blank lines and those of `#` are passed over."""
    try:
        lines = listing.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise HarnessError(f"{listing}: {error.strerror}; name a text file that lists results") from error
    except UnicodeDecodeError:
        raise HarnessError(f"{listing}: no text; name a text file that lists results") from None
    paths = [Path(line.strip()) for line in lines if line.strip() and not line.startswith("#")]
    if not paths:
        raise HarnessError(f"{listing} lists no result; write the path of one into each line")
    return paths


main = main_of("run_result_assembly", run, __doc__)

if __name__ == "__main__":
    sys.exit(main())
