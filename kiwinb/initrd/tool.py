"""What each initrd tool offers."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from kiwinb.distributions.distribution import Distribution
from kiwinb.sandbox.chroot import Chroot


class InitrdTool(Protocol):
    """A tool of the root tree that makes initrds; registered in ``kiwinb.initrd``."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def revision(self) -> int:
        """See :class:`~kiwinb.steps.registry.Plugin`."""
        ...

    @property
    def systems(self) -> frozenset[str | None]:
        """Values of ``initrd_system`` that it may make the initrd for; ``None`` for none given."""
        ...

    @property
    def honours(self) -> frozenset[str]:
        """What it heeds of ``<initrd>`` in a description."""
        ...

    def package(self, distribution: Distribution) -> str:
        """Name of the package that brings it."""
        ...

    def find(self, root: Path) -> bool:
        """Whether a root tree has it."""
        ...

    def build(self, chroot: Chroot, root: Path, kernel: str, initrd: str, epoch: int) -> None:
        """Make the initrd of a kernel.

        Args:
            chroot: The root tree, open.
            root: The same tree, as the host sees it.
            kernel: Version of the kernel.
            initrd: Absolute path in the tree.
            epoch: Time of the files in it, in seconds since 1970-01-01 UTC.

        Raises:
            CommandError: It failed.
        """
        ...
