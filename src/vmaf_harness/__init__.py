"""A training and evaluation harness for VMAF that asks `vmaf_workspace` for every path."""
