"""The protocol that every initrd tool implements."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from kiwinb.distributions.distribution import Distribution
from kiwinb.sandbox.chroot import Chroot


class InitrdTool(Protocol):
    """A tool of the root tree that builds initrds; registered in ``kiwinb.initrd``."""

    @property
    def name(self) -> str:
        """Name of the tool."""
        ...

    @property
    def revision(self) -> int:
        """See :class:`~kiwinb.steps.registry.Plugin`."""
        ...

    @property
    def systems(self) -> frozenset[str | None]:
        """Values of ``initrd_system`` that allow this tool; ``None`` if the attribute is absent."""
        ...

    @property
    def honours(self) -> frozenset[str]:
        """The attributes of ``<dracut>`` in ``<initrd>`` that change what it makes."""
        ...

    def package(self, distribution: Distribution) -> str:
        """Return the name of the package that contains the tool."""
        ...

    def find(self, root: Path) -> bool:
        """Tell whether a root tree has the tool."""
        ...

    def build(self, chroot: Chroot, root: Path, kernel: str, initrd: str, epoch: int) -> None:
        """Build the initrd of a kernel.

        Args:
            chroot: The root tree, opened to run commands in it.
            root: Path of the same tree on the host.
            kernel: Version of the kernel.
            initrd: Absolute path of the initrd in the tree.
            epoch: Time of the files in the initrd, in seconds since 1970-01-01 UTC.

        Raises:
            CommandError: The tool failed.
        """
        ...
