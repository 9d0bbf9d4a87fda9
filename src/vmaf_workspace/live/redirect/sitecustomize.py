"""What every Python that `ws.run` starts imports first; the redirection itself is for 3.7 and later.

This file is read by Python 2.7 as well, which must neither complain here nor write into a workspace of its own.
"""

import os
import sys

if sys.version_info >= (3, 7):  # noqa: UP036 - older ones read it, too
    import vmaf_workspace_redirect  # type: ignore[import-not-found]  # beside this file, which is on PYTHONPATH

    vmaf_workspace_redirect.begin()
elif os.environ.get("VMAF_WORKSPACE"):

    class TooOld(object):  # noqa: UP004 - a class of Python 2
        """Stops a harness that would not be led, as it is imported; one that reads the variable goes on."""

        def find_module(self, name, path=None):  # type: ignore[no-untyped-def]  # Python 2
            """Be the loader of such a `vmaf.config`; nothing of any other."""
            for place in (path or ()) if name == "vmaf.config" else ():
                config = os.path.join(place, "config.py")
                if os.path.isfile(config):
                    with open(config, "rb") as file:
                        return None if b"VMAF_WORKSPACE" in file.read() else self
            return None

        def load_module(self, name):  # type: ignore[no-untyped-def]  # noqa: ARG002 - its signature
            """ImportError: here it is not taken for "no such module"."""
            version = ".".join(str(part) for part in sys.version_info[:2])
            raise ImportError(
                "Python " + version + " is too old to be led into the workspace, so this harness would write to one "
                "of its own; use Python 3.7 or later"
            )

    sys.meta_path.insert(0, TooOld())  # type: ignore[arg-type]  # what Python 2 and 3.6 ask
