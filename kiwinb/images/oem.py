"""``image="oem"``: a disk that boots, ``NAME.ARCH-VERSION.raw`` and what ``format`` asks for."""

from __future__ import annotations

from dataclasses import dataclass

from kiwinb.bootloader import BOOTLOADERS
from kiwinb.bootloader.configure import BootConfig
from kiwinb.bootloader.setup import BootSetup
from kiwinb.description.model import Bootloader, ImageDescription
from kiwinb.errors import ImageError
from kiwinb.images.formats.format import plan_format
from kiwinb.images.kind import ImagePlan, ResultFile
from kiwinb.prepare.scripts import Script, read_script, script_environment
from kiwinb.steps.step import DraftStep
from kiwinb.storage.assemble import AssembleDisk
from kiwinb.storage.fill import FillPartition
from kiwinb.storage.fstab import device_name
from kiwinb.storage.layout import (
    DiskLayout,
    DiskPartition,
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

    def plan(self, image: ImageDescription, tree: str, epoch: int = 0) -> ImagePlan:
        """Plan the disk: configuration, a step for each file system, the disk, its format."""
        layout = lay_out(image)
        config = _boot_config(image, layout, epoch)
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
                    epoch,
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
                _script(image, "edit_boot_install.sh", image.type.editbootinstall, epoch),
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


def _boot_config(image: ImageDescription, layout: DiskLayout, epoch: int) -> BootConfig:
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
        epoch=epoch,
    )
    resizable = layout.partitions[-1].role == "root" and not layout.extended
    resize = Resize(
        wanted=oem.resize if resizable else False,
        once=bool(oem.resize_once),
        limit=oem.systemsize,
        filesystem=spec.kind,
    )
    last = (
        _script(image, name, name, epoch)
        for name in ("pre_disk_sync.sh", "disk.sh")
        if (image.directory / name).is_file()
    )
    return BootConfig(
        setup=setup,
        bootloader=settings.name,
        persistency=persistency,
        resize=resize,
        edit_config=_script(image, "edit_boot_config.sh", kind.editbootconfig, epoch),
        last=tuple(script for script in last if script is not None),
    )


def _script(image: ImageDescription, name: str, file: str | None, epoch: int) -> Script | None:
    if file is None:
        return None
    path = image.directory / file
    if not path.is_file():
        raise ImageError(f"the script {file} is not in {image.directory}")
    return read_script(name, path, script_environment(image, epoch))


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
