"""Install GRUB for a BIOS into a disk image, as ``grub-install`` does to a disk.

The places in the two images are those that GRUB's own sources document in
``include/grub/i386/pc/boot.h``: the master boot record carries ``boot.img`` and
says in which sector ``core.img`` starts; the first sector of ``core.img`` says
where the rest of it is.
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
    """GRUB's boot code as bytes for places of a disk; what the table and others have there stays.

    Args:
        boot: GRUB's ``boot.img``.
        core: GRUB's ``core.img``.
        room: Where the core goes.

    Raises:
        ImageError: The core does not fit, or one of the two is not what it should be.
    """
    needed = -(-len(core) // SECTOR)
    if needed > room.count:
        raise ImageError(
            f"GRUB's core has {needed} sectors, and there are {room.count} for it",
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
    """``boot.img`` with the partition table of a record, starting the core at a sector."""
    if len(boot) != SECTOR or boot[-2:] != _SIGNATURE:
        raise ImageError("GRUB's boot.img is not a boot sector")
    made = bytearray(boot)
    made[_BIOS_PARAMETERS] = record[_BIOS_PARAMETERS]
    made[_TABLE] = record[_TABLE]
    struct.pack_into("<Q", made, _CORE_SECTOR, sector)
    # The drive that the BIOS names is right for a hard disk.
    made[_DRIVE_CHECK : _DRIVE_CHECK + 2] = _NO_OPERATIONS
    return bytes(made)


def placed_core(core: bytes, sector: int) -> bytes:
    """``core.img`` whose block list says that all of it lies from a sector on."""
    made = bytearray(core + bytes(-len(core) % SECTOR))
    rest = len(made) // SECTOR - 1
    _start, _length, segment = struct.unpack_from("<QHH", made, _BLOCK_LIST)
    if segment != _REST_SEGMENT or rest < 1:
        raise ImageError("GRUB's core.img does not start with a block list")
    struct.pack_into("<QHH", made, _BLOCK_LIST, sector + 1, rest, segment)
    return bytes(made)
