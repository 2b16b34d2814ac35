"""``image="cpio"``: the root tree as a cpio archive."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, ClassVar

from kiwinb.description.model import ImageDescription
from kiwinb.images.compress import xz_writer
from kiwinb.images.inputs import BuildInputs
from kiwinb.images.kind import Form, ImagePlan, Plain, ResultFile
from kiwinb.images.newc import write_cpio
from kiwinb.images.tarball import counted
from kiwinb.steps.step import DraftStep, Output, StepContext
from kiwinb.storage.treewalk import MACHINERY, TEMPORARY, select

_STEP = "archive"


@dataclass(frozen=True)
class PackCpio:
    """Pack the tree into a cpio archive.

    Attributes:
        filename: File name of the archive.
        compressed: Whether to compress it with xz, in a form that the Linux kernel reads.
        epoch: Latest time of an entry, in seconds since 1970-01-01 UTC; later ones become this.
        exclude: Paths to leave out; see :func:`kiwinb.storage.treewalk.select`.
    """

    output: ClassVar[Output] = "files"
    revision: ClassVar[int] = 3

    filename: str
    compressed: bool
    epoch: int
    exclude: tuple[str, ...]

    def run(self, context: StepContext) -> None:
        """Write the archive to the output directory."""
        entries = select(context.root, self.exclude)
        if any(entry.xattrs for entry in entries):
            context.log("cpio archives have no extended attributes: file capabilities are lost")
        with self._open(context.output() / self.filename) as stream:
            progress = counted(entries, context.progress)
            write_cpio(stream, context.root, entries, self.epoch, progress)

    def _open(self, path: Path) -> AbstractContextManager[IO[bytes]]:
        return xz_writer(path, check="crc32") if self.compressed else path.open("wb")


@dataclass(frozen=True)
class CpioKind(Plain):
    """``image="cpio"``: ``NAME.ARCH-VERSION.cpio``, or ``….cpio.xz`` with ``compressed="true"``.

    The archive keeps device nodes in ``/dev``: an initramfs needs its console before anything is
    mounted.
    """

    name: str = "cpio"
    revision: int = 1
    form: Form = "archive"
    boots: bool = False
    honours: frozenset[str] = frozenset({"compressed"})

    def tools(self, image: ImageDescription) -> Mapping[str, str]:
        """See :class:`~kiwinb.images.kind.ImageKind`."""
        return {"xz": "compressed archives"} if image.type.compressed else {}

    def variables(self, image: ImageDescription) -> Mapping[str, object]:
        """See :class:`~kiwinb.images.kind.ImageKind`."""
        return {"kiwi_cpio_name": image.name}

    def plan(self, image: ImageDescription, inputs: BuildInputs, tree: str) -> ImagePlan:
        """Plan the cpio archive."""
        compressed = bool(image.type.compressed)
        filename = f"{image.result_name}.cpio{'.xz' if compressed else ''}"
        exclude = (*MACHINERY, "proc/*", "sys/*", *TEMPORARY)
        action = PackCpio(filename, compressed, inputs.epoch, exclude)
        return ImagePlan(
            (DraftStep(_STEP, "Pack the cpio archive", action, base=tree),),
            (ResultFile("root_archive", _STEP, filename, compress=not compressed),),
        )
