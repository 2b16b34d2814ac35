"""ext2, ext3 and ext4: mke2fs makes the empty file system, libext2fs fills it."""

from __future__ import annotations

import re
import struct
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from kiwinb.checkpoints.treescan import Entry
from kiwinb.errors import CommandError
from kiwinb.sandbox.command import run
from kiwinb.sizes import MIB
from kiwinb.storage.filesystem.content import (
    NAME_TYPES,
    TYPES,
    Content,
    Need,
    counted,
    name_of,
    parent_of,
)
from kiwinb.storage.filesystem.ext_directory import Name, directory_blocks, empty_block
from kiwinb.storage.filesystem.ext_features import MOST_LINKS, Features
from kiwinb.storage.filesystem.libext2fs import (
    ATTRIBUTES_TOO_LARGE,
    Ext2Error,
    OpenFilesystem,
)
from kiwinb.storage.filesystem.limits import Limits, check, refused
from kiwinb.storage.filesystem.spec import Filesystem, FilesystemFull, Growth, Watch

_ROOT = 2
_EXTENTS = 0x80000
_INDEX = 0x1000
_LONGEST_FAST = 60  # bytes of an inode for the target of a symbolic link, with a zero at the end

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
    revision: int = 3
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
        features = Features.read(image)
        limits = features.limits(self.name)
        check(content, limits)
        try:
            with OpenFilesystem(image, content.epoch) as filesystem:
                _Filler(filesystem, features, limits, content).fill(watch)
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


