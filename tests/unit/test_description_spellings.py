"""Spellings that KIWI NG takes: booleans, versions, numbers, and what is empty."""

from __future__ import annotations

from pathlib import Path

import pytest
from descriptions import BOOTSTRAP, document
from lxml import etree

from kiwinb.description.document import Document, read
from kiwinb.description.model import ImageDescription
from kiwinb.description.schema.rules import AttributeRule, ElementRule, element_rules
from kiwinb.description.select import select
from kiwinb.errors import DescriptionErrors

TYPE = """
<preferences>
  <version>{version}</version><packagemanager>apt</packagemanager>{more}
  <type image="oem" filesystem="ext4" {attributes}>{children}</type>
</preferences>
"""


def _document(directory: Path, attributes: str = "", **texts: str) -> Document:
    filled = {"version": "1.2.3", "more": "", "children": "", **texts}
    return document(directory, preferences=TYPE.format(attributes=attributes, **filled))


def _image(directory: Path, attributes: str = "", **texts: str) -> ImageDescription:
    return select(_document(directory, attributes, **texts), arch="x86_64")


@pytest.mark.parametrize(("text", "value"), [("1", True), ("0", False), (" true ", True)])
def test_booleans(tmp_path: Path, text: str, value: bool) -> None:
    image = _image(
        tmp_path,
        f'force_mbr="{text}"',
        children=f"<oemconfig><oem-resize>{text}</oem-resize></oemconfig>",
        more=f"<rpm-excludedocs>{text}</rpm-excludedocs>",
    )
    assert image.type.force_mbr is value
    assert image.type.oemconfig.resize is value
    assert image.type.attributes["force_mbr"].strip() == str(value).lower()
    assert image.preferences.rpm_excludedocs is value


@pytest.mark.parametrize("text", ["yes", "True", "on", "2"])
def test_what_is_no_boolean(tmp_path: Path, text: str) -> None:
    with pytest.raises(DescriptionErrors, match=f'force_mbr="{text}" is not allowed') as caught:
        _document(tmp_path, f'force_mbr="{text}"')
    assert "Allowed: true, false." in str(caught.value)


@pytest.mark.parametrize(
    "version", ["1.0.0-rc1", "13.1", "20240101", "1.2.3.4", "Tumbleweed", "1:2~b+c"]
)
def test_versions(tmp_path: Path, version: str) -> None:
    assert _image(tmp_path, version=version).version == version


@pytest.mark.parametrize("version", ["1 2", "../1"])
def test_versions_that_are_no_part_of_a_file_name(tmp_path: Path, version: str) -> None:
    with pytest.raises(DescriptionErrors, match="a version without spaces and slashes"):
        _document(tmp_path, version=version)


def test_an_empty_version_is_none(tmp_path: Path) -> None:
    assert _image(tmp_path, version="").preferences.version is None


def test_a_number_with_a_sign(tmp_path: Path) -> None:
    assert _image(tmp_path, 'bootpartsize="+200"').type.bootpartsize == 200


def _optional_texts() -> list[tuple[ElementRule, AttributeRule]]:
    return [
        (rule, attribute)
        for rule in element_rules().values()
        for attribute in rule.attributes.values()
        if attribute.datatype.empty_is_absent and not (attribute.required or attribute.required_for)
        if ":" not in attribute.name
    ]


@pytest.mark.parametrize(
    ("rule", "attribute"),
    [pytest.param(*each, id=f"{each[0].rule}.{each[1].name}") for each in _optional_texts()],
)
def test_an_empty_attribute_is_as_good_as_none(
    tmp_path: Path, rule: ElementRule, attribute: AttributeRule
) -> None:
    source = Path(__file__).parents[1] / "data/descriptions/everything/config.xml"
    tree = etree.parse(source)
    found = [item for item in tree.iter(rule.name) if item.get(attribute.name) is not None]
    assert found, "the description has everything"
    for item in found:
        item.set(attribute.name, "")
        item.attrib.pop("embed_verity_metadata", "")
    (tmp_path / "config.xml").write_bytes(etree.tostring(tree))
    tree = read(tmp_path).tree
    assert [item for item in tree.iter(rule.name) if item.get(attribute.name) == ""] == []


@pytest.mark.parametrize(
    "name", ["keytable", "timezone", "release-version", "bootsplash-theme", "bootloader-theme"]
)
def test_an_empty_element_is_as_good_as_none(tmp_path: Path, name: str) -> None:
    preferences = _image(tmp_path, more=f"<{name}> </{name}>").preferences
    assert getattr(preferences, name.replace("-", "_"), None) is None


@pytest.mark.parametrize(
    "section",
    [
        '<packages type="image"/>',
        '<packages type="delete" profiles="nobody"/>',
        "<users/>",
        "<drivers/>",
        '<strip type="delete"/>',
        "<profiles/>",
        '<certificates target_distribution="debian"/>',
        '<containers source="registry.example.org" backend="podman"/>',
    ],
)
def test_an_empty_section(tmp_path: Path, section: str) -> None:
    image = select(document(tmp_path, section), arch="x86_64")
    assert image == select(document(tmp_path), arch="x86_64")


def test_an_empty_interface_of_a_virtual_machine(tmp_path: Path) -> None:
    image = _image(tmp_path, children='<machine guestOS=""><vmnic interface="" mode=""/></machine>')
    assert image.type.machine is not None
    assert image.type.machine.devices[0].attributes == {"interface": ""}


def test_lines_beyond_what_16_bits_hold(tmp_path: Path) -> None:
    with pytest.raises(DescriptionErrors, match=r"config\.xml:70\d\d\d: <type>: .*force_mbr"):
        _document(tmp_path, 'force_mbr="perhaps"', more="\n" * 70_000)


def test_the_package_manager_is_bootstrapped(tmp_path: Path) -> None:
    packages = '<packages type="bootstrap"><package name="filesystem"/></packages>'
    some = '<packages type="image"><package name="bash"/></packages>'
    for manager, package in {
        "apt": "apt",
        "apk": "apk-tools",
        "dnf4": "dnf",
        "dnf5": "dnf5",
        "microdnf": "microdnf",
        "pacman": "pacman",
        "zypper": "zypper",
    }.items():
        preferences = TYPE.format(version="1", more="", attributes="", children="").replace(
            "apt", manager
        )
        image = select(document(tmp_path, preferences=preferences, packages=packages + some))
        assert image.packages.bootstrap.packages == ("filesystem", package)


def test_a_manager_that_installs_nothing_is_not_bootstrapped(tmp_path: Path) -> None:
    image = select(document(tmp_path, packages=BOOTSTRAP.replace("apt", "base-files")))
    assert image.packages.bootstrap.packages == ("base-files",)
