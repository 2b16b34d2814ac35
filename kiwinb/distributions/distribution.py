"""Facts about a distribution, as a frozen record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class CertificateStore:
    """A store of CA certificates.

    Attributes:
        directory: Directory of the tree to add certificates to.
        command: Command in the tree that updates the store from this directory.
    """

    directory: str
    command: str


@dataclass(frozen=True)
class Packages:
    """Names of packages that messages suggest to users.

    Attributes:
        kernel: Package with a kernel.
        dracut: Package with dracut.
        initrd: Package with the distribution's own initrd generator, if kiwinb can use it.
        users: Package with ``useradd``.
        timezones: Package with ``/usr/share/zoneinfo``.
        locales: Package with locales, or with the tool that makes them.
        fdisk: Package with ``sfdisk``.
        util_linux: Package with ``partx`` and ``findmnt``.
        systemd: Package that makes systemd the init system.
        emulator: Package with QEMU's user mode emulation, for a host with this distribution.
            ``{name}`` stands for QEMU's name of the emulated machine, ``{family}`` for its family.
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
    """A distribution, or a family of distributions; registered in ``kiwinb.distributions``.

    Attributes:
        name: Name; ``target_distribution`` of a description is this or an alias.
        ids: Values of ``ID`` in os-release(5); derivatives have one of them in ``ID_LIKE``.
        managers: Names of the package managers that can install it.
        certificates: Its store of CA certificates.
        packages: Names of packages, for messages.
        kernels: Names of kernels in ``/boot``; ``{}`` stands for the version.
        initrds: Names of initrds in ``/boot``; kiwinb uses the first one for those it builds.
        grub_directory: Directory of GRUB's configuration and modules.
        grub_prefix: Prefix of the names of GRUB's tools: ``grub-`` or ``grub2-``.
        efi_vendors: Directory on the EFI system partition where the signed GRUB looks for its
            configuration, by ``ID``. For an ``ID`` that is not listed, it is the ``ID`` itself.
        grub_packages: Names of the packages with GRUB's modules, by GRUB's name of the platform,
            for messages.
        keyrings: Names of the files that hold its archive keys, without suffix.
        mirrors: Aliases of its mirrors.
        aliases: Other names in descriptions.
        merged_usr: Whether ``/bin``, ``/sbin`` and ``/lib`` are links to ``/usr`` in its current
            releases.
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
    grub_packages: Mapping[str, str] = field(default_factory=dict)
    keyrings: tuple[str, ...] = ()
    mirrors: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    merged_usr: bool = True
    revision: int = 1

    def initrd_name(self, version: str) -> str:
        """Return the name in ``/boot`` of the initrd that is built for a kernel version."""
        return self.initrds[0].format(version)

    def kernel_version(self, name: str) -> str | None:
        """Return the version of a kernel from its name in ``/boot``; ``None`` for other files."""
        for form in self.kernels:
            before, _, after = form.partition("{}")
            version = name.removeprefix(before).removesuffix(after)
            if version and name == form.format(version):
                return version
        return None

    def efi_vendor(self, id: str) -> str:
        """Return the directory below ``EFI`` where the signed GRUB looks for its configuration.

        Args:
            id: Value of ``ID`` in os-release(5).
        """
        return self.efi_vendors.get(id, id)