class _Filler:
    def __init__(
        self, filesystem: OpenFilesystem, features: Features, limits: Limits, content: Content
    ) -> None:
        self._filesystem = filesystem
        self._features = features
        self._limits = limits
        self._content = content
        self._form = features.form(filesystem)
        self._lost: int | None = filesystem.lookup(_ROOT, b"lost+found")
        self._inodes: dict[bytes, int] = {b".": _ROOT}
        self._names: dict[bytes, list[Name]] = defaultdict(list)
        self._subdirectories: Counter[bytes] = Counter()

    def fill(self, watch: Watch) -> None:
        for entry in self._content.entries[1:]:
            self._name(entry)
        if self._lost is not None and b"lost+found" not in self._inodes:
            self._names[b"."].append(Name(b"lost+found", self._lost, NAME_TYPES["directory"]))
            self._subdirectories[b"."] += 1
            data = self._filesystem.read_inode(self._lost, self._features.inode_size)
            self._stamp(data, self._content.epoch * 10**9)
            self._filesystem.write_inode(self._lost, data)
        for entry in counted(self._content.entries, watch.progress):
            if entry.link in (b"", entry.path):
                self._write(entry)

    def _name(self, entry: Entry) -> None:
        """Find an inode for an entry, and give it its name."""
        parent, name = parent_of(entry), name_of(entry)
        if entry.link not in (b"", entry.path):
            inode = self._inodes[entry.link]
        elif entry.path == b"lost+found" and entry.kind == "directory" and self._lost:
            inode = self._lost
        else:
            inode = self._filesystem.new_inode(self._inodes[parent], TYPES[entry.kind])
            self._filesystem.use_inode(inode, directory=entry.kind == "directory")
        self._inodes[entry.path] = inode
        self._names[parent].append(Name(name, inode, NAME_TYPES[entry.kind]))
        self._subdirectories[parent] += entry.kind == "directory"

    def _write(self, entry: Entry) -> None:
        """Write an inode with its attributes and its content."""
        filesystem, inode = self._filesystem, self._inodes[entry.path]
        old = inode in (_ROOT, self._lost)  # has blocks already
        content, size, flags = self._stored(entry, inode)
        if old:
            data = filesystem.read_inode(inode, self._features.inode_size)
        else:
            data = self._new(entry, extents=bool(content or size))
        self._describe(data, entry, flags)
        filesystem.write_inode(inode, data)
        if size:
            before = int.from_bytes(data[4:8], "little") if old else 0
            for at in range(size, before, self._features.block):
                content = [*content, (at, filesystem.seal_directory_block(inode, self._empty))]
            filesystem.write_file(inode, content, max(size, before))
        if entry.xattrs:
            try:
                filesystem.set_attributes(inode, entry.xattrs)
            except Ext2Error as error:
                if error.number == ATTRIBUTES_TOO_LARGE:
                    total = sum(len(name) + len(value) for name, value in entry.xattrs)
                    problem = f"its extended attributes have {total} bytes, which do not fit"
                    raise refused(self._limits, entry.path, problem) from error
                raise

    def _stored(self, entry: Entry, inode: int) -> tuple[Iterable[tuple[int, bytes]], int, int]:
        """Return the content of an entry in blocks, its size, and flags that the content needs."""
        if entry.kind == "file":
            return self._content.pieces(entry), entry.size, 0
        if entry.kind == "symlink" and len(entry.target) >= _LONGEST_FAST:
            return [(0, entry.target)], len(entry.target), 0
        if entry.kind != "directory":
            return (), 0, 0
        parent = self._inodes[parent_of(entry)]
        names = self._names.pop(entry.path, [])
        blocks, indexed = directory_blocks(names, inode, parent, self._form)
        sealed = [self._filesystem.seal_directory_block(inode, block) for block in blocks]
        size = self._features.block
        flags = _INDEX if indexed else 0
        return (
            [(index * size, block) for index, block in enumerate(sealed)],
            len(sealed) * size,
            flags,
        )

    @cached_property
    def _empty(self) -> bytearray:
        return empty_block(self._form)

    def _new(self, entry: Entry, *, extents: bool) -> bytearray:
        """Return an inode without metadata."""
        data = bytearray(self._features.inode_size)
        if self._features.inode_size > 128:
            struct.pack_into("<H", data, 128, 32)
        if entry.device is not None:
            major, minor = entry.device
            if major < 256 and minor < 256:
                struct.pack_into("<I", data, 40, major << 8 | minor)
            else:
                struct.pack_into("<I", data, 44, minor & 0xFF | major << 8 | (minor & ~0xFF) << 12)
        elif entry.kind == "symlink" and len(entry.target) < _LONGEST_FAST:
            struct.pack_into("<I", data, 4, len(entry.target))
            data[40 : 40 + len(entry.target)] = entry.target
        elif self._features.extents and (extents or entry.kind == "file"):
            struct.pack_into("<I", data, 32, _EXTENTS)
            struct.pack_into("<HHHHI", data, 40, 0xF30A, 0, 4, 0, 0)
        return data

    def _describe(self, data: bytearray, entry: Entry, flags: int) -> None:
        """Write the metadata of an entry into its inode."""
        links = self._content.links.get(entry.path, 1)
        if entry.kind == "directory":
            links = 2 + self._subdirectories[entry.path]
            if links >= MOST_LINKS:
                links = 1  # more than the kernel counts
        mode = TYPES[entry.kind] | entry.mode
        struct.pack_into("<HH", data, 0, mode, entry.uid & 0xFFFF)
        struct.pack_into("<HH", data, 24, entry.gid & 0xFFFF, links)
        (before,) = struct.unpack_from("<I", data, 32)
        struct.pack_into("<I", data, 32, before | flags | self._content.flags(entry))
        struct.pack_into("<HH", data, 120, entry.uid >> 16, entry.gid >> 16)
        self._stamp(data, self._content.modified_ns(entry))

    def _stamp(self, data: bytearray, modified_ns: int) -> None:
        seconds, extra = _time(modified_ns)
        struct.pack_into("<III", data, 8, seconds, seconds, seconds)
        if self._features.inode_size > 128:
            struct.pack_into("<H", data, 128, 32)
            struct.pack_into("<III", data, 132, extra, extra, extra)
            struct.pack_into("<II", data, 144, *_time(self._content.epoch * 10**9))


def _time(time_ns: int) -> tuple[int, int]:
    """Return the seconds of a time, and its nanoseconds with the upper bits of its seconds."""
    seconds, nanoseconds = divmod(time_ns, 10**9)
    return seconds & 0xFFFFFFFF, nanoseconds << 2 | (seconds + 0x80000000 >> 32) & 3


EXT2 = Ext("ext2")
EXT3 = Ext("ext3")
EXT4 = Ext("ext4")
