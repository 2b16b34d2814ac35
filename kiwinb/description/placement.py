"""Rules of where attributes and elements may stand, beyond what one element allows.

They are the rules of KIWI NG, which refuses a document that breaks one of them, whichever image is
selected. Limits of single attributes are in the schema (``k:kinds``, ``k:required``,
``k:loaders``); the functions here are the rules that look at several attributes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lxml import etree

from kiwinb.description.schema.rules import AttributeRule, element_rules
from kiwinb.description.values import text_of
from kiwinb.description.xml import location
from kiwinb.errors import DescriptionError

Element = etree._Element

RESERVED_PARTITIONS = ("root", "readonly", "boot", "prep", "spare", "swap", "efi_csm", "efi")
"""Names of the partitions that a disk may have of itself."""


def misplaced(image: Element) -> Iterator[DescriptionError]:
    """The errors in a document that is otherwise valid.

    Args:
        image: The root, with values in their canonical spelling.
    """
    for kind in image.iterfind("preferences/type"):
        yield from _limits(kind, kind, "type")
        for loader in kind.iterchildren("bootloader"):
            yield from _limits(loader, kind, "bootloader")
            yield from _loaders(loader)
        for container in kind.iterchildren("containerconfig"):
            yield from _limits(container, kind, "containerconfig")
        for rule in _OF_TYPES:
            yield from rule(kind)
    for packages in image.iterchildren("packages"):
        yield from _packages(packages, image)
    for repository in image.iterchildren("repository"):
        type = repository.get("type")
        if repository.get("architectures") is not None and type not in (None, "apt-deb"):
            yield _error(
                repository,
                f'architectures is not allowed with type="{type}"',
                "It belongs to repositories of the type apt-deb.",
            )


def allowed_on(attribute: AttributeRule, kind: str) -> bool:
    """Whether an attribute may stand on the types of an image kind."""
    known = element_rules()["type"].attributes["image"].datatype.values
    return not attribute.kinds or kind in attribute.kinds or kind not in known


def _limits(element: Element, type: Element, rule: str) -> Iterator[DescriptionError]:
    kind = type.get("image", "")
    for name, attribute in element_rules()[rule].attributes.items():
        if element.get(name) is None:
            if kind in attribute.required_for:
                yield _error(
                    element,
                    f'the attribute {name} is missing: image="{kind}" needs it',
                    f'Add {name}="…": {attribute.text}',
                )
        elif not allowed_on(attribute, kind):
            yield _error(
                element,
                f'the attribute {name} is not allowed with image="{kind}"',
                f"It belongs to images of the kinds {', '.join(attribute.kinds)}.",
            )


def _loaders(loader: Element) -> Iterator[DescriptionError]:
    name = loader.get("name", "")
    rule = element_rules()["bootloader"]
    if name not in rule.attributes["name"].datatype.values:
        return
    for attribute in rule.attributes.values():
        given = loader.get(attribute.name) is not None
        if given and attribute.loaders and name not in attribute.loaders:
            yield _error(
                loader,
                f'the attribute {attribute.name} is not allowed with name="{name}"',
                f"It is for {', '.join(attribute.loaders)}.",
            )


def _btrfs(type: Element) -> Iterator[DescriptionError]:
    given = [name for name in element_rules()["type"].attributes if type.get(name) is not None]
    of_btrfs = [name for name in given if name.startswith("btrfs_")]
    disk = type.find("systemdisk")
    filesystem = type.get("filesystem", "btrfs")
    for name in of_btrfs:
        if disk is not None and disk.get("preferlvm") == "true":
            yield _error(
                type,
                f'{name} is not allowed with preferlvm="true"',
                "Subvolumes of btrfs need no LVM: remove one of the two.",
            )
        if filesystem != "btrfs":
            yield _error(
                type,
                f'{name} is not allowed with filesystem="{filesystem}"',
                'Set filesystem="btrfs", or remove the attribute.',
            )
    for volume in type.iterfind("systemdisk/volume"):
        if volume.get("quota") is not None and type.get("filesystem") != "btrfs":
            yield _error(
                volume, "quota is for volumes of btrfs only", 'Set filesystem="btrfs" in <type>.'
            )


def _disk_in_container(type: Element) -> Iterator[DescriptionError]:
    format = type.get("format", "")
    wrapped = format.startswith(("oci:", "docker:"))
    if type.get("image") != "oem" or wrapped:
        return
    remedy = 'Give a format that wraps the disk in a container, such as format="oci:qcow2".'
    if type.get("derived_from") is not None:
        yield _error(type, 'derived_from is not allowed with image="oem" alone', remedy)
    container = type.find("containerconfig")
    if container is not None and container.get("name") is not None and format:
        yield _error(container, f'<containerconfig> is not allowed with format="{format}"', remedy)


def _needs(type: Element) -> Iterator[DescriptionError]:
    for name, needed in (
        ("embed_verity_metadata", "verity_blocks"),
        ("embed_integrity_metadata", "standalone_integrity"),
        ("integrity_legacy_hmac", "standalone_integrity"),
    ):
        if type.get(name) is not None and type.get(needed) is None:
            yield _error(type, f"{name} is not allowed without {needed}", f"Add {needed}.")
    if (format := type.find("luksformat")) is not None and type.get("luks") is None:
        yield _error(
            format,
            "<luksformat> is not allowed without the attribute luks",
            "Add luks to <type>: the passphrase, or the file that holds it.",
        )
    media = type.find("installmedia")
    if media is not None and "true" not in (type.get("installiso"), type.get("installpxe")):
        yield _error(
            media,
            "<installmedia> is not allowed without installation media",
            'Set installiso="true" or installpxe="true" in <type>.',
        )
    if type.get("format") == "vagrant" and not any(
        box.get("provider") for box in type.iterchildren("vagrantconfig")
    ):
        yield _error(
            type,
            'format="vagrant" needs a <vagrantconfig> with a provider',
            'Add <vagrantconfig provider="libvirt" virtualsize="…"/>.',
        )


def _parts(type: Element) -> Iterator[DescriptionError]:
    for partition in type.iterfind("partitions/partition"):
        if (name := partition.get("name")) in RESERVED_PARTITIONS:
            yield _error(
                partition,
                f"the partition name {name} is reserved",
                f"Give it another name; these are reserved: {', '.join(RESERVED_PARTITIONS)}.",
            )
    for size in type.iterchildren("size"):
        left = int(size.get("unpartitioned", "0"))
        if left > int(text_of(size)):
            yield _error(
                size,
                f"unpartitioned ({left}) is more than the size of the disk ({text_of(size)})",
                "Give a smaller one.",
            )
    for box in type.iterchildren("vagrantconfig"):
        additions = box.get("virtualbox_guest_additions_present")
        if additions is not None and box.get("provider") != "virtualbox":
            yield _error(
                box,
                "virtualbox_guest_additions_present is for the provider virtualbox only",
                "Remove it, or set the provider.",
            )
    for secure in type.iterfind("bootloader/securelinux"):
        loader = type.find("bootloader")
        name = loader.get("name") if loader is not None else None
        if name not in ("zipl", "grub2_s390x_emu"):
            yield _error(
                secure,
                f'<securelinux> is not allowed with the boot loader "{name}"',
                "It is for zipl and grub2_s390x_emu.",
            )


_OF_TYPES: tuple[Callable[[Element], Iterator[DescriptionError]], ...] = (
    _btrfs,
    _disk_in_container,
    _needs,
    _parts,
)


def _packages(packages: Element, image: Element) -> Iterator[DescriptionError]:
    phase = packages.get("type", "")
    if packages.get("bootstrap_package") is not None:
        managers = {text_of(item) for item in image.iterfind("preferences/packagemanager")}
        if phase != "bootstrap":
            yield _error(
                packages,
                f'bootstrap_package is not allowed with type="{phase}"',
                "It belongs to the packages of the type bootstrap.",
            )
        elif "apt" not in managers:
            yield _error(
                packages,
                "bootstrap_package is for the package manager apt only",
                "Remove it, or list the packages.",
            )
    for module in packages.iterchildren("collectionModule"):
        if phase != "bootstrap":
            yield _error(
                module,
                f'<collectionModule> is not allowed in packages of the type "{phase}"',
                'Move it to <packages type="bootstrap">.',
            )
        if module.get("enable") == "false" and module.get("stream") is not None:
            yield _error(
                module,
                "a module that is switched off has no stream",
                'Remove stream, or enable="false".',
            )


def _error(element: Element, problem: str, remedy: str) -> DescriptionError:
    return DescriptionError(problem, remedy=remedy, location=location(element))
