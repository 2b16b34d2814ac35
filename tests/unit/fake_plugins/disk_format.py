"""A disk format that puts a line before the disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from kiwinb.description.model import ImageDescription
from kiwinb.images.formats import FORMATS
from kiwinb.images.kind import ImagePlan, ResultFile
from kiwinb.sandbox.command import Log
from kiwinb.steps.registry import Used
from kiwinb.steps.step import DraftStep, Output, StepContext


@dataclass(frozen=True)
class PutBehindLine:
    """Write a line and the raw disk."""

    output: ClassVar[Output] = "files"
    revision: ClassVar[int] = 1

    disk_format: Used
    step: str
    source: str
    target: str
    options: tuple[str, ...]

    def run(self, context: StepContext) -> None:
        raw = context.inputs[self.step] / self.source
        FORMATS.get_used(self.disk_format).remake(
            raw, context.output() / self.target, self.options, context.log
        )


@dataclass(frozen=True)
class FakeFormat:
    """See :class:`kiwinb.images.formats.format.DiskFormat`."""

    name: str = "fakedisk"
    revision: int = 1
    suffix: str = "fake"
    honours: frozenset[str] = frozenset({"formatoptions"})
    tools: tuple[str, ...] = ("fakedisk-convert",)

    def plan(self, image: ImageDescription, used: Used, step: str, filename: str) -> ImagePlan:
        target = f"{image.result_name}.{self.suffix}"
        action = PutBehindLine(used, step, filename, target, image.type.formatoptions)
        return ImagePlan(
            (DraftStep("format", "Put a line before the disk", action, needs=(step,)),),
            (ResultFile("disk_format_image", "format", target),),
        )

    def remake(self, raw: Path, target: Path, options: Sequence[str], log: Log | None) -> None:
        line = f"fake disk {','.join(options)}\n".encode()
        target.write_bytes(line + raw.read_bytes())


FORMATS.register(FakeFormat())
