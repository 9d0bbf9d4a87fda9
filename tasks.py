"""The tasks of this checkout: ``invoke --list``."""

from invoke.collection import Collection

from vmaf_workspace.tasks import ws

namespace = Collection(ws)
