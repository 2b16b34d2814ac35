"""The database of rpm in a tree: where it is, and how two builds get the same one.

The host's rpm writes it, but in the place and format of the tree's own rpm. rpm notes when each
package was installed; kiwinb sets that to the time of the repositories.
"""

from __future__ import annotations

import shlex
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kiwinb.errors import CommandError, PackageError
from kiwinb.sandbox.chroot import Chroot
from kiwinb.sandbox.paths import resolve_in

_FORMATS = {"rpmdb.sqlite": "sqlite", "Packages.db": "ndb", "Packages": "bdb"}
_HOMES = ("/usr/lib/sysimage/rpm", "/var/lib/rpm", "/usr/share/rpm")
MOUNT_POINTS = ("/dev", "/proc", "/sys")
"""Directories that rpm leaves alone, since the kernel's file systems are mounted there."""

_WRITTEN = ("sqlite", "ndb")
"""Formats that the host's rpm writes; it only reads those of Berkeley DB."""

_MAGIC = b"\x8e\xad\xe8\x01\0\0\0\0"
_COUNTS = struct.Struct(">II")
_ENTRY = struct.Struct(">IIII")
_INT32 = 4
_TIMES = (1008, 1128)
"""Tags of the time and of the transaction of an installation; see "Tags" in the manual of rpm."""


@dataclass(frozen=True)
class RpmHome:
    """Where a tree has its database of rpm.

    Attributes:
        directory: Directory in the tree.
        format: ``sqlite``, ``ndb`` or ``bdb``.
    """

    directory: str = _HOMES[0]
    format: str = "sqlite"

    @classmethod
    def find(cls, root: Path) -> RpmHome:
        """Find the database of a tree; for a tree without one, where a new one begins."""
        return next(cls._found(root), cls())

    @classmethod
    def exists(cls, root: Path) -> bool:
        """Tell whether a tree has a database."""
        return next(cls._found(root), None) is not None

    @classmethod
    def _found(cls, root: Path) -> Iterator[RpmHome]:
        for directory in _HOMES:
            for name, kind in _FORMATS.items():
                if resolve_in(root, f"{directory}/{name}").is_file():
                    yield cls(directory, kind)

    def macros(self) -> str:
        """Return the macros with which the host's rpm uses it."""
        return (
            f"%_dbpath {self.directory}\n%_db_backend {self.format}\n"
            f"%_netsharedpath {':'.join(MOUNT_POINTS)}\n"
        )

    def check(self) -> None:
        """Make sure that the host's rpm can write it.

        Raises:
            PackageError: It cannot.
        """
        if self.format not in _WRITTEN:
            raise PackageError(
                f"the root tree has its rpm database in the format of Berkeley DB "
                f"({self.directory}), which the rpm of this host does not write",
                remedy="Begin with an empty tree, or with a newer base container.",
            )


def settle(chroot: Chroot, root: Path, home: Path, work: Path, epoch: int) -> None:
    """Write the database anew, as the tree's own rpm wants it, and with one time for all packages.

    Args:
        chroot: The tree.
        root: The tree.
        home: Home directory of tools of the host, in which they find their macros.
        work: Private directory.
        epoch: The time, in seconds since 1970-01-01 UTC.

    Raises:
        PackageError: The tree's rpm wants a format that the host's rpm does not write.
    """
    before = RpmHome.find(root)
    after = _wanted(chroot) or before
    after.check()
    before_file, after_file = work / "headers", work / "settled"
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"}

    def rpmdb(what: str, kept: RpmHome) -> None:
        (home / ".rpmmacros").write_text(kept.macros())
        words = f"exec rpmdb --root {shlex.quote(str(root))} {what}"
        chroot.run_tool(["sh", "-c", words], env=env, home=home, also=[work])

    rpmdb(f"--exportdb > {shlex.quote(str(before_file))}", before)
    after_file.write_bytes(with_times(before_file.read_bytes(), epoch))
    _clear(root, before)
    _clear(root, after)
    rpmdb(f"--importdb < {shlex.quote(str(after_file))}", after)
    for name in (".rpm.lock", "rpmdb.sqlite-shm"):
        resolve_in(root, f"{after.directory}/{name}").unlink(missing_ok=True)
    log = resolve_in(root, f"{after.directory}/rpmdb.sqlite-wal")
    if log.is_file() and not log.stat().st_size:
        log.unlink()


def _wanted(chroot: Chroot) -> RpmHome | None:
    """Ask the tree's rpm where it has its database; ``None`` if the tree has no rpm."""
    try:
        said = chroot.run(["rpm", "--eval", "%{_dbpath} %{?_db_backend}"])
    except CommandError:
        return None
    directory, _, kind = said.strip().partition(" ")
    return RpmHome(directory, kind or "bdb") if directory.startswith("/") else None


def _clear(root: Path, place: RpmHome) -> None:
    directory = resolve_in(root, place.directory)
    directory.mkdir(parents=True, exist_ok=True)
    for file in directory.iterdir():
        if file.is_dir() and not file.is_symlink():
            shutil.rmtree(file)
        else:
            file.unlink()


def with_times(headers: bytes, epoch: int) -> bytes:
    """Set the time of installation of packages.

    Args:
        headers: Headers, each with its magic number, as ``rpmdb --exportdb`` writes them.
        epoch: The time, in seconds since 1970-01-01 UTC.

    Raises:
        PackageError: They are damaged.
    """
    data, at = bytearray(headers), 0
    try:
        while at < len(data):
            if data[at : at + 8] != _MAGIC:
                raise PackageError("rpm exported headers that kiwinb does not understand")
            count, size = _COUNTS.unpack_from(data, at + 8)
            entries = at + 16
            store = entries + count * _ENTRY.size
            for number in range(count):
                tag, kind, offset, _n = _ENTRY.unpack_from(data, entries + number * _ENTRY.size)
                if tag in _TIMES and kind == _INT32:
                    struct.pack_into(">I", data, store + offset, epoch)
            at = store + size
    except struct.error as error:
        raise PackageError(f"rpm exported damaged headers: {error}") from None
    return bytes(data)
