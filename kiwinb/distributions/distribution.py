"""What is true of a distribution, as one frozen record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class CertificateStore:
    """Where CA certificates are added.

    Attributes:
        directory: Directory of the tree that they are put into.
        command: Updates the store from there, in the tree.
    """

    directory: str
    command: str


@dataclass(frozen=True)
class Packages:
    """Names of the packages that bring what messages ask a user to add.

    Attributes:
        kernel: A kernel.
        dracut: The initrd generator dracut.
        initrd: The distribution's own initrd generator.
        users: ``useradd``.
        timezones: ``/usr/share/zoneinfo``.
        locales: Locales, or the tool that makes them.
        fdisk: ``sfdisk``.
        util_linux: ``partx`` and ``findmnt``.
        systemd: systemd as init.
        emulator: QEMU's user mode emulation, for a host of this distribution. ``{name}`` stands
            for what QEMU calls the emulated machine, ``{family}`` for the family of it.
    """

    kernel: str
    dracut: str
    initrd: str
    users: str
    timezones: str
    locales: str
    fdisk: str
    util_linux: str
    systemd: str = "systemd"
    emulator: str = "qemu-user-static"


@dataclass(frozen=True)
class Distribution:
    """One distribution, or a family of them; registered in ``kiwinb.distributions``.

    Attributes:
        name: Its name; ``target_distribution`` of a description may be that or an alias.
        ids: What ``ID`` of os-release(5) says; what derives from it names one in ``ID_LIKE``.
        managers: Names of the package managers that it may be installed with.
        certificates: Its store of CA certificates.
        packages: Names of packages, for messages.
        kernels: Names of kernels in ``/boot``; ``{}`` stands for the version.
        initrds: Names of initrds in ``/boot``, that which is made first.
        grub_directory: Where GRUB has its configuration and modules.
        grub_prefix: What the names of GRUB's tools start with: ``grub-`` or ``grub2-``.
        efi_vendors: Directory of the EFI system partition that the signed loaders look into, by
            ``ID``; that of an ``ID`` which is not listed is the ``ID`` itself.
        keyrings: Names of the files that hold its archive keys, without suffix.
        mirrors: Aliases of mirrors that hold it.
        aliases: Other names in descriptions.
        merged_usr: ``/bin``, ``/sbin`` and ``/lib`` are links to ``/usr`` in its current releases.
        revision: See :class:`~kiwinb.steps.registry.Plugin`.
    """

    name: str
    ids: tuple[str, ...]
    managers: tuple[str, ...]
    certificates: CertificateStore
    packages: Packages
    kernels: tuple[str, ...]
    initrds: tuple[str, ...]
    grub_directory: str
    grub_prefix: str
    efi_vendors: Mapping[str, str] = field(default_factory=dict)
    keyrings: tuple[str, ...] = ()
    mirrors: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    merged_usr: bool = True
    revision: int = 1

    def initrd_name(self, version: str) -> str:
        """Name of the initrd that is made for a kernel, in ``/boot``."""
        return self.initrds[0].format(version)

    def kernel_version(self, name: str) -> str | None:
        """The version of a kernel, by the kernel's name in ``/boot``; ``None`` if it is none."""
        for form in self.kernels:
            before, _, after = form.partition("{}")
            version = name.removeprefix(before).removesuffix(after)
            if version and name == form.format(version):
                return version
        return None

    def efi_vendor(self, id: str) -> str:
        """The directory of the EFI system partition that the distribution's loaders look into.

        Args:
            id: What ``ID`` of os-release(5) says.
        """
        return self.efi_vendors.get(id, id)
