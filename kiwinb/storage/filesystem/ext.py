"""ext2, ext3 and ext4: mke2fs makes the empty file system, libext2fs fills it."""

from __future__ import annotations

import re
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path

from kiwinb.checkpoints.treescan import Entry
from kiwinb.errors import CommandError, ImageError
from kiwinb.sandbox.command import run
from kiwinb.sizes import MIB
from kiwinb.storage.filesystem.content import (
    TYPES,
    Content,
    Need,
    counted,
    name_of,
    parent_of,
    shown,
)
from kiwinb.storage.filesystem.libext2fs import Ext2Error, OpenFilesystem
from kiwinb.storage.filesystem.spec import Filesystem, FilesystemFull, Growth, Watch

_ROOT = 2
_EXTENTS = 0x80000
_EXTENTS_FEATURE = 0x40
_NAME_TYPES = {"file": 1, "directory": 2, "char": 3, "block": 4, "fifo": 5, "symlink": 7}
"""File type in a directory entry, by kind of entry."""

_CONFIGURATION = """\
[defaults]
 base_features = sparse_super,large_file,filetype,resize_inode,dir_index,ext_attr
 default_mntopts = acl,user_xattr
 enable_periodic_fsck = 0
 blocksize = 4096
 inode_size = 256
 inode_ratio = 16384
[fs_types]
 ext3 = {
  features = has_journal
 }
 ext4 = {
  features = has_journal,extent,huge_file,flex_bg,metadata_csum,64bit,dir_nlink,extra_isize
 }
 small = {
  blocksize = 4096
 }
 floppy = {
  blocksize = 4096
 }
 big = {
  blocksize = 4096
 }
 huge = {
  blocksize = 4096
 }
"""
"""Configuration of mke2fs, which replaces the host's and uses only features that GRUB 2.06
supports."""


_GROWTH = Growth("resize2fs", "e2fsprogs", 'resize2fs "$device"')


