"""A dataset's recipe: Python text that is read as data, never run, and becomes assets with their labels.

A path comes in; videos, sizes, formats and labels go out, each with the line that it stands in.
"""
