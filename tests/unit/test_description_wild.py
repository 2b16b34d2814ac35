"""Descriptions as they occur in the wild: what is selected is what KIWI NG's rules say.

Each directory of ``tests/data/descriptions/wild`` has an ``expected.yaml``, worked out by hand from
the rules. It lists cases: what is asked for (``arch``, ``profiles``, ``type``) and what to expect.
What a case does not mention has to be empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from lxml import etree

from kiwinb.description.document import read
from kiwinb.description.model import (
    Archive,
    CollectionModule,
    ContainerCommand,
    ImageDescription,
    OverlayFile,
)
from kiwinb.description.reference import undeclared
from kiwinb.description.schema.rules import ElementRule, element_rules
from kiwinb.description.select import select
from kiwinb.errors import DescriptionError
from kiwinb.images import IMAGE_KINDS
from kiwinb.prepare.profile import profile_variables
from kiwinb.storage.volumes import volumes

WILD = Path(__file__).parents[1] / "data/descriptions/wild"

ALWAYS = {
    "kiwi_align": "1048576",
    "kiwi_bootloader": "grub2",
    "kiwi_bootloader_console": "default:default",
    "kiwi_initrd_system": "none",
    "kiwi_luks_empty_passphrase": "false",
    "kiwi_sectorsize": "512",
    "kiwi_shasum_suffix": ".sha256",
    "kiwi_startsector": "2048",
    "kiwi_target_blocksize": "512",
    "kiwi_vga": "auto",
}
"""Variables of scripts in a description that says nothing about them."""

NAMING_PLUGINS = ("type.image", "packagemanager", "bootloader.name", "type.format")
UNREAD = {
    *("include", "include.from", "packagemanager=dnf", "repository.use_for_bootstrap"),
    *("hkd_ca_cert", "hkd_ca_cert.name", "hkd_sign_cert", "hkd_sign_cert.name"),
    "repository.prefer-license",
}
"""What the reader resolves or upgrades, and what kiwinb takes in addition to KIWI NG."""

OF_ATTRIBUTES = {
    "bootkernel": ("kiwi_bootkernel",),
    "bootprofile": ("kiwi_bootprofile",),
    "btrfs_root_is_snapper_snapshot": (
        "kiwi_btrfs_root_is_snapper_snapshot",
        "kiwi_btrfs_root_is_snapshot",
    ),
    "compressed": ("kiwi_compressed",),
    "devicepersistency": ("kiwi_devicepersistency",),
    "filesystem": ("kiwi_filesystem",),
    "firmware": ("kiwi_firmware",),
    "fsmountoptions": ("kiwi_fsmountoptions",),
    "gpt_hybrid_mbr": ("kiwi_gpt_hybrid_mbr",),
    "hybridpersistent": ("kiwi_hybridpersistent",),
    "hybridpersistent_filesystem": ("kiwi_hybridpersistent_filesystem",),
    "image": ("kiwi_type",),
    "installboot": ("kiwi_installboot",),
    "kernelcmdline": ("kiwi_cmdline",),
    "ramonly": ("kiwi_ramonly",),
    "target_blocksize": ("kiwi_target_blocksize", "kiwi_sectorsize"),
    "target_removable": ("kiwi_target_removable",),
    "wwid_wait_timeout": ("kiwi_wwid_wait_timeout",),
}
"""The variables that have the value of an attribute of ``<type>``."""


def _cases() -> list[Any]:
    return [
        pytest.param(directory, case, id=f"{directory.name}-{number}")
        for directory in sorted(WILD.iterdir())
        for number, case in enumerate(yaml.safe_load((directory / "expected.yaml").read_text()), 1)
    ]


@pytest.mark.parametrize(("directory", "case"), _cases())
def test_the_selection(directory: Path, case: Mapping[str, Any]) -> None:
    expect = dict(case["expect"])
    document = read(directory)
    asked = {"profiles": case.get("profiles", ()), "type": case.get("type"), "arch": case["arch"]}
    if error := expect.get("error"):
        with pytest.raises(DescriptionError) as caught:
            select(document, **asked)
        assert error in str(caught.value)
        return
    image = select(document, **asked)
    said = undeclared(document.tree)
    for warning, part in zip(said, expect.pop("warnings", ()), strict=True):
        assert part in warning
    got = _facts(image)
    assert set(expect) <= set(got), "a key of expected.yaml is misspelt"
    for name, value in got.items():
        wanted = expect.get(name)
        if name == "displayname":
            wanted = wanted or image.name
        if name == "env":
            if image.type.image not in IMAGE_KINDS:
                continue  # a kind that kiwinb cannot make has no variables of its own yet
            wanted = _environment(image.name, expect)
        elif name in ("container", "passwords", "partitions") and wanted is None:
            continue
        assert value == (wanted if wanted is not None else type(value)()), name


def _environment(name: str, expect: Mapping[str, Any]) -> Mapping[str, str]:
    """The variables that a script sees, without empty ones."""
    attributes = expect["attributes"]
    said = {
        **ALWAYS,
        **{
            variable: value
            for attribute, value in attributes.items()
            for variable in OF_ATTRIBUTES.get(attribute, ())
        },
        "kiwi_iname": name,
        "kiwi_displayname": expect.get("displayname", name),
        "kiwi_iversion": expect["version"],
        "kiwi_profiles": ",".join(expect.get("selected", ())),
        "kiwi_delete": " ".join(sorted(expect.get("delete", ()))),
        "kiwi_uninstall": " ".join(sorted(expect.get("uninstall", ()))),
        **expect.get("env", {}),
    }
    return {variable: value for variable, value in said.items() if value}


def _facts(image: ImageDescription) -> dict[str, Any]:
    kind = IMAGE_KINDS.get(image.type.image)
    environment = profile_variables(image, kind.variables(image) if kind else {})
    packages, bootstrap = image.packages.image, image.packages.bootstrap
    return {
        "selected": list(image.profiles),
        "displayname": image.displayname or image.name,
        "manager": image.preferences.packagemanager,
        "version": image.preferences.version or "",
        "bootstrap": _Set(bootstrap.packages),
        "bootstrap_package": image.packages.bootstrap_package or "",
        "packages": _Set(packages.packages),
        "delete": _Set(image.packages.delete),
        "uninstall": _Set(image.packages.uninstall),
        "systemfiles": _Set(image.packages.systemfiles),
        "ignore": _Set(packages.ignore),
        "collections": _Set(packages.collections),
        "products": _Set(packages.products),
        "modules": _modules(bootstrap.collection_modules),
        "archives": _archives(packages.archives),
        "files": _files(packages.files),
        "recommended": packages.plus_recommended,
        "repositories": [item.path for item in image.repositories if item.used_for_build],
        "image_repositories": [item.path for item in image.repositories if item.included_in_image],
        "attributes": dict(image.type.attributes),
        "users": {user.name: list(user.groups) for user in image.users},
        "passwords": {user.name: user.password for user in image.users},
        "volumes": [f"{v.name}|{v.size}|{v.mountpoint or ''}" for v in volumes(image)],
        "partitions": {
            item.name: {
                key: value for key, value in asdict(item).items() if value and key != "name"
            }
            for item in image.type.partitions
        },
        "containers": [f"{item.name}_{item.tag or 'latest'}" for item in image.containers],
        "certificates": _Set(name for item in image.certificates for name in item.names),
        "container": _container(image),
        "env": {name: value for name, value in environment.items() if value},
    }


class _Set(list[str]):
    """Names in any order."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, list) and sorted(self) == sorted(other)

    __hash__ = None


