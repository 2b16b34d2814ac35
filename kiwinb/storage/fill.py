"""The step that makes one file system and fills it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from kiwinb.checkpoints.private import tighten
from kiwinb.sandbox.paths import resolve_in
from kiwinb.steps.step import Output, StepContext
from kiwinb.storage.filesystem.content import Content
from kiwinb.storage.filesystem.fill import fill
from kiwinb.storage.filesystem.spec import Filesystem, Watch


def image_file(key: str) -> str:
    """Return the name of the file that the step of a node writes."""
    return f"{key}.img"


@dataclass(frozen=True)
class FillFilesystem:
    """Make a file system in a file, and fill it.

    Attributes:
        spec: Specification of the file system.
        name: Name in messages, such as ``the partition root``.
        filename: Name of the file.
        directory: Absolute path of the directory to fill it from; ``None`` to leave it empty.
        source: Name of the step whose output has the directory; ``None`` for the tree.
        size: Size in bytes; ``None`` if it depends on the content.
        extra: Number of bytes to add if the size depends on the content.
        exclude: Paths to leave out, relative to the directory.
        epoch: Latest time in the file system, in seconds since 1970-01-01 UTC; later ones become
            this.
    """

    output: ClassVar[Output] = "files"
    revision: ClassVar[int] = 3

    spec: Filesystem
    name: str
    filename: str
    directory: str | None
    source: str | None
    size: int | None
    extra: int
    exclude: tuple[str, ...]
    epoch: int

    def run(self, context: StepContext) -> None:
        """Write the file to the output directory.

        Raises:
            ImageError: The content does not fit, or the file system cannot hold it.
        """
        with self._content(context) as root:
            fill(
                context.output() / self.filename,
                self.spec,
                Content(root, self.exclude, self.epoch),
                Watch(context.log, context.progress),
                name=self.name,
                size=self.size,
                extra=self.extra,
            )

    @contextmanager
    def _content(self, context: StepContext) -> Iterator[Path]:
        """Yield the directory to fill the file system from."""
        if self.directory is not None:
            top = context.root if self.source is None else context.inputs[self.source]
            yield resolve_in(top, self.directory)
            return
        with tempfile.TemporaryDirectory() as empty:
            tighten([Path(empty)], 0o755)
            yield Path(empty)
