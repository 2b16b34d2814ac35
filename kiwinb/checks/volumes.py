"""Checks of the volume setup, ``<systemdisk>``."""

from __future__ import annotations

from collections.abc import Iterator

from kiwinb.checks.problem import Problem, Subject
from kiwinb.description.model import Volume
from kiwinb.errors import Location
from kiwinb.storage.filesystem import FILESYSTEMS

RESERVED_LABELS = ("ROOT", "BOOT", "SWAP", "EFI", "SPARE")
"""Labels of the file systems that a disk has anyway."""

_ROOT_VOLUME = "@root"
_PATH = "preferences/type/systemdisk/volume"


def volume_label_used_with_lvm(subject: Subject) -> Iterator[Problem]:
    """Only a logical volume has a file system, and so a label, of its own."""
    if not _uses_lvm(subject):
        for volume in _volumes(subject):
            if volume.label:
                yield Problem(
                    f"the volume {volume.name} has a label, but subvolumes have none",
                    'Remove label, or set preferlvm="true".',
                    _at(subject, volume),
                )


def volume_setup_defines_reserved_labels(subject: Subject) -> Iterator[Problem]:
    """Two file systems of one label cannot be told apart."""
    for volume in _volumes(subject):
        if volume.label and volume.label.upper() in RESERVED_LABELS:
            yield Problem(
                f"the label {volume.label} of the volume {volume.name} is taken",
                f"Choose another one than {', '.join(RESERVED_LABELS)}.",
                _at(subject, volume),
            )


def volume_setup_defines_multiple_fullsize_volumes(subject: Subject) -> Iterator[Problem]:
    """Only one volume can take all that is left."""
    greedy = [item for item in _volumes(subject) if "all" in (item.size, item.freespace)]
    for volume in greedy[1:]:
        yield Problem(
            f"the volume {volume.name} is to take all the space that is left, as "
            f"{greedy[0].name} does",
            "Give all but one of them a size.",
            _at(subject, volume),
        )


def volume_setup_has_no_root_definition(subject: Subject) -> Iterator[Problem]:
    """The root volume has a name of its own."""
    for volume in _volumes(subject):
        names_root = volume.name == "/" or (
            volume.mountpoint == "/" and not volume.name.startswith(_ROOT_VOLUME)
        )
        if names_root:
            yield Problem(
                f"the volume {volume.name} is the root file system",
                f'Call it name="{_ROOT_VOLUME}", or {_ROOT_VOLUME}=NAME; without a mountpoint.',
                _at(subject, volume),
            )


def swap_name_used_with_lvm(subject: Subject) -> Iterator[Problem]:
    """The name of the swap space is that of its logical volume."""
    if subject.image.type.oemconfig.swapname and not _uses_lvm(subject):
        yield Problem(
            "the swap space is a partition, which takes no oem-swapname",
            'Remove <oem-swapname>, or set <systemdisk preferlvm="true">.',
            subject.at("preferences/type/oemconfig/oem-swapname"),
        )


def _volumes(subject: Subject) -> tuple[Volume, ...]:
    disk = subject.image.type.systemdisk
    return disk.volumes if disk else ()


def _uses_lvm(subject: Subject) -> bool:
    """Volumes are logical ones unless the file system has subvolumes and these are not unwanted."""
    disk = subject.image.type.systemdisk
    root = FILESYSTEMS.get(subject.image.type.filesystem or "")
    return disk is not None and (disk.preferlvm or root is None or not root.subvolumes)


def _at(subject: Subject, volume: Volume) -> Location:
    return subject.at(_PATH, name=volume.name)
