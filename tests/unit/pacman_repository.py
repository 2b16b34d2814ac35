"""Small repositories of pacman that are made here: indexes, mostly without package files."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from rpm_repository import host_paths, repository

from kiwinb.packages.manager import PackageChanges, PackageRequest
from kiwinb.packages.pacman import PacmanManager

BUILT = 1700000000
"""When all packages were built, in seconds since 1970-01-01 UTC."""

DIGEST = "0" * 64
"""The SHA-256 of packages that have no file."""

Sections = Mapping[str, str]
"""What an index says of a package besides its usual sections, such as ``DEPENDS``."""


def described(name: str, sections: Sections) -> str:
    """The text of ``desc`` of a package in an index."""
    version = sections.get("VERSION", "1.0-1")
    usual = {
        "FILENAME": f"{name}-{version}-any.pkg.tar.zst",
        "NAME": name,
        "VERSION": version,
        "ARCH": "any",
        "CSIZE": "10",
        "ISIZE": "20",
        "SHA256SUM": DIGEST,
        "BUILDDATE": str(BUILT),
    }
    return "".join(f"%{key}%\n{value}\n\n" for key, value in {**usual, **sections}.items())


def make(directory: Path, packages: Mapping[str, Sections]) -> Path:
    """Make an index ``test.db`` without package files, which no forecast needs."""
    directory.mkdir(exist_ok=True)
    with tarfile.open(directory / "test.db", "w:gz") as archive:
        for name, sections in packages.items():
            text = described(name, sections)
            member = tarfile.TarInfo(f"{name}-{sections.get('VERSION', '1.0-1')}/desc")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return directory


def request(directory: Path, *packages: str, **more: object) -> PackageRequest:
    """A request for packages of an index."""
    manager, found = PacmanManager(), (repository(directory),)
    host = host_paths(directory.parent)
    state = manager.refresh(found, "x86_64", host, force=False)
    assert state.epoch == BUILT
    return PackageRequest("x86_64", found, state, packages, **more)  # type: ignore[arg-type]


def forecast(directory: Path, *packages: str, **more: tuple[str, ...]) -> list[str]:
    """Name and reason of each package that a tree would have."""
    ignored = {"ignore": more.pop("ignore")} if "ignore" in more else {}
    changes = PackageChanges(None, request(directory, *packages, **ignored), **more)
    made = PacmanManager().forecast(changes, host_paths(directory.parent))
    return [f"{item.name} {item.why}" for item in made]
