"""``image="oem"``: a disk that boots, ``NAME.ARCH-VERSION.raw`` and what ``format`` asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kiwinb.bootloader import BOOTLOADERS
from kiwinb.bootloader.configure import BootConfig
from kiwinb.bootloader.setup import BootSetup
from kiwinb.description.model import Bootloader, ImageDescription
from kiwinb.description.sources import EDIT_CONFIG, EDIT_INSTALL
from kiwinb.errors import ImageError
from kiwinb.images.formats.format import FORMATS, plan_format
from kiwinb.images.inputs import BuildInputs
from kiwinb.images.kind import ImagePlan, Refusal, ResultFile
from kiwinb.steps.step import DraftStep
from kiwinb.storage.assemble import AssembleDisk
from kiwinb.storage.filesystem import FILESYSTEMS
from kiwinb.storage.fill import FillPartition
from kiwinb.storage.fstab import device_name
from kiwinb.storage.layout import (
    DiskLayout,
    DiskPartition,
    filesystems_of,
    lay_out,
    uses_bios,
    uses_efi,
)
from kiwinb.storage.resize import Resize
from kiwinb.storage.treewalk import MACHINERY, TEMPORARY, VIRTUAL

_CONFIG = "boot-config"
_DISK = "disk"
_TITLES = {
    "efi": "Fill the EFI system partition",
    "boot": "Fill the boot partition",
    "root": "Fill the root partition",
    "swap": "Make the swap space",
    "spare": "Fill the spare partition",
}


@dataclass(frozen=True)
class OemKind:
    """See :class:`~kiwinb.images.kind.ImageKind`."""

    name: str = "oem"
    revision: int = 1
    boots: bool = True
    honours: frozenset[str] = frozenset(
        {
            *("bootfilesystem", "bootloader", "bootpartition", "bootpartsize", "boot_clone"),
            *("devicepersistency", "disk_start_sector", "dosparttable_extended_layout"),
            *("editbootconfig", "editbootinstall", "eficsm", "efipartsize", "efiparttable"),
            *("filesystem", "firmware", "force_mbr", "format", "formatoptions"),
            *("fscreateoptions", "fsmountoptions", "initrd_system", "kernelcmdline", "oemconfig"),
            *("partitions", "root_clone", "rootfs_label", "size", "spare_part", "spare_part_fs"),
            *("spare_part_is_last", "spare_part_mountpoint", "target_blocksize"),
            *("bootpart_id", "efipart_id", "eficsmpart_id", "rootpart_id"),
        }
    )

    def tools(self, image: ImageDescription) -> Mapping[str, str]:
        """See :class:`~kiwinb.images.kind.ImageKind`."""
        kind = image.type
        table = "sfdisk" if (kind.target_blocksize or 512) == 512 else "fdisk"
        needed = {table: "partition tables"}
        for name in filesystems_of(image):
            if name in FILESYSTEMS:
                needed |= dict.fromkeys(FILESYSTEMS[name].tools, f"the file system {name}")
        if kind.format in FORMATS:
            needed["qemu-img"] = f'format="{kind.format}"'
        return needed

    def refusals(self, image: ImageDescription) -> Iterator[Refusal]:
        """See :class:`~kiwinb.images.kind.ImageKind`."""
        yield from ()

    def plan(self, image: ImageDescription, inputs: BuildInputs, tree: str) -> ImagePlan:
        """Plan the disk: configuration, a step for each file system, the disk, its format."""
        layout = lay_out(image)
        config = _boot_config(image, layout, inputs)
        loader = BOOTLOADERS[config.bootloader]
        filled = [p for p in layout.partitions if p.filesystem is not None]
        fills = tuple(
            DraftStep(
                partition.step,
                _TITLES.get(partition.key, f"Fill the partition {partition.key}"),
                FillPartition(
                    partition,
                    layout.root_size() if partition.role == "root" else partition.size,
                    layout.size.extra if partition.role == "root" else 0,
                    _excluded(layout, partition),
                    inputs.epoch,
                ),
                base=_CONFIG,
            )
            for partition in filled
        )
        filename = f"{image.result_name}.raw"
        disk = DraftStep(
            _DISK,
            "Put the disk together",
            AssembleDisk(
                layout,
                filename,
                loader.boot_code(config.setup),
                inputs.script(image, EDIT_INSTALL),
            ),
            base=_CONFIG,
            needs=tuple(step.name for step in fills),
        )
        formatted = plan_format(image, _DISK, filename)
        raw = ResultFile(
            "disk_image", _DISK, filename, use_for_bundle=not formatted.results, compress=True
        )
        return ImagePlan(
            (
                DraftStep(_CONFIG, "Configure how it boots", config, base=tree),
                *fills,
                disk,
                *formatted.steps,
            ),
            (raw, *formatted.results),
        )


def _boot_config(image: ImageDescription, layout: DiskLayout, inputs: BuildInputs) -> BootConfig:
    kind = image.type
    settings = kind.bootloader or Bootloader()
    if settings.name not in BOOTLOADERS:
        raise ImageError(
            f"the bootloader {settings.name} is not something kiwinb sets up",
            remedy=f"take one of {', '.join(BOOTLOADERS)}",
        )
    initrd = kind.initrd_system != "none"
    persistency = kind.devicepersistency
    # The kernel itself, without an initrd, finds no file system by UUID or label.
    root = device_name(layout, layout.root, persistency if initrd else "by-partuuid")
    words = (kind.kernelcmdline or "").split()
    mode = () if {"ro", "rw"} & set(words) else ("ro",)
    oem = kind.oemconfig
    spec = layout.root.filesystem
    assert spec is not None
    setup = BootSetup(
        layout=layout,
        settings=settings,
        title=oem.boot_title or image.displayname or image.name,
        kernel_options=" ".join((f"root={root}", *mode, *words)),
        arch=image.arch,
        bios=uses_bios(image) and layout.sector_size == 512,
        efi=uses_efi(image),
        secure=kind.firmware == "uefi",
        initrd=initrd,
        epoch=inputs.epoch,
    )
    resizable = layout.partitions[-1].role == "root" and not layout.extended
    resize = Resize(
        wanted=oem.resize if resizable else False,
        once=bool(oem.resize_once),
        limit=oem.systemsize,
        filesystem=spec.kind,
    )
    last = (inputs.script(image, name) for name in ("pre_disk_sync.sh", "disk.sh"))
    return BootConfig(
        setup=setup,
        bootloader=settings.name,
        persistency=persistency,
        resize=resize,
        edit_config=inputs.script(image, EDIT_CONFIG),
        last=tuple(script for script in last if script is not None),
    )


def _excluded(layout: DiskLayout, partition: DiskPartition) -> tuple[str, ...]:
    """What of a partition's directory is not on it: other partitions, the build's own files."""
    if partition.content is None:
        return ()
    here = partition.content.rstrip("/") + "/"
    others = {p.mountpoint.rstrip("/") for p in layout.partitions if p.mountpoint and not p.clone}
    below = sorted(path for path in others if path.startswith(here))
    nested = tuple(f"{path.removeprefix(here)}/*" for path in below)
    if partition.role != "root":
        return nested
    return (*MACHINERY, *VIRTUAL, *TEMPORARY, *nested)
