"""What was measured, shown: a tested dataset, plots, summaries of runs.

Scores and labels come in; lines, tables and pictures go out.
"""
