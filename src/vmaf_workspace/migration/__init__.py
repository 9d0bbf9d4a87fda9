"""A workspace moved to another place: the plan, the copy with the proof that it is one, and the move itself.

Two places come in; a workspace at one of them, whole, goes out, whatever happened in between.
"""
