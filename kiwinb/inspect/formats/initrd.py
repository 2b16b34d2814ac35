"""Read initrds: cpio archives one after the other, each plain or compressed, as Linux reads them.

An initrd can begin with plain archives, such as microcode and tables of ACPI, and go on with a
compressed one. Zeros may be between them. A file with a single cpio archive is an initrd as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from kiwinb.errors import InspectError
from kiwinb.inspect.formats.archive import MemberTree
from kiwinb.inspect.formats.cpio import MAGICS, Archive, archive_format, read_archive
from kiwinb.inspect.formats.frames import Frames, starts
from kiwinb.inspect.formats.members import Member
from kiwinb.inspect.formats.unpack import unpacked
from kiwinb.inspect.formats.window import DamagedError, Window, reading

_PROBED = 1 << 16
_BOOT_CONFIG = b"#BOOTCONFIG\n"


@dataclass(frozen=True)
class Section:
    """A part of an initrd.

    Attributes:
        format: Format of the cpio archive (``newc``, ``crc``, ``odc``, ``binary``), or
            ``boot configuration`` or ``unknown data``, which are not part of the tree.
        compression: Name of its compression; empty if it is not compressed.
        start: Offset of its first byte in the file; archives that are compressed together have the
            same.
        entries: Number of entries.
    """

    format: str
    compression: str
    start: int
    entries: int

    def __str__(self) -> str:
        packed = f", {self.compression}" if self.compression else ""
        return f"{self.format}{packed}, {self.entries} entries, at byte {self.start}"


class InitrdTree(MemberTree):
    """One or more cpio archives in a file, of which later entries replace earlier ones.

    Args:
        window: The file.
        name: Name in messages.
        chosen: Number of the only archive to show, from 1 on; by default, all are shown.
    """

    what = "a cpio archive"

    def __init__(self, window: Window, name: str, chosen: int | None = None) -> None:
        super().__init__(name)
        self._window = window
        self._chosen = chosen
        self._plain: list[Window] = []

    @staticmethod
    def probe(window: Window) -> bool:
        """Tell whether the content, compressed or not, begins with a cpio archive."""
        at = 0
        if window.peek(0, 1) == b"\0":
            at = window.part(0, _PROBED).skip_zeros(0)
        return bool(archive_format(window, at) or (starts(window, at) and _holds_cpio(window, at)))

    @cached_property
    def _found(self) -> Sequence[tuple[Section, Archive]]:
        with reading(self.name, self.what):
            return tuple(self._read())

    @property
    def sections(self) -> tuple[Section, ...]:
        """The archives, in the order in which they are put over one another."""
        return tuple(section for section, _archive in self._found)

    def chosen(self, name: str) -> InitrdTree:
        """Return a tree of only one of the archives.

        Args:
            name: Its number, from 1 on.

        Raises:
            InspectError: There is no such archive.
        """
        count = len(self._found)
        if not name.isdecimal() or not 1 <= int(name) <= count:
            listed = "; ".join(f"{number}: {item}" for number, item in enumerate(self.sections, 1))
            raise InspectError(
                f"{self.name} has no archive {name!r}", remedy=f"It consists of: {listed}."
            )
        tree = InitrdTree(self._window, f"{self.name}#{name}", int(name))
        tree._plain, tree._found = self._plain, self._found
        return tree

    def _read(self) -> Iterator[tuple[Section, Archive]]:
        at, size = self._window.skip_zeros(0), self._window.size
        while at < size:
            if archive_format(self._window, at):
                archive = read_archive(self._window, at)
                yield Section(archive.format, "", at, len(archive.members)), archive
                at = archive.end
            elif method := starts(self._window, at):
                frames = Frames(self._window, at)
                with reading(self.name, f"an initrd with {method} at byte {at}"):
                    plain = unpacked(frames, self.name)
                self._plain.append(plain)
                yield from _in_compressed(plain, method, at)
                at = frames.end
            else:
                rest = self._window.peek(size - len(_BOOT_CONFIG), len(_BOOT_CONFIG))
                what = "boot configuration" if rest == _BOOT_CONFIG else "unknown data"
                yield Section(what, "", at, 0), Archive(what, size, ())
                return
            at = self._window.skip_zeros(at)

    def _members(self) -> Iterator[Member]:
        only = self._chosen
        shown = self._found if only is None else self._found[only - 1 : only]
        return chain.from_iterable(archive.members for _section, archive in shown)

    def close(self) -> None:
        """Close all files."""
        for window in (self._window, *self._plain):
            window.close()


def _in_compressed(plain: Window, method: str, start: int) -> Iterator[tuple[Section, Archive]]:
    """Yield the archives in what was compressed."""
    at = plain.skip_zeros(0)
    while at < plain.size:
        if not archive_format(plain, at):
            raise DamagedError(f"the data compressed with {method} at byte {start} is no archive")
        archive = read_archive(plain, at)
        yield Section(archive.format, method, start, len(archive.members)), archive
        at = plain.skip_zeros(archive.end)


def _holds_cpio(window: Window, at: int) -> bool:
    """Tell whether compressed data begins with a cpio archive."""
    first = next((piece for piece in Frames(window, at) if piece), b"")
    return first.startswith(MAGICS)
