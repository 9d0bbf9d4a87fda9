"""ffmpeg with libvmaf: which one, running it, running many at once, and what its log says.

Arguments come in; an exit code and what ffmpeg complained of go out.
"""
