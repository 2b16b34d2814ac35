"""Checks of the initrd: the program that makes it, and the packages that it needs.

KIWI NG's own initrd needs a description of a boot image. An initrd by dracut needs packages with
dracut modules for KIWI NG's work at boot, or other packages that do the same.
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
    """Only KIWI NG's own initrd uses a boot image."""
    system = _initrd_system(subject)
    if subject.image.type.attributes.get("boot") and system != "kiwi":
        yield Problem(
            f"the type has a boot image, but its initrd is made by "
            f"{system or 'a tool of the root tree'}",
            'Remove boot, or set initrd_system="kiwi".',
            subject.type,
        )


def boot_description_exists(subject: Subject) -> Iterator[Problem]:
    """KIWI NG's own initrd is built from a separate description."""
    if _initrd_system(subject) != "kiwi":
        return
    boot = subject.image.type.attributes.get("boot")
    if not boot:
        yield Problem(
            'initrd_system="kiwi" needs a boot image, but the type names none',
            'Name it: boot="DIRECTORY", or take initrd_system="dracut".',
            subject.type,
        )
    elif subject.boot_image is None:
        yield Problem(
            f"the boot image {boot} does not exist, or is not a valid description",
            f"Put its description into {subject.image.directory / boot}, or take "
            'initrd_system="dracut".',
            subject.type,
        )


def consistent_kernel_in_boot_and_system_image(subject: Subject) -> Iterator[Problem]:
    """The kernel that boots needs its modules in the system."""
    if subject.boot_image is None or _initrd_system(subject) != "kiwi":
        return
    packages = subject.boot_image.packages
    for name in dict.fromkeys((*packages.bootstrap.packages, *packages.image.packages)):
        if name.startswith(_KERNEL) and name not in subject.packages:
            yield Problem(
                f"the boot image has the kernel {name}, but the image does not",
                f"Add {name} to <packages>, or use the image's kernel in the boot image.",
                subject.at("packages", type="image"),
            )


def dracut_module_for_oem_install_in_package_list(subject: Subject) -> Iterator[Problem]:
    """A dracut initrd on the installation medium writes the disk image."""
    attributes = subject.image.type.attributes
    wanted = ("installiso", "installstick", "installpxe")
    asked = [name for name in wanted if attributes.get(name) == "true"]
    if subject.is_a("disk") and asked:
        yield from _need(subject, _INSTALL, f"an installation medium ({asked[0]})")


def dracut_module_for_disk_oem_in_package_list(subject: Subject) -> Iterator[Problem]:
    """The image has to grow its root file system at the first boot.

    kiwinb uses a systemd service for that, and KIWI NG a dracut module.
    """
    kind = subject.image.type
    if subject.is_a("disk") and kind.oemconfig.resize is not False:
        yield from _need(subject, _GROW, "growing the disk at the first boot")


def dracut_module_for_live_iso_in_package_list(subject: Subject) -> Iterator[Problem]:
    """The initrd finds and mounts a live system; dracut's own module does so for dmsquash."""
    kind = subject.image.type
    if kind.image == "iso" and kind.attributes.get("flags") != "dmsquash":
        yield from _need(subject, _LIVE, "a live ISO")


def dracut_module_for_disk_overlay_in_package_list(subject: Subject) -> Iterator[Problem]:
    """The initrd adds a writable layer to a read-only root file system."""
    kind = subject.image.type
    if subject.is_a("disk") and kind.attributes.get("overlayroot") == "true":
        yield from _need(subject, _OVERLAY, 'overlayroot="true"')


def _initrd_system(subject: Subject) -> str | None:
    """What makes the initrd: the attribute, or KIWI NG's choice; ``None`` is the tree's tool."""
    kind = subject.image.type
    if kind.image == "iso":
        return "dracut"
    return kind.initrd_system or ("kiwi" if kind.image == "pxe" else None)


def _need(subject: Subject, packages: tuple[str, ...], what: str) -> Iterator[Problem]:
    """Yield a problem if dracut makes the initrd and none of the packages is installed."""
    image = subject.image
    system = _initrd_system(subject)
    by_dracut = system == "dracut" or (system is None and "dracut" in subject.packages)
    given = (image.packages.bootstrap, image.packages.image)
    grouped = any(item.collections or item.products for item in given)  # may include anything
    if by_dracut and not grouped and subject.packages.isdisjoint(packages):
        yield Problem(
            f"{what} needs one of these packages for its initrd: {', '.join(packages)}",
            f'Add {packages[0]} to <packages type="image">.',
            subject.at("packages", type="image"),
        )
