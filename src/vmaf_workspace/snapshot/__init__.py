"""Snapshots of what only training brings back: `model/`, `model_param/`, `checkpoints_dir/`."""
