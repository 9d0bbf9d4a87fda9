"""The proof that a harness keeps to its workspace, at its default place and at an overridden one.

A plain second run with `VMAF_WORKSPACE` set proves little: it may never reach the harness, which then passes at its
default place twice. Nox sessions (`vmaf_workspace.nox`) and ``vmaf-ws run --prove`` are two faces of this.
"""
