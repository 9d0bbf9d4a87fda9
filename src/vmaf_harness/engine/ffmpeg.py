"""Runs ffmpeg: argument lists, never a shell; and no ffmpeg outlives the process that started it."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from vmaf_harness.errors import EngineError

LAST_LINES = 10
# A log for machines: each line names its level, and nothing is asked. Outputs are overwritten: they are names of ours.
TO_BE_READ = ("-hide_banner", "-nostdin", "-nostats", "-v", "level+verbose", "-y")
PROBE_S = 60.0  # a probe takes 0.03 s; on a cold network disk the binary's 170 MB come first
_ERROR_WORDS = re.compile(
    r"\b(?:(?<!\d decode )errors?|fatal|invalid|failed|cannot|could not|unable|unknown|problem|no such|not found)\b",
    re.I,
)
# libvmaf writes into lines of other levels.
_NO_ERROR = re.compile(r"(?:\[[^\]]* @ \w+\] )*\[(?:info|verbose)\](?!.*libvmaf ERROR)")

# Waits for the end of its standard input, which only its parent holds open, then ends its whole process group, itself
# included. The kernel closes the pipe however the parent dies, `kill -9` included, so nothing has to be set in each
# ffmpeg between fork and exec (unsafe with threads), and no program is needed that some systems lack.
_WATCHER = ("/bin/sh", "-c", "read -r _; kill -9 0")


# Demuxers of files that name other files, or of no file: their bytes do not tell what is decoded, so that neither a
# hash nor a stored result holds for them. From the list of ffmpeg 9.0.2 (`ffmpeg -demuxers`) and what each opens:
# playlists and manifests (`hls`, `dash`, `webm_dash_manifest`, `imf`), lists (`concat`), sessions (`sdp`, `rtsp`, …),
# scripts (`avisynth`, `vapoursynth`), patterns (`image2`), discs, filter graphs and devices. `vobsub` opens a .sub.
# `image2pipe` and `*_pipe` read the one file; `mov` follows references to others only with -enable_drefs; `mxf` never.
INDIRECT_DEMUXERS = frozenset(
    (
        *("hls", "dash", "webm_dash_manifest", "imf", "concat", "image2"),
        *("sdp", "rtsp", "rtp", "sap", "avisynth", "vapoursynth", "vobsub", "dvdvideo", "bluray"),
        *("lavfi", "fbdev", "kmsgrab", "video4linux2", "v4l2", "x11grab", "alsa", "oss", "pulse", "jack", "openal"),
        *("iec61883", "libcdio", "dshow", "gdigrab", "vfwcap", "avfoundation", "android_camera", "decklink"),
    )
)
_DROPPED_VARIABLES = ("AV_LOG_FORCE_COLOR", "AV_LOG_FORCE_256COLOR", "FFREPORT")


def environment() -> dict[str, str]:
    """The environment of every ffmpeg that we start: this process's, without what changes what ffmpeg prints.

    Its log is read: AV_LOG_FORCE_COLOR, set even to nothing, would put colour codes into it. FFREPORT would write a
    file of its own into the current directory.
    """
    kept = {name: value for name, value in os.environ.items() if name not in _DROPPED_VARIABLES}
    return kept | {"AV_LOG_FORCE_NOCOLOR": "1"}


def run_probe(
    command: Sequence[str | Path], *, cwd: str | Path | None = None, errors: str = "replace"
) -> subprocess.CompletedProcess[str]:
    """Run an ffmpeg that decodes next to nothing, to see what it says; *errors* is for bytes that are not UTF-8.

    Raises EngineError where it cannot be started, or takes longer than `PROBE_S`.
    """
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_S,
            check=False,
            encoding="utf-8",
            errors=errors,
            cwd=cwd,
            env=environment(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"{command[0]} could not be run: {error}") from error


class StoppedError(EngineError):
    """The processes were stopped on purpose, so this one has no result."""


class Processes:
    """ffmpeg processes in a process group of their own, which ends with this process; usable from several threads.

    A terminal's Ctrl-C does not reach them: whoever holds this object decides when they end.
    """

    def __init__(self) -> None:
        """Start nothing yet; the watcher (1 ms) comes with the first ffmpeg."""
        self._lock = threading.Lock()
        self._watcher: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def __enter__(self) -> Processes:
        """Nothing happens until something is run."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop what is still running."""
        self.stop()

    def run(self, arguments: Sequence[str | Path], *, cwd: Path, log: Path) -> int:
        """Run a program to its end, both its outputs into the file *log*; its exit code, negative for a signal.

        Raises StoppedError where `stop` came before or meanwhile, EngineError where it cannot be started.
        """
        with log.open("wb") as file:
            with self._lock:  # between its start and `stop` nothing slips through
                if self._stopped:
                    raise StoppedError("stopped before it began")
                if self._watcher is None:
                    self._watcher = subprocess.Popen(
                        _WATCHER,
                        stdin=subprocess.PIPE,
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL,
                        process_group=0,
                    )
                try:
                    process = subprocess.Popen(
                        arguments,
                        stdin=subprocess.DEVNULL,
                        stdout=file,
                        stderr=file,
                        cwd=cwd,
                        env=environment(),
                        process_group=self._watcher.pid,
                    )
                except OSError as error:
                    raise EngineError(f"cannot start {shlex.join(map(str, arguments))}: {error.strerror}") from error
            code = process.wait()
        if self._stopped:
            raise StoppedError("stopped while it ran")
        return code

    def check(self) -> None:
        """Raise StoppedError where `stop` came; for work here between two programs."""
        if self._stopped:
            raise StoppedError("stopped between two programs")

    def stop(self) -> None:
        """End all of them at once; nothing can be run any more. They only write scratch, so SIGKILL loses nothing."""
        with self._lock:
            self._stopped = True
            watcher, self._watcher = self._watcher, None
        if watcher is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(watcher.pid, signal.SIGKILL)
        if watcher.stdin is not None:
            watcher.stdin.close()
        watcher.wait()


