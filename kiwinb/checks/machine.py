"""Checks of bootloaders and of virtual machines."""

from __future__ import annotations

from collections.abc import Iterator

from kiwinb.bootloader import BOOTLOADERS
from kiwinb.checks.problem import Problem, Subject


def bootloader_env_compatible_with_loader(subject: Subject) -> Iterator[Problem]:
    """Not every bootloader stores variables."""
    loader = subject.image.type.bootloader
    maker = BOOTLOADERS.get(loader.name) if loader else None
    if loader and loader.settings.environment and maker and not maker.keeps_environment:
        keepers = BOOTLOADERS.where(lambda item: item.keeps_environment)
        yield Problem(
            f"the bootloader {loader.name} has no environment",
            f"Remove <environment>, or take one of: {', '.join(keepers)}.",
            subject.at("preferences/type/bootloader/bootloadersettings/environment"),
        )


def xen_uniquely_setup_as_server_or_guest(subject: Subject) -> Iterator[Problem]:
    """A system can be a Xen server or a Xen guest, but not both."""
    kind = subject.image.type
    guest = (
        'firmware="ec2"'
        if kind.firmware == "ec2"
        else "xen_loader"
        if kind.machine and kind.machine.attributes.get("xen_loader")
        else None
    )
    if kind.attributes.get("xen_server") == "true" and guest:
        yield Problem(
            f"the image is a Xen server by xen_server, and a Xen guest by {guest}",
            "Remove one of them.",
            subject.type,
        )
