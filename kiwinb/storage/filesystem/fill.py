"""Make a file system in a file, with a given size or as large as its content needs."""

from __future__ import annotations

from pathlib import Path

from kiwinb.errors import ImageError
from kiwinb.sizes import MIB
from kiwinb.storage.filesystem import FILESYSTEMS
from kiwinb.storage.filesystem.content import Content
from kiwinb.storage.filesystem.spec import Filesystem, FilesystemFull, Watch

_ATTEMPTS = 6


def fill(
    path: Path,
    spec: Filesystem,
    content: Content,
    watch: Watch,
    *,
    name: str,
    size: int | None = None,
    extra: int = 0,
) -> None:
    """Make a file system.

    Args:
        path: The file to create.
        spec: Specification of the file system.
        content: Content to fill it with.
        watch: Callbacks that report progress.
        name: Name in messages, such as ``the partition root``.
        size: Size in bytes; ``None`` if it depends on the content.
        extra: Number of bytes to add if the size depends on the content.

    Raises:
        ImageError: The content does not fit, or the file system cannot hold it.
    """
    maker = FILESYSTEMS.get_used(spec.kind)
    if maker.read_only:
        maker.make(path, spec, content, watch)
        _pad(path, name, size)
        return
    wanted = _whole(maker.size(content.need) * 6 // 5 + extra) if size is None else size
    for attempt in range(_ATTEMPTS):
        with path.open("wb") as file:
            file.truncate(wanted)
        try:
            maker.make(path, spec, content, watch)
        except FilesystemFull as error:
            if size is not None:
                raise _too_small(name, size, maker.size(content.need)) from error
            if attempt == _ATTEMPTS - 1:
                raise
            wanted = _whole(wanted * 6 // 5)
            watch.log(f"{name} is too small; trying {wanted // MIB} MiB")
        else:
            return


def _pad(path: Path, name: str, size: int | None) -> None:
    """Enlarge the file of a read-only file system to the requested size."""
    measured = path.stat().st_size
    if size is None:
        return
    if measured > size:
        raise _too_small(name, size, measured)
    with path.open("r+b") as file:
        file.truncate(size)


def _too_small(name: str, size: int, need: int) -> ImageError:
    wanted = max(_whole(need), _whole(size * 11 // 10))
    return ImageError(
        f"the content of {name} does not fit into {size // MIB} MiB; "
        f"it needs about {wanted // MIB} MiB",
        remedy="give the partition (or, for the root partition, the disk) a larger size",
    )


def _whole(size: int) -> int:
    """Round a number of bytes up to whole MiB."""
    return -(-size // MIB) * MIB
