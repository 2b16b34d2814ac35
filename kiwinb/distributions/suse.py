"""openSUSE and SUSE Linux Enterprise."""

from __future__ import annotations

from kiwinb.distributions.distribution import CertificateStore, Distribution, Packages

SUSE = Distribution(
    name="suse",
    ids=(
        *("opensuse-tumbleweed", "opensuse-leap", "opensuse-microos", "opensuse", "aeon", "kalpa"),
        *("sles", "sled", "sles_sap", "sle-micro", "sl-micro", "sle_hpc", "suse"),
    ),
    managers=("zypper",),
    certificates=CertificateStore("/etc/pki/trust/anchors", "update-ca-certificates"),
    packages=Packages(
        kernel="kernel-default",
        dracut="dracut",
        initrd="dracut",
        users="shadow",
        timezones="timezone",
        locales="glibc-locale",
        fdisk="util-linux",
        util_linux="util-linux",
        emulator="qemu-linux-user",
    ),
    kernels=("vmlinuz-{}", "Image-{}", "vmlinux-{}", "image-{}"),
    initrds=("initrd-{}",),
    grub_directory="/boot/grub2",
    grub_prefix="grub2-",
    grub_packages={
        "i386-pc": "grub2-i386-pc",
        "x86_64-efi": "grub2-x86_64-efi",
        "arm64-efi": "grub2-arm64-efi",
    },
    efi_vendors={
        "opensuse-tumbleweed": "opensuse",
        "opensuse-leap": "opensuse",
        "opensuse-microos": "opensuse",
        "aeon": "opensuse",
        "kalpa": "opensuse",
        "sled": "sles",
        "sles_sap": "sles",
        "sle-micro": "sles",
        "sl-micro": "sles",
        "sle_hpc": "sles",
    },
)
