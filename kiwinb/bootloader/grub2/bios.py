"""Install GRUB for BIOS firmware into a disk image, as ``grub-install`` does on a disk.

The master boot record holds ``boot.img`` and the number of the sector where ``core.img`` starts.
The first sector of ``core.img`` says where its other sectors are. GRUB's source file
``include/grub/i386/pc/boot.h`` documents the offsets in both images.
"""

from __future__ import annotations

import struct

from kiwinb.bootloader.target import CoreRoom
from kiwinb.errors import ImageError
from kiwinb.storage.patches import Patch

SECTOR = 512

_BIOS_PARAMETERS = slice(0x03, 0x5A)
_CORE_SECTOR = 0x5C
_DRIVE_CHECK = 0x66
_TABLE = slice(0x1B8, 0x1FE)
_SIGNATURE = b"\x55\xaa"
_NO_OPERATIONS = b"\x90\x90"
_BLOCK_LIST = SECTOR - 12
_REST_SEGMENT = 0x820


def patches(*, boot: bytes, core: bytes, room: CoreRoom) -> tuple[Patch, ...]:
    """Return GRUB's boot code as patches, which leave the partition table untouched.

    Args:
        boot: GRUB's ``boot.img``.
        core: GRUB's ``core.img``.
        room: Sectors for the core.

    Raises:
        ImageError: The core does not fit, or one of the two files is not a valid image.
    """
    needed = -(-len(core) // SECTOR)
    if needed > room.count:
        raise ImageError(
            f"GRUB's core has {needed} sectors, but there is room for only {room.count}",
            remedy="start the first partition later: disk_start_sector",
        )
    record = master_boot_record(bytes(SECTOR), boot, room.sector)
    ours = (slice(0, _BIOS_PARAMETERS.start), slice(_BIOS_PARAMETERS.stop, _TABLE.start))
    return (
        *(Patch(place.start, record[place]) for place in ours),
        Patch(_TABLE.stop, record[_TABLE.stop :]),
        Patch(room.sector * SECTOR, placed_core(core, room.sector)),
    )


def master_boot_record(record: bytes, boot: bytes, sector: int) -> bytes:
    """Build a master boot record from ``boot.img`` and the partition table of another record.

    Args:
        record: The record that the partition table is taken from.
        boot: GRUB's ``boot.img``.
        sector: First sector of the core.

    Raises:
        ImageError: ``boot`` is not a boot sector.
    """
    if len(boot) != SECTOR or boot[-2:] != _SIGNATURE:
        raise ImageError("GRUB's boot.img is not a boot sector")
    made = bytearray(boot)
    made[_BIOS_PARAMETERS] = record[_BIOS_PARAMETERS]
    made[_TABLE] = record[_TABLE]
    struct.pack_into("<Q", made, _CORE_SECTOR, sector)
    # For a hard disk, the drive number that the BIOS passes is right: skip GRUB's check of it.
    made[_DRIVE_CHECK : _DRIVE_CHECK + 2] = _NO_OPERATIONS
    return bytes(made)


def placed_core(core: bytes, sector: int) -> bytes:
    """Set the block list of ``core.img`` for a core that lies in one piece from a sector on.

    Raises:
        ImageError: ``core`` does not start with a block list.
    """
    made = bytearray(core + bytes(-len(core) % SECTOR))
    rest = len(made) // SECTOR - 1
    _start, _length, segment = struct.unpack_from("<QHH", made, _BLOCK_LIST)
    if segment != _REST_SEGMENT or rest < 1:
        raise ImageError("GRUB's core.img does not start with a block list")
    struct.pack_into("<QHH", made, _BLOCK_LIST, sector + 1, rest, segment)
    return bytes(made)
