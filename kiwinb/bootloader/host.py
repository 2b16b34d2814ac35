"""Files of the build host that a bootloader uses if the root tree does not have them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kiwinb.description.fingerprint import FingerprintCache, fingerprint
from kiwinb.sandbox.tools import search_path
from kiwinb.steps.keys import Source


@dataclass(frozen=True)
class HostDirectory:
    """A directory of the host that a bootloader may take files from.

    Attributes:
        path: The directory.
        package: The Debian package that contains it.
    """

    path: Path
    package: str


@dataclass(frozen=True)
class HostFiles:
    """A directory of the host, as it was when the build was planned.

    Attributes:
        package: The Debian package that contains it.
        version: Version of that package on the host; empty if it is not known.
        source: The directory, and the digest of its content.
    """

    package: str
    version: str
    source: Source


def find_host_files(
    directories: Mapping[str, HostDirectory], cache_dir: Path | None = None
) -> tuple[tuple[str, HostFiles], ...]:
    """Fingerprint directories of the host, leaving out those that do not exist.

    Args:
        directories: The directories, by purpose.
        cache_dir: Directory for a cache of the digests of unchanged files.
    """
    found = []
    with FingerprintCache(cache_dir / "fingerprints.sqlite" if cache_dir else None) as cache:
        for purpose, directory in sorted(directories.items()):
            if directory.path.is_dir():
                source = Source(fingerprint(directory.path, cache), directory.path)
                version = _version(directory.package, cache)
                found.append((purpose, HostFiles(directory.package, version, source)))
    return tuple(found)


def _version(package: str, cache: FingerprintCache) -> str:
    """Return the version of a host package, from the cache if dpkg's database is unchanged."""
    status = Path(os.environ.get("DPKG_ADMINDIR", "/var/lib/dpkg"), "status")
    name = f"version of {package} in {status}"
    try:
        return cache.remembered(name, status, lambda: _ask_dpkg(package))
    except OSError:
        return _ask_dpkg(package)


def _ask_dpkg(package: str) -> str:
    tool = shutil.which("dpkg-query", path=search_path())
    if tool is None:
        return ""
    done = subprocess.run(
        [tool, "--show", "--showformat", "${Version}", package],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() if done.returncode == 0 else ""
