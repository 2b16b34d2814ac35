"""``image="cpio"``: the root tree as a cpio archive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from kiwinb.description.model import ImageDescription
from kiwinb.images.inputs import BuildInputs
from kiwinb.images.kind import Form, ImagePlan, Plain, ResultFile
from kiwinb.images.newc import write_cpio
from kiwinb.images.tarball import counted
from kiwinb.sandbox.reach import LONGEST_PATH
from kiwinb.steps.step import DraftStep, Output, StepContext
from kiwinb.storage.filesystem.content import Content
from kiwinb.storage.filesystem.limits import Limits, check
from kiwinb.storage.treewalk import MACHINERY, TEMPORARY

_STEP = "archive"
_LIMITS = Limits(
    "A cpio archive",
    path=LONGEST_PATH,  # the kernel skips longer ones when it unpacks an initramfs
    times=(0, (1 << 32) - 1),
    flags=False,
    remedy="Remove it from the root tree, or take another image type.",
)


@dataclass(frozen=True)
class PackCpio:
    """Pack the tree into a cpio archive.

    Attributes:
        filename: File name of the archive.
        epoch: Latest time of an entry, in seconds since 1970-01-01 UTC; later ones become this.
        exclude: Paths to leave out; see :func:`kiwinb.storage.treewalk.select`.
    """

    output: ClassVar[Output] = "files"
    revision: ClassVar[int] = 4

    filename: str
    epoch: int
    exclude: tuple[str, ...]

    def run(self, context: StepContext) -> None:
        """Write the archive to the output directory."""
        content = Content(context.root, self.exclude, self.epoch)
        check(content, _LIMITS)
        entries = content.entries
        if any(entry.xattrs for entry in entries):
            context.log("cpio archives have no extended attributes: file capabilities are lost")
        with (context.output() / self.filename).open("wb") as stream:
            progress = counted(entries, context.progress)
            write_cpio(stream, context.root, entries, self.epoch, progress)


@dataclass(frozen=True)
class CpioKind(Plain):
    """``image="cpio"``: ``NAME.ARCH-VERSION.cpio``.

    The archive keeps device nodes in ``/dev``: an initramfs needs its console before anything is
    mounted.
    """

    name: str = "cpio"
    revision: int = 1
    form: Form = "archive"
    boots: bool = False
    honours: frozenset[str] = frozenset()

    def tools(self, image: ImageDescription) -> Mapping[str, str]:
        """See :class:`~kiwinb.images.kind.ImageKind`."""
        return {}

    def variables(self, image: ImageDescription) -> Mapping[str, object]:
        """See :class:`~kiwinb.images.kind.ImageKind`."""
        return {"kiwi_cpio_name": image.name}

    def plan(self, image: ImageDescription, inputs: BuildInputs, tree: str) -> ImagePlan:
        """Plan the cpio archive."""
        filename = f"{image.result_name}.cpio"
        exclude = (*MACHINERY, "proc/*", "sys/*", *TEMPORARY)
        action = PackCpio(filename, inputs.epoch, exclude)
        return ImagePlan(
            (DraftStep(_STEP, "Pack the cpio archive", action, base=tree),),
            (ResultFile("root_archive", _STEP, filename),),
        )
