"""A tool whose initrds say what they are for."""

from __future__ import annotations

from pathlib import Path

from kiwinb.distributions.distribution import Distribution
from kiwinb.initrd import INITRD_TOOLS
from kiwinb.sandbox.chroot import Chroot
from kiwinb.sandbox.paths import resolve_in


class FakeInitrdTool:
    """See :class:`kiwinb.initrd.tool.InitrdTool`."""

    name = "fake-initrd"
    revision = 1
    systems = frozenset({None, "kiwi"})
    honours: frozenset[str] = frozenset()

    def package(self, distribution: Distribution) -> str:
        return distribution.packages.initrd

    def find(self, root: Path) -> bool:
        return resolve_in(root, "/usr/bin/fake-initrd").exists()

    def build(self, chroot: Chroot, root: Path, kernel: str, initrd: str, epoch: int) -> None:
        resolve_in(root, initrd).write_text(f"initrd of {kernel} at {epoch}\n")


INITRD_TOOLS.register(FakeInitrdTool())
