"""The two steps of a bootloader, and the files of the tree that depend on the disk."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from kiwinb.bootloader import BOOTLOADERS
from kiwinb.bootloader.target import BootFacts, BootTarget
from kiwinb.errors import ImageError
from kiwinb.files import read_regular
from kiwinb.prepare.scripts import Script, run_in_tree
from kiwinb.sandbox.caged import OpenCage
from kiwinb.sandbox.chroot import ENVIRONMENT, Chroot
from kiwinb.sandbox.command import Log
from kiwinb.sandbox.host_view import host_view
from kiwinb.sandbox.paths import anchored, resolve_in
from kiwinb.sandbox.tools import find_tool
from kiwinb.sandbox.tree_files import read_in, read_text_in, write_in
from kiwinb.steps.registry import Used
from kiwinb.steps.step import Output, StepContext
from kiwinb.storage.disk import DiskLayout
from kiwinb.storage.fstab import crypttab, fstab
from kiwinb.storage.layout import EFI_DIRECTORY, LOADER_FILES
from kiwinb.storage.patches import write_patches
from kiwinb.storage.resize import Resize, install_resize

_FSTAB = "/etc/fstab"
_CHANGES = ("append", "patch", "script")
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
            write_in(context.root, _CRYPTTAB, text)
        ids = "".join(f'kiwi_{name}="{number}"\n' for name, number in partition_ids(layout).items())
        write_in(context.root, "/config.partids", ids)
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
        HostError: This host has no ``patch``.
    """
    root, append, patch, script = context.root, *(f"{_FSTAB}.{name}" for name in _CHANGES)
    text = fstab(layout, persistency, read_text_in(root, _FSTAB)) + read_text_in(root, append)
    if resolve_in(root, patch).exists():
        text = _patched(text, read_in(root, patch), context.log)
    write_in(root, _FSTAB, text)
    for file in (append, patch):
        resolve_in(root, file).unlink(missing_ok=True)
    if resolve_in(root, script).exists():
        with Chroot(root, log=context.log) as chroot:
            chroot.run([script])
        resolve_in(root, script).unlink(missing_ok=True)


def _patched(text: str, patch: bytes, log: Log) -> str:
    """Apply a patch with the host's program, in a cage: patches can contain commands of ed."""
    with TemporaryDirectory() as scratch, OpenCage() as cage:
        file, changes = Path(scratch, "fstab"), Path(scratch, "fstab.patch")
        file.write_text(text, errors="surrogateescape")
        changes.write_bytes(patch)
        argv = [find_tool("patch"), "--no-backup-if-mismatch", str(file), str(changes)]
        with anchored(Path(scratch)) as held:
            cage.run(host_view([Path(scratch)]), argv, env=ENVIRONMENT, log=log, cwd=scratch)
            return read_regular(held / file.name).decode(errors="surrogateescape")


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
