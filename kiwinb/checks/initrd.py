"""Checks of the initrd: which system makes it, and what that needs from the packages.

KIWI NG's own initrd needs a boot image description. The dracut one needs, for what KIWI NG does
at boot, packages with dracut modules; other packages that do the same are as good.
"""

from __future__ import annotations

from collections.abc import Iterator

from kiwinb.checks.problem import Problem, Subject

_KERNEL = ("kernel", "linux-image", "linux")

_INSTALL = ("dracut-kiwi-oem-dump",)
_GROW = ("dracut-kiwi-oem-repart", "systemd", "systemd-sysv", "init")
_LIVE = ("dracut-kiwi-live", "dracut-live")
_OVERLAY = ("dracut-kiwi-overlay",)


def initrd_selection_required(subject: Subject) -> Iterator[Problem]:
    """A boot image is of use for KIWI NG's own initrd only."""
    kind = subject.image.type
    if kind.attributes.get("boot") and kind.initrd_system != "kiwi":
        yield Problem(
            f"the type has a boot image, but its initrd is made by "
            f"{kind.initrd_system or 'what the root tree has'}",
            'Remove boot, or set initrd_system="kiwi".',
            subject.type,
        )


def boot_description_exists(subject: Subject) -> Iterator[Problem]:
    """KIWI NG's own initrd is built from a description of its own."""
    kind = subject.image.type
    if kind.initrd_system != "kiwi":
        return
    boot = kind.attributes.get("boot")
    if not boot:
        yield Problem(
            'initrd_system="kiwi" needs a boot image, and the type names none',
            'Name it: boot="DIRECTORY", or take initrd_system="dracut".',
            subject.type,
        )
    elif subject.boot_image is None:
        yield Problem(
            f"the boot image {boot} is not there, or is no valid description",
            f"Put its description into {subject.image.directory / boot}, or take "
            'initrd_system="dracut".',
            subject.type,
        )


def consistent_kernel_in_boot_and_system_image(subject: Subject) -> Iterator[Problem]:
    """The kernel that boots finds its modules in the system."""
    if subject.boot_image is None or subject.image.type.initrd_system != "kiwi":
        return
    packages = subject.boot_image.packages
    for name in dict.fromkeys((*packages.bootstrap.packages, *packages.image.packages)):
        if name.startswith(_KERNEL) and name not in subject.packages:
            yield Problem(
                f"the boot image has the kernel {name}, and the image has not",
                f"Add {name} to <packages>, or have the boot image take the image's kernel.",
                subject.at("packages", type="image"),
            )


def dracut_module_for_oem_install_in_package_list(subject: Subject) -> Iterator[Problem]:
    """Installation media write the disk image from a dracut initrd."""
    attributes = subject.image.type.attributes
    wanted = ("installiso", "installstick", "installpxe")
    asked = [name for name in wanted if attributes.get(name) == "true"]
    if subject.is_a("disk") and asked:
        yield from _need(subject, _INSTALL, f"an installation medium ({asked[0]})")


def dracut_module_for_disk_oem_in_package_list(subject: Subject) -> Iterator[Problem]:
    """Something in the image grows the root file system at the first boot.

    kiwinb does it with a systemd service, KIWI NG with a dracut module.
    """
    kind = subject.image.type
    if subject.is_a("disk") and kind.oemconfig.resize is not False:
        yield from _need(subject, _GROW, "growing the disk at the first boot")


def dracut_module_for_live_iso_in_package_list(subject: Subject) -> Iterator[Problem]:
    """A live system is found and mounted by its initrd."""
    if subject.image.type.image == "iso":
        yield from _need(subject, _LIVE, "a live ISO")


def dracut_module_for_disk_overlay_in_package_list(subject: Subject) -> Iterator[Problem]:
    """The initrd puts a writable layer over a read-only root."""
    kind = subject.image.type
    if subject.is_a("disk") and kind.attributes.get("overlayroot") == "true":
        yield from _need(subject, _OVERLAY, 'overlayroot="true"')


def _need(subject: Subject, packages: tuple[str, ...], what: str) -> Iterator[Problem]:
    """A problem when dracut makes the initrd and no package brings what it needs."""
    image = subject.image
    by_dracut = image.type.initrd_system == "dracut" or (
        image.type.initrd_system is None and "dracut" in subject.packages
    )
    given = (image.packages.bootstrap, image.packages.image)
    grouped = any(item.collections or item.products for item in given)  # may bring anything
    if by_dracut and not grouped and subject.packages.isdisjoint(packages):
        yield Problem(
            f"{what} needs one of these packages for its initrd: {', '.join(packages)}",
            f'Add {packages[0]} to <packages type="image">.',
            subject.at("packages", type="image"),
        )
