"""Measures what is promised of speed, which is one list of data: `record.BOUNDS`."""
