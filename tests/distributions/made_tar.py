"""Write the files of a package to a tar file."""

from __future__ import annotations

import struct
import tarfile
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path

from made_packages import Entry

_TYPES = {
    "file": tarfile.REGTYPE,
    "directory": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
}
_CAPABILITIES: Mapping[str, int] = {"cap_net_raw=ep": 1 << 13}
"""Bits by text, of the capabilities that packages here have."""

_REVISION_2, _EFFECTIVE = 0x02000000, 0x000001


def write_tar(
    entries: Iterable[Entry],
    file: Path,
    users: Mapping[str, int],
    groups: Mapping[str, int],
) -> None:
    """Write files to a tar file.

    Args:
        entries: The files.
        file: The tar file.
        users: Ids of the owners.
        groups: Ids of the groups.
    """
    with tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as tar:
        for entry in entries:
            tar.addfile(member(entry, users, groups), BytesIO(entry.data))


def member(entry: Entry, users: Mapping[str, int], groups: Mapping[str, int]) -> tarfile.TarInfo:
    """Describe a file for a tar file; who is not among the users or groups is root there."""
    about = tarfile.TarInfo(entry.path)
    about.type = _TYPES[entry.kind]
    about.mode, about.mtime = entry.mode, entry.mtime
    about.size, about.linkname = len(entry.data), entry.target
    about.uname, about.gname = entry.owner, entry.group
    about.uid, about.gid = users.get(entry.owner, 0), groups.get(entry.group, 0)
    if entry.capability:
        value = capability(entry.capability).decode("utf-8", "surrogateescape")
        about.pax_headers = {"SCHILY.xattr.security.capability": value}
    return about


def capability(words: str) -> bytes:
    """The attribute ``security.capability`` for effective and permitted capabilities."""
    bits = _CAPABILITIES[words]
    return struct.pack("<IIIII", _REVISION_2 | _EFFECTIVE, bits, 0, 0, 0)
