"""What may go, the plan of it, and its execution.

A guarded workspace and the words of a person come in; a plan as frozen data goes out, then a report of what was done.
"""
