"""The step that makes the file system of one partition."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from kiwinb.sandbox.paths import resolve_in
from kiwinb.steps.step import Output, StepContext
from kiwinb.storage.filesystem.content import Content
from kiwinb.storage.filesystem.fill import fill
from kiwinb.storage.filesystem.spec import Watch
from kiwinb.storage.layout import DiskPartition


def image_file(partition: DiskPartition) -> str:
    """Name of the file that a partition's step writes."""
    return f"{partition.key}.img"


@dataclass(frozen=True)
class FillPartition:
    """Make a file system in a file, and fill it from the tree.

    Attributes:
        partition: The partition it is for.
        size: In bytes; ``None`` when the content decides.
        extra: Bytes beyond what the content needs, when it decides.
        exclude: What of the tree is left out, relative to the partition's directory.
        epoch: Nothing in it is newer, in seconds since 1970-01-01 UTC.
    """

    output: ClassVar[Output] = "files"
    revision: ClassVar[int] = 1

    partition: DiskPartition
    size: int | None
    extra: int
    exclude: tuple[str, ...]
    epoch: int

    def run(self, context: StepContext) -> None:
        """Write the image of the partition to the output directory.

        Raises:
            ImageError: The content does not fit, or the file system cannot hold it.
        """
        spec = self.partition.filesystem
        assert spec is not None
        with self._root(context) as root:
            fill(
                context.output() / image_file(self.partition),
                spec,
                Content(root, self.exclude, self.epoch),
                Watch(context.log, context.progress),
                name=f"the partition {self.partition.key}",
                size=self.size,
                extra=self.extra,
            )

    @contextmanager
    def _root(self, context: StepContext) -> Iterator[Path]:
        """The directory whose content is in the partition."""
        if self.partition.content is not None:
            yield resolve_in(context.root, self.partition.content)
            return
        with tempfile.TemporaryDirectory() as empty:
            Path(empty).chmod(0o755)
            yield Path(empty)
