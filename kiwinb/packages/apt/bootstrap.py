"""Install the first packages into an empty tree.

dpkg cannot install the packages that it needs to run. So kiwinb first unpacks the files of the
essential packages and their dependencies, several packages at a time. Then dpkg runs in the tree
and installs the same packages over these files, which gives a normal package database.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from kiwinb.errors import CommandError, PackageError
from kiwinb.packages.apt.complaints import failed_transaction
from kiwinb.packages.apt.config import DPKG_OPTIONS
from kiwinb.packages.apt.session import ARCHIVES, Session, dpkg, opened
from kiwinb.sandbox.cage import Bound
from kiwinb.sandbox.caged import OpenCage
from kiwinb.sandbox.chroot import ENVIRONMENT, Chroot
from kiwinb.sandbox.host_view import host_view
from kiwinb.sandbox.paths import resolve_in
from kiwinb.sandbox.tools import cannot_start, crash, find_tool, search_path

ESSENTIAL = "?essential"
"""Pattern for the essential packages; see apt-patterns(7)."""

_MERGED = {
    "amd64": ("lib32", "lib64", "libx32"),
    "i386": ("lib64", "libx32"),
    "loong64": ("lib64",),
    "mips64el": ("lib32", "lib64", "libo32"),
    "ppc64el": ("lib64",),
    "s390x": ("lib32",),
    "x32": ("lib32", "lib64", "libx32"),
}
"""Directories of the dynamic loaders other than ``lib``, by architecture."""


@dataclass(frozen=True)
class Essential:
    """The essential packages and their dependencies.

    Attributes:
        names: What to ask apt for.
        files: The names of the files to install.
    """

    names: tuple[str, ...]
    files: tuple[str, ...]


def essential_packages(session: Session) -> Essential:
    """Find the first packages of an empty tree.

    kiwinb makes trees with a merged ``/usr``, so ``usr-is-merged`` replaces ``usrmerge``, which
    would merge it.

    Raises:
        PackageError: The packages cannot be installed together.
    """
    names: tuple[str, ...] = (ESSENTIAL,)
    files = [download.filename for download in session.resolve(names)]
    if any(file.startswith("usrmerge_") for file in files):
        names = (*names, "usr-is-merged")
        files = [download.filename for download in session.resolve(names)]
    return Essential(names, tuple(files))


def bootstrap(session: Session, packages: Sequence[str]) -> None:
    """Install the essential packages and other packages into an empty tree.

    Raises:
        PackageError: A package is unknown or cannot be installed.
        RepositoryError: A package cannot be downloaded.
    """
    root, log = session.context.root, session.context.log
    status = root / "var/lib/dpkg/status"
    status.parent.mkdir(parents=True)
    status.touch()
    essential = essential_packages(session)
    names = essential.files
    session.fetch([*essential.names, *packages])
    session.context.progress(0.2)
    log(f"unpacking {len(names)} packages")
    plain = session.config.work / "plain"
    plain.mkdir()
    _unpack(session, names, plain)
    session.context.progress(0.4)
    with opened(session.context) as chroot:
        chroot.bind(plain, ARCHIVES)
        debs = [f"{ARCHIVES}/{name}" for name in names]
        _dpkg(session, chroot, "--force-depends", "--unpack", *debs)
        session.context.progress(0.7)
        _dpkg(session, chroot, "--configure", "--pending")
    shutil.rmtree(plain)
    if packages:
        session.install(packages)


def _dpkg(session: Session, chroot: Chroot, *arguments: str) -> None:
    try:
        dpkg(chroot, [*DPKG_OPTIONS, *arguments], session.epoch)
    except CommandError as error:
        raise failed_transaction(error.tail) from error


def _unpack(session: Session, names: Sequence[str], plain: Path) -> None:
    """Unpack the files of packages, and write uncompressed packages to ``plain``.

    Each directory gets the owner and mode that it has in the first package that contains it.
    """
    root = session.context.root

    def decompress(name: str) -> _Deb:
        deb = _Deb.read(session.archives / name)
        deb.write(plain / name)
        return deb

    first = next((name for name in names if name.startswith("base-files_")), names[0])
    ordered = [first, *(name for name in names if name != first)]
    content = plain / "content.tar"
    with ThreadPoolExecutor() as threads, content.open("wb") as file:
        for name, deb in zip(ordered, threads.map(decompress, ordered), strict=True):
            if name == first and not deb.has_merged_directories():
                _merge_directories(root, session.config.architecture)
            file.write(deb.data)
    for directory in _extract(content, root):
        directory.restore(root)
    content.unlink()


def _merge_directories(root: Path, architecture: str) -> None:
    for name in ("bin", "lib", "sbin", *_MERGED.get(architecture, ())):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")


def _extract(content: Path, root: Path) -> Sequence[_Directory]:
    """Unpack concatenated archives into a tree, in a cage, because links in it can lead anywhere.

    Returns:
        The directories, each as the first archive has it that contains it.
    """
    argv = [
        *("tar", "--extract", "--ignore-zeros", f"--file={content}", f"--directory={root}"),
        *("--numeric-owner", "--preserve-permissions", "--keep-directory-symlink"),
        *("--absolute-names", "--warning=no-timestamp", "--quoting-style=literal", "-vv"),
    ]
    view = host_view([root])
    view = replace(view, bound=(*view.bound, Bound(content, str(content))))
    try:
        with OpenCage() as cage:
            lines = cage.run(view, argv, env=ENVIRONMENT).splitlines()
    except CommandError as error:
        if crashed := crash("tar", error.status, error.tail):
            raise crashed from error
        raise PackageError("\n  | ".join(("a package cannot be unpacked:", *error.tail))) from error
    found: dict[str, _Directory] = {}
    for directory in (_Directory.parse(line) for line in lines if line.startswith("d")):
        found.setdefault(directory.path, directory)
    return [*found.values()]


@dataclass(frozen=True)
class _Directory:
    """Owner and mode of a directory in a package.

    They are restored after unpacking, because each package sets its own.
    """

    path: str
    mode: int
    uid: int
    gid: int

    @staticmethod
    def parse(line: str) -> _Directory:
        """Read a line such as ``drwxr-xr-x 0/0 0 2023-01-01 00:00 ./usr/``."""
        letters, owner, _size, _date, _time, path = line.split(None, 5)
        mode = sum(1 << 8 - i for i, letter in enumerate(letters[1:10]) if letter not in "-ST")
        special = ((3, 0o4000), (6, 0o2000), (9, 0o1000))
        mode |= sum(bit for place, bit in special if letters[place] in "sStT")
        uid, gid = map(int, owner.split("/"))
        return _Directory(path, mode, uid, gid)

    def restore(self, root: Path) -> None:
        place = resolve_in(root, self.path, follow_last=False)
        if not place.is_symlink():
            os.chown(place, self.uid, self.gid)
            place.chmod(self.mode)


@dataclass(frozen=True)
class _Deb:
    """The two archives in a package file, decompressed."""

    control: bytes
    data: bytes

    @staticmethod
    def read(file: Path) -> _Deb:
        return _Deb(_dpkg_deb("--ctrl-tarfile", file), _dpkg_deb("--fsys-tarfile", file))

    def has_merged_directories(self) -> bool:
        """Tell whether the package itself contains ``/lib`` and others as symbolic links."""
        with tarfile.open(fileobj=io.BytesIO(self.data)) as archive:
            return any(member.name == "./lib" and member.issym() for member in archive)

    def write(self, file: Path) -> None:
        """Write the package, as in deb(5), without compression: dpkg reads that faster."""
        members = {
            "debian-binary": b"2.0\n",
            "control.tar": self.control,
            "data.tar": self.data,
        }
        with file.open("wb") as archive:
            archive.write(b"!<arch>\n")
            for name, content in members.items():
                archive.write(
                    f"{name:<16}{0:<12}{0:<6}{0:<6}{0o100644:<8o}{len(content):<10}`\n".encode()
                )
                archive.write(content + b"\n" * (len(content) % 2))


def _dpkg_deb(option: str, file: Path) -> bytes:
    tool = find_tool("dpkg-deb")
    try:
        done = subprocess.run(
            [tool, option, file], capture_output=True, env=_environment(), check=False
        )
    except OSError as error:
        raise cannot_start("dpkg-deb", tool, error) from error
    if done.returncode:
        if crashed := crash("dpkg-deb", done.returncode):
            raise crashed
        raise PackageError(f"{file.name} is not a package: {os.fsdecode(done.stderr).strip()}")
    return done.stdout


def _environment() -> dict[str, str]:
    return {"PATH": search_path(), "LC_ALL": "C.UTF-8"}
