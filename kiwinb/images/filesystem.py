"""An image that is a file system and nothing else: no partitions, no bootloader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from kiwinb.description.model import ImageDescription
from kiwinb.images.inputs import BuildInputs
from kiwinb.images.kind import Form, ImagePlan, Plain, ResultFile
from kiwinb.steps.step import DraftStep, Output, StepContext
from kiwinb.storage.disk import DiskSize
from kiwinb.storage.filesystem import FILESYSTEMS
from kiwinb.storage.filesystem.content import Content
from kiwinb.storage.filesystem.fill import fill
from kiwinb.storage.filesystem.spec import Filesystem, Watch
from kiwinb.storage.identity import identifier
from kiwinb.storage.layout import disk_size
from kiwinb.storage.treewalk import MACHINERY, TEMPORARY, VIRTUAL

_STEP = "filesystem"
_EXCLUDE = (*MACHINERY, *VIRTUAL, *TEMPORARY)


@dataclass(frozen=True)
class MakeFilesystem:
    """Make a file system of the tree.

    Attributes:
        filename: Of the image.
        filesystem: What is asked for.
        size: In bytes; ``None`` when the content decides.
        extra: Bytes beyond what the content needs, when it decides.
        epoch: Nothing in it is newer, in seconds since 1970-01-01 UTC.
    """

    output: ClassVar[Output] = "files"
    revision: ClassVar[int] = 1

    filename: str
    filesystem: Filesystem
    size: int | None
    extra: int
    epoch: int

    def run(self, context: StepContext) -> None:
        """Write it to the output directory.

        Raises:
            ImageError: The tree does not fit, or the file system cannot hold it.
        """
        fill(
            context.output() / self.filename,
            self.filesystem,
            Content(context.root, _EXCLUDE, self.epoch),
            Watch(context.log, context.progress),
            name="the image",
            size=self.size,
            extra=self.extra,
        )


@dataclass(frozen=True)
class FilesystemKind(Plain):
    """``image="ext4"`` and the like: ``NAME.ARCH-VERSION.ext4``.

    Attributes:
        name: Of the file system, as ``FILESYSTEMS`` names it.
    """

    name: str
    revision: int = 1
    form: Form = "files"
    boots: bool = False

    @property
    def honours(self) -> frozenset[str]:
        """See :class:`~kiwinb.images.kind.ImageKind`."""
        maker = FILESYSTEMS[self.name]
        named = frozenset({maker.compression} if maker.compression else ())
        if maker.read_only:  # made to measure
            return named | {"fscreateoptions"}
        return named | {"fscreateoptions", "rootfs_label", "size"}

    def tools(self, image: ImageDescription) -> Mapping[str, str]:
        """See :class:`~kiwinb.images.kind.ImageKind`."""
        return dict.fromkeys(FILESYSTEMS[self.name].tools, f"images of type {self.name}")

    def lacks(self, image: ImageDescription) -> Iterator[str]:
        """See :class:`~kiwinb.images.kind.ImageKind`."""
        if lack := FILESYSTEMS[self.name].lacks(self._compression(image)):
            yield lack

    def plan(self, image: ImageDescription, inputs: BuildInputs, tree: str) -> ImagePlan:
        """Plan the image."""
        kind = image.type
        filename = f"{image.result_name}.{self.name}"
        uuid = identifier(image, "filesystem/root")
        maker = FILESYSTEMS[self.name]
        spec = Filesystem(
            FILESYSTEMS.use(self.name),
            uuid,
            None if maker.read_only else kind.rootfs_label or "ROOT",
            kind.fscreateoptions,
            compression=self._compression(image),
        )
        size = DiskSize() if maker.read_only else disk_size(kind)
        action = MakeFilesystem(filename, spec, size.total, size.extra, inputs.epoch)
        return ImagePlan(
            (DraftStep(_STEP, f"Make the {self.name} file system", action, base=tree),),
            (ResultFile("filesystem_image", _STEP, filename, compress=True),),
        )

    def _compression(self, image: ImageDescription) -> str | None:
        attribute = FILESYSTEMS[self.name].compression
        return image.type.attributes.get(attribute) if attribute else None
