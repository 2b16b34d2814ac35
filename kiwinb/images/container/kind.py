"""Container images: ``docker`` and ``oci``."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, Literal

from kiwinb.description.model import ContainerConfig, ImageDescription
from kiwinb.images.compress import xz_writer
from kiwinb.images.container.base import (
    BASE_CONTAINER,
    BaseContainer,
    read_base,
    unpack_base,
)
from kiwinb.images.container.config import image_config, references
from kiwinb.images.container.layers import add_difference, add_layer
from kiwinb.images.container.oci import (
    LAYER_TYPE,
    Layer,
    layer_writer,
    write_docker_archive,
    write_oci_archive,
)
from kiwinb.images.inputs import BuildInputs
from kiwinb.images.kind import Form, ImagePlan, Plain, ResultFile
from kiwinb.images.tarball import CHUNK, TAR, TarWriter, counted
from kiwinb.sandbox.decompress import open_unpacked
from kiwinb.steps.step import DraftStep, Output, StepContext
from kiwinb.storage.filesystem.content import Content
from kiwinb.storage.filesystem.limits import check
from kiwinb.storage.treewalk import MACHINERY, TEMPORARY, VIRTUAL, select

_STEP = "container"
_FAST = 0  # the layers of an OCI archive are compressed already

Format = Literal["docker", "oci"]


@dataclass(frozen=True)
class PackContainer:
    """Make a container image from the tree.

    With a base container, the image has the layers of the base, and one layer with the
    differences from them.

    Attributes:
        format: ``docker`` for an archive that ``docker load`` reads, ``oci`` for an OCI image
            layout.
        filename: File name of the archive.
        arch: Architecture, as ``uname -m`` prints it.
        config: The ``<containerconfig>``.
        author: Author of the image if ``config`` does not name a maintainer.
        epoch: Latest time in the image, in seconds since 1970-01-01 UTC; later ones become this.
        exclude: Paths to leave out; see :func:`kiwinb.storage.treewalk.select`.
        derived: Whether there is a base container, from the step ``base-container``.
        delta: Whether to leave out the layers of the base container.
    """

    output: ClassVar[Output] = "files"
    revision: ClassVar[int] = 4

    format: Format
    filename: str
    arch: str
    config: ContainerConfig
    author: str | None
    epoch: int
    exclude: tuple[str, ...]
    derived: bool = False
    delta: bool = False

    def run(self, context: StepContext) -> None:
        """Write the image to the output directory."""
        base = read_base(context.inputs[BASE_CONTAINER]) if self.derived else None
        with TemporaryDirectory(dir=context.output(), prefix=".layers-") as scratch:
            layers = self._layers(context, base, Path(scratch))
            config = image_config(
                self.config,
                arch=self.arch,
                author=self.author,
                epoch=self.epoch,
                diff_ids=[layer.diff_id for layer in layers],
                base=base.config if base else None,
            )
            oci = self.format == "oci"
            target = context.output() / self.filename
            with xz_writer(target, preset=_FAST if oci else 6) as stream:
                archive = TarWriter(stream, self.epoch)
                write = write_oci_archive if oci else write_docker_archive
                write(archive, config, layers, references(self.config))
                archive.close()

    def _layers(
        self, context: StepContext, base: BaseContainer | None, scratch: Path
    ) -> Sequence[Layer]:
        oci = self.format == "oci"
        content = Content(context.root, self.exclude, self.epoch, hashed=base is not None)
        check(content, TAR)
        entries = content.entries
        with layer_writer(scratch / "layer", compress=oci) as (sink, made):
            archive = TarWriter(sink, self.epoch, counted(entries, context.progress))
            if base is None:
                add_layer(archive, context.root, entries)
            else:
                tree = scratch / "base"
                tree.mkdir()
                unpack_base(base, tree, lambda fraction: None)
                before = select(tree, VIRTUAL, contents=True)
                add_difference(archive, context.root, entries, before)
            archive.close()
        if base is None or self.delta:
            return made
        lower = base.layers if oci else [_plain(layer, scratch) for layer in base.layers]
        return [*lower, *made]


def _plain(layer: Layer, scratch: Path) -> Layer:
    """Return the layer uncompressed."""
    if layer.media_type == LAYER_TYPE:
        return layer
    path = scratch / f"{layer.diff_id}.tar"
    with open_unpacked(layer.path) as stream, path.open("wb") as file:
        shutil.copyfileobj(stream, file, CHUNK)
    return Layer(path, LAYER_TYPE, layer.diff_id, layer.diff_id)


@dataclass(frozen=True)
class ContainerKind(Plain):
    """``image="docker"`` or ``"oci"``: ``NAME.ARCH-VERSION.docker.tar.xz`` or ``….oci.tar.xz``."""

    format: Format
    revision: int = 1
    form: Form = "container"
    boots: bool = False
    honours: frozenset[str] = frozenset(
        {"containerconfig", "delta_root", "derived_from", "ensure_empty_tmpdirs"}
    )

    @property
    def name(self) -> str:
        """See :class:`~kiwinb.images.kind.ImageKind`."""
        return self.format

    def tools(self, image: ImageDescription) -> Mapping[str, str]:
        """See :class:`~kiwinb.images.kind.ImageKind`."""
        needed = {"xz": f"images of type {self.name}"}
        return {**needed, "zstd": "base containers"} if image.type.derived_from else needed

    def plan(self, image: ImageDescription, inputs: BuildInputs, tree: str) -> ImagePlan:
        """Plan the container image.

        Raises:
            ImageError: Container engines do not accept a value of ``<containerconfig>``.
        """
        config = image.type.containerconfig or ContainerConfig()
        author = ", ".join(image.information.author) or None
        references(config)
        image_config(config, arch=image.arch, author=author, epoch=inputs.epoch, diff_ids=())
        filename = f"{image.result_name}.{self.format}.tar.xz"
        temporary = () if image.type.ensure_empty_tmpdirs is False else TEMPORARY
        derived = image.type.derived_from is not None
        action = PackContainer(
            self.format,
            filename,
            image.arch,
            config,
            author,
            inputs.epoch,
            (*MACHINERY, *VIRTUAL, *temporary),
            derived=derived,
            delta=image.type.attributes.get("delta_root") == "true",
        )
        needs = (BASE_CONTAINER,) if derived else ()
        return ImagePlan(
            (DraftStep(_STEP, "Make the container image", action, base=tree, needs=needs),),
            (ResultFile("container", _STEP, filename),),
        )
