"""A cache of ``.deb`` files by SHA-256, which several builds can use at the same time."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from kiwinb.steps.keys import Digest


@dataclass(frozen=True)
class Download:
    """A package file that a run of apt needs.

    Attributes:
        filename: File name in apt's directory of archives.
        size: Size in bytes.
        sha256: SHA-256 of the content; ``None`` if the repository does not state it.
    """

    filename: str
    size: int
    sha256: Digest | None


@dataclass(frozen=True)
class Pool:
    """A pool of ``.deb`` files.

    Attributes:
        directory: Directory in the cache.
    """

    directory: Path

    def take(self, downloads: Iterable[Download], archives: Path) -> tuple[Download, ...]:
        """Link files from the pool into a private directory.

        A file whose content does not match its name is removed from the pool.

        Returns:
            The downloads that the pool does not hold.
        """
        wanted = tuple(downloads)
        with ThreadPoolExecutor() as threads:
            taken = threads.map(lambda download: self._take(download, archives), wanted)
            return tuple(item for item, there in zip(wanted, taken, strict=True) if not there)

    def _take(self, download: Download, archives: Path) -> bool:
        if download.sha256 is None:
            return False
        pooled = self._place(download.sha256)
        target = archives / download.filename
        try:
            _link(pooled, target)
            if target.stat().st_size == download.size and _sha256(target) == download.sha256:
                return True
        except FileNotFoundError:
            return False
        target.unlink()
        pooled.unlink(missing_ok=True)
        return False

    def keep(self, downloads: Iterable[Download], archives: Path) -> None:
        """Add files that apt has downloaded to the pool, if their SHA-256 is right."""
        for download in downloads:
            file = archives / download.filename
            if download.sha256 and file.is_file() and _sha256(file) == download.sha256:
                pooled = self._place(download.sha256)
                pooled.parent.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryDirectory(dir=pooled.parent) as work:
                    fresh = Path(work, "deb")
                    _link(file, fresh)
                    fresh.replace(pooled)

    def _place(self, sha256: Digest) -> Path:
        return self.directory / sha256[:2] / f"{sha256}.deb"


def _link(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)


def _sha256(file: Path) -> Digest:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
