"""The step that makes one file system and fills it."""

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
from kiwinb.storage.filesystem.spec import Filesystem, Watch


def image_file(key: str) -> str:
    """Name of the file that the step of a node leaves."""
    return f"{key}.img"


@dataclass(frozen=True)
class FillFilesystem:
    """Make a file system in a file, and fill it.

    Attributes:
        spec: What is asked for.
        name: What messages call it: ``the partition root``.
        filename: Of the file.
        directory: Whose content is in it, an absolute path; ``None`` for an empty one.
        source: Name of the step that has the directory; ``None`` for the tree.
        size: In bytes; ``None`` when the content decides.
        extra: Bytes beyond what the content needs, when it decides.
        exclude: What is left out, relative to the directory.
        epoch: Nothing in it is newer, in seconds since 1970-01-01 UTC.
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
        """The directory whose content goes into the file system."""
        if self.directory is not None:
            top = context.root if self.source is None else context.inputs[self.source]
            yield resolve_in(top, self.directory)
            return
        with tempfile.TemporaryDirectory() as empty:
            Path(empty).chmod(0o755)
            yield Path(empty)
