"""Alpine Linux."""

from __future__ import annotations

from kiwinb.distributions.distribution import CertificateStore, Distribution, Packages

ALPINE = Distribution(
    name="alpine",
    ids=("alpine", "postmarketos"),
    managers=("apk",),
    certificates=CertificateStore("/usr/local/share/ca-certificates", "update-ca-certificates"),
    packages=Packages(
        kernel="linux-lts",
        dracut="dracut",
        initrd="mkinitfs",
        users="shadow",
        timezones="tzdata",
        locales="musl-locales",
        fdisk="sfdisk",
        util_linux="util-linux",
        systemd="openrc",
        emulator="qemu-{name}",
    ),
    kernels=("vmlinuz-{}",),
    initrds=("initramfs-{}",),
    grub_directory="/boot/grub",
    grub_prefix="grub-",
    grub_packages={
        "i386-pc": "grub-bios",
        "x86_64-efi": "grub-efi",
        "arm64-efi": "grub-efi",
    },
    merged_usr=False,
)
