"""Checks of ISO images and installation media."""

from __future__ import annotations

from collections.abc import Iterator

from kiwinb.checks.problem import Problem, Subject
from kiwinb.storage.firmware import uses_efi

MOST_EFI_FAT_MIB = 31
"""El Torito can load at most 65535 sectors of 512 bytes, which are 31.99 MiB."""

_TAGGERS = ("tagmedia", "implantisomd5")
_GPT_SINCE = (6, 6)
"""First version of tagmedia that supports GPTs."""


def efi_fat_image_has_correct_size(subject: Subject) -> Iterator[Problem]:
    """The firmware loads the FAT image of an ISO image through El Torito, which limits its size."""
    size = int(subject.image.type.attributes.get("efifatimagesize", "0"))
    if size > MOST_EFI_FAT_MIB:
        yield Problem(
            f"efifatimagesize is {size} MiB, but El Torito can load only {MOST_EFI_FAT_MIB} MiB",
            f"Set it to {MOST_EFI_FAT_MIB} or less.",
            subject.type,
        )


def mediacheck_installed(subject: Subject) -> Iterator[Problem]:
    """A tool of this host has to write the checksum with which the medium checks itself."""
    if _checks_media(subject) and len(subject.host.missing(_TAGGERS)) == len(_TAGGERS):
        yield Problem(
            "mediacheck needs a tool that writes checksums into an ISO image, but this host has "
            f"none: {' or '.join(_TAGGERS)}",
            "Install one: sudo apt-get install isomd5sum, or remove mediacheck.",
            subject.type,
        )


def checkmedia_used_with_msdos_table(subject: Subject) -> Iterator[Problem]:
    """A tagmedia without support for GPTs mistakes the protective MBR for the partition table."""
    image, host = subject.image, subject.host
    if (
        _checks_media(subject)
        and "implantisomd5" not in host.tools
        and host.tagmedia is not None
        and host.tagmedia < _GPT_SINCE
        and uses_efi(image)
        and image.type.efiparttable != "msdos"
    ):
        yield Problem(
            "the tagmedia of this host cannot write the checksum of a medium with a GPT",
            'Set efiparttable="msdos", or install tagmedia 6.6 or newer.',
            subject.type,
        )


def _checks_media(subject: Subject) -> bool:
    kind = subject.image.type
    makes_iso = kind.image == "iso" or kind.attributes.get("installiso") == "true"
    return makes_iso and kind.attributes.get("mediacheck") == "true"
