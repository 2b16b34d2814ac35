"""Build initrds with dracut."""

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
        """See :class:`kiwinb.initrd.tool.InitrdTool`."""
        return distribution.packages.dracut

    def find(self, root: Path) -> bool:
        """See :class:`kiwinb.initrd.tool.InitrdTool`."""
        return resolve_in(root, "/usr/bin/dracut").exists()

    def build(self, chroot: Chroot, root: Path, kernel: str, initrd: str, epoch: int) -> None:
        """Build an initrd that is not specific to this host."""
        options = ("--force", "--no-hostonly", "--reproducible")
        chroot.run(["dracut", *options, initrd, kernel], env={"SOURCE_DATE_EPOCH": str(epoch)})
