"""What others may have written, as bytes that were once right and are no more; read by everything of ours that reads.

``python -m untrusted NAME COUNT [SEED]`` from `tests/workspace` gives COUNT of them to one of `readers`. Whatever that
is given, it says a value or an error of ours, in 2 s of processor time and 1 GB of memory.
"""