@dataclass(frozen=True)
class Ext:
    """One of ext2, ext3 and ext4."""

    name: str
    revision: int = 2
    tools: tuple[str, ...] = ("mke2fs",)
    makes_images: bool = True
    grub_module: str | None = "ext2"
    growth: Growth | None = _GROWTH
    subvolumes: bool = False
    least_volume: int = 30
    read_only: bool = False
    has_uuid: bool = True
    compression: str | None = None
    checked: bool = True

    @property
    def fstab_type(self) -> str:
        """See :class:`~kiwinb.storage.filesystem.spec.FilesystemMaker`."""
        return self.name

    def size(self, need: Need) -> int:
        """See :class:`~kiwinb.storage.filesystem.spec.FilesystemMaker`."""
        inodes = need.inodes * 5 // 4 * 256
        journal = 0 if self.name == "ext2" else min(64 * MIB, max(4 * MIB, need.size // 8))
        return (need.size + inodes + journal) * 107 // 100 + 4 * MIB

    def lacks(self, compression: str | None) -> str | None:
        """See :class:`~kiwinb.storage.filesystem.spec.FilesystemMaker`."""
        return None

    def identifier(self, uuid: str) -> str:
        """See :class:`~kiwinb.storage.filesystem.spec.FilesystemMaker`."""
        return uuid

    def make(self, image: Path, spec: Filesystem, content: Content, watch: Watch) -> None:
        """See :class:`~kiwinb.storage.filesystem.spec.FilesystemMaker`."""
        self._make_empty(image, spec, content, watch)
        try:
            with OpenFilesystem(image, content.epoch) as filesystem:
                _Filler(filesystem, _features(image), content).fill(watch)
        except Ext2Error as error:
            if error.no_space:
                raise FilesystemFull(error.problem) from error
            raise

    def _make_empty(self, image: Path, spec: Filesystem, content: Content, watch: Watch) -> None:
        size = image.stat().st_size
        block = ["-b", "4096"] if spec.sector_size > 1024 else []
        label = ["-L", spec.label] if spec.label else []
        wanted = content.need.inodes * 5 // 4 + 64
        count = ["-N", str(wanted)] if wanted > size // 16384 else []
        if any(re.match(r"-[NiT]", option) for option in spec.options):
            count = []
        extended = f"hash_seed={spec.uuid},lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0"
        with tempfile.TemporaryDirectory() as scratch:
            configuration = Path(scratch) / "mke2fs.conf"
            configuration.write_text(_CONFIGURATION)
            try:
                run(
                    [
                        "mke2fs",
                        "-F",
                        "-q",
                        *("-t", self.fstab_type),
                        *("-U", spec.uuid),
                        *("-E", extended),
                        *label,
                        *block,
                        *count,
                        *spec.options,
                        str(image),
                    ],
                    log=watch.log,
                    env={
                        "MKE2FS_CONFIG": str(configuration),
                        "E2FSPROGS_FAKE_TIME": str(content.epoch),
                        "SOURCE_DATE_EPOCH": str(content.epoch),
                    },
                )
            except CommandError as error:
                if "too small" in str(error) or "too big" in str(error):
                    raise FilesystemFull(error.problem) from error
                raise


@dataclass(frozen=True)
class _Features:
    inode_size: int
    extents: bool


def _features(image: Path) -> _Features:
    with image.open("rb") as file:
        file.seek(1024)
        superblock = file.read(1024)
    (size,) = struct.unpack_from("<H", superblock, 0x58)
    (incompatible,) = struct.unpack_from("<I", superblock, 0x60)
    return _Features(size, bool(incompatible & _EXTENTS_FEATURE))


class _Filler:
    def __init__(self, filesystem: OpenFilesystem, features: _Features, content: Content) -> None:
        self._filesystem = filesystem
        self._features = features
        self._content = content
        self._inodes: dict[bytes, int] = {b".": _ROOT}

    def fill(self, watch: Watch) -> None:
        for entry in counted(self._content.entries, watch.progress):
            self._add(entry)
        for entry in self._content.entries:
            if entry.kind == "directory":
                self._finish(entry)
        lost = self._filesystem.lookup(_ROOT, b"lost+found")
        if lost is not None and b"lost+found" not in self._inodes:
            data = self._filesystem.read_inode(lost, self._features.inode_size)
            self._stamp(data, self._content.epoch * 10**9)
            self._filesystem.write_inode(lost, data)

    def _add(self, entry: Entry) -> None:
        filesystem, name = self._filesystem, name_of(entry)
        if entry.path == b".":
            return
        parent = self._inodes[parent_of(entry)]
        if entry.link not in (b"", entry.path):
            filesystem.link(parent, name, self._inodes[entry.link], _NAME_TYPES[entry.kind])
            return
        if entry.kind == "directory":
            # mke2fs has already made lost+found.
            found = filesystem.lookup(parent, name) if parent == _ROOT else None
            inode = found or filesystem.make_directory(parent, name)
        elif entry.kind == "symlink":
            inode = filesystem.make_symlink(parent, name, entry.target)
        else:
            inode = self._add_file(entry, parent)
        self._inodes[entry.path] = inode
        if entry.kind != "directory":
            self._finish(entry)

    def _add_file(self, entry: Entry, parent: int) -> int:
        filesystem = self._filesystem
        inode = filesystem.new_inode(parent, TYPES[entry.kind])
        filesystem.use_inode(inode)
        data = bytearray(self._features.inode_size)
        struct.pack_into("<H", data, 0, TYPES[entry.kind] | entry.mode)
        struct.pack_into("<H", data, 26, 1)
        if self._features.inode_size > 128:
            struct.pack_into("<H", data, 128, 32)
        if entry.device is not None:
            major, minor = entry.device
            if major < 256 and minor < 256:
                struct.pack_into("<I", data, 40, major << 8 | minor)
            else:
                struct.pack_into("<I", data, 44, minor & 0xFF | major << 8 | (minor & ~0xFF) << 12)
        elif entry.kind == "file" and self._features.extents:
            struct.pack_into("<I", data, 32, _EXTENTS)
            struct.pack_into("<HHHHI", data, 40, 0xF30A, 0, 4, 0, 0)
        filesystem.write_inode(inode, data)
        filesystem.link(parent, name_of(entry), inode, _NAME_TYPES[entry.kind])
        if entry.size:
            filesystem.write_file(inode, self._content.pieces(entry), entry.size)
        return inode

    def _finish(self, entry: Entry) -> None:
        inode = self._inodes[entry.path]
        if entry.xattrs:
            try:
                self._filesystem.set_attributes(inode, entry.xattrs)
            except Ext2Error as error:
                raise ImageError(
                    f"the extended attributes of {shown(entry.path)} do not fit: {error.problem}",
                    remedy="remove them, or take another file system",
                ) from error
        data = self._filesystem.read_inode(inode, self._features.inode_size)
        mode = TYPES[entry.kind] | entry.mode
        struct.pack_into("<HH", data, 0, mode, entry.uid & 0xFFFF)
        struct.pack_into("<H", data, 24, entry.gid & 0xFFFF)
        struct.pack_into("<HH", data, 120, entry.uid >> 16, entry.gid >> 16)
        if entry.kind != "directory":
            struct.pack_into("<H", data, 26, self._content.links.get(entry.path, 1))
        self._stamp(data, self._content.modified_ns(entry))
        self._filesystem.write_inode(inode, data)

    def _stamp(self, data: bytearray, modified_ns: int) -> None:
        seconds, nanoseconds = divmod(modified_ns, 10**9)
        struct.pack_into("<III", data, 8, *[seconds & 0xFFFFFFFF] * 3)
        if self._features.inode_size > 128:
            extra = nanoseconds << 2 | (seconds + 0x80000000 >> 32) & 3
            struct.pack_into("<H", data, 128, 32)
            struct.pack_into("<III", data, 132, extra, extra, extra)
            struct.pack_into("<II", data, 144, self._content.epoch & 0xFFFFFFFF, 0)


EXT2 = Ext("ext2")
EXT3 = Ext("ext3")
EXT4 = Ext("ext4")
