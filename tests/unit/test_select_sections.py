from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
from descriptions import document
from lxml import etree

from kiwinb.description.document import read
from kiwinb.description.model import Archive, Container, OverlayFile
from kiwinb.description.select import effective, select
from kiwinb.description.validate import without_bases

PROFILES = """
<profiles>
  <profile name="server" description="a server" import="true"><requires profile="net"/></profile>
  <profile name="net" description="network"/>
  <profile name="desktop" description="a desktop"/>
</profiles>
"""
PREFERENCES = """
<preferences>
  <version>1.2.3</version><packagemanager>apt</packagemanager>
  <type image="tbz"/><type image="oem" filesystem="ext4" primary="true"/><type image="docker"/>
</preferences>
<preferences profiles="net"><timezone>UTC</timezone></preferences>
<preferences profiles="desktop"><timezone>Europe/Berlin</timezone></preferences>
"""
PACKAGES = """
<packages type="bootstrap" bootstrap_package="base">
  <package name="apt"/><package name="apt"/>
</packages>
<packages type="image" patternType="onlyRequired">
  <package name="b"/><package name="a"/><package name="b"/>
  <package name="grub-pc-bin" arch="x86_64,ix86"/><package name="grub-efi-arm64" arch="aarch64"/>
  <archive name="a.tar" target_dir="/opt"/><archive name="a.tar" target_dir="/opt"/>
  <file name="f" target="/etc/f" owner="root:adm" permissions="640"/>
  <namedCollection name="c"/><product name="p"/><ignore name="i"/>
</packages>
<packages type="oem" profiles="desktop" patternType="plusRecommended">
  <package name="desktop-disk"/>
</packages>
<packages type="oem"><package name="disk"/></packages>
<packages type="docker"><package name="box"/></packages>
<packages type="delete"><package name="d"/><package name="d-arm" arch="aarch64"/></packages>
<packages type="uninstall"><package name="u"/></packages>
<packages type="systemfiles"><package name="s"/></packages>
"""
REPOSITORIES = r"""
<repository alias="main" type="apt-deb" distribution="bookworm" components="main contrib"
            priority="5" repository_gpgcheck="true" architectures="amd64,i386"
            username=" u " password=" p &amp;&#x20;&quot;&lt;'#\ä: ">
  <source path="https://example.org/%arch/x"><signing key="file:///k1"/><signing key="k2"/></source>
</repository>
<repository alias="arm" arch="aarch64,armv7l"><source path="mirror:arm"/></repository>
<repository alias="only" imageonly="true"><source path="mirror:only"/></repository>
<repository alias="both" imageinclude="true" profiles="desktop">
  <source path="mirror:b"/>
</repository>
"""
OTHERS = """
<users>
  <user name="root" password="x" groups="root, adm"/>
  <user name="tux" password="y" pwdformat="plain" id="1000" home="/home/tux"/>
</users>
<users profiles="net" arch="x86_64"><user name="root" password="z" groups="adm,wheel"/></users>
<users profiles="net" arch="aarch64"><user name="arm" password="z"/></users>
<drivers><file name="drivers/net/*"/></drivers>
<strip type="delete"><file name="/usr/share/doc"/></strip>
<strip type="tools"><file name="ls"/><file name="cat"/></strip>
<strip type="libs" profiles="desktop"><file name="libx"/></strip>
<containers source="registry.example.org" backend="podman">
  <container name="web" tag="2" fetch_only="true"/><container name="arm" arch="aarch64"/>
</containers>
<certificates target_distribution="debian"><certificate name="a.crt"/></certificates>
"""


@pytest.fixture
def text_of(tmp_path: Path) -> Path:
    document(
        tmp_path,
        PROFILES,
        OTHERS,
        preferences=PREFERENCES,
        repository=REPOSITORIES,
        packages=PACKAGES,
    )
    return tmp_path


