"""Content copied within the kernel, as shared blocks where a file system has them: fast, and often not to be had."""

from __future__ import annotations

import errno
import os

MOST = 1 << 30  # bytes at a time
# Between two kinds of file systems; not known to the kernel, or to a container's filter of calls; not by this driver.
CANNOT = {
    errno.EXDEV,
    errno.EINVAL,
    errno.ENOSYS,
    errno.EOPNOTSUPP,
    errno.EPERM,
    errno.EACCES,
    errno.EBADF,
    errno.EOVERFLOW,
    errno.ETXTBSY,
}


def copy_in_kernel(reader: int, writer: int, n_bytes: int) -> int:
    """Bytes copied from where one descriptor stands to where the other does, both left behind them: any number.

    Fewer than *n_bytes* does not mean that the file ends: some file systems say 0 at once. The rest is the caller's,
    by reading and writing. Raises OSError for what reading and writing would meet, too, as a full disk.
    """
    done = 0
    while done < n_bytes and hasattr(os, "copy_file_range"):
        try:
            n = os.copy_file_range(reader, writer, min(MOST, n_bytes - done))
        except OSError as error:
            if error.errno not in CANNOT:
                raise
            break
        if n == 0:
            break
        done += n
    return done
