"""Change a tree temporarily for a tool that reads it directly."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from kiwinb.checkpoints.treescan import Entry
from kiwinb.sandbox.devices import make_stand_in
from kiwinb.storage.filesystem.content import Content

NODES = {"char": stat.S_IFCHR, "block": stat.S_IFBLK}
"""File type bits of device nodes, by kind of entry."""


@contextmanager
def presented(content: Content, *, fifos: bool) -> Iterator[None]:
    """Remove what must not get into an image from a tree, and restore it afterwards.

    This affects extended attributes that belong to the host. Other processes do not see the change,
    because each step has its own tree.

    Args:
        content: The tree.
        fifos: Whether to replace each stand-in for a device node by a fifo, too.
    """
    with ExitStack() as undo:
        for entry in content.entries:
            if entry.kind not in NODES:
                _hide_attributes(content.source(entry), entry, undo)
            elif fifos and stat.S_ISREG(os.lstat(content.source(entry)).st_mode):
                _swap(content.source(entry), entry, undo)
        yield


def left_out(content: Content) -> tuple[bytes, ...]:
    """Return the paths of the tree that the content leaves out, without the paths below them."""
    kept = {entry.path for entry in content.entries}
    found: list[bytes] = []
    queue = [b"."]
    while queue:
        directory = queue.pop()
        with os.scandir(os.path.join(os.fsencode(content.root), directory)) as entries:  # noqa: PTH118 - bytes
            for entry in entries:
                path = entry.name if directory == b"." else directory + b"/" + entry.name
                if path not in kept:
                    found.append(path)
                elif entry.is_dir(follow_symlinks=False):
                    queue.append(path)
    return tuple(sorted(found))


def _hide_attributes(path: bytes, entry: Entry, undo: ExitStack) -> None:
    kept = {name for name, _ in entry.xattrs}
    for name in os.listxattr(path, follow_symlinks=False):
        if name not in kept:
            value = os.getxattr(path, name, follow_symlinks=False)
            os.removexattr(path, name, follow_symlinks=False)
            undo.callback(os.setxattr, path, name, value, follow_symlinks=False)


def _swap(path: bytes, entry: Entry, undo: ExitStack) -> None:
    """Replace a stand-in by a fifo."""
    parent = os.path.dirname(path)  # noqa: PTH120 - bytes
    times = os.lstat(path), os.lstat(parent)
    kinds = NODES[entry.kind] | entry.mode
    assert entry.device is not None
    numbers = entry.device

    def replace(with_node: bool) -> None:
        os.unlink(path)  # noqa: PTH108 - bytes
        if with_node:
            make_stand_in(Path(os.fsdecode(path)), kinds, *numbers)
        else:
            os.mkfifo(path)
        os.chown(path, entry.uid, entry.gid)
        os.chmod(path, entry.mode)  # noqa: PTH101 - bytes
        for place, status in zip((path, parent), times, strict=True):
            os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))

    replace(False)
    undo.callback(replace, True)
