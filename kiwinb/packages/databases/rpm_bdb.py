"""Read ``Packages`` of older versions of rpm, a hash table of Berkeley DB.

The keys are numbers of packages, and the values their headers, most of which are too large for a
page and in a chain of pages of their own. Numbers are in the byte order of the machine that wrote
the file.

Sources of the format: the description of pages in the documentation of Berkeley DB, and files that
``db_load`` writes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from kiwinb.packages.databases.bounds import damaged

_MAGIC = 0x061561
_VERSIONS = range(5, 11)
_PAGE_HEADER = 26
_HASH_META, _OVERFLOW = 8, 7
_HASH_PAGES = (2, 13)  # unsorted, sorted
_ON_PAGE, _OFF_PAGE = 1, 3
_OFF_PAGE_SIZE = 12


@dataclass(frozen=True)
class _File:
    data: bytes
    where: str
    order: str
    size: int
    """Size of a page."""

    def page(self, number: int) -> bytes:
        found = self.data[number * self.size : (number + 1) * self.size]
        if len(found) < self.size:
            raise damaged(self.where, f"page {number} is cut off")
        return found

    def number(self, form: str, page: bytes, at: int) -> int:
        value: int = struct.unpack_from(self.order + form, page, at)[0]
        return value


def blobs(data: bytes, where: str) -> Iterator[bytes]:
    """Yield the headers of all packages.

    Args:
        data: The file.
        where: Its path, for errors.

    Raises:
        InspectError: The database is damaged.
    """
    file, pages = _opened(data, where)
    used = 0
    for number in range(1, pages + 1):
        page = file.page(number)
        if page[25] not in _HASH_PAGES:
            continue
        items = _items(file, page, number)
        if len(items) % 2:
            raise damaged(where, f"a key on page {number} has no value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not any(key[1:]):  # the number for the next package
                continue
            blob = _value(file, value)
            used += len(blob)
            if used > len(data):
                raise damaged(where, "packages overlap")
            yield blob


def _opened(data: bytes, where: str) -> tuple[_File, int]:
    """Read the first page, and return the number of the last page."""
    if len(data) < 512:
        raise damaged(where, "the file is cut off")
    order = next((o for o in "<>" if struct.unpack_from(f"{o}I", data, 12)[0] == _MAGIC), None)
    if order is None or data[25] != _HASH_META:
        raise damaged(where, "it is no database of rpm")
    version, size = struct.unpack_from(f"{order}II", data, 16)
    (last,) = struct.unpack_from(f"{order}I", data, 32)
    if version not in _VERSIONS or not 512 <= size <= 65536 or size & (size - 1):
        raise damaged(where, f"its version {version} or page size {size} is unknown")
    if data[24]:
        raise damaged(where, "it is encrypted")
    if (last + 1) * size > len(data):
        raise damaged(where, "the file is cut off")
    return _File(data, where, order, size), last


def _items(file: _File, page: bytes, number: int) -> list[bytes]:
    """Return the keys and values on a page, each with its type in the first byte."""
    count = file.number("H", page, 20)
    if _PAGE_HEADER + 2 * count > file.size:
        raise damaged(file.where, f"page {number} is damaged")
    places = struct.unpack_from(f"{file.order}{count}H", page, _PAGE_HEADER)
    found = []
    end = file.size
    for start in places:
        if not _PAGE_HEADER + 2 * count <= start < end:
            raise damaged(file.where, f"page {number} is damaged")
        found.append(page[start:end])
        end = start
    return found


def _value(file: _File, item: bytes) -> bytes:
    if item[0] == _ON_PAGE:
        return item[1:]
    if item[0] != _OFF_PAGE or len(item) != _OFF_PAGE_SIZE:
        raise damaged(file.where, "a value is damaged")
    number, size = file.number("I", item, 4), file.number("I", item, 8)
    if size > len(file.data):
        raise damaged(file.where, "a value is larger than the file")
    found = bytearray()
    while number and len(found) < size:
        page = file.page(number)
        held = file.number("H", page, 22)
        if page[25] != _OVERFLOW or not 0 < held <= file.size - _PAGE_HEADER:
            raise damaged(file.where, f"page {number} is damaged")
        found += page[_PAGE_HEADER : _PAGE_HEADER + held]
        number = file.number("I", page, 16)
    if len(found) != size:
        raise damaged(file.where, "a value is cut off")
    return bytes(found)
