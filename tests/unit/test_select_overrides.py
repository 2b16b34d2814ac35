from __future__ import annotations

from pathlib import Path

import pytest
from descriptions import document

from kiwinb.description.model import ConfigOption, ImageDescription
from kiwinb.description.override import Overrides, apply, read_credentials
from kiwinb.description.select import select
from kiwinb.errors import DescriptionError

PREFERENCES = """
<preferences>
  <version>1.2.3</version><packagemanager>apt</packagemanager>
  <type image="oem" filesystem="ext4"/>
  <type image="docker">
    <containerconfig name="web" tag="1">
      <labels><label name="a" value="1"/></labels>
    </containerconfig>
  </type>
</preferences>
"""
REPOSITORIES = """
<repository type="apt-deb" alias="debian" distribution="bookworm" components="main contrib">
  <source path="mirror:debian"><signing key="old.gpg"/></source>
</repository>
<repository alias="only" imageonly="true"><source path="mirror:only"/></repository>
"""


@pytest.fixture
def disk(tmp_path: Path) -> ImageDescription:
    return select(
        document(tmp_path, preferences=PREFERENCES, repository=REPOSITORIES), arch="x86_64"
    )


@pytest.fixture
def container(tmp_path: Path) -> ImageDescription:
    source = document(tmp_path, preferences=PREFERENCES, repository=REPOSITORIES)
    return select(source, type="docker", arch="x86_64")


def test_nothing_changes_nothing(disk: ImageDescription) -> None:
    assert apply(disk, Overrides()) == disk


def test_set_repo_keeps_what_it_does_not_say(disk: ImageDescription) -> None:
    first, second = apply(
        disk, Overrides(set_repo="dir:///srv/deb,,local", set_repo_credentials="u:p:w")
    ).repositories
    assert (first.path, first.alias, first.type) == ("dir:///srv/deb", "local", "apt-deb")
    assert (first.distribution, first.components) == ("bookworm", ("main", "contrib"))
    assert (first.username, first.password) == ("u", "p:w")
    assert second == disk.repositories[1]


def test_credentials_have_any_characters(disk: ImageDescription) -> None:
    password = " " + "".join(map(chr, range(0x20, 0x7F))) + "ä€ "
    overrides = Overrides(
        set_repo="x",
        set_repo_credentials=f" u :{password}",
        add_repo=("y",),
        add_repo_credentials=(f"v:{password}",),
    )
    first, *_, last = apply(disk, overrides).repositories
    assert (first.username, first.password) == (" u ", password)
    assert (last.username, last.password) == ("v", password)


def test_add_repo_in_full(disk: ImageDescription) -> None:
    text = (
        "https://example.org/x,apt-deb,extra,7,true,false,{file:///a.gpg;b,c.gpg},main non-free,"
        "trixie,true,baseurl"
    )
    *_, added, plain = apply(
        disk, Overrides(add_repo=(text, "this:repo"), add_repo_credentials=("me:secret",))
    ).repositories
    assert (added.path, added.type, added.alias) == ("https://example.org/x", "apt-deb", "extra")
    assert (added.priority, added.included_in_image, added.package_gpgcheck) == (7, True, False)
    assert added.signing == ("file:///a.gpg", "b,c.gpg")
    assert (added.components, added.distribution) == (("main", "non-free"), "trixie")
    assert (added.repository_gpgcheck, added.sourcetype) == (True, "baseurl")
    assert (added.username, added.password) == ("me", "secret")
    assert (plain.path, plain.username) == ("this:repo", None)


def test_ignored_repositories(disk: ImageDescription) -> None:
    def aliases(overrides: Overrides) -> list[str | None]:
        return [item.alias for item in apply(disk, overrides).repositories]

    assert aliases(Overrides(ignore_repos=True)) == []
    assert aliases(Overrides(ignore_repos_used_for_build=True)) == ["only"]
    assert aliases(Overrides(ignore_repos=True, add_repo=("this:r,,new",))) == ["new"]
    assert aliases(Overrides(ignore_repos=True, set_repo="this:r,,new")) == ["new"]


def test_signing_keys_are_added(disk: ImageDescription) -> None:
    image = apply(disk, Overrides(signing_key=("new.gpg",), add_repo=("this:r",)))
    assert [item.signing for item in image.repositories] == [
        ("old.gpg", "new.gpg"),
        ("new.gpg",),
        ("new.gpg",),
    ]


def test_packages(disk: ImageDescription) -> None:
    packages = apply(
        disk,
        Overrides(
            add_package=("vim", "bash"),
            add_bootstrap_package=("zstd",),
            delete_package=("nano",),
        ),
    ).packages
    assert packages.image.packages == ("bash", "vim")
    assert packages.bootstrap.packages == ("apt", "zstd")
    assert packages.delete == ("nano",)


def test_container_settings(container: ImageDescription) -> None:
    image = apply(
        container,
        Overrides(
            set_container_tag="2",
            set_container_derived_from="oci:base.tar",
            add_container_label=("a=x=y", "b="),
        ),
    )
    config = image.type.containerconfig
    assert config is not None and (config.name, config.tag) == ("web", "2")
    assert config.labels == (ConfigOption("a", "x=y"), ConfigOption("b", ""))
    assert image.type.derived_from == "oci:base.tar"


