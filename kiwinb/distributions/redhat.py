"""Fedora, Red Hat Enterprise Linux, and their derivatives."""

from __future__ import annotations

from kiwinb.distributions.distribution import CertificateStore, Distribution, Packages

REDHAT = Distribution(
    name="redhat",
    ids=("fedora", "rhel", "centos", "almalinux", "rocky", "ol", "amzn", "eurolinux"),
    managers=("dnf", "dnf4", "dnf5", "microdnf"),
    certificates=CertificateStore("/etc/pki/ca-trust/source/anchors", "update-ca-trust"),
    packages=Packages(
        kernel="kernel",
        dracut="dracut",
        initrd="dracut",
        users="shadow-utils",
        timezones="tzdata",
        locales="glibc-langpack-en",
        fdisk="util-linux",
        util_linux="util-linux",
        emulator="qemu-user-static-{family}",
    ),
    kernels=("vmlinuz-{}",),
    initrds=("initramfs-{}.img",),
    grub_directory="/boot/grub2",
    grub_prefix="grub2-",
    grub_packages={
        "i386-pc": "grub2-pc-modules",
        "x86_64-efi": "grub2-efi-x64-modules",
        "arm64-efi": "grub2-efi-aa64-modules",
    },
    efi_vendors={"rhel": "redhat", "ol": "redhat"},
)
