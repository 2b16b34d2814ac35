"""Collect the changelogs of the packages of a tree."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from kiwinb.packages.databases.directory import DirectoryFiles
from kiwinb.packages.databases.rpm import headers_of
from kiwinb.packages.databases.rpm_header import Header, Tag


def changes(root: Path) -> str:
    """Return the changelogs of a tree, as KIWI NG's ``.changes`` file has them.

    Each begins with a line ``NAME|``, and has the entries as ``rpm --changelog`` prints them. They
    are in the order of the names of packages.

    Raises:
        InspectError: The database is damaged.
    """
    found = headers_of(DirectoryFiles(root)).values()
    headers = sorted(found, key=lambda header: header.text(Tag.NAME))
    return "".join(f"{header.text(Tag.NAME)}|\n{''.join(_entries(header))}" for header in headers)


def _entries(header: Header) -> Iterator[str]:
    times, texts = header.numbers(Tag.CHANGELOGTIME), header.strings(Tag.CHANGELOGTEXT)
    for when, who, text in zip(times, header.strings(Tag.CHANGELOGNAME), texts, strict=False):
        yield f"* {time.strftime('%a %b %d %Y', time.gmtime(when))} {who}\n{text}\n\n"
