"""Writes the JSON that libvmaf loads of a model in .pkl and .pkl.model, also of one that Python 2 wrote.

Of a bootstrap model, whose parts .pkl.0001 and so on are read too, it is the collection of all members.
"""

from __future__ import annotations

import os
import sys

from vmaf_harness.errors import HarnessError
from vmaf_harness.script.options import Converting
from vmaf_harness.script.progress import warn
from vmaf_harness.script.stop import main_of, stoppable
from vmaf_workspace.disk.atomic import write_atomically
from vmaf_workspace.errors import DONE, RefusedError


@stoppable()
def run(options: Converting) -> int:
    """The exit code: 0 done, 1 failed, 2 usage, 3 where another file is there."""
    from vmaf_harness.model.files import json_model, read_model

    source, target = options.input_pkl_filepath, options.output_json_filepath
    if source.suffix != ".pkl":
        raise HarnessError(f"{source}: expected the .pkl of a model")
    if target.suffix != ".json":
        raise HarnessError(f"{target}: expected a name that ends in .json")
    model = read_model(source)
    if model.why_no_json is not None:
        raise HarnessError(f"{source}: no .json: {model.why_no_json}; nothing was written")
    content = json_model(model)
    try:
        before = target.read_bytes() if os.path.lexists(target) else None
        if before is not None and before != content and not options.overwrite:
            raise RefusedError(f"{target} is there, and is another; nothing was changed; name another, or --overwrite")
        write_atomically(target, content)
    except OSError as error:
        raise HarnessError(f"{target} cannot be written: {error.strerror}") from error
    members = len(model.members)
    what = f"{model.model_type}, {members} members" if members > 1 else model.model_type
    print(target)
    warn(f"converted {what}, of {source}")
    if members > 1:
        warn("ffmpeg's libvmaf filter loads no collection of models; --vmaf-model of this harness takes it")
    return DONE


main = main_of("convert_model_from_pkl_to_json", run, __doc__)

if __name__ == "__main__":
    sys.exit(main())
