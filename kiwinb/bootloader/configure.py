"""The two steps of a bootloader, and what else of the tree depends on the disk it goes to."""

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
    """Write fstab, bootloader and first-boot service into the tree: the first act.

    Attributes:
        bootloader: The bootloader.
        target: What it is told.
        layout: The disk.
        persistency: How fstab names devices: ``by-uuid``, ``by-label`` or ``by-partuuid``.
        resize: What the system does to the size of its root partition.
        edit_config: Runs when the bootloader is configured.
        last: Run after that, in this order.
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
        """Do it.

        Raises:
            ImageError: The tree lacks a kernel, an initrd, or what its bootloader takes.
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
    """Make the files of the EFI system partition and what goes beside the partitions: the second.

    Attributes:
        bootloader: The bootloader.
        target: What it is told.
        images: For each file system that it has to know, its key, its step and its file there.
    """

    output: ClassVar[Output] = "files"
    revision: ClassVar[int] = 1

    bootloader: Used
    target: BootTarget
    images: tuple[tuple[str, str, str], ...] = ()

    def run(self, context: StepContext) -> None:
        """Write ``esp`` and the patches to the output directory.

        Raises:
            ImageError: The loader does not fit, or the tree lacks what it is made of.
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
    """Raise an error if there is a symbolic link: FAT has none, and nothing is to follow it."""
    for path in sorted(esp.rglob("*")):
        if path.is_symlink():
            name = Path(EFI_DIRECTORY, path.relative_to(esp))
            raise ImageError(
                f"the EFI system partition cannot hold the symbolic link {name}",
                remedy="Remove it from the root tree.",
            )


def write_fstab(context: StepContext, layout: DiskLayout, persistency: str | None) -> None:
    """Write ``/etc/fstab`` with the changes that the tree's own files ask for.

    ``fstab.append`` is appended, ``fstab.patch`` applied and ``fstab.script`` run in the tree;
    each is removed then.
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
        script.unlink()


def partition_ids(layout: DiskLayout) -> Mapping[str, int]:
    """What ``/config.partids`` says: the number of each partition, by KIWI NG's names."""
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
