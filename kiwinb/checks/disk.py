"""Checks of disks and their encryption."""

from __future__ import annotations

from collections.abc import Iterator

from kiwinb.checks.problem import Problem, Subject
from kiwinb.storage.layout import partition_table


def partuuid_persistency_type_used_with_mbr(subject: Subject) -> Iterator[Problem]:
    """Only in a GPT do partitions have their own UUIDs."""
    image = subject.image
    if (
        subject.is_a("disk")
        and image.type.devicepersistency == "by-partuuid"
        and partition_table(image) == "msdos"
    ):
        yield Problem(
            "devicepersistency by-partuuid needs a GPT, but this disk has an MBR",
            'Take by-uuid or by-label, or set efiparttable="gpt".',
            subject.type,
        )


def luksformat_options_valid(subject: Subject) -> Iterator[Problem]:
    """``cryptsetup`` would reject unknown options in ``<luksformat>`` only late in the build."""
    known = subject.host.luks_options
    for option in subject.image.type.luksformat:
        name = option.name.partition("=")[0]
        place = subject.at("preferences/type/luksformat/option", name=option.name)
        if not name.startswith("-"):
            yield Problem(
                f"{option.name} is not an option of cryptsetup luksFormat",
                "Write it with its dashes, for example --cipher.",
                place,
            )
        elif known is not None and name not in known:
            yield Problem(
                f"the cryptsetup of this host has no option {name}",
                "`cryptsetup --help` lists its options.",
                place,
            )
