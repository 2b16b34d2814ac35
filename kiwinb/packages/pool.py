"""A cache of package files by SHA-256, which several builds can use at the same time.

Files enter and leave the pool as copies, never as links: whatever happens to a file that a build
uses does not happen to the pool. Each copy that leaves the pool is checked.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from kiwinb.packages.signatures import sha256_of
from kiwinb.sandbox.holes import copy_file
from kiwinb.steps.keys import Digest


@dataclass(frozen=True)
class Download:
    """A package file that a build needs.

    Attributes:
        filename: File name in the directory of archives.
        size: Size in bytes.
        sha256: SHA-256 of the content; ``None`` if the repository does not state it.
    """

    filename: str
    size: int
    sha256: Digest | None


@dataclass(frozen=True)
class Pool:
    """A pool of package files.

    Attributes:
        directory: Directory in the cache.
        suffix: Suffix of the names of its files, such as ``.deb``.
    """

    directory: Path
    suffix: str

    def take(self, downloads: Iterable[Download], archives: Path) -> tuple[Download, ...]:
        """Copy files from the pool into a private directory.

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
        target.unlink(missing_ok=True)
        try:
            copy_file(pooled, target)
        except FileNotFoundError:
            return False
        if target.stat().st_size == download.size and sha256_of(target) == download.sha256:
            return True
        target.unlink()
        pooled.unlink(missing_ok=True)
        return False

    def keep(self, downloads: Iterable[Download], archives: Path) -> None:
        """Add downloaded files to the pool, if their SHA-256 is right."""
        with ThreadPoolExecutor() as threads:
            for _kept in threads.map(lambda download: self._keep(download, archives), downloads):
                pass

    def _keep(self, download: Download, archives: Path) -> None:
        file = archives / download.filename
        if download.sha256 and file.is_file() and sha256_of(file) == download.sha256:
            pooled = self._place(download.sha256)
            pooled.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=pooled.parent) as work:
                fresh = Path(work, "package")
                copy_file(file, fresh)
                fresh.replace(pooled)

    def _place(self, sha256: Digest) -> Path:
        return self.directory / sha256[:2] / f"{sha256}{self.suffix}"
