"""The Invoke collection `harness`: ``from vmaf_harness.tasks import harness`` in a `tasks.py`."""

from __future__ import annotations

from vmaf_harness.commands import COMMANDS
from vmaf_workspace.tasks import collection

harness = collection("harness", COMMANDS)
namespace = harness  # what Invoke looks for in a module