def test_packages(text_of: Path) -> None:
    packages = select(read(text_of), arch="x86_64").packages
    assert packages.bootstrap.packages == ("apt",)
    assert packages.bootstrap_package == "base"
    assert packages.image.packages == ("b", "a", "grub-pc-bin", "disk")
    assert packages.image.archives == (Archive("a.tar", "/opt"),)
    assert packages.image.files == (OverlayFile("f", "/etc/f", "root:adm", "640"),)
    assert packages.image.collections == ("c",)
    assert packages.image.products == ("p",)
    assert packages.image.ignore == ("i",)
    assert not packages.image.plus_recommended
    assert (packages.delete, packages.uninstall) == (("d",), ("u",))
    assert packages.systemfiles == ("s",)


@pytest.mark.parametrize(
    ("arch", "grub"),
    [
        ("i686", ("grub-pc-bin",)),
        ("aarch64", ("grub-efi-arm64",)),
        ("riscv64", ()),
    ],
)
def test_packages_of_an_architecture(text_of: Path, arch: str, grub: tuple[str, ...]) -> None:
    names = select(read(text_of), arch=arch, type="tbz").packages.image.packages
    assert names == ("b", "a", *grub)


def test_packages_of_a_type_and_a_profile(text_of: Path) -> None:
    source = read(text_of)
    image = select(source, profiles=["desktop"], arch="x86_64").packages.image
    assert image.packages == ("b", "a", "grub-pc-bin", "desktop-disk", "disk")
    assert not image.plus_recommended, "the first section decides"
    assert "box" in select(source, type="docker").packages.image.packages


def test_repositories(text_of: Path) -> None:
    main, only = select(read(text_of), arch="x86_64").repositories
    assert main.path == "https://example.org/x86_64/x"
    assert (main.components, main.priority) == (("main", "contrib"), 5)
    assert main.architectures == ("amd64", "i386")
    assert (main.username, main.password) == (" u ", " p & \"<'#\\ä: ")
    assert main.signing == ("file:///k1", "k2")
    assert (main.repository_gpgcheck, main.package_gpgcheck) == (True, None)
    assert (main.used_for_build, main.included_in_image) == (True, False)
    assert (only.alias, only.used_for_build, only.included_in_image) == ("only", False, True)
    arm = select(read(text_of), arch="aarch64", profiles=["desktop"]).repositories
    assert [item.alias for item in arm] == ["main", "arm", "only", "both"]
    assert (arm[3].used_for_build, arm[3].included_in_image) == (True, True)


def test_users_strip_drivers_containers_certificates(text_of: Path) -> None:
    image = select(read(text_of), profiles=["net"], arch="x86_64")
    root, tux = image.users
    assert (root.password, root.shell, root.groups) == ("x", None, ("root", "adm", "wheel"))
    assert (tux.id, tux.home, tux.pwdformat) == (1000, "/home/tux", "plain")
    assert image.drivers == ("drivers/net/*",)
    assert (image.strip.delete, image.strip.tools) == (("/usr/share/doc",), ("ls", "cat"))
    assert image.strip.libs == ()
    assert image.containers == (
        Container("web", "registry.example.org", "podman", tag="2", fetch_only=True),
    )
    assert image.certificates[0].names == ("a.crt",)
    assert image.information.author == ("A",)


@pytest.mark.parametrize("profiles", [(), ("desktop",), ("desktop", "net"), ("net", "desktop")])
@pytest.mark.parametrize("wanted", [None, "tbz", "docker"])
@pytest.mark.parametrize("arch", ["x86_64", "aarch64"])
def test_effective_document_selects_the_same(
    text_of: Path, profiles: tuple[str, ...], wanted: str | None, arch: str
) -> None:
    source = read(text_of)
    before = etree.tostring(source.tree)
    tree = effective(source, profiles=profiles, type=wanted, arch=arch)
    assert etree.tostring(source.tree) == before, "the document itself is not changed"
    assert len(tree.getroot().findall("preferences/type")) == 1
    (text_of / "effective.xml").write_bytes(
        etree.tostring(without_bases(copy.deepcopy(tree).getroot()))
    )
    again = select(read(text_of / "effective.xml"), arch=arch)
    expected = select(source, profiles=profiles, type=wanted, arch=arch)
    assert set(again.profiles) == set(expected.profiles)
    assert (
        replace(
            again,
            file=expected.file,
            all_profiles=expected.all_profiles,
            profiles=expected.profiles,
        )
        == expected
    )
