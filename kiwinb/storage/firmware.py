"""Find out which firmware starts an image: BIOS, EFI, or either."""

from __future__ import annotations

from kiwinb.description.model import ImageDescription

X86 = ("x86_64", "i386", "i486", "i586", "i686", "ix86")
"""Architectures whose machines have BIOS firmware."""

EFI_FIRMWARE = ("efi", "uefi")
BIOS_FIRMWARE = ("bios",)


def uses_efi(image: ImageDescription) -> bool:
    """Tell whether EFI firmware boots the image.

    By default, BIOS firmware boots images for x86, and EFI firmware all others.
    """
    default = BIOS_FIRMWARE[0] if image.arch in X86 else EFI_FIRMWARE[0]
    return (image.type.firmware or default) in EFI_FIRMWARE


def uses_bios(image: ImageDescription) -> bool:
    """Tell whether BIOS firmware can boot the image, alone or in addition to EFI firmware.

    An EFI image for x86 can also be booted by BIOS firmware unless ``eficsm`` is false.
    """
    if image.arch not in X86:
        return False
    return not uses_efi(image) or image.type.eficsm is not False
