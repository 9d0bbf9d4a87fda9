"""One asset measured: both videos brought to a common form, libvmaf's features, the store that keeps them.

Assets come in; per-frame scores go out, from the store where it holds them.
"""
