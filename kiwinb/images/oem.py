"""``image="oem"``: a disk that boots, as ``NAME.ARCH-VERSION.raw`` and in a disk format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kiwinb.bootloader import BOOTLOADERS
from kiwinb.bootloader.configure import BootConfig, FinaliseBoot
from kiwinb.bootloader.host import HostDirectory
from kiwinb.bootloader.target import BootloaderMaker, BootPlace, BootTarget, CoreRoom
from kiwinb.description.model import Bootloader, ImageDescription
from kiwinb.description.sources import EDIT_CONFIG, EDIT_INSTALL
from kiwinb.distributions import used_with
from kiwinb.errors import ImageError
from kiwinb.images.formats import FORMATS, RAW, plan_format
from kiwinb.images.inputs import BuildInputs
from kiwinb.images.kind import Form, ImagePlan, Refusal, ResultFile
from kiwinb.steps.step import DraftStep
from kiwinb.storage.assemble import AssembleDisk
from kiwinb.storage.disk import DiskLayout, DiskPartition
from kiwinb.storage.filesystem import FILESYSTEMS
from kiwinb.storage.fill import image_file
from kiwinb.storage.firmware import EFI_FIRMWARE, uses_bios, uses_efi
from kiwinb.storage.fstab import device_name
from kiwinb.storage.layout import LOADER_STEP, filesystems_of, lay_out
from kiwinb.storage.node import Site, chain
from kiwinb.storage.resize import Resize
from kiwinb.storage.treewalk import MACHINERY, TEMPORARY, VIRTUAL
from kiwinb.storage.volumes import DEFAULT_GROUP, uses_lvm, volumes

_CONFIG = "boot-config"
_DISK = "disk"


@dataclass(frozen=True)
class OemKind:
    """See :class:`~kiwinb.images.kind.ImageKind`."""

    name: str = "oem"
    revision: int = 1
    form: Form = "disk"
    boots: bool = True
    honours: frozenset[str] = frozenset(
        {
            *("bootfilesystem", "bootloader", "bootpartition", "bootpartsize", "boot_clone"),
            *("devicepersistency", "disk_start_sector", "dosparttable_extended_layout"),
            *("editbootconfig", "editbootinstall", "eficsm", "efimountoptions"),
            *("efipartsize", "efiparttable"),
            *("filesystem", "firmware", "force_mbr", "format", "formatoptions"),
            *("fscreateoptions", "fsmountoptions", "initrd_system", "kernelcmdline", "oemconfig"),
            *("partitions", "root_clone", "rootfs_label", "size", "spare_part", "spare_part_fs"),
            *("spare_part_is_last", "spare_part_mountpoint", "target_blocksize"),
            *("bootpart_id", "efipart_id", "eficsmpart_id", "rootpart_id"),
            "squashfscompression",
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
        if kind.format is not None and kind.format in FORMATS:
            tools = FORMATS[kind.format].tools
            needed |= dict.fromkeys(tools, f'format="{kind.format}"')
        return needed

    def refusals(self, image: ImageDescription) -> Iterator[Refusal]:
        """See :class:`~kiwinb.images.kind.ImageKind`."""
        kind = image.type
        settings = _settings(image)
        if settings.name not in BOOTLOADERS:
            yield Refusal(
                f"kiwinb does not support the bootloader {settings.name}",
                f"take one of {', '.join(BOOTLOADERS)}",
                "preferences/type/bootloader",
            )
        elif not (uses_efi(image) or BOOTLOADERS[settings.name].boots_bios):
            yield Refusal(
                f"the bootloader {settings.name} starts with EFI firmware only",
                f'set firmware="{EFI_FIRMWARE[-1]}", or take another bootloader',
            )
        else:
            yield from _layout_refusals(image, BOOTLOADERS[settings.name])
        if kind.format not in (None, RAW, *FORMATS):
            yield Refusal(
                f"kiwinb does not support the disk format {kind.format}",
                f"take one of {', '.join(FORMATS)}, or none for a raw disk",
            )

    def variables(self, image: ImageDescription) -> Mapping[str, object]:
        """See :class:`~kiwinb.images.kind.ImageKind`."""
        kind, disk = image.type, image.type.systemdisk
        found: dict[str, object] = {
            "kiwi_install_volid": kind.volid or "INSTALL",
            "kiwi_initrd_system": kind.initrd_system or "dracut",
        }
        if disk is not None and uses_lvm(image):
            found |= {"kiwi_lvm": True, "kiwi_lvmgroup": disk.name or DEFAULT_GROUP}
        number = 0
        for volume in volumes(image):
            number += not volume.root
            text = f"{volume.name}|{volume.size}|{volume.mountpoint or ''}"
            found["kiwi_Volume_Root" if volume.root else f"kiwi_Volume_{number}"] = text
        return found

    def lacks(self, image: ImageDescription) -> Iterator[str]:
        """See :class:`~kiwinb.images.kind.ImageKind`."""
        makers = [FILESYSTEMS[name] for name in filesystems_of(image) if name in FILESYSTEMS]
        for maker in makers:
            asked = image.type.attributes.get(maker.compression) if maker.compression else None
            if lack := maker.lacks(asked):
                yield lack

    def host_directories(self, image: ImageDescription) -> Mapping[str, HostDirectory]:
        """See :class:`~kiwinb.images.kind.ImageKind`."""
        name = _settings(image).name
        return BOOTLOADERS[name].host_directories(image) if name in BOOTLOADERS else {}

    def plan(self, image: ImageDescription, inputs: BuildInputs, tree: str) -> ImagePlan:
        """Plan the steps of the disk.

        They configure how it boots, make each file system and the bootloader, put the disk
        together, and convert it into the disk format.
        """
        for refusal in self.refusals(image):
            raise ImageError(refusal.what, remedy=refusal.remedy)
        loader = BOOTLOADERS[_settings(image).name]
        layout = lay_out(image, esp_size=loader.esp_size(image), bios=loader.boots_bios)
        config = _boot_config(image, layout, inputs)
        filled = [p for p in layout.partitions if p.content is not None]
        esp = [p for p in filled if p.role == "efi"]  # it holds files of the bootloader
        others = [p for p in filled if p.role != "efi"]
        early, late = (
            [step for p in group for step in _fill(layout, p, inputs.epoch)]
            for group in (others, esp)
        )
        final = _finalise(config, others if loader.needs_filesystems else ())
        filename = f"{image.result_name}.raw"
        disk = DraftStep(
            _DISK,
            "Put the disk together",
            AssembleDisk(
                layout,
                filename,
                LOADER_STEP,
                config.target.core is not None,
                inputs.script(image, EDIT_INSTALL),
            ),
            base=_CONFIG,
            needs=(LOADER_STEP, *(p.content.step for p in filled if p.content is not None)),
        )
        formatted = plan_format(image, _DISK, filename)
        raw = ResultFile(
            "disk_image", _DISK, filename, use_for_bundle=not formatted.results, compress=True
        )
        return ImagePlan(
            (
                DraftStep(_CONFIG, "Configure how it boots", config, base=tree),
                *early,
                final,
                *late,
                disk,
                *formatted.steps,
            ),
            (raw, *formatted.results),
        )


def _settings(image: ImageDescription) -> Bootloader:
    """Settings of the bootloader; the defaults if the description has no ``<bootloader>``."""
    return image.type.bootloader or Bootloader()


def _layout_refusals(image: ImageDescription, loader: BootloaderMaker) -> Iterator[Refusal]:
    """What prevents the disk from being laid out."""
    try:
        lay_out(image, esp_size=loader.esp_size(image), bios=loader.boots_bios)
    except ImageError as error:
        yield Refusal(error.problem, error.remedy or "correct the description")


def _finalise(config: BootConfig, known: Sequence[DiskPartition]) -> DraftStep:
    """Plan the step that makes the bootloader.

    Args:
        config: The step that configured the boot.
        known: The partitions whose images the step reads.
    """
    nodes = [partition.content for partition in known if partition.content is not None]
    images = tuple((node.key, node.step, image_file(node.key)) for node in nodes)
    return DraftStep(
        LOADER_STEP,
        "Make the bootloader",
        FinaliseBoot(config.bootloader, config.target, images),
        base=_CONFIG,
        needs=tuple(node.step for node in nodes),
    )


def _fill(layout: DiskLayout, partition: DiskPartition, epoch: int) -> tuple[DraftStep, ...]:
    """Plan the steps that make the content of a partition."""
    assert partition.content is not None
    root = partition.role == "root"
    site = Site(
        _CONFIG,
        epoch,
        size=layout.root_size() if root else partition.size,
        extra=layout.size.extra if root else 0,
        exclude=(
            *((*MACHINERY, *VIRTUAL, *TEMPORARY) if root else ()),
            *layout.excluded(partition),
        ),
    )
    return partition.content.plan(site)


def _boot_config(image: ImageDescription, layout: DiskLayout, inputs: BuildInputs) -> BootConfig:
    kind = image.type
    oem = kind.oemconfig
    resizable = layout.partitions[-1].role == "root" and not layout.extended
    resize = Resize(
        wanted=oem.resize if resizable else False,
        once=bool(oem.resize_once),
        limit=oem.systemsize,
        growths=tuple(node.growth for node in chain(layout.root.content)),
    )
    last = (inputs.script(image, name) for name in ("pre_disk_sync.sh", "disk.sh"))
    return BootConfig(
        bootloader=BOOTLOADERS.use(_settings(image).name),
        target=_target(image, layout, inputs),
        layout=layout,
        persistency=kind.devicepersistency,
        resize=resize,
        edit_config=inputs.script(image, EDIT_CONFIG),
        last=tuple(script for script in last if script is not None),
    )


def _target(image: ImageDescription, layout: DiskLayout, inputs: BuildInputs) -> BootTarget:
    kind, settings = image.type, _settings(image)
    initrd = kind.initrd_system != "none"
    # Without an initrd, the kernel cannot find a file system by its UUID or label.
    root = device_name(layout, layout.root, kind.devicepersistency if initrd else "by-partuuid")
    words = (kind.kernelcmdline or "").split()
    mode = () if {"ro", "rw"} & set(words) else ("ro",)
    opened = [word for node in chain(layout.root.content) for word in node.kernel_words()]
    loader = BOOTLOADERS[settings.name]
    bios = uses_bios(image) and loader.boots_bios and layout.sector_size == 512
    return BootTarget(
        medium="disk",
        settings=settings,
        title=kind.oemconfig.boot_title or image.displayname or image.name,
        kernel_options=" ".join((f"root={root}", *opened, *mode, *words)),
        arch=image.arch,
        efi=uses_efi(image),
        secure=kind.firmware == "uefi",
        initrd=initrd,
        unified=any(item.uefi for entry in kind.initrd for item in entry.dracut),
        epoch=inputs.epoch,
        boot=boot_place(layout),
        core=core_room(layout) if bios and loader.embeds_code else None,
        host_files=inputs.host_files,
        distributions=used_with(image.preferences.packagemanager),
    )


def boot_place(layout: DiskLayout) -> BootPlace:
    """Describe how a bootloader finds ``/boot`` on a disk."""
    spec = layout.boot.filesystem
    assert spec is not None
    table = "part_gpt" if layout.table == "gpt" else "part_msdos"
    modules = (module for node in chain(layout.boot.content) for module in node.loader_modules)
    uuid = FILESYSTEMS.get_used(spec.kind).identifier(spec.uuid)
    return BootPlace(uuid, layout.boot.role == "boot", (table, *modules))


def core_room(layout: DiskLayout) -> CoreRoom:
    """Find the room that a disk has for the bootloader's code for BIOS firmware.

    It is the BIOS boot partition if there is one, otherwise the gap before the first partition.
    """
    bios = layout.one("bios")
    if bios is not None:
        assert bios.size is not None and layout.partitions[0] is bios
        return CoreRoom(layout.first_sector, bios.size // 512)
    return CoreRoom(1, layout.first_sector - 1)
