"""Arch Linux."""

from __future__ import annotations

from kiwinb.distributions.distribution import CertificateStore, Distribution, Packages

ARCH = Distribution(
    name="archlinux",
    ids=("arch", "archarm", "manjaro", "endeavouros"),
    managers=("pacman",),
    certificates=CertificateStore("/etc/ca-certificates/trust-source/anchors", "update-ca-trust"),
    packages=Packages(
        kernel="linux",
        dracut="dracut",
        initrd="dracut",
        users="shadow",
        timezones="tzdata",
        locales="glibc",
        fdisk="util-linux",
        util_linux="util-linux",
    ),
    kernels=("vmlinuz-{}",),
    initrds=("initramfs-{}.img",),
    grub_directory="/boot/grub",
    grub_prefix="grub-",
    grub_packages={
        "i386-pc": "grub",
        "x86_64-efi": "grub",
        "arm64-efi": "grub",
    },
)