# For which ffmpeg takes a demuxer that opens numbered files.
_STILL_IMAGES = frozenset({".jpg", ".jpeg", ".tga", ".pam"})


def input_options(path: Path) -> list[str]:
    """Options before the input *path*: that file alone, and nothing that it names.

    Without them a playlist would make ffmpeg ask the network, and the name of a picture be taken for a pattern.
    """
    still = ["-f", "image2", "-pattern_type", "none"] if path.suffix.lower() in _STILL_IMAGES else []
    return ["-protocol_whitelist", "file", *still]


def escape_option(value: str) -> str:
    r"""Escape *value* for an option of a filter in a graph: once for the option list, once for the graph.

    >>> quoted("version=vmaf_v0.6.1:enable_transform=true")
    'version=vmaf_v0.6.1\\\\:enable_transform=true'
    """
    for special in ("\\':", "\\'[],;"):
        value = "".join(f"\\{character}" if character in special else character for character in value)
    return value


def failure_report(arguments: Sequence[str | Path], cwd: Path, code: int, log: Path, kept_log: Path | None) -> str:
    """What a person needs of a failed ffmpeg: arguments, exit code, errors, last lines, and where the full log is.

    The log is verbose, so that its end is often statistics.
    """
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    lines = [line for line in lines if "[showinfo@" not in line]  # each frame of both videos
    errors = [line for line in lines[:-LAST_LINES] if _ERROR_WORDS.search(line) and not _NO_ERROR.match(line)]
    how = f"exit code {code}" if code >= 0 else f"ended by {signal.Signals(-code).name}"
    return "\n".join(
        [
            f"(cd {shlex.quote(str(cwd))} && {shlex.join(map(str, arguments))})",
            f"{how}; {'errors:' if errors else 'last lines:'}",
            *(f"  {line}" for line in errors[:LAST_LINES]),
            *(["last lines:"] if errors else []),
            *(f"  {line}" for line in lines[-LAST_LINES:]),
            f"full log: {kept_log}" if kept_log is not None else "its log could not be kept",
        ]
    )
