"""The step that makes the file system of one partition."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from kiwinb.create.disk.layout import DiskPartition
from kiwinb.create.filesystem import FILESYSTEMS
from kiwinb.create.filesystem.spec import MIB, Filesystem, FilesystemFull, FilesystemMaker, Watch
from kiwinb.create.filesystem.tree import Content
from kiwinb.errors import ImageError
from kiwinb.plan.step import Output, StepContext
from kiwinb.sandbox.paths import resolve_in

_ATTEMPTS = 6


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
        maker = FILESYSTEMS[spec.kind]
        with self._root(context) as root:
            self._fill(spec, maker, Content(root, self.exclude, self.epoch), context)

    @contextmanager
    def _root(self, context: StepContext) -> Iterator[Path]:
        """The directory whose content is in the partition."""
        if self.partition.content is not None:
            yield resolve_in(context.root, self.partition.content)
            return
        with tempfile.TemporaryDirectory() as empty:
            Path(empty).chmod(0o755)
            yield Path(empty)

    def _fill(
        self, spec: Filesystem, maker: FilesystemMaker, content: Content, context: StepContext
    ) -> None:
        path = context.output() / image_file(self.partition)
        watch = Watch(context.log, context.progress)
        size = self.size
        if size is None:
            size = _whole(maker.size(content.need) * 6 // 5 + self.extra)
        for attempt in range(_ATTEMPTS):
            with path.open("wb") as file:
                file.truncate(size)
            try:
                maker.make(path, spec, content, watch)
            except FilesystemFull as error:
                if self.size is not None:
                    raise self._too_small(maker.size(content.need)) from error
                if attempt == _ATTEMPTS - 1:
                    raise
                size = _whole(size * 6 // 5)
                context.log(f"{self.partition.key} is too small; trying {size // MIB} MiB")
            else:
                return

    def _too_small(self, need: int) -> ImageError:
        assert self.size is not None
        wanted = max(_whole(need), _whole(self.size * 11 // 10))
        return ImageError(
            f"the content of the partition {self.partition.key} does not fit into "
            f"{self.size // MIB} MiB; it needs about {wanted // MIB} MiB",
            remedy="give the partition (or, for the root partition, the disk) a larger size",
        )


def _whole(size: int) -> int:
    """Rounded up to whole MiB."""
    return -(-size // MIB) * MIB
