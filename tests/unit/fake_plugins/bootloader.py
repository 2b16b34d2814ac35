"""A bootloader that finds the file systems by their checksums, so that it needs two acts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kiwinb.bootloader import BOOTLOADERS
from kiwinb.bootloader.host import HostDirectory
from kiwinb.bootloader.kernel import find_kernel
from kiwinb.bootloader.target import BootFacts, BootTarget, CoreRoom
from kiwinb.description.model import ImageDescription
from kiwinb.errors import ImageError
from kiwinb.sandbox.paths import resolve_in
from kiwinb.steps.step import StepContext
from kiwinb.storage.patches import Patch

SECTOR = 512


def record(key: str, image: Path, room: CoreRoom) -> Patch:
    """What the loader puts beside the partitions for a file system, and where: both depend on it.

    Args:
        key: Of the file system.
        image: Its image, or any file that starts with the same bytes.
        room: Where the loader may put it.
    """
    checksum = hashlib.sha256(image.read_bytes()).digest()
    sector = room.sector + int.from_bytes(checksum[:4], "big") % room.count
    return Patch(sector * SECTOR, b"FAKEBOOT " + key.encode() + b" " + checksum)


@dataclass(frozen=True)
class FakeBootloader:
    """See :class:`kiwinb.bootloader.target.BootloaderMaker`."""

    name: str = "fakeboot"
    revision: int = 1
    honours: frozenset[str] = frozenset({"timeout"})
    boots_bios: bool = True
    embeds_code: bool = True
    keeps_environment: bool = False
    needs_filesystems: bool = True

    def esp_size(self, image: ImageDescription) -> int:
        return 20

    def host_directories(self, image: ImageDescription) -> Mapping[str, HostDirectory]:
        return {}

    def configure(self, context: StepContext, target: BootTarget) -> None:
        kernel = find_kernel(context.root, initrd=target.initrd, distributions=target.distributions)
        lines = (kernel.file, str(kernel.initrd), target.kernel_options)
        resolve_in(context.root, "/boot/fakeboot.cfg").write_text("\n".join(lines))

    def finalise(
        self, context: StepContext, target: BootTarget, facts: BootFacts, esp: Path
    ) -> tuple[Patch, ...]:
        if not facts.images or target.core is None:
            raise ImageError("the fake bootloader was not told of the file systems")
        room = target.core
        return tuple(record(key, image, room) for key, image in sorted(facts.images.items()))


BOOTLOADERS.register(FakeBootloader())
