"""Reach files of a tree whose paths are longer than a system call accepts."""

from __future__ import annotations

import os
from types import TracebackType

LONGEST_PATH = 4095
"""Largest length in bytes of a path in a system call."""

_PART = 3072


class Reach:
    """Paths on the host for the paths of a tree, however long these are.

    A path that is too long for a system call is replaced by a short one through the descriptor of
    its directory. At most one descriptor is open at a time.

    Args:
        top: The directory that the tree is in.
    """

    def __init__(self, top: bytes) -> None:
        self._top = top
        self._held: tuple[bytes, int] | None = None

    def __enter__(self) -> Reach:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the descriptor; paths that :meth:`path` returned may not work any longer."""
        if self._held is not None:
            os.close(self._held[1])
            self._held = None

    def is_long(self, path: bytes, room: int = 0) -> bool:
        """Tell whether no system call accepts the path of a file in the tree.

        Args:
            path: Path in the tree.
            room: Number of bytes that are to be appended to it.
        """
        return len(self._top) + 1 + len(path) + room > LONGEST_PATH

    def path(self, path: bytes, room: int = 0) -> bytes:
        """Return a path on the host, which works until the next call.

        Args:
            path: Path in the tree, without a leading slash and without ``..``.
            room: Number of bytes that can be appended to it; 256 for ``/`` and any name.
        """
        if not self.is_long(path, room):
            return os.path.join(self._top, path)  # noqa: PTH118 - bytes
        directory, _, name = path.rpartition(b"/")
        if self._held is None or self._held[0] != directory:
            self._hold(directory)
        assert self._held is not None
        return b"/proc/self/fd/%d/%s" % (self._held[1], name)

    def _hold(self, directory: bytes) -> None:
        """Open a directory part by part, from an open directory above it if there is one."""
        flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        left, descriptor = directory, -1
        if self._held is not None and directory.startswith(self._held[0] + b"/"):
            left, descriptor = directory[len(self._held[0]) + 1 :], os.dup(self._held[1])
        self.close()
        if descriptor < 0:
            descriptor = os.open(self._top, flags)
        try:
            while left:
                end = len(left) if len(left) <= _PART else left.rindex(b"/", 0, _PART)
                below = os.open(left[:end], flags | os.O_NOFOLLOW, dir_fd=descriptor)
                os.close(descriptor)
                left, descriptor = left[end + 1 :], below
        except BaseException:
            os.close(descriptor)
            raise
        self._held = (directory, descriptor)
