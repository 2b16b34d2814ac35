"""A file system that is a list of names and the content of all files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kiwinb.sizes import MIB
from kiwinb.storage.filesystem import FILESYSTEMS
from kiwinb.storage.filesystem.content import Content, Need
from kiwinb.storage.filesystem.spec import Filesystem, FilesystemFull, Growth, Watch

MAGIC = b"FAKEFS\n"


@dataclass(frozen=True)
class FakeFilesystem:
    """See :class:`kiwinb.storage.filesystem.spec.FilesystemMaker`."""

    name: str = "fakefs"
    revision: int = 1
    tools: tuple[str, ...] = ("mkfs.fakefs",)
    makes_images: bool = True
    grub_module: str | None = None
    growth: Growth | None = None
    subvolumes: bool = False
    least_volume: int = 30
    read_only: bool = False
    has_uuid: bool = True
    compression: str | None = None
    fstab_type: str = "fakefs"
    checked: bool = False

    def lacks(self, compression: str | None) -> str | None:
        return None

    def size(self, need: Need) -> int:
        return need.size + MIB

    def make(self, image: Path, spec: Filesystem, content: Content, watch: Watch) -> None:
        data = [MAGIC, f"{spec.uuid} {spec.label}\n".encode()]
        for entry in content.entries:
            data.append(entry.path + b"\n")
            if entry.kind == "file":
                data += [piece for _, piece in content.pieces(entry)]
        written = b"".join(data)
        if len(written) > image.stat().st_size:
            raise FilesystemFull("the content is larger than the file system")
        with image.open("r+b") as file:
            file.write(written)

    def identifier(self, uuid: str) -> str:
        return uuid


FILESYSTEMS.register(FakeFilesystem())
