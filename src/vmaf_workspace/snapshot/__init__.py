"""Snapshots of what only training brings back: `model/`, `model_param/`, `checkpoints_dir/`.

A workspace and a backup location come in; snapshots that verify go out, and models come back from them.
"""
