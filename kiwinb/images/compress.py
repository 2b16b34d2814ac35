"""Write compressed files whose bytes do not depend on the number of processors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from kiwinb.sandbox.streams import writing_through

_BLOCK_SIZE = "24MiB"  # xz's own choice for threads at the default preset; it affects the bytes


@contextmanager
def xz_writer(path: Path, *, preset: int = 6) -> Iterator[IO[bytes]]:
    """Write a file that xz compresses on all processors.

    Args:
        path: The file; it is removed if writing fails.
        preset: Compression preset, from 0 (fast) to 9 (small).

    Raises:
        CommandError: ``xz`` failed.
        HostError: ``xz`` is not installed.
    """
    threads = len(os.sched_getaffinity(0))
    argv = [
        *("xz", "--compress", "--stdout", f"-{preset}"),
        f"--block-size={_BLOCK_SIZE}",
        f"--threads={threads if threads > 1 else '+1'}",  # +1: multi-threaded format, one thread
    ]
    try:
        with path.open("wb") as target, writing_through(argv, target) as stream:
            yield stream
    except BaseException:
        path.unlink(missing_ok=True)
        raise
