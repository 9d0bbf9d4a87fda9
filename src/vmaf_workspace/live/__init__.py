"""Who uses a workspace now: runs with their locks, sessions of other harnesses, and what redirects those.

A workspace's root comes in; who is live, and until when that may be believed, goes out.
"""
