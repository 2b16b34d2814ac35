"""Write compressed files whose bytes do not depend on the number of processors."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from kiwinb.errors import CommandError
from kiwinb.sandbox.tools import find_tool

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
    with tempfile.TemporaryFile() as said:
        try:
            with path.open("wb") as target:
                process = subprocess.Popen(
                    argv,
                    executable=find_tool("xz"),
                    stdin=subprocess.PIPE,
                    stdout=target,
                    stderr=said,
                )
            assert process.stdin is not None
            try:
                yield process.stdin
                process.stdin.close()
            except BrokenPipeError:
                pass  # xz ended early; its exit status says why
            except BaseException:
                process.kill()
                raise
            finally:
                with suppress(BrokenPipeError):
                    process.stdin.close()
                status = process.wait()
            if status:
                said.seek(0)
                raise CommandError(argv, status, said.read().decode(errors="replace").splitlines())
        except BaseException:
            path.unlink(missing_ok=True)
            raise
