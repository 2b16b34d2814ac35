"""Debian and Ubuntu."""

from __future__ import annotations

from kiwinb.distributions.distribution import CertificateStore, Distribution, Packages

_CERTIFICATES = CertificateStore("/usr/local/share/ca-certificates", "update-ca-certificates")
_MANAGERS = ("apt",)
_KERNELS = ("vmlinuz-{}",)
_INITRDS = ("initrd.img-{}",)
_GRUB_PACKAGES = {
    "i386-pc": "grub-pc-bin",
    "x86_64-efi": "grub-efi-amd64-bin",
    "arm64-efi": "grub-efi-arm64-bin",
}

DEBIAN = Distribution(
    name="debian",
    ids=("debian", "raspbian", "devuan"),
    managers=_MANAGERS,
    certificates=_CERTIFICATES,
    packages=Packages(
        kernel="linux-image-amd64",
        dracut="dracut",
        initrd="initramfs-tools",
        users="passwd",
        timezones="tzdata",
        locales="locales",
        fdisk="fdisk",
        util_linux="util-linux",
        systemd="systemd-sysv",
    ),
    kernels=_KERNELS,
    initrds=_INITRDS,
    grub_directory="/boot/grub",
    grub_prefix="grub-",
    grub_packages=_GRUB_PACKAGES,
    keyrings=("debian-archive-keyring",),
    mirrors=("debian", "debian-security"),
)

UBUNTU = Distribution(
    name="ubuntu",
    ids=("ubuntu",),
    managers=_MANAGERS,
    certificates=_CERTIFICATES,
    packages=Packages(
        kernel="linux-image-generic",
        dracut="dracut",
        initrd="initramfs-tools",
        users="passwd",
        timezones="tzdata",
        locales="locales",
        fdisk="fdisk",
        util_linux="util-linux",
        systemd="systemd-sysv",
    ),
    kernels=_KERNELS,
    initrds=_INITRDS,
    grub_directory="/boot/grub",
    grub_prefix="grub-",
    grub_packages=_GRUB_PACKAGES,
    keyrings=("ubuntu-archive-keyring",),
    mirrors=("ubuntu", "ubuntu-security", "ubuntu-ports"),
)
