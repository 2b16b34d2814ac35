"""The first packages of an empty tree.

What dpkg itself needs to run cannot be installed by dpkg. So the files of the essential packages
and of all they depend on are unpacked first, several packages at a time; then dpkg, running in
the tree, installs the same packages over that, and its database is as it always is.
"""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kiwinb.errors import CommandError, PackageError
from kiwinb.packages.apt.config import DPKG_OPTIONS, SCRIPT_ENVIRONMENT, stamp
from kiwinb.packages.apt.session import ARCHIVES, Session, opened
from kiwinb.sandbox.chroot import Chroot
from kiwinb.sandbox.tools import find_tool, search_path

ESSENTIAL = "?essential"
"""apt-patterns(7)."""

_MERGED = {
    "amd64": ("lib32", "lib64", "libx32"),
    "i386": ("lib64", "libx32"),
    "loong64": ("lib64",),
    "mips64el": ("lib32", "lib64", "libo32"),
    "ppc64el": ("lib64",),
    "s390x": ("lib32",),
    "x32": ("lib32", "lib64", "libx32"),
}
"""Directories of the library loaders by architecture, besides ``lib``."""


def bootstrap(session: Session, packages: Sequence[str]) -> None:
    """Install the essential packages and the given ones into an empty tree.

    Raises:
        PackageError: A package is unknown or cannot be installed.
        RepositoryError: A package cannot be downloaded.
    """
    root, log = session.context.root, session.context.log
    status = root / "var/lib/dpkg/status"
    status.parent.mkdir(parents=True)
    status.touch()
    essential = [ESSENTIAL]
    if any(download.filename.startswith("usrmerge_") for download in session.resolve(essential)):
        essential.append("usr-is-merged")
    session.fetch([*essential, *packages])
    names = [download.filename for download in session.resolve(essential)]
    session.context.progress(0.2)
    log(f"unpacking {len(names)} packages")
    _unpack(session, names)
    session.context.progress(0.4)
    with opened(session.context) as chroot:
        chroot.bind(session.archives, ARCHIVES)
        debs = [f"{ARCHIVES}/{name}" for name in names]
        _dpkg(chroot, session.epoch, "--force-depends", "--unpack", *debs)
        session.context.progress(0.7)
        _dpkg(chroot, session.epoch, "--configure", "--pending")
    if packages:
        session.install(packages)


def _dpkg(chroot: Chroot, epoch: int, *arguments: str) -> None:
    environment = {**SCRIPT_ENVIRONMENT, **stamp(epoch)}
    try:
        chroot.run(["dpkg", *DPKG_OPTIONS, *arguments], env=environment)
    except CommandError as error:
        raise PackageError(
            "the essential packages could not be installed:\n"
            + "\n".join(f"  | {line}" for line in error.tail)
        ) from error


def _unpack(session: Session, names: Sequence[str]) -> None:
    """Unpack the files of packages; directories are as the first package in order has them."""
    root = session.context.root
    first = next((name for name in names if name.startswith("base-files_")), names[0])
    if not _has_merged_directories(session.archives / first):
        for name in ("bin", "lib", "sbin", *_MERGED.get(session.config.architecture, ())):
            (root / "usr" / name).mkdir(parents=True)
            (root / name).symlink_to(f"usr/{name}")
    _extract(session.archives / first, root)
    rest = (session.archives / name for name in names if name != first)
    with ThreadPoolExecutor() as threads:
        for _ in threads.map(lambda deb: _extract(deb, root), rest):
            pass


def _has_merged_directories(deb: Path) -> bool:
    """Whether the package brings ``/bin`` and the like as symbolic links itself."""
    with (
        subprocess.Popen(
            [find_tool("dpkg-deb"), "--fsys-tarfile", deb], stdout=subprocess.PIPE
        ) as process,
        tarfile.open(fileobj=process.stdout, mode="r|") as archive,
    ):
        return any(member.name == "./lib" and member.issym() for member in list(archive))


def _extract(deb: Path, root: Path) -> None:
    environment = {"PATH": search_path(), "LC_ALL": "C.UTF-8"}
    with subprocess.Popen(
        [find_tool("dpkg-deb"), "--fsys-tarfile", deb], stdout=subprocess.PIPE, env=environment
    ) as source:
        tar = subprocess.run(
            [
                *(find_tool("tar"), "--extract", "--file=-", "--directory", root),
                *("--numeric-owner", "--preserve-permissions", "--delay-directory-restore"),
                *("--keep-directory-symlink", "--no-overwrite-dir", "--warning=no-timestamp"),
            ],
            stdin=source.stdout,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            check=False,
        )
    if source.returncode or tar.returncode:
        raise PackageError(f"the package {deb.name} cannot be unpacked:\n{tar.stderr.strip()}")
