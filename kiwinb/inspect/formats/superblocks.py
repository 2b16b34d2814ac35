"""Recognise file systems and other formats that kiwinb does not open, in order to name them.

Sources of the formats: the superblocks in the kernel's sources and documentation, and libblkid.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from kiwinb.inspect.formats.indexed import Volume
from kiwinb.inspect.formats.window import Window


class Superblock(NamedTuple):
    """How a format is recognised.

    Attributes:
        what: Description with an article.
        magics: Bytes, of which one has to be in its place, with their offsets.
        uuid: Offset of the UUID.
        label: Offset and length of the label.
        encoding: Encoding of the label.
        check: Function that checks more than short magic numbers.
    """

    what: str
    magics: tuple[tuple[int, bytes], ...]
    uuid: int | None = None
    label: tuple[int, int] | None = None
    encoding: str = "utf-8"
    check: Callable[[Window], bool] = lambda window: True


def _is_minix(window: Window) -> bool:
    old = window.peek(1024, 20)
    new = window.peek(1024, 28)
    inodes, maps = struct.unpack_from("<H2xH", old)
    if new[24:26] == b"\x5a\x4d":
        inodes, maps = struct.unpack_from("<I2xH", new)
    return bool(0 < inodes <= maps * 8 * 4096)


def _is_hfs(window: Window) -> bool:
    (size,) = struct.unpack(">I", window.peek(1024 + 20, 4))
    return bool(size and size % 512 == 0 and 0 < window.peek(1024 + 36, 1)[0] <= 27)


def _is_jffs2(window: Window) -> bool:
    kinds = (0x2003, 0x2004, 0x2006, 0xE001, 0xE002, 0xE008, 0xE009)
    return struct.unpack_from("<H", window.peek(2, 2))[0] in kinds


def _is_nilfs2(window: Window) -> bool:
    (revision,) = struct.unpack("<I", window.peek(1024, 4))
    (size,) = struct.unpack("<H", window.peek(1024 + 8, 2))
    return bool(revision == 2 and 0 < size <= 1024)


_BCACHE = bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81")
_BCACHEFS = bytes.fromhex("c68573f666ce90a9d96a60cf803df7ef")
_VOLUME_STRUCTURE = [at + 1 for at in range(16 * 2048, 64 * 2048, 2048)]

FILESYSTEMS: Mapping[str, Superblock] = {
    "udf": Superblock(
        "a UDF file system",
        tuple((at, magic) for at in _VOLUME_STRUCTURE for magic in (b"NSR02", b"NSR03")),
    ),
    "exfat": Superblock("an exFAT file system", ((3, b"EXFAT   "),)),
    "f2fs": Superblock(
        "an F2FS file system",
        ((1024, b"\x10\x20\xf5\xf2"),),
        1024 + 108,
        (1024 + 124, 1024),
        "utf-16-le",
    ),
    "ReFS": Superblock("a ReFS file system", ((3, b"ReFS\0\0\0\0"),)),
    "bcachefs": Superblock(
        "a bcachefs file system", ((4096 + 24, _BCACHEFS),), 4096 + 56, (4096 + 72, 32)
    ),
    "bcache": Superblock("a device of bcache", ((4096 + 24, _BCACHE),), 4096 + 40),
    "zfs_member": Superblock(
        "a device of a ZFS pool",
        tuple((at, b"\x0c\xb1\xba\0\0\0\0\0") for at in range(128 << 10, 256 << 10, 1024)),
    ),
    "jfs": Superblock("a JFS file system", ((0x8000, b"JFS1"),), 0x8000 + 136, (0x8000 + 152, 16)),
    "reiserfs": Superblock(
        "a ReiserFS file system",
        tuple((0x10034, b"ReIsE" + kind) for kind in (b"rFs", b"r2Fs", b"r3Fs")),
        0x10000 + 84,
        (0x10000 + 100, 16),
    ),
    "reiser4": Superblock(
        "a Reiser4 file system", ((0x10000, b"ReIsEr4"),), 0x10000 + 20, (0x10000 + 36, 16)
    ),
    "nilfs2": Superblock(
        "a NILFS2 file system",
        ((1024 + 6, b"\x34\x34"),),
        1024 + 152,
        (1024 + 168, 80),
        check=_is_nilfs2,
    ),
    "hfsplus": Superblock("an HFS+ file system", ((1024, b"H+\0\4"), (1024, b"HX\0\5"))),
    "hfs": Superblock("an HFS file system", ((1024, b"BD"),), check=_is_hfs),
    "apfs": Superblock("an APFS container", ((32, b"NXSB"),), 72),
    "minix": Superblock(
        "a Minix file system",
        tuple(
            (1024 + at, struct.pack("<H", magic))
            for at, magics in ((16, (0x137F, 0x138F, 0x2468, 0x2478)), (24, (0x4D5A,)))
            for magic in magics
        ),
        check=_is_minix,
    ),
    "cramfs": Superblock("a cramfs file system", ((0, b"\x45\x3d\xcd\x28"),), None, (48, 16)),
    "romfs": Superblock("a romfs file system", ((0, b"-rom1fs-"),), None, (16, 16)),
    "bfs": Superblock("a BFS file system of SCO", ((0, b"\xce\xfa\xad\x1b"),)),
    "befs": Superblock("a file system of BeOS", ((512 + 32, b"1SFB"), (512 + 32, b"BFS1"))),
    "gfs2": Superblock(
        "a GFS2 file system", ((0x10000, b"\x01\x16\x19\x70\0\0\0\x01"),), 0x10000 + 256
    ),
    "ocfs2": Superblock(
        "an OCFS2 file system", tuple((at, b"OCFSV2") for at in (1024, 2048, 4096, 8192))
    ),
    "VMFS": Superblock("a VMFS file system", ((1 << 20, b"\x0d\xd0\x01\xc0"),)),
    "ubifs": Superblock("a UBIFS file system", ((0, b"\x31\x18\x10\x06"),), 108),
    "ubi": Superblock("a UBI image", ((0, b"UBI#"),)),
    "jffs2": Superblock("a JFFS2 file system", ((0, b"\x85\x19"),), check=_is_jffs2),
    "DM_verity_hash": Superblock("a hash tree of dm-verity", ((0, b"verity\0\0"),), 16),
    "DM_integrity": Superblock("a volume of dm-integrity", ((0, b"integrt\0"),)),
    "stratis": Superblock("a device of a Stratis pool", ((528, b"!Stra0tis\x86\xff\x02^\x41rh"),)),
    "vdo": Superblock("a VDO volume", ((0, b"dmvdo001"),)),
}
"""File systems and volumes, by their type in blkid."""

FILES: Mapping[str, Superblock] = {
    "rpm": Superblock("an RPM package", ((0, b"\xed\xab\xee\xdb"),)),
    "deb": Superblock("a Debian package", ((8, b"debian-binary"),)),
    "ar": Superblock("an ar archive", ((0, b"!<arch>\n"),)),
    "zip": Superblock("a ZIP archive", ((0, b"PK\3\4"), (0, b"PK\5\6"))),
    "7z": Superblock("a 7z archive", ((0, b"7z\xbc\xaf\x27\x1c"),)),
    "wim": Superblock("a WIM archive", ((0, b"MSWIM\0\0\0"),)),
    "elf": Superblock("a program or library (ELF)", ((0, b"\x7fELF"),)),
    "pe": Superblock("a program of EFI or Windows (PE)", ((0, b"MZ"),)),
}
"""Files that are not images of disks, by name."""


def find_filesystem(window: Window) -> tuple[Superblock, Volume] | None:
    """Return the file system in a window, and facts about it; ``None`` if there is none of them."""
    for kind, block in FILESYSTEMS.items():
        if _matches(window, block):
            return block, _volume(window, kind, block)
    return None


def find_file(window: Window) -> Superblock | None:
    """Return the kind of a file that is not an image of a disk."""
    return next((block for block in FILES.values() if _matches(window, block)), None)


def _matches(window: Window, block: Superblock) -> bool:
    if not any(window.peek(at, len(magic)) == magic for at, magic in block.magics):
        return False
    with suppress(struct.error, LookupError):  # the window is too short
        return block.check(window)
    return False


def _volume(window: Window, kind: str, block: Superblock) -> Volume:
    own = label = ""
    if block.uuid is not None:
        data = window.peek(block.uuid, 16)
        own = str(uuid.UUID(bytes=data)) if len(data) == 16 and data.strip(b"\0") else ""
    elif kind == "exfat":
        serial = window.peek(100, 4)[::-1].hex().upper()
        own = f"{serial[:4]}-{serial[4:]}"
    if block.label is not None:
        label = window.peek(*block.label).decode(block.encoding, "replace").split("\0")[0]
    return Volume(kind, label, own, window.size, window.size)
