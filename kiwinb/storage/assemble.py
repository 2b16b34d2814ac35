"""The step that puts the partitions together into a disk."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, ClassVar

from kiwinb.errors import ImageError
from kiwinb.files import NotRegularError, open_regular
from kiwinb.prepare.scripts import Script, run_on_host
from kiwinb.sandbox.command import run
from kiwinb.sandbox.holes import copy_data
from kiwinb.sandbox.paths import anchored
from kiwinb.sizes import MIB
from kiwinb.steps.step import Output, StepContext
from kiwinb.storage.disk import DiskLayout
from kiwinb.storage.fill import image_file
from kiwinb.storage.patches import apply_patches, read_patches
from kiwinb.storage.sparse import copy_changed
from kiwinb.storage.table import sfdisk_script


@dataclass(frozen=True)
class AssembleDisk:
    """Write a raw disk: partition table, partitions, and boot code outside the partitions.

    Attributes:
        layout: The disk.
        filename: File name of the result.
        patches: Name of the step that writes the boot code; see :mod:`kiwinb.storage.patches`.
        active: Whether an MBR marks the partition with ``/boot`` as active, for BIOS firmware.
        edit_install: Script to run on the host at the end, with two arguments: the disk, and a
            copy of the partition that holds ``/boot``. Changes to either file go into the disk.
    """

    output: ClassVar[Output] = "files"
    revision: ClassVar[int] = 2

    layout: DiskLayout
    filename: str
    patches: str | None = None
    active: bool = False
    edit_install: Script | None = None

    def run(self, context: StepContext) -> None:
        """Write the disk to the output directory.

        Raises:
            ImageError: The disk is too small.
            CommandError: A command or the script failed.
        """
        layout = self.layout
        images = {
            partition.key: context.inputs[node.step] / image_file(node.key)
            for partition in layout.partitions
            if (node := partition.content) is not None
        }
        sizes = {
            partition.key: images[partition.key].stat().st_size
            if partition.key in images
            else partition.size or 0
            for partition in layout.partitions
        }
        starts, end = layout.offsets(sizes)
        disk = context.output() / self.filename
        with disk.open("wb") as file:
            file.truncate(self._size(end))
        active = layout.boot.key if self.active else None
        script = sfdisk_script(layout, starts, sizes, active)
        write_table(disk, script, layout.sector_size, context.log)
        with disk.open("r+b") as file:
            for number, (key, image) in enumerate(images.items()):
                with image.open("rb") as source:
                    copy_data(source.fileno(), file.fileno(), starts[key])
                context.progress((number + 1) / len(images))
            if self.patches is not None:
                apply_patches(file, read_patches(context.inputs[self.patches]))
            if self.edit_install is not None:
                boot = layout.boot.key
                self._edit(context, self.edit_install, file, starts[boot], sizes[boot])
            os.fsync(file.fileno())

    def _edit(
        self, context: StepContext, script: Script, disk: BinaryIO, start: int, size: int
    ) -> None:
        """Run ``edit_boot_install.sh`` with a file in place of KIWI NG's block device."""
        disk.flush()
        path = context.output() / self.filename
        with (
            tempfile.TemporaryDirectory(
                dir=context.output(), ignore_cleanup_errors=True
            ) as directory,
            anchored(Path(directory)) as held,
        ):
            partition = Path(directory, f"{self.layout.boot.key}.img")
            with partition.open("x+b") as file:
                file.truncate(size)
                copy_changed(disk.fileno(), start, file.fileno(), 0, size)
            os.utime(partition, ns=(0, 0))
            arguments = (str(path), str(partition))
            run_on_host(context.root, script, context.log, *arguments, writable=(context.output(),))
            try:
                with open_regular(held / partition.name) as file:
                    if os.fstat(file.fileno()).st_mtime_ns:
                        copy_changed(file.fileno(), 0, disk.fileno(), start, size)
                replaced = not os.path.samestat(path.lstat(), os.fstat(disk.fileno()))
            except (FileNotFoundError, NotRegularError):
                replaced = True
            if replaced:
                raise ImageError(
                    f"{script.name} has removed or replaced a file that it was to change",
                    remedy="The script may write into the disk ($1) and into the partition ($2).",
                )

    def _size(self, end: int) -> int:
        needed = -(-(end + self.layout.end_reserve) // MIB) * MIB
        total = self.layout.size.total
        if total is None:
            return needed
        if total < needed:
            raise ImageError(
                f"the disk needs {needed // MIB} MiB, but its size is {total // MIB} MiB",
                remedy="raise <size>, or leave it out",
            )
        return total


def write_table(disk: Path, script: str, sector_size: int, log: Callable[[str], None]) -> None:
    """Write a partition table.

    Args:
        disk: A raw disk.
        script: Script for sfdisk.
        sector_size: Size of a sector in bytes.
        log: Called with each line of output.

    Raises:
        CommandError: ``sfdisk`` or ``fdisk`` failed.
    """
    if sector_size == 512:
        run(["sfdisk", "--quiet", str(disk)], log=log, input=script)
        return
    # sfdisk assumes sectors of 512 bytes in a file; fdisk takes their size, and reads such scripts.
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "script.sfdisk"
        file.write_text(script)
        commands = f"I\n{file}\nw\n"
        run(["fdisk", "--sector-size", str(sector_size), str(disk)], log=log, input=commands)
