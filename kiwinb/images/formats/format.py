"""Virtual disk formats, by qemu-img."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from kiwinb.description.model import ImageDescription
from kiwinb.errors import ImageError
from kiwinb.images.kind import ImagePlan, ResultFile
from kiwinb.sandbox.command import run
from kiwinb.steps.step import DraftStep, Output, StepContext

FORMAT = "format"
"""Name of the step."""


@dataclass(frozen=True)
class DiskFormat:
    """A format of qemu-img.

    Attributes:
        name: As qemu-img calls it.
        suffix: Of the file.
        options: Given unless the description says otherwise, ``name=value``.
        compress: ``kiwinb result bundle`` compresses it.
    """

    name: str
    suffix: str
    options: tuple[str, ...] = ()
    compress: bool = False


FORMATS: Mapping[str, DiskFormat] = {
    "qcow2": DiskFormat("qcow2", "qcow2"),
    "vdi": DiskFormat("vdi", "vdi"),
    "vhd": DiskFormat("vpc", "vhd"),
    "vhd-fixed": DiskFormat("vpc", "vhdfixed", ("force_size=on", "subformat=fixed"), compress=True),
    "vhdx": DiskFormat("vhdx", "vhdx", ("subformat=dynamic",)),
    "vmdk": DiskFormat("vmdk", "vmdk"),
}
"""By the name that a description gives it."""


@dataclass(frozen=True)
class ConvertDisk:
    """Convert a raw disk into another format.

    Attributes:
        source_step: Name of the step that leaves the raw disk.
        source: Its file name there.
        target: File name of the result.
        format: As qemu-img calls it.
        options: ``name=value`` each.
    """

    output: ClassVar[Output] = "files"
    revision: ClassVar[int] = 1

    source_step: str
    source: str
    target: str
    format: str
    options: tuple[str, ...]

    def run(self, context: StepContext) -> None:
        """Write it to the output directory."""
        options = ("-o", ",".join(self.options)) if self.options else ()
        run(
            [
                "qemu-img",
                "convert",
                *("-f", "raw"),
                *("-O", self.format),
                *options,
                str(context.inputs[self.source_step] / self.source),
                str(context.output() / self.target),
            ],
            log=context.log,
        )


def plan_format(image: ImageDescription, step: str, filename: str) -> ImagePlan:
    """Plan the step ``format``; nothing for a disk that stays raw.

    Args:
        image: The effective description.
        step: Name of the step that leaves the raw disk.
        filename: Of the raw disk.

    Raises:
        ImageError: The format is unknown.
    """
    wanted = image.type.format
    if wanted in (None, "raw"):
        return ImagePlan((), ())
    if wanted not in FORMATS:
        raise ImageError(
            f"the disk format {wanted} is not something kiwinb makes",
            remedy=f"take one of {', '.join(FORMATS)}",
        )
    form = FORMATS[wanted]
    target = f"{image.result_name}.{form.suffix}"
    options = merged_options(form.options, image.type.formatoptions)
    action = ConvertDisk(step, filename, target, form.name, options)
    return ImagePlan(
        (DraftStep(FORMAT, f"Convert the disk to {wanted}", action, needs=(step,)),),
        (ResultFile("disk_format_image", FORMAT, target, compress=form.compress),),
    )


def merged_options(ours: tuple[str, ...], given: tuple[str, ...]) -> tuple[str, ...]:
    """Options with those of the description in place of ours of the same name."""
    merged = {option.partition("=")[0]: option for option in (*ours, *given)}
    return tuple(merged.values())
