"""``image="tbz"``: the root tree as a tarball."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from kiwinb.description.model import ImageDescription
from kiwinb.images.compress import xz_writer
from kiwinb.images.inputs import BuildInputs
from kiwinb.images.kind import Form, ImagePlan, Plain, ResultFile
from kiwinb.images.tarball import TAR, TarWriter, counted
from kiwinb.steps.step import DraftStep, Output, StepContext
from kiwinb.storage.filesystem.content import Content
from kiwinb.storage.filesystem.limits import check
from kiwinb.storage.treewalk import MACHINERY, TEMPORARY, VIRTUAL

_STEP = "archive"


@dataclass(frozen=True)
class PackTarball:
    """Pack the tree into a tarball compressed with xz.

    Attributes:
        filename: File name of the tarball.
        epoch: Latest time of a member, in seconds since 1970-01-01 UTC; later ones become this.
        exclude: Paths to leave out; see :func:`kiwinb.storage.treewalk.select`.
    """

    output: ClassVar[Output] = "files"
    revision: ClassVar[int] = 3

    filename: str
    epoch: int
    exclude: tuple[str, ...]

    def run(self, context: StepContext) -> None:
        """Write the tarball to the output directory."""
        content = Content(context.root, self.exclude, self.epoch)
        check(content, TAR)
        entries = content.entries
        with xz_writer(context.output() / self.filename) as stream:
            progress = counted(entries, context.progress)
            archive = TarWriter(stream, self.epoch, progress, sparse=True)
            archive.add_tree(context.root, entries)
            archive.close()


@dataclass(frozen=True)
class TarballKind(Plain):
    """``image="tbz"``: ``NAME.ARCH-VERSION.tar.xz``, in which files with holes keep them."""

    name: str = "tbz"
    revision: int = 1
    form: Form = "archive"
    boots: bool = False
    honours: frozenset[str] = frozenset()

    def tools(self, image: ImageDescription) -> Mapping[str, str]:
        """See :class:`~kiwinb.images.kind.ImageKind`."""
        return {"xz": f"images of type {self.name}"}

    def plan(self, image: ImageDescription, inputs: BuildInputs, tree: str) -> ImagePlan:
        """Plan the tarball."""
        filename = f"{image.result_name}.tar.xz"
        action = PackTarball(filename, inputs.epoch, (*MACHINERY, *VIRTUAL, *TEMPORARY))
        return ImagePlan(
            (DraftStep(_STEP, "Pack the tarball", action, base=tree),),
            (ResultFile("root_archive", _STEP, filename),),
        )
