"""Recognise what cannot be opened: swap areas, encrypted volumes, LVM, RAID, and others."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

from kiwinb.inspect.formats.indexed import Volume
from kiwinb.inspect.formats.superblocks import find_filesystem
from kiwinb.inspect.formats.window import Window


@dataclass(frozen=True)
class Signature:
    """A kind of volume that is recognised by its magic number, but not opened.

    Attributes:
        what: Description with an article.
        remedy: What the user can do to see the files.
        volume: Function that returns facts about a volume, or ``None`` for another kind.
    """

    what: str
    remedy: str
    volume: Callable[[Window], Volume | None]


def _swap(window: Window) -> Volume | None:
    for page in (4096, 8192, 16384, 65536):
        if window.peek(page - 10, 10) in (b"SWAPSPACE2", b"SWAP-SPACE"):
            header = window.peek(1024, 44)
            (last,) = struct.unpack_from("<I", header, 4)
            label = header[28:44].split(b"\0")[0].decode("utf-8", "replace")
            size = (last + 1) * page
            return Volume("swap", label, str(uuid.UUID(bytes=header[12:28])), size, page)
    return None


def _luks(window: Window) -> Volume | None:
    if window.peek(0, 6) != b"LUKS\xba\xbe":
        return None
    own = window.peek(168, 40).split(b"\0")[0].decode("ascii", "replace")
    label = b""
    if window.peek(6, 2) == b"\0\2":
        label = window.peek(24, 48).split(b"\0")[0]
    return Volume("crypto_LUKS", label.decode("utf-8", "replace"), own, window.size, window.size)


def _lvm(window: Window) -> Volume | None:
    for sector in range(4):
        label = window.peek(sector * 512, 64)
        if label[:8] == b"LABELONE" and label[24:32] == b"LVM2 001":
            own = label[32:64].decode("ascii", "replace")
            cuts = (0, 6, 10, 14, 18, 22, 26, 32)
            parts = [own[a:b] for a, b in pairwise(cuts)]
            return Volume("LVM2_member", "", "-".join(parts), window.size, window.size)
    return None


def _raid(window: Window) -> Volume | None:
    for at in (0, 4096, (window.size // 512 - 16 & ~7) * 512):
        header = window.peek(at, 64)
        if header[:4] == b"\xfc\x4e\x2b\xa9":
            own = str(uuid.UUID(bytes=header[16:32]))
            label = header[32:64].split(b"\0")[0].decode("utf-8", "replace")
            return Volume("linux_raid_member", label, own, window.size, window.size)
    return None


def _bitlocker(window: Window) -> Volume | None:
    if window.peek(3, 8) == b"-FVE-FS-":
        return Volume("BitLocker", "", "", window.size, window.size)
    return None


def _ntfs(window: Window) -> Volume | None:
    if window.peek(3, 8) != b"NTFS    ":
        return None
    (serial,) = struct.unpack("<Q", window.peek(72, 8))
    return Volume("ntfs", "", f"{serial:016X}", window.size, window.size)


_MOUNT = (
    "kiwinb cannot open it. If the kernel of the host can, mount it as root (mount -o ro,loop), "
    "and open the directory."
)
_UNLOCK = (
    "Unlock it with its key as root (cryptsetup open) and open what appears under /dev/mapper."
)

SIGNATURES: Mapping[str, Signature] = {
    "swap": Signature("a swap area", "It holds no files.", _swap),
    "luks": Signature("an encrypted volume (LUKS)", _UNLOCK, _luks),
    "bitlocker": Signature("an encrypted volume (BitLocker)", _UNLOCK, _bitlocker),
    "lvm": Signature(
        "a physical volume of LVM",
        "Activate it as root (losetup, vgchange -ay) and open its logical volumes.",
        _lvm,
    ),
    "raid": Signature(
        "a member of a RAID array",
        "Assemble the array as root (mdadm --assemble) and open that.",
        _raid,
    ),
    "ntfs": Signature("an NTFS file system", _MOUNT, _ntfs),
}
"""Kinds of volumes, by name."""


def identify(window: Window) -> tuple[Signature, Volume] | None:
    """Return the kind of a volume and facts about it; ``None`` if none of the kinds matches.

    Some magic numbers are short. Try to open the volume before, unless :func:`locked` is true.
    """
    if found := locked(window):
        return found
    named = find_filesystem(window)
    if named is None:
        return None
    block, volume = named
    return Signature(block.what, _MOUNT, lambda _window: volume), volume


def locked(window: Window) -> tuple[Signature, Volume] | None:
    """Return the same as :func:`identify` for volumes that no file system can be taken for."""
    for signature in SIGNATURES.values():
        with suppress(struct.error, ValueError):  # the window is too short
            volume = signature.volume(window)
            if volume is not None:
                return signature, volume
    return None
