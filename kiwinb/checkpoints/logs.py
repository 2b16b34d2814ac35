"""The whole logs of steps: next to the checkpoint, or in the store if the step failed."""

from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kiwinb.files import read_regular
from kiwinb.sandbox.lines import Gate

LOG = "log.gz"
"""The log of a checkpoint, in its directory; readable with ``zcat``."""

_DRAFT = "log"
_OLD_SECONDS = 7 * 24 * 3600.0
_KEPT = 10


@contextmanager
def recorded(log: Callable[[str], None], directory: Path) -> Iterator[Callable[[str], None]]:
    """Also write each line to the log of a draft, of which the size is bounded.

    Args:
        log: Also gets each line.
        directory: Of the draft.
    """
    with (directory / _DRAFT).open("w", encoding="utf-8", errors="backslashreplace") as file:
        keep = Gate(lambda line: file.write(f"{line}\n"), fast=True)

        def write(line: str) -> None:
            log(line)
            keep(line)

        try:
            yield write
        finally:
            keep.end()


def pack_log(directory: Path) -> None:
    """Compress the log of a draft, as the checkpoint keeps it; nothing if that is done."""
    draft = directory / _DRAFT
    if not draft.exists():
        return
    (directory / LOG).write_bytes(gzip.compress(draft.read_bytes(), 6, mtime=0))
    draft.unlink()


def copy_log(source: Path, directory: Path) -> None:
    """Give a draft the log of a checkpoint in place of its own."""
    (directory / _DRAFT).unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        (directory / LOG).write_bytes(read_regular(source / LOG))


def read_log(directory: Path) -> str:
    """The log of a checkpoint or of a draft; empty if it has none."""
    with suppress(OSError, EOFError, zlib.error):
        return gzip.decompress(read_regular(directory / LOG)).decode("utf-8", "replace")
    with suppress(OSError):
        return read_regular(directory / _DRAFT).decode("utf-8", "replace")
    return ""


def keep_failed(directory: Path, logs: Path, step: str, key: str) -> Path | None:
    """Keep the log of a draft whose step failed.

    Args:
        directory: Of the draft.
        logs: The directory for the logs of failed steps.
        step: Name of the step.
        key: Its key.

    Returns:
        The file; ``None`` if the step printed nothing or the disk is full.
    """
    draft = directory / _DRAFT
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    file = logs / f"failed-{key[:12]}-{stamp}-{step}.log"
    with suppress(OSError):
        if draft.stat().st_size:
            draft.rename(file)
            return file
    return None


def failed_logs(logs: Path, key: str) -> tuple[Path, ...]:
    """The logs of failed runs of the steps whose key begins so, the latest last."""
    return tuple(sorted(logs.glob(f"failed-{key[:12]}*.log")))


def remove_old(logs: Path, *, every: bool = False) -> None:
    """Remove logs of failed steps that are older than a week, or all of them.

    It keeps the ten latest ones, because a clock that was set forward makes all of them old.
    """
    found: list[tuple[float, Path]] = []
    for file in logs.glob("failed-*.log"):
        with suppress(OSError):
            found.append((file.stat().st_mtime, file))
    for time_of, file in found if every else sorted(found)[:-_KEPT]:
        with suppress(OSError):
            if every or abs(time.time() - time_of) > _OLD_SECONDS:
                file.unlink()
