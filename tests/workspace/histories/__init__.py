"""Random histories of two workspaces that share a backup location, and what must be true after every step of them.

`step` says what may happen, `world` does it, `evidence` reads what is on disk (with hashlib alone, nothing of ours),
`promise` says which promise a step broke, `shrink` leaves the steps that matter. ``python -m histories 200 1`` from
`tests/workspace` runs 200 of them, the first with seed 1; ``python -m histories 1 SEED`` runs one again.
"""
