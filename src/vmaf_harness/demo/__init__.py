"""The demo: the whole chain on small clips, a record of what it made, and the removal of exactly that.

Clips come in; encodes, scores, a model and a page go out.
"""
