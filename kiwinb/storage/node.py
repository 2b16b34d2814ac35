"""What a partition holds: nodes, each of which may hold another one.

A file system is a node that holds files. A node that holds another node wraps it: encryption, a
logical volume, a RAID, a verity target. Each node plans the steps that make its image, those of
what it holds first, and says how the running system finds it and how it grows. So the root file
system may be at any depth.
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
    """Where a node is made.

    Attributes:
        tree: Name of the step that leaves the root tree.
        epoch: Nothing in it is newer, in seconds since 1970-01-01 UTC.
        size: Bytes that it has; ``None`` when its content decides.
        extra: Bytes beyond what the content needs, when it decides.
        exclude: What of the tree is left out, relative to the directory of the file system.
    """

    tree: str
    epoch: int
    size: int | None = None
    extra: int = 0
    exclude: tuple[str, ...] = ()


class Node(Protocol):
    """Something that a partition holds, or that another node holds."""

    @property
    def key(self) -> str:
        """Unique on the disk: ``root``, ``homeclone1``; names the image that is made of it."""
        ...

    @property
    def step(self) -> str:
        """Name of the step that leaves its image, ``KEY.img``."""
        ...

    @property
    def child(self) -> Node | None:
        """The node that it holds; ``None`` when it holds files, or nothing."""
        ...

    @property
    def loader_modules(self) -> tuple[str, ...]:
        """GRUB's modules that read it."""
        ...

    @property
    def initrd_modules(self) -> tuple[str, ...]:
        """Modules of dracut that the initrd needs to open it."""
        ...

    @property
    def growth(self) -> Growth | None:
        """How the running system makes it as large as the device that it is in."""
        ...

    def plan(self, site: Site) -> tuple[DraftStep, ...]:
        """The steps that make its image; the last one leaves it."""
        ...

    def crypttab(self) -> tuple[str, ...]:
        """Its lines of ``/etc/crypttab``."""
        ...

    def kernel_words(self) -> tuple[str, ...]:
        """Words of the kernel command line that have it opened."""
        ...


@dataclass(frozen=True)
class FilesystemNode:
    """A file system, or swap space.

    Attributes:
        key: Unique on the disk.
        spec: What is asked for.
        title: What its step does, for people.
        mountpoint: Where the running system has it, an absolute path.
        directory: Directory of the tree whose content is in it, an absolute path; ``None`` for an
            empty one.
        source: Name of the ``files`` step that has the directory, in place of the tree.
        options: Mount options.
        step_name: Name of its step, where that is not ``filesystem-KEY``.
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
    initrd_modules: tuple[str, ...] = ()

    @property
    def step(self) -> str:
        """See :class:`Node`."""
        return self.step_name or f"filesystem-{self.key}"

    @property
    def loader_modules(self) -> tuple[str, ...]:
        """See :class:`Node`."""
        module = FILESYSTEMS[self.spec.kind.name].grub_module
        return (module,) if module else ()

    @property
    def growth(self) -> Growth | None:
        """See :class:`Node`."""
        return FILESYSTEMS[self.spec.kind.name].growth

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
    """A node, what it holds, and so on, the outermost first."""
    while node is not None:
        yield node
        node = node.child


def innermost(node: Node | None) -> FilesystemNode | None:
    """The file system that a node is or holds; ``None`` when there is none."""
    return next((item for item in chain(node) if isinstance(item, FilesystemNode)), None)
