"""Which firmware starts an image: a BIOS, EFI, or either."""

from __future__ import annotations

from kiwinb.description.model import ImageDescription

X86 = ("x86_64", "i386", "i486", "i586", "i686", "ix86")
"""Architectures whose machines have a BIOS."""

EFI_FIRMWARE = ("efi", "uefi")
BIOS_FIRMWARE = ("bios",)


def uses_efi(image: ImageDescription) -> bool:
    """Whether the firmware is EFI; where the description does not say, machines decide."""
    default = BIOS_FIRMWARE[0] if image.arch in X86 else EFI_FIRMWARE[0]
    return (image.type.firmware or default) in EFI_FIRMWARE


def uses_bios(image: ImageDescription) -> bool:
    """Whether a PC's BIOS can boot it: alone, or beside EFI unless ``eficsm`` is false."""
    if image.arch not in X86:
        return False
    return not uses_efi(image) or image.type.eficsm is not False
