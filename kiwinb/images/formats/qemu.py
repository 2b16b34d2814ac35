"""Virtual disk formats that qemu-img makes from a raw disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from kiwinb.description.model import ImageDescription
from kiwinb.images.formats.identity import settle
from kiwinb.images.kind import ImagePlan, ResultFile
from kiwinb.sandbox.command import Log, run
from kiwinb.steps.registry import Used
from kiwinb.steps.step import DraftStep, Output, StepContext

FORMAT = "format"
"""Name of the step."""


@dataclass(frozen=True)
class ConvertDisk:
    """Convert a raw disk into another format.

    Attributes:
        disk_format: The format.
        source_step: Name of the step that writes the raw disk.
        source: File name of the raw disk.
        target: File name of the result.
        driver: qemu-img's name for the format.
        options: Options of the format, each as ``name=value``.
    """

    output: ClassVar[Output] = "files"
    revision: ClassVar[int] = 2

    disk_format: Used
    source_step: str
    source: str
    target: str
    driver: str
    options: tuple[str, ...]

    def run(self, context: StepContext) -> None:
        """Write the converted disk to the output directory."""
        convert(
            context.inputs[self.source_step] / self.source,
            context.output() / self.target,
            self.driver,
            self.options,
            context.log,
        )


def convert(
    source: Path, target: Path, driver: str, options: Sequence[str], log: Log | None
) -> None:
    """Convert a raw disk with qemu-img; the same disk gives the same bytes in files of one name.

    Args:
        source: The raw disk.
        target: The file to write.
        driver: qemu-img's name for the format.
        options: Options of the format, each as ``name=value``.
        log: Called with each line of output.

    Raises:
        CommandError: ``qemu-img`` failed.
    """
    given = ("-o", ",".join(options)) if options else ()
    run(["qemu-img", "convert", "-f", "raw", "-O", driver, *given, source, target], log=log)
    settle(target, driver)


@dataclass(frozen=True)
class QemuFormat:
    """A format that qemu-img writes; see :class:`~kiwinb.images.formats.format.DiskFormat`.

    Attributes:
        driver: qemu-img's name for the format.
        options: Default options, each as ``name=value``; the description may override them.
        compress: Whether ``kiwinb result bundle`` compresses the file.
    """

    name: str
    driver: str
    suffix: str
    options: tuple[str, ...] = ()
    compress: bool = False
    revision: int = 1
    honours: frozenset[str] = frozenset({"formatoptions"})
    tools: tuple[str, ...] = ("qemu-img",)

    def plan(self, image: ImageDescription, used: Used, step: str, filename: str) -> ImagePlan:
        """See :class:`~kiwinb.images.formats.format.DiskFormat`."""
        target = f"{image.result_name}.{self.suffix}"
        options = merged_options(self.options, image.type.formatoptions)
        action = ConvertDisk(used, step, filename, target, self.driver, options)
        return ImagePlan(
            (DraftStep(FORMAT, f"Convert the disk to {self.name}", action, needs=(step,)),),
            (ResultFile("disk_format_image", FORMAT, target, compress=self.compress),),
        )

    def remake(self, raw: Path, target: Path, options: Sequence[str], log: Log | None) -> None:
        """See :class:`~kiwinb.images.formats.format.DiskFormat`."""
        convert(raw, target, self.driver, merged_options(self.options, tuple(options)), log)


def merged_options(ours: tuple[str, ...], given: tuple[str, ...]) -> tuple[str, ...]:
    """Merge options by name; a given option replaces ours."""
    merged = {option.partition("=")[0]: option for option in (*ours, *given)}
    return tuple(merged.values())


QEMU_FORMATS = (
    QemuFormat("qcow2", "qcow2", "qcow2"),
    QemuFormat("vdi", "vdi", "vdi", compress=True),
    QemuFormat("vhd", "vpc", "vhd", compress=True),
    QemuFormat("vhd-fixed", "vpc", "vhdfixed", ("force_size=on", "subformat=fixed"), compress=True),
    QemuFormat("vhdx", "vhdx", "vhdx", ("subformat=dynamic",), compress=True),
    QemuFormat("vmdk", "vmdk", "vmdk", revision=2),
)
