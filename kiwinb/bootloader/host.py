"""Files of the build host that a bootloader takes where the root tree has none of its own."""

from __future__ import annotations

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
        package: The Debian package that brings it.
    """

    path: Path
    package: str


@dataclass(frozen=True)
class HostFiles:
    """What a directory of the host held when the build was planned.

    Attributes:
        package: The package of the host that brings it.
        version: Of that package; empty when the host does not say.
        source: The directory, and the digest of its content.
    """

    package: str
    version: str
    source: Source


def find_host_files(
    directories: Mapping[str, HostDirectory], cache_dir: Path | None = None
) -> tuple[tuple[str, HostFiles], ...]:
    """Look at directories of the host; those that are not there are left out.

    Args:
        directories: By what they are for.
        cache_dir: Keeps digests of files that do not change between builds.
    """
    found = []
    with FingerprintCache(cache_dir / "fingerprints.sqlite" if cache_dir else None) as cache:
        for purpose, directory in sorted(directories.items()):
            if directory.path.is_dir():
                source = Source(fingerprint(directory.path, cache), directory.path)
                version = _version(directory.package)
                found.append((purpose, HostFiles(directory.package, version, source)))
    return tuple(found)


def _version(package: str) -> str:
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
