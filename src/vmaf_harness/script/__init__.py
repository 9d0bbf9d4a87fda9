"""The commands people know from upstream: `python -m vmaf_harness.script.run_testing` and its siblings."""
