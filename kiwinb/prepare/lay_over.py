"""Place files into a root tree with their metadata, and never outside the tree.

Directories and tar archives are both read as :class:`tarfile.TarInfo` members with their content.
A symbolic link in the parent directories of a file is followed inside the tree, as the booted
system would follow it. A symbolic link in the place of a file is replaced. A symbolic link replaces
an empty directory, but never one with content.

A directory that the tree has keeps its owner, permissions, extended attributes and time, wherever
the content comes from. A new directory gets those that it has in the overlay or archive.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

from kiwinb.description.fingerprint import is_portable_attribute, read_attributes
from kiwinb.errors import DescriptionError, Location
from kiwinb.sandbox.decompress import BROKEN_STREAM, open_unpacked
from kiwinb.sandbox.devices import make_device, read_device
from kiwinb.sandbox.holes import copy_file, unpack_file
from kiwinb.sandbox.paths import resolve_in
from kiwinb.tar_entries import opened_tar, tar_entries

_XATTR = "SCHILY.xattr."


def lay_directory(root: Path, directory: Path) -> None:
    """Copy the content of a directory of the description into the tree, owned by root.

    Args:
        root: The tree.
        directory: The directory.

    Raises:
        DescriptionError: A file would replace a directory of the tree, or a directory a file.
    """
    links: dict[tuple[int, int], str] = {}
    laying = _Laying(root)
    for path in _walk(directory):
        name = path.relative_to(directory).as_posix()
        status = path.lstat()
        member = _member(path, name, status, links)
        laying.place(member, partial(copy_file, path), path)
    laying.finish()


def lay_archive(root: Path, archive: Path, target: str = "/") -> None:
    """Unpack a tar archive into the tree; its files and new directories keep their owners.

    Args:
        root: The tree.
        archive: The archive, which may be compressed.
        target: Directory in the tree to unpack to.

    Raises:
        DescriptionError: The file is not a tar archive or is damaged, a member would be outside the
            tree, or a member would replace a directory by a file or the other way round.
    """
    laying = _Laying(root)
    try:
        with open_unpacked(archive) as stream, opened_tar(stream) as members:
            for member in tar_entries(members):
                member.name = str(PurePosixPath(target.lstrip("/")) / _inside(member.name, archive))
                if member.islnk():
                    linked = _inside(member.linkname, archive)
                    member.linkname = str(PurePosixPath(target.lstrip("/")) / linked)
                laying.place(member, partial(unpack_file, members, member), archive)
        laying.finish()
    except (
        *(tarfile.TarError, *BROKEN_STREAM),
        *(ValueError, OverflowError),  # a time that no file can have
    ) as error:
        raise DescriptionError(
            f"the archive cannot be unpacked: {error}",
            remedy="Make it again with tar.",
            location=Location(archive),
        ) from error


def _inside(name: str, archive: Path) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise DescriptionError(
            f"the archive's member {name!r} would leave the root tree",
            remedy="Pack it with relative names and without '..'.",
            location=Location(archive),
        )
    return path


def _walk(directory: Path) -> Iterator[Path]:
    for entry in sorted(os.scandir(directory), key=lambda item: os.fsencode(item.name)):
        path = Path(entry.path)
        yield path
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(path)


def _member(
    path: Path, name: str, status: os.stat_result, links: dict[tuple[int, int], str]
) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.mode = stat.S_IMODE(status.st_mode)
    member.mtime = status.st_mtime
    member.pax_headers = {
        _XATTR + key: value.decode("utf-8", "surrogateescape")
        for key, value in read_attributes(path).items()
    }
    device = read_device(path, status)
    if device is not None:
        member.type = tarfile.CHRTYPE if device.kind == "c" else tarfile.BLKTYPE
        member.devmajor, member.devminor = device.major, device.minor
    elif stat.S_ISDIR(status.st_mode):
        member.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(status.st_mode):
        member.type = tarfile.SYMTYPE
        member.linkname = os.fspath(path.readlink())
    elif stat.S_ISFIFO(status.st_mode):
        member.type = tarfile.FIFOTYPE
    elif status.st_nlink > 1:
        first = links.setdefault((status.st_dev, status.st_ino), name)
        if first != name:
            member.type = tarfile.LNKTYPE
            member.linkname = first
    return member


@dataclass(frozen=True)
class _Laying:
    """One directory or archive on its way into the tree.

    Attributes:
        root: The tree.
        made: Directories that the tree did not have before. In an archive, a directory may come
            after its content, or several times.
        times: Modification times that directories get at the end, in nanoseconds since 1970-01-01
            UTC.
    """

    root: Path
    made: set[Path] = field(default_factory=set)
    times: dict[Path, int] = field(default_factory=dict)

    def place(self, member: tarfile.TarInfo, write: Callable[[Path], object], origin: Path) -> None:
        """Place a member.

        Args:
            member: The member.
            write: Called with the path of a regular file, which it creates.
            origin: The file of the description, for messages.
        """
        parent = resolve_in(self.root, str(PurePosixPath(member.name).parent))
        if not parent.is_dir():
            if os.path.lexists(parent):
                raise _clash(member, origin, "its parent is not a directory in the tree")
            self._make_directories(parent)
        self._keep_time(parent)
        name = PurePosixPath(member.name).name
        path = parent / name if name else self.root
        if path == self.root and not member.isdir():
            raise _clash(member, origin, "it is the root directory")
        if member.isdir():
            path = resolve_in(self.root, member.name)
            if os.path.lexists(path) and not path.is_dir():
                raise _clash(member, origin, "it is a directory, but the tree has a file there")
            if not path.is_dir():
                self._make_directories(path)
            if path in self.made:
                _set_metadata(path, member)
                self.times[path] = round(member.mtime * 10**9)
            return
        if member.islnk():
            linked = resolve_in(self.root, member.linkname, follow_last=False)
            if linked != path:
                self._make_way(member, path, origin, link=linked.is_symlink())
                os.link(linked, path, follow_symlinks=False)
            return
        self._make_way(member, path, origin, link=member.issym())
        _make(path, member, write)
        _set_metadata(path, member)

    def finish(self) -> None:
        """Set the times of directories, which each new name in them changes."""
        for path, time in self.times.items():
            os.utime(path, ns=(time, time))

    def _keep_time(self, directory: Path) -> None:
        if directory not in self.times:
            self.times[directory] = directory.stat().st_mtime_ns

    def _make_way(self, member: tarfile.TarInfo, path: Path, origin: Path, *, link: bool) -> None:
        """Remove what is in the place of a file; of directories, only an empty one for a link."""
        if not path.is_dir() or path.is_symlink():
            path.unlink(missing_ok=True)
        elif not link:
            raise _clash(member, origin, "the tree has a directory there")
        elif content := sorted(path.iterdir()):
            inside, first = (item.relative_to(self.root) for item in (path, content[0]))
            raise _clash(
                member,
                origin,
                f"it is a symbolic link to {member.linkname}, but the tree has a directory "
                f"/{inside} with content there, such as /{first}",
            )
        else:
            path.rmdir()
            self.made.discard(path)
            self.times.pop(path, None)

    def _make_directories(self, path: Path) -> None:
        missing = [path]
        while not missing[-1].parent.exists():
            missing.append(missing[-1].parent)
        self._keep_time(missing[-1].parent)
        for directory in reversed(missing):
            directory.mkdir()
            directory.chmod(0o755)
            self.made.add(directory)


def _make(path: Path, member: tarfile.TarInfo, write: Callable[[Path], object]) -> None:
    if member.issym():
        path.symlink_to(member.linkname)
    elif member.ischr() or member.isblk():
        kind = stat.S_IFCHR if member.ischr() else stat.S_IFBLK
        make_device(path, kind | member.mode, member.devmajor, member.devminor)
    elif member.isfifo():
        os.mkfifo(path)
    else:
        write(path)


def _set_metadata(path: Path, member: tarfile.TarInfo) -> None:
    os.chown(path, member.uid, member.gid, follow_symlinks=False)
    if not member.issym():
        path.chmod(member.mode)
    for key, value in member.pax_headers.items():
        if key.startswith(_XATTR) and is_portable_attribute(key.removeprefix(_XATTR)):
            data = value.encode("utf-8", "surrogateescape")
            os.setxattr(path, key.removeprefix(_XATTR), data, follow_symlinks=False)
    with suppress(OSError):
        os.utime(path, (member.mtime, member.mtime), follow_symlinks=False)


def _clash(member: tarfile.TarInfo, origin: Path, why: str) -> DescriptionError:
    return DescriptionError(
        f"/{member.name} cannot be placed: {why}",
        remedy="Rename or remove one of the two.",
        location=Location(origin),
    )
