from __future__ import annotations

import re
from pathlib import Path

import pytest
from descriptions import BOOTSTRAP, document

from kiwinb.description.reference import undeclared
from kiwinb.description.select import select
from kiwinb.errors import DescriptionError

PROFILES = """
<profiles>
  <profile name="base" description="for all"/>
  <profile name="small" description="least" import="true"><requires profile="base"/></profile>
  <profile name="big" description="most"><requires profile="extra"/></profile>
  <profile name="extra" description="more">
    <requires profile="base"/><requires profile="mainframe" arch="s390x"/>
  </profile>
  <profile name="mainframe" description="big iron" arch="s390x,s390"/>
</profiles>
"""
PACKAGES = BOOTSTRAP + "".join(
    f'<packages type="image"{at}><package name="{name}"/></packages>'
    for name, at in {
        "common": "",
        "p-base": ' profiles="base"',
        "p-small": ' profiles="small"',
        "p-either": ' profiles="big, small"',
        "p-extra": ' profiles="extra"',
        "p-mainframe": ' profiles="mainframe"',
    }.items()
)


@pytest.mark.parametrize(
    ("profiles", "arch", "selected", "packages"),
    [
        ((), "x86_64", ("small",), ("common", "p-small", "p-either")),
        (("small",), "x86_64", ("small", "base"), ("common", "p-base", "p-small", "p-either")),
        (("base",), "x86_64", ("base",), ("common", "p-base")),
        (("big",), "x86_64", ("big", "extra", "base"), ("common", "p-base", "p-either", "p-extra")),
        (
            ("extra",),
            "s390x",
            ("extra", "base", "mainframe"),
            ("common", "p-base", "p-extra", "p-mainframe"),
        ),
        (("extra", "base"), "x86_64", ("extra", "base"), ("common", "p-base", "p-extra")),
        (("base", "extra"), "x86_64", ("base", "extra"), ("common", "p-base", "p-extra")),
    ],
)
def test_profiles_select_sections(
    tmp_path: Path,
    profiles: tuple[str, ...],
    arch: str,
    selected: tuple[str, ...],
    packages: tuple[str, ...],
) -> None:
    image = select(document(tmp_path, PROFILES, packages=PACKAGES), profiles=profiles, arch=arch)
    assert image.profiles == selected
    assert image.packages.image.packages == packages


def test_all_profiles_are_described(tmp_path: Path) -> None:
    image = select(document(tmp_path, PROFILES), arch="x86_64")
    by_name = {profile.name: profile for profile in image.all_profiles}
    assert list(by_name) == ["base", "small", "big", "extra", "mainframe"]
    assert by_name["small"].imported and not by_name["big"].imported
    assert by_name["extra"].requires == ("base", "mainframe")
    assert by_name["mainframe"].arch == ("s390x", "s390")


def test_unknown_profile_names_the_nearest_and_all(tmp_path: Path) -> None:
    with pytest.raises(DescriptionError) as caught:
        select(document(tmp_path, PROFILES), profiles=["smal"])
    assert "there is no profile 'smal'" in str(caught.value)
    assert "Did you mean 'small'?" in str(caught.value)
    assert "base, small, big, extra, mainframe" in str(caught.value)
    assert caught.value.location is not None


def test_profile_of_another_architecture(tmp_path: Path) -> None:
    with pytest.raises(DescriptionError, match="profile 'mainframe' is not for x86_64"):
        select(document(tmp_path, PROFILES), profiles=["mainframe"], arch="x86_64")


def test_profiles_that_require_each_other(tmp_path: Path) -> None:
    ring = """
    <profiles>
      <profile name="a" description="a"><requires profile="b"/></profile>
      <profile name="b" description="b"><requires profile="a"/></profile>
    </profiles>
    """
    assert select(document(tmp_path, ring), profiles=["b"]).profiles == ("b", "a")


def test_required_profile_that_is_not_declared(tmp_path: Path) -> None:
    profiles = """
    <profiles><profile name="a" description="a"><requires profile="b"/></profile></profiles>
    """
    with pytest.raises(DescriptionError, match="'a' requires 'b', which is not declared"):
        select(document(tmp_path, profiles), profiles=["a"])


def test_section_of_an_undeclared_profile(tmp_path: Path) -> None:
    packages = '<packages type="image" profiles="smal"><package name="x"/></packages>'
    read = document(tmp_path, PROFILES, packages=packages + BOOTSTRAP)
    assert "x" not in select(read).packages.image.packages
    (warning,) = undeclared(read.tree)
    assert re.match(
        r".+/config\.xml:\d+: <packages>: there is no profile 'smal', .*; did you mean 'small'\?$",
        warning,
    )


def test_a_profile_that_is_declared_for_each_architecture(tmp_path: Path) -> None:
    profiles = """
    <profiles>
      <profile name="D" description="PC" arch="x86_64"><requires profile="pc"/></profile>
      <profile name="D" description="Arm" arch="aarch64"/>
    </profiles>
    <profiles><profile name="pc" description="PC"/></profiles>
    """
    read = document(tmp_path, profiles)
    assert select(read, profiles=["D"], arch="x86_64").profiles == ("D", "pc")
    assert select(read, profiles=["D"], arch="aarch64").profiles == ("D",)
    with pytest.raises(DescriptionError, match="'D' is not for s390x") as caught:
        select(read, profiles=["D"], arch="s390x")
    assert "It is for x86_64, aarch64 only." in str(caught.value)


def test_a_required_profile_of_another_architecture(tmp_path: Path) -> None:
    profiles = """
    <profiles>
      <profile name="a" description="a"><requires profile="b"/></profile>
      <profile name="b" description="b" arch="aarch64"/>
    </profiles>
    """
    with pytest.raises(DescriptionError, match="'a' requires 'b', which is not for x86_64"):
        select(document(tmp_path, profiles), profiles=["a"], arch="x86_64")


def test_which_value_counts(tmp_path: Path) -> None:
    preferences = """
    <preferences><version>1.2.3</version><locale>en_US</locale><keytable>us</keytable>
      <timezone>UTC</timezone><type image="tbz"/></preferences>
    <preferences profiles="base"><version>9</version><packagemanager>apt</packagemanager>
      <type image="oem" filesystem="ext4" primary="true"/></preferences>
    <preferences profiles="base"><packagemanager>dnf4</packagemanager><locale>de_DE</locale>
      <keytable>de</keytable>
      <type image="oem" filesystem="xfs" primary="true"/></preferences>
    """
    image = select(
        document(tmp_path, PROFILES, preferences=preferences), profiles=["base"], arch="x86_64"
    )
    chosen = image.preferences
    assert (chosen.version, chosen.packagemanager) == ("1.2.3", "apt")
    assert (chosen.locale, chosen.keytable, chosen.timezone) == (("de_DE",), "de", "UTC")
    assert image.type.filesystem == "ext4"
