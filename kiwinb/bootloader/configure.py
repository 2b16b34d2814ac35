"""The step that writes into the tree what depends on the disk it goes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from kiwinb.bootloader import BOOTLOADERS
from kiwinb.bootloader.setup import BootSetup
from kiwinb.prepare.scripts import Script, run_in_tree
from kiwinb.sandbox.chroot import Chroot
from kiwinb.sandbox.command import run
from kiwinb.sandbox.paths import resolve_in
from kiwinb.steps.step import Output, StepContext
from kiwinb.storage.fstab import fstab
from kiwinb.storage.layout import DiskLayout
from kiwinb.storage.resize import Resize, install_resize

_FSTAB = "/etc/fstab"


@dataclass(frozen=True)
class BootConfig:
    """Write fstab, bootloader and first-boot service into the tree.

    Attributes:
        setup: How the image boots.
        bootloader: Its name in ``BOOTLOADERS``.
        persistency: How fstab names devices: ``by-uuid``, ``by-label`` or ``by-partuuid``.
        resize: What the system does to the size of its root partition.
        edit_config: Runs when the bootloader is configured, before it is put into the tree.
        last: Run before the bootloader is put into the tree, in this order.
    """

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 2

    setup: BootSetup
    bootloader: str
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
        loader = BOOTLOADERS[self.bootloader]
        layout = self.setup.layout
        for partition in layout.partitions:
            if partition.mountpoint:
                resolve_in(context.root, partition.mountpoint).mkdir(parents=True, exist_ok=True)
        write_fstab(context, layout, self.persistency)
        ids = "".join(f'kiwi_{name}="{number}"\n' for name, number in partition_ids(layout).items())
        resolve_in(context.root, "/config.partids").write_text(ids)
        install_resize(context.root, self.resize, context.log)
        loader.configure(context, self.setup)
        if self.edit_config is not None:
            spec = layout.boot.filesystem
            assert spec is not None
            arguments = (spec.kind, str(layout.boot.number))
            run_in_tree(context.root, self.edit_config, context.log, *arguments)
        for script in self.last:
            run_in_tree(context.root, script, context.log)
        loader.install(context, self.setup)


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