def _modules(modules: Sequence[CollectionModule]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for module in modules:
        text = f"{module.name}:{module.stream}" if module.stream else module.name
        found.setdefault("enable" if module.enable else "disable", []).append(text)
    return found


def _archives(archives: Sequence[Archive]) -> dict[str, str | None]:
    return {item.name: item.target_dir for item in archives}


def _files(files: Sequence[OverlayFile]) -> dict[str, list[str | None]]:
    return {item.name: [item.target, item.owner, item.permissions] for item in files}


def _container(image: ImageDescription) -> dict[str, Any]:
    """The configuration of a container, in KIWI NG's words, with its defaults of authors."""
    config = image.type.containerconfig
    if config is None:
        return {}
    author = f"{image.information.author[0]} <{image.information.contact[0]}>"
    history = config.history
    said: dict[str, Any] = {
        "container_name": config.name,
        "container_tag": config.tag,
        "additional_names": list(config.additionalnames),
        "maintainer": config.maintainer or author,
        "user": config.user,
        "workingdir": config.workingdir,
        "labels": {item.name: item.value for item in config.labels},
        "expose_ports": list(config.expose),
        "environment": {item.name: item.value for item in config.environment},
        "volumes": list(config.volumes),
        "stopsignal": config.stopsignal,
        "history": {
            key: value for key, value in {**(asdict(history) if history else {})}.items() if value
        },
    }
    said["history"].setdefault("author", author)
    said = {key: value for key, value in said.items() if value}
    for key, command in (
        ("entry_command", config.entrypoint),
        ("entry_subcommand", config.subcommand),
    ):
        if isinstance(command, ContainerCommand):
            said[key] = list(command.argv)
    return said


def _parts(element: etree._Element, rule: ElementRule) -> Iterator[str]:
    """Names of the elements, attributes and values that a document uses."""
    yield rule.rule
    for key, value in element.attrib.items():
        name = str(key).replace("{http://www.w3.org/2001/XMLSchema-instance}", "xsi:")
        if name in rule.attributes:
            yield f"{rule.rule}.{name}"
            yield f"{rule.rule}.{name}={value!s}"
    if rule.content is not None:
        yield f"{rule.rule}={element.text}"
    for child in () if rule.foreign else element.iterchildren("*"):
        yield from _parts(child, element_rules()[rule.children[str(child.tag)].rule])


def test_each_construct_occurs() -> None:
    """Every element and attribute, each image kind, package manager, bootloader and format."""
    used: set[str] = set()
    for directory in WILD.iterdir():
        used.update(_parts(read(directory).tree.getroot(), element_rules()["image"]))
    wanted: set[str] = set()
    for rule in element_rules().values():
        wanted.add(rule.rule)
        datatypes = [(rule.rule, rule.content)]
        datatypes += [
            (f"{rule.rule}.{key}", item.datatype) for key, item in rule.attributes.items()
        ]
        for name, datatype in datatypes:
            wanted.add(name)
            if name in NAMING_PLUGINS and datatype is not None:
                wanted.update(f"{name}={value}" for value in datatype.values)
    assert wanted - used == UNREAD
