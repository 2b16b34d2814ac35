"""Images that are a single file system, without partitions or a bootloader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kiwinb.description.model import ImageDescription
from kiwinb.images.inputs import BuildInputs
from kiwinb.images.kind import Form, ImagePlan, Plain, ResultFile
from kiwinb.steps.step import DraftStep
from kiwinb.storage.disk import DiskSize
from kiwinb.storage.filesystem import FILESYSTEMS
from kiwinb.storage.filesystem.spec import Filesystem
from kiwinb.storage.fill import FillFilesystem
from kiwinb.storage.identity import identifier
from kiwinb.storage.layout import disk_size
from kiwinb.storage.treewalk import MACHINERY, TEMPORARY, VIRTUAL

_STEP = "filesystem"
_LABEL = "ROOT"
_EXCLUDE = (*MACHINERY, *VIRTUAL, *TEMPORARY)


@dataclass(frozen=True)
class FilesystemKind(Plain):
    """``image="ext4"`` and others: ``NAME.ARCH-VERSION.ext4``.

    Attributes:
        name: Name of the file system in ``FILESYSTEMS``.
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
        if maker.read_only:  # it is as large as its content, and has no label
            return named | {"fscreateoptions"}
        return named | {"fscreateoptions", "size"}

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
            None if maker.read_only else _LABEL,
            kind.fscreateoptions,
            compression=self._compression(image),
        )
        size = DiskSize() if maker.read_only else disk_size(kind)
        action = FillFilesystem(
            spec, "the image", filename, "/", None, size.total, size.extra, _EXCLUDE, inputs.epoch
        )
        return ImagePlan(
            (DraftStep(_STEP, f"Make the {self.name} file system", action, base=tree),),
            (ResultFile("filesystem_image", _STEP, filename, compress=True),),
        )

    def _compression(self, image: ImageDescription) -> str | None:
        attribute = FILESYSTEMS[self.name].compression
        return image.type.attributes.get(attribute) if attribute else None
