"""dracut."""

from __future__ import annotations

from pathlib import Path

from kiwinb.distributions.distribution import Distribution
from kiwinb.sandbox.chroot import Chroot
from kiwinb.sandbox.paths import resolve_in


class Dracut:
    """dracut; see :class:`kiwinb.initrd.tool.InitrdTool`."""

    name = "dracut"
    revision = 1
    systems = frozenset({None, "dracut", "kiwi"})
    honours: frozenset[str] = frozenset()

    def package(self, distribution: Distribution) -> str:
        """Name of the package that brings it."""
        return distribution.packages.dracut

    def find(self, root: Path) -> bool:
        """Whether a root tree has it."""
        return resolve_in(root, "/usr/bin/dracut").exists()

    def build(self, chroot: Chroot, root: Path, kernel: str, initrd: str, epoch: int) -> None:
        """Make the initrd for any machine, not for the host."""
        options = ("--force", "--no-hostonly", "--reproducible")
        chroot.run(["dracut", *options, initrd, kernel], env={"SOURCE_DATE_EPOCH": str(epoch)})
