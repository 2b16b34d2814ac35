"""A distribution that is installed with the package manager of ``manager.py``."""

from __future__ import annotations

from kiwinb.distributions import DISTRIBUTIONS
from kiwinb.distributions.distribution import CertificateStore, Distribution, Packages

DISTRIBUTIONS.register(
    Distribution(
        name="fakeos",
        ids=("fakeos",),
        managers=("fakepkg",),
        certificates=CertificateStore("/etc/fake-anchors", "true"),
        packages=Packages(
            kernel="fake-kernel",
            dracut="fake-dracut",
            initrd="fake-initrd-tools",
            users="fake-users",
            timezones="fake-zones",
            locales="fake-locales",
            fdisk="fake-fdisk",
            util_linux="fake-utils",
        ),
        kernels=("fake-kernel-{}",),
        initrds=("fake-initrd-{}",),
        grub_directory="/boot/grub",
        grub_prefix="grub-",
    )
)
