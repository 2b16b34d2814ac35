"""The content of a partition: nodes, each of which may hold another one.

A file system is a node that holds files. Other nodes wrap a node: encryption, a logical volume, a
RAID, a verity target. Each node plans the steps that make its image, starting with those of the
node inside it, and knows how the running system finds it and how it grows. So the root file system
can be at any depth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from kiwinb.steps.step import DraftStep
from kiwinb.storage.filesystem import FILESYSTEMS
from kiwinb.storage.filesystem.spec import Filesystem, Growth
from kiwinb.storage.fill import FillFilesystem, image_file


@dataclass(frozen=True)
class Site:
    """Context in which a node plans its steps.

    Attributes:
        tree: Name of the step whose result is the root tree.
        epoch: Latest time in the node, in seconds since 1970-01-01 UTC; later ones become this.
        size: Size of the node in bytes; ``None`` if it depends on the content.
        extra: Number of bytes to add if the size depends on the content.
        exclude: Paths to leave out, relative to the directory that the file system is filled from.
    """

    tree: str
    epoch: int
    size: int | None = None
    extra: int = 0
    exclude: tuple[str, ...] = ()


class Node(Protocol):
    """Content of a partition or of another node."""

    @property
    def key(self) -> str:
        """Name that is unique on the disk, such as ``root`` or ``homeclone1``."""
        ...

    @property
    def step(self) -> str:
        """Name of the step that writes the image of the node, ``KEY.img``."""
        ...

    @property
    def child(self) -> Node | None:
        """The node inside this one; ``None`` if this one holds files or nothing."""
        ...

    @property
    def loader_modules(self) -> tuple[str, ...]:
        """GRUB's modules that read the node."""
        ...

    @property
    def growth(self) -> Growth | None:
        """How the running system enlarges the node to its device; ``None`` if it cannot."""
        ...

    def plan(self, site: Site) -> tuple[DraftStep, ...]:
        """Plan the steps that make the image of the node; the last one writes it."""
        ...

    def crypttab(self) -> tuple[str, ...]:
        """Return the lines of the node for ``/etc/crypttab``."""
        ...

    def kernel_words(self) -> tuple[str, ...]:
        """Return the words of the kernel command line with which the initrd opens the node."""
        ...


@dataclass(frozen=True)
class FilesystemNode:
    """A file system, or swap space.

    Attributes:
        key: Name that is unique on the disk.
        spec: Specification of the file system.
        title: Title of its step.
        mountpoint: Mount point in the running system, an absolute path.
        directory: Absolute path of the directory to fill it from; ``None`` to leave it empty.
        source: Name of the ``files`` step whose output has the directory; ``None`` for the tree.
        options: Mount options.
        step_name: Name of its step, if that is not ``filesystem-KEY``.
    """

    key: str
    spec: Filesystem
    title: str
    mountpoint: str | None = None
    directory: str | None = None
    source: str | None = None
    options: tuple[str, ...] = ()
    step_name: str | None = None

    child: None = None

    @property
    def step(self) -> str:
        """See :class:`Node`."""
        return self.step_name or f"filesystem-{self.key}"

    @property
    def loader_modules(self) -> tuple[str, ...]:
        """See :class:`Node`."""
        module = FILESYSTEMS.get_used(self.spec.kind).grub_module
        return (module,) if module else ()

    @property
    def growth(self) -> Growth | None:
        """See :class:`Node`."""
        return FILESYSTEMS.get_used(self.spec.kind).growth

    def plan(self, site: Site) -> tuple[DraftStep, ...]:
        """See :class:`Node`."""
        action = FillFilesystem(
            self.spec,
            f"the partition {self.key}",
            image_file(self.key),
            self.directory,
            self.source,
            site.size,
            site.extra,
            site.exclude,
            site.epoch,
        )
        needs = (self.source,) if self.source else ()
        return (DraftStep(self.step, self.title, action, base=site.tree, needs=needs),)

    def crypttab(self) -> tuple[str, ...]:
        """See :class:`Node`."""
        return ()

    def kernel_words(self) -> tuple[str, ...]:
        """See :class:`Node`."""
        return ()


def chain(node: Node | None) -> Iterator[Node]:
    """Yield a node and all nodes inside it, starting with the outermost."""
    while node is not None:
        yield node
        node = node.child


def innermost(node: Node | None) -> FilesystemNode | None:
    """Return the file system that a node is or holds; ``None`` if there is none."""
    return next((item for item in chain(node) if isinstance(item, FilesystemNode)), None)
