"""The two steps of a bootloader, and the files of the tree that depend on the disk."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from kiwinb.bootloader import BOOTLOADERS
from kiwinb.bootloader.target import BootFacts, BootTarget
from kiwinb.errors import ImageError
from kiwinb.prepare.scripts import Script, run_in_tree
from kiwinb.sandbox.chroot import Chroot
from kiwinb.sandbox.command import run
from kiwinb.sandbox.paths import resolve_in
from kiwinb.steps.registry import Used
from kiwinb.steps.step import Output, StepContext
from kiwinb.storage.disk import DiskLayout
from kiwinb.storage.fstab import crypttab, fstab
from kiwinb.storage.layout import EFI_DIRECTORY, LOADER_FILES
from kiwinb.storage.patches import write_patches
from kiwinb.storage.resize import Resize, install_resize

_FSTAB = "/etc/fstab"
_CRYPTTAB = "/etc/crypttab"


@dataclass(frozen=True)
class BootConfig:
    """Write fstab, the bootloader's configuration and the resize service into the tree.

    This is the first of the two steps.

    Attributes:
        bootloader: The bootloader.
        target: Description of the boot for the bootloader.
        layout: The disk.
        persistency: How fstab names devices: ``by-uuid``, ``by-label`` or ``by-partuuid``.
        resize: How the running system resizes its root partition.
        edit_config: Script to run once the bootloader is configured.
        last: Scripts to run after that, in this order.
    """

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 3

    bootloader: Used
    target: BootTarget
    layout: DiskLayout
    persistency: str | None
    resize: Resize
    edit_config: Script | None = None
    last: tuple[Script, ...] = ()

    def run(self, context: StepContext) -> None:
        """Write the files and run the scripts.

        Raises:
            ImageError: The tree lacks a kernel, an initrd, or files that the bootloader needs.
            CommandError: A script of the description failed.
        """
        layout = self.layout
        for partition in layout.partitions:
            if partition.mountpoint:
                resolve_in(context.root, partition.mountpoint).mkdir(parents=True, exist_ok=True)
        write_fstab(context, layout, self.persistency)
        if text := crypttab(layout):
            resolve_in(context.root, _CRYPTTAB).write_text(text)
        ids = "".join(f'kiwi_{name}="{number}"\n' for name, number in partition_ids(layout).items())
        resolve_in(context.root, "/config.partids").write_text(ids)
        install_resize(context.root, self.resize, context.log)
        BOOTLOADERS.get_used(self.bootloader).configure(context, self.target)
        if self.edit_config is not None:
            spec = layout.boot.filesystem
            assert spec is not None
            arguments = (spec.kind.name, str(layout.boot.number))
            run_in_tree(context.root, self.edit_config, context.log, *arguments)
        for script in self.last:
            run_in_tree(context.root, script, context.log)


@dataclass(frozen=True)
class FinaliseBoot:
    """Make the files of the EFI system partition, and the boot code outside the partitions.

    This is the second of the two steps.

    Attributes:
        bootloader: The bootloader.
        target: Description of the boot for the bootloader.
        images: Key, step and file name of each file system image that the bootloader needs.
    """

    output: ClassVar[Output] = "files"
    revision: ClassVar[int] = 1

    bootloader: Used
    target: BootTarget
    images: tuple[tuple[str, str, str], ...] = ()

    def run(self, context: StepContext) -> None:
        """Write ``esp`` and the patches to the output directory.

        Raises:
            ImageError: The boot code does not fit, the tree lacks files that the bootloader needs,
                or its EFI directory has a symbolic link.
        """
        esp = context.output() / LOADER_FILES
        esp.mkdir()
        present = resolve_in(context.root, EFI_DIRECTORY)
        if present.is_dir():
            shutil.copytree(present, esp, symlinks=True, dirs_exist_ok=True)
            _refuse_links(esp)
        facts = BootFacts({key: context.inputs[step] / name for key, step, name in self.images})
        loader = BOOTLOADERS.get_used(self.bootloader)
        write_patches(context.output(), loader.finalise(context, self.target, facts, esp))


def _refuse_links(esp: Path) -> None:
    """Refuse symbolic links: FAT cannot hold them, and they must not be followed."""
    for path in sorted(esp.rglob("*")):
        if path.is_symlink():
            name = Path(EFI_DIRECTORY, path.relative_to(esp))
            raise ImageError(
                f"the EFI system partition cannot hold the symbolic link {name}",
                remedy="Remove it from the root tree.",
            )


def write_fstab(context: StepContext, layout: DiskLayout, persistency: str | None) -> None:
    """Write ``/etc/fstab``, with changes from three optional files in the tree.

    ``fstab.append`` is appended, then ``fstab.patch`` is applied, then ``fstab.script`` runs in the
    tree. Each of them is then removed.

    Raises:
        CommandError: ``patch`` or the script failed.
    """
    place = resolve_in(context.root, _FSTAB)
    place.parent.mkdir(exist_ok=True)
    present = place.read_text() if place.exists() else ""
    append = resolve_in(context.root, f"{_FSTAB}.append")
    text = fstab(layout, persistency, present)
    if append.exists():
        text += append.read_text()
        append.unlink()
    place.write_text(text)
    patch = resolve_in(context.root, f"{_FSTAB}.patch")
    if patch.exists():
        run(["patch", "--no-backup-if-mismatch", str(place), str(patch)], log=context.log)
        patch.unlink()
    script = resolve_in(context.root, f"{_FSTAB}.script")
    if script.exists():
        with Chroot(context.root, log=context.log) as chroot:
            chroot.run([f"{_FSTAB}.script"])
        resolve_in(context.root, f"{_FSTAB}.script").unlink(missing_ok=True)


def partition_ids(layout: DiskLayout) -> Mapping[str, int]:
    """Return the content of ``/config.partids``: partition numbers, by KIWI NG's names."""
    names = {"bios": "BiosGrub", "efi": "EfiPart"}
    ids = {}
    for partition in layout.partitions:
        if partition.clone:
            key, _, number = partition.key.rpartition("clone")
            ids[f"{key}PartClone{number}"] = partition.number
        else:
            name = names.get(partition.key, f"{partition.key.capitalize()}Part")
            ids[name] = partition.number
    return ids