def test_type_attributes(disk: ImageDescription) -> None:
    build_type = apply(
        disk,
        Overrides(
            set_type_attr=(
                "efipartsize=64",
                "kernelcmdline=console=ttyS0 quiet",
                "bootpartition=true",
                "fsmountoptions=noatime,discard",
                "volid=some",
            )
        ),
    ).type
    assert (build_type.efipartsize, build_type.bootpartition) == (64, True)
    assert build_type.kernelcmdline == "console=ttyS0 quiet"
    assert build_type.fsmountoptions == ("noatime", "discard")
    assert build_type.attributes["volid"] == build_type.volid == "some"


def test_release_version_and_certificates(disk: ImageDescription) -> None:
    image = apply(
        disk,
        Overrides(
            set_release_version="12", ca_cert=("/x/ca.crt",), ca_target_distribution="debian"
        ),
    )
    assert image.preferences.release_version == "12"
    assert [(c.target_distribution, c.names) for c in image.certificates] == [
        ("debian", ("/x/ca.crt",))
    ]


def test_credentials_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("me:secret\nnot this\n")
    assert read_credentials(str(file)) == "me:secret"
    assert read_credentials("you:other") == "you:other"
    file.write_bytes(b"me: \xc3\xa4#'\"\\ \r\n")
    assert read_credentials(str(file)) == "me: ä#'\"\\ "
    for text in ("me:" + "long" * 100, "me:\0"):
        assert read_credentials(text) == text
    file.write_bytes(b"me:\xff")
    with pytest.raises(DescriptionError, match="the credentials cannot be read"):
        read_credentials(str(file))


def test_a_login_in_a_url_goes_to_its_own_fields(disk: ImageDescription) -> None:
    url = "https://me:se%20cr%40et@example.org:8080/r?x=@"
    (added,) = apply(disk, Overrides(ignore_repos=True, add_repo=(url,))).repositories
    assert added.path == "https://example.org:8080/r?x=@"
    assert (added.username, added.password) == ("me", "se cr@et")
    assert "se cr@et" not in repr(added)
    with pytest.raises(DescriptionError) as caught:
        apply(disk, Overrides(add_repo=(f"{url},wrong",)))
    assert "se%20cr" not in str(caught.value)
    assert "https://example.org:8080/r?x=@,wrong" in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (Overrides(add_repo=(",apt-deb",)), "the source is missing"),
        (Overrides(add_repo=("x,deb",)), "'deb' is not one of .*apt-deb"),
        (Overrides(add_repo=("x,,a b",)), "'a b' is not an alias"),
        (Overrides(add_repo=("x,,,high",)), "'high' is not a priority"),
        (Overrides(add_repo=("x,,,,yes",)), r"'yes' is not true or false \(imageinclude\)"),
        (Overrides(add_repo=("x,,,,,,a.gpg",)), "'a.gpg' is not a list of keys in braces"),
        (Overrides(add_repo=("x" + "," * 11,)), "it has 12 fields, 11 at most"),
        (Overrides(set_repo_credentials="a:b"), "without --set-repo"),
        (Overrides(set_repo="x", set_repo_credentials="ab"), "is not user:password"),
        (Overrides(add_repo_credentials=("a:b",)), "more --add-repo-credentials than"),
        (Overrides(add_package=("a b",)), "--add-package 'a b' is no package name"),
        (Overrides(set_container_tag="1"), "the type oem is none"),
        (Overrides(set_container_derived_from="x"), "the type oem is none"),
        (Overrides(set_type_attr=("efipartsize",)), "is not name=value"),
        (Overrides(set_type_attr=("efipartsise=1",)), "Did you mean efipartsize"),
        (Overrides(set_type_attr=("firmware=bois",)), "Allowed: .*bios"),
        (Overrides(set_type_attr=("efipartsize=many",)), "the value is not allowed"),
        (Overrides(set_type_attr=("image=tbz",)), "Select another type with --type"),
        (Overrides(ca_cert=("a.crt",)), "not for which distribution"),
        (Overrides(ca_target_distribution="mint"), "It is one of debian, "),
    ],
)
def test_malformed_options(disk: ImageDescription, overrides: Overrides, message: str) -> None:
    with pytest.raises(DescriptionError) as caught:
        apply(disk, overrides)
    caught.match(message)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("source", "attributes", "login"),
    [
        ("http://joe:pw@internal.example/debian", "", (None, None)),
        ("http://internal.example/debian", 'username="joe" password="pw"', ("joe", "pw")),
    ],
)
def test_a_login_in_a_url_belongs_to_that_server(
    tmp_path: Path, source: str, attributes: str, login: tuple[str | None, str | None]
) -> None:
    repository = f'<repository {attributes}><source path="{source}"/></repository>'
    image = select(document(tmp_path, repository=repository))
    assert image.repositories[0].username == "joe"
    (first,) = apply(image, Overrides(set_repo="http://other.example/debian")).repositories
    assert (first.path, first.username, first.password) == ("http://other.example/debian", *login)
    given = Overrides(set_repo="http://o.example/d", set_repo_credentials="ann:x")
    (first,) = apply(image, given).repositories
    assert (first.username, first.password) == ("ann", "x")
