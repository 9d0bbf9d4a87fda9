"""The harness's commands as upstream's people know them: ``python -m vmaf_harness.script.run_testing`` and its like."""
