"""Checks of the volume setup, ``<systemdisk>``."""

from __future__ import annotations

from collections.abc import Iterator

from kiwinb.checks.problem import Problem, Subject
from kiwinb.description.model import Volume
from kiwinb.errors import Location
from kiwinb.storage.volumes import uses_lvm

RESERVED_LABELS = ("ROOT", "BOOT", "SWAP", "EFI", "SPARE")
"""Labels of file systems that kiwinb itself may make on a disk."""

_ROOT_VOLUME = "@root"
_PATH = "preferences/type/systemdisk/volume"


def volume_label_used_with_lvm(subject: Subject) -> Iterator[Problem]:
    """Only a logical volume has its own file system, and so its own label."""
    if not uses_lvm(subject.image):
        for volume in _volumes(subject):
            if volume.label:
                yield Problem(
                    f"the volume {volume.name} has a label, but subvolumes have none",
                    'Remove label, or set preferlvm="true".',
                    _at(subject, volume),
                )


def volume_setup_defines_reserved_labels(subject: Subject) -> Iterator[Problem]:
    """Two file systems must not have the same label."""
    for volume in _volumes(subject):
        if volume.label and volume.label.upper() in RESERVED_LABELS:
            yield Problem(
                f"the label {volume.label} of the volume {volume.name} is taken",
                f"Choose a label other than {', '.join(RESERVED_LABELS)}.",
                _at(subject, volume),
            )


def volume_setup_defines_multiple_fullsize_volumes(subject: Subject) -> Iterator[Problem]:
    """Only one volume can take all the remaining space."""
    greedy = [item for item in _volumes(subject) if "all" in (item.size, item.freespace)]
    for volume in greedy[1:]:
        yield Problem(
            f"the volume {volume.name} is to take all the remaining space, but so is "
            f"{greedy[0].name}",
            "Give all but one of them a size.",
            _at(subject, volume),
        )


def volume_setup_has_no_root_definition(subject: Subject) -> Iterator[Problem]:
    """The root volume needs a special name."""
    for volume in _volumes(subject):
        names_root = volume.name == "/" or (
            volume.mountpoint == "/" and not volume.name.startswith(_ROOT_VOLUME)
        )
        if names_root:
            yield Problem(
                f"the volume {volume.name} is the root file system",
                f'Set name="{_ROOT_VOLUME}" or name="{_ROOT_VOLUME}=NAME", without a mountpoint.',
                _at(subject, volume),
            )


def swap_name_used_with_lvm(subject: Subject) -> Iterator[Problem]:
    """Only a logical volume for swap space can be given a name."""
    if subject.image.type.oemconfig.swapname and not uses_lvm(subject.image):
        yield Problem(
            "the swap space is a partition, which cannot have an oem-swapname",
            'Remove <oem-swapname>, or set <systemdisk preferlvm="true">.',
            subject.at("preferences/type/oemconfig/oem-swapname"),
        )


def _volumes(subject: Subject) -> tuple[Volume, ...]:
    disk = subject.image.type.systemdisk
    return disk.volumes if disk else ()


def _at(subject: Subject, volume: Volume) -> Location:
    return subject.at(_PATH, name=volume.name)
