"""The place where the fork's harness looks for its paths; the code is `vmaf_workspace.config`."""

from vmaf_workspace.config import VmafConfig, __getattr__  # noqa: F401  # re-exported, WORKSPACE among them
