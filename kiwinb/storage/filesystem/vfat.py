"""FAT, mainly for the EFI system partition: mkfs.vfat makes it, and mtools fill it."""

from __future__ import annotations

import os
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

from kiwinb.errors import CommandError
from kiwinb.sandbox.command import run
from kiwinb.sandbox.holes import copy_file
from kiwinb.sizes import MIB
from kiwinb.storage.filesystem.content import Content, Need, name_of, parent_of, shown
from kiwinb.storage.filesystem.limits import PATH_OF_TOOLS, Limits, check, refused
from kiwinb.storage.filesystem.spec import Filesystem, FilesystemFull, Growth, Watch
from kiwinb.storage.sparse import punch_zeros

_LABEL_LENGTH = 11
_EARLIEST = 315_532_800  # 1980
_MOST_CHARACTERS = 255  # UTF-16 units of a name
_FORBIDDEN = frozenset('"*/:<>?\\|\x7f') | frozenset(map(chr, range(32)))
_LIMITS = Limits(
    "FAT",
    kinds=frozenset(("file", "directory")),
    path=PATH_OF_TOOLS,
    names=1000,
    size=(1 << 32) - 1,
    flags=False,
    remedy="Remove it, or take another file system for its partition.",
)


@dataclass(frozen=True)
class Fat:
    """FAT with 16-bit or 32-bit allocation table entries.

    FAT has no owners, modes, links or extended attributes: they are lost, except that a symbolic
    link, a fifo or a device node is an error. It has no holes either: zeros stand for them, which
    are holes in the image. Times before 1980 become 1980.
    """

    bits: int
    revision: int = 2
    tools: tuple[str, ...] = ("mkfs.vfat", "mcopy")
    makes_images: bool = False
    grub_module: str | None = "fat"
    growth: Growth | None = None
    subvolumes: bool = False
    least_volume: int = 30
    read_only: bool = False
    has_uuid: bool = True
    compression: str | None = None
    fstab_type: str = "vfat"
    checked: bool = True

    @property
    def name(self) -> str:
        """See :class:`~kiwinb.storage.filesystem.spec.FilesystemMaker`."""
        return f"fat{self.bits}"

    def size(self, need: Need) -> int:
        """See :class:`~kiwinb.storage.filesystem.spec.FilesystemMaker`."""
        return max(need.size * 21 // 20 + 2 * MIB, (34 if self.bits == 32 else 9) * MIB)

    def lacks(self, compression: str | None) -> str | None:
        """See :class:`~kiwinb.storage.filesystem.spec.FilesystemMaker`."""
        return None

    def identifier(self, uuid: str) -> str:
        """See :class:`~kiwinb.storage.filesystem.spec.FilesystemMaker`."""
        volume = _volume_id(uuid)
        return f"{volume[:4]}-{volume[4:]}"

    def make(self, image: Path, spec: Filesystem, content: Content, watch: Watch) -> None:
        """See :class:`~kiwinb.storage.filesystem.spec.FilesystemMaker`."""
        check(content, _LIMITS)
        _check_names(content)
        if content.need.size > image.stat().st_size:
            raise FilesystemFull("the content is larger than the file system")
        label = (spec.label or "").upper()[:_LABEL_LENGTH]
        environment = {"SOURCE_DATE_EPOCH": str(content.epoch), "TZ": "UTC", "MTOOLSRC": os.devnull}
        run(
            [
                "mkfs.vfat",
                "--invariant",
                *("-F", str(self.bits)),
                *("-i", _volume_id(spec.uuid)),
                *("-S", str(spec.sector_size)),
                *(("-n", label) if label else ()),
                *spec.options,
                str(image),
            ],
            log=watch.log,
            env=environment,
        )
        with tempfile.TemporaryDirectory() as scratch:
            names = _copy(content, Path(scratch))
            if not names:
                return
            try:
                run(
                    ["mcopy", "-i", str(image), "-s", "-p", "-m", "-Q", *names, "::"],
                    log=watch.log,
                    env=environment,
                    cwd=Path(scratch),
                )
            except CommandError as error:
                if "full" in str(error).lower():
                    raise FilesystemFull(error.problem) from error
                raise
        if any(content.sparse(entry) for entry in content.entries if entry.kind == "file"):
            punch_zeros(image)


def _check_names(content: Content) -> None:
    """Check for names that mtools would change without a word."""
    taken: dict[tuple[bytes, str], bytes] = {}
    for entry in content.entries[1:]:
        try:
            name = name_of(entry).decode()
        except UnicodeDecodeError:
            raise refused(_LIMITS, entry.path, "its name is not in UTF-8") from None
        length = len(name.encode("utf-16-le")) // 2
        if length > _MOST_CHARACTERS:
            problem = f"its name has {length} characters, and {_MOST_CHARACTERS} are the most"
            raise refused(_LIMITS, entry.path, problem)
        for character in name:
            if character in _FORBIDDEN:
                raise refused(_LIMITS, entry.path, f"its name has the character {character!r}")
        if name[-1] in " ." or name[0] == " ":
            raise refused(_LIMITS, entry.path, "its name begins or ends with a space or a dot")
        other = taken.setdefault((parent_of(entry), name.lower()), entry.path)
        if other != entry.path:
            problem = f"only upper and lower case tell its name from {shown(other)}"
            raise refused(_LIMITS, entry.path, problem)


def _volume_id(text: str) -> str:
    return uuid.UUID(text).hex[:8].upper()


def _copy(content: Content, scratch: Path) -> list[str]:
    """Copy the content to a directory, with its times; return the names at the top level."""
    for entry in content.entries:
        if entry.path == b".":
            continue
        target = scratch / os.fsdecode(entry.path)
        if entry.kind == "directory":
            target.mkdir()
        else:
            copy_file(Path(os.fsdecode(content.source(entry))), target)
    for entry in content.entries:
        time = max(content.modified_ns(entry), _EARLIEST * 10**9)
        os.utime(scratch / os.fsdecode(entry.path), ns=(time, time))
    return sorted(entry.name for entry in scratch.iterdir())


FAT16 = Fat(16)
FAT32 = Fat(32)
