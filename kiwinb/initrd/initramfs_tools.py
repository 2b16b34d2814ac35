"""Build initrds with Debian's initramfs-tools."""

from __future__ import annotations

from pathlib import Path

from kiwinb.distributions.distribution import Distribution
from kiwinb.sandbox.chroot import Chroot
from kiwinb.sandbox.paths import resolve_in


class InitramfsTools:
    """initramfs-tools; see :class:`kiwinb.initrd.tool.InitrdTool`."""

    name = "initramfs-tools"
    revision = 2
    systems = frozenset({None, "kiwi"})
    honours: frozenset[str] = frozenset()

    def package(self, distribution: Distribution) -> str:
        """Name of the distribution's own initrd tool, which is initramfs-tools on Debian."""
        return distribution.packages.initrd

    def find(self, root: Path) -> bool:
        """See :class:`kiwinb.initrd.tool.InitrdTool`."""
        return resolve_in(root, "/usr/sbin/update-initramfs").exists()

    def build(self, chroot: Chroot, root: Path, kernel: str, initrd: str, epoch: int) -> None:
        """Build the initrd; update-initramfs chooses its name."""
        resolve_in(root, initrd).unlink(missing_ok=True)
        # In another locale, each shell would look for translated messages when it starts
        env = {"SOURCE_DATE_EPOCH": str(epoch), "LC_ALL": "C"}
        chroot.run(["update-initramfs", "-c", "-k", kernel], env=env)
