"""The tasks of this checkout: ``invoke --list``."""

from invoke.collection import Collection

from vmaf_harness.tasks import harness
from vmaf_workspace.tasks import ws

namespace = Collection(ws, harness)
