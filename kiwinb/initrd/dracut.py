"""Build initrds with dracut."""

from __future__ import annotations

from pathlib import Path

from kiwinb.distributions.distribution import Distribution
from kiwinb.errors import ImageError
from kiwinb.sandbox.chroot import Chroot
from kiwinb.sandbox.paths import resolve_in

_LDD = ("/usr/bin/ldd", "/bin/ldd")


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
        """Build an initrd that is not specific to this host.

        Raises:
            ImageError: The tree lacks ``ldd``, without which dracut makes an initrd that has no
                libraries, and says that all is well.
            CommandError: dracut failed.
        """
        if not any(resolve_in(root, path).exists() for path in _LDD):
            raise ImageError(
                "dracut finds libraries with ldd, which the root tree does not have",
                remedy="Add the package that contains it, such as libc-bin or glibc-common.",
            )
        options = ("--force", "--no-hostonly", "--reproducible")
        chroot.run(["dracut", *options, initrd, kernel], env={"SOURCE_DATE_EPOCH": str(epoch)})
