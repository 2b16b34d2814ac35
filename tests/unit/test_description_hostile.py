"""Descriptions of strangers: files that are none, and documents that are cheap to write only."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from descriptions import PREFERENCES, document

from kiwinb.description.document import Document, read
from kiwinb.description.override import Overrides
from kiwinb.description.select import effective, select
from kiwinb.description.sources import Sources, read_sources
from kiwinb.errors import DescriptionError, KiwinbError
from kiwinb.images.container.base import local_archive
from kiwinb.packages.keys import read_key
from kiwinb.results.exported import ExportFacts, write_export

NAMED = (
    '<packages type="image"><archive name="files.tar"/><file name="motd" target="/etc/motd"/>'
    '<package name="bash"/></packages>'
)
EDITING = PREFERENCES.replace("<type", '<type editbootconfig="edit.sh"')

PLACES = ("config.sh", "images.sh", "edit.sh", "root.tar.gz", "root", "files.tar", "motd", "slim")
"""A script, one that the type names, an archive and a directory to lay over, and a profile's."""


def fifo(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)
    os.chdir(here)


KINDS: Mapping[str, Callable[[Path], None]] = {
    "fifo": fifo,
    "socket": a_socket,
    "link to a device": lambda path: path.symlink_to("/dev/zero"),
    "link to nothing": lambda path: path.symlink_to("nothing"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "link to the host": lambda path: path.symlink_to("/etc/shadow"),
    "link to the root of the host": lambda path: path.symlink_to("/"),
    "link up": lambda path: path.symlink_to("../" * 40 + "etc"),
}


def described(directory: Path) -> Document:
    directory.mkdir(exist_ok=True)
    profiles = '<profiles><profile name="slim" description="d" import="true"/></profiles>'
    return document(directory, profiles, preferences=EDITING, packages=NAMED)


def sources(directory: Path) -> Sources:
    read_as = select(described(directory), arch="x86_64")
    for name in ("edit.sh", "files.tar", "motd"):
        if not os.path.lexists(directory / name):
            (directory / name).write_text("x")
    return read_sources(read_as, directory.parent / "cache")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_of_the_description(place: str, kind: str, tmp_path: Path) -> None:
    directory = tmp_path / "d"
    described(directory)
    KINDS[kind](directory / place)
    with pytest.raises(DescriptionError) as caught:
        sources(directory)
    error = caught.value
    assert error.location is not None
    assert error.location.file == directory / place
    assert error.remedy


@pytest.mark.parametrize("name", ["/etc/shadow", "../secret", "a/../../secret", "."])
@pytest.mark.parametrize("element", ["archive", "file"])
def test_names_that_lead_out(name: str, element: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "d").mkdir()
    packages = f'<packages type="image"><{element} name="{name}"/></packages>'
    image = select(document(tmp_path / "d", packages=packages), arch="x86_64")
    with pytest.raises(DescriptionError, match="cannot name a file of the description"):
        read_sources(image, tmp_path / "cache")


@pytest.mark.parametrize("name", ["../secret", "..", "/etc"])
def test_profiles_that_lead_out(name: str, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "d").mkdir()
    profile = f'<profiles><profile name="{name}" description="d" import="true"/></profiles>'
    image = select(document(tmp_path / "d", profile), arch="x86_64")
    with pytest.raises(DescriptionError, match="not part of the description"):
        read_sources(image, tmp_path / "cache")


def test_descriptions_under_version_control_share_files(tmp_path: Path) -> None:
    (tmp_path / "common.sh").write_text("true\n")
    directory = tmp_path / "d"
    described(directory)
    (directory / "config.sh").symlink_to("../common.sh")
    (directory / "images.sh").symlink_to("config.sh")
    with pytest.raises(DescriptionError, match="not part of the description"):
        sources(directory)
    (directory / "config.sh").unlink()
    (directory / "config.sh").symlink_to("/usr/lib/os-release")  # every user may read it
    assert {"config.sh", "images.sh"} <= sources(directory).scripts.keys()
    (directory / "config.sh").unlink()
    (directory / "config.sh").symlink_to("../common.sh")
    (tmp_path / ".git").mkdir()
    assert {"config.sh", "images.sh"} <= sources(directory).scripts.keys()


def test_what_overlays_may_have(tmp_path: Path) -> None:
    """Names of any bytes, pipes and links that lead anywhere: they are copied, not followed."""
    root = tmp_path / "d" / "root"
    root.mkdir(parents=True)
    (root / "new\nline").write_text("x")
    Path(os.fsdecode(os.fsencode(root) + b"/\xff\xfe")).write_text("x")
    os.mkfifo(root / "pipe")
    (root / "loop").symlink_to("loop")
    (root / "out").symlink_to("/etc/shadow")
    assert [item.path.name for item in sources(tmp_path / "d").overlays] == ["root"]
    a_socket(root / "s")
    with pytest.raises(DescriptionError, match="socket") as caught:
        sources(tmp_path / "d")
    assert caught.value.location is not None
    assert caught.value.location.file == root / "s"


def test_an_overlay_that_is_too_deep(tmp_path: Path) -> None:
    directory = tmp_path / "d" / "root"
    directory.mkdir(parents=True)
    here = Path.cwd()
    os.chdir(directory)
    for _level in range(1200):
        Path("d").mkdir()
        os.chdir("d")
    os.chdir(here)
    try:
        with pytest.raises(DescriptionError, match=r"nested too deeply|too long"):
            sources(tmp_path / "d")
    finally:  # pytest itself cannot
        subprocess.run(["rm", "-rf", directory], check=True)


@pytest.mark.timeout(20)
def test_a_base_container_and_a_key_that_are_pipes(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(KiwinbError, match="is not a file or directory"):
        local_archive(str(tmp_path / "pipe"), tmp_path)
    with pytest.raises(KiwinbError, match="not a regular file"):
        read_key("pipe", "debian", tmp_path, tmp_path)


def test_a_tree_does_not_lead_an_export_out_of_it(tmp_path: Path) -> None:
    """The directory ``image`` may be a link that a script has made."""
    directory, root, host = tmp_path / "d", tmp_path / "root", tmp_path / "host"
    for place in (root, host):
        place.mkdir()
    image = select(described(directory), arch="x86_64")
    (directory / "config.sh").write_text("true\n")
    (root / "image").symlink_to(host)
    write_export(root, image, "<image/>", ExportFacts("x86_64", 0, Overrides()))
    assert not list(host.iterdir())
    assert (root / "image" / "config.xml").is_file()
    for name in ("config.sh", "kiwinb.json"):
        (root / "image" / name).unlink()
        (root / "image" / name).symlink_to(host / "new")
        write_export(root, image, "<image/>", ExportFacts("x86_64", 0, Overrides()))
        assert not list(host.iterdir())


# --- documents ---

HEAD = (
    '<description type="system"><author>a</author><contact>b@c</contact>'
    "<specification>x</specification></description>"
)
TAIL = PREFERENCES + '<packages type="image"><package name="x"/></packages>'


def _chain(number: int) -> str:
    profiles = "".join(
        f'<profile name="p{item}" description="d"><requires profile="p{item + 1}"/></profile>'
        for item in range(number)
    )
    return f'<profiles>{profiles}<profile name="p{number}" description="d"/></profiles>'


def _xml(*sections: str) -> str:
    return f'<image schemaversion="8.5" name="x">{HEAD}{"".join(sections)}{TAIL}</image>'


_ATTRIBUTES = " ".join(f'a{number}=""' for number in range(40_000))

DOCUMENTS: Mapping[str, tuple[str, str]] = {
    "deep elements": ("xml", '<image schemaversion="8.5">' + "<a>" * 90_000),
    "many elements": ("xml", _xml("<foo/>" * 100_000)),
    "many attributes": ("xml", _xml(f"<packages {_ATTRIBUTES}/>")),
    "comments in a text": ("xml", _xml("<packages>" + "a<!-- -->" * 100_000 + "</packages>")),
    "entities": ("xml", '<!DOCTYPE x [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><image>&b;</image>'),
    "deep mappings": ("yaml", "image:\n" + "".join(" " * n + "a:\n" for n in range(1, 1400))),
    "deep lists": ("yaml", "image: " + "[" * 200_000),
    "an alias in itself": ("yaml", "image: &x\n  a: *x\n"),
    "many keys": ("yaml", "image:\n" + "".join(f"  a{n}: x\n" for n in range(20_000))),
    "a large list": ("yaml", "image:\n  a:\n" + "    - x\n" * 200_000),
    "a number in YAML": ("yaml", 'image:\n  "@name": ' + "9" * 5000),
    "deep objects": ("json", '{"image":' * 90_000),
    "deep arrays": ("json", '{"image":' + "[" * 200_000 + "]" * 200_000 + "}"),
    "a number in JSON": ("json", '{"image":{"@schemaversion":' + "9" * 5000 + "}}"),
    "an exponent": ("json", '{"image":{"@schemaversion":1e' + "9" * 5000 + "}}"),
    "deep arrays of TOML": ("toml", "image = " + "[" * 100_000 + "]" * 100_000),
    "a dotted table": ("toml", f"[{'.'.join(['a'] * 100_000)}]"),
    "dotted tables": ("toml", "\n".join(f"[{'.'.join(['a'] * n)}]" for n in range(1, 900))),
    "a dotted key": ("toml", ".".join(["a"] * 5000) + " = 1"),
    "a number in TOML": ("toml", '[image]\n"@name" = ' + "9" * 5000),
    "many tables": ("toml", "[image]\n" + "".join(f"[image.a{n}]\n" for n in range(20_000))),
    "many arrays of tables": ("toml", "[image]\n" + "[[image.a]]\n" * 30_000),
    "quotes": ("toml", "a = " + '"""' * 100_000),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("what", DOCUMENTS)
def test_documents_that_are_cheap_to_write(what: str, tmp_path: Path) -> None:
    suffix, text = DOCUMENTS[what]
    (tmp_path / f"config.{suffix}").write_text(text)
    began = time.process_time()
    with pytest.raises(DescriptionError) as caught:
        read(tmp_path)
    assert time.process_time() - began < 15
    said = str(caught.value)
    assert len(said) < 300_000
    assert "recursion" not in said and "set_int_max_str_digits" not in said


def test_two_thousand_profiles_that_require_one_another(tmp_path: Path) -> None:
    (tmp_path / "config.xml").write_text(_xml(_chain(2000)))
    document = read(tmp_path)
    assert len(select(document, profiles=["p0"], arch="x86_64").profiles) == 2001
    effective(document, profiles=["p0"], arch="x86_64")


def test_required_profiles_keep_their_order(tmp_path: Path) -> None:
    def profile(name: str, *others: str) -> str:
        required = "".join(f'<requires profile="{other}"/>' for other in others)
        return f'<profile name="{name}" description="d">{required}</profile>'

    declared = (profile("a", "b", "c"), profile("b", "d", "a"), profile("c"), profile("d", "c"))
    (tmp_path / "config.xml").write_text(_xml(f"<profiles>{''.join(declared)}</profiles>"))
    chosen = select(read(tmp_path), profiles=["a", "c"], arch="x86_64").profiles
    assert chosen == ("a", "b", "d", "c")


def test_includes_that_fan_out(tmp_path: Path) -> None:
    """Ten files, each of which includes the next one ten times."""
    for number in range(10):
        inner = f'<include from="i{number + 1}.xml"/>' * 10
        (tmp_path / f"i{number}.xml").write_text(f'<image schemaversion="8.5">{inner}</image>')
    (tmp_path / "i10.xml").write_text('<image schemaversion="8.5"/>')
    (tmp_path / "config.xml").write_text(_xml('<include from="i0.xml"/>'))
    began = time.process_time()
    with pytest.raises(DescriptionError, match="includes more than 500 files"):
        read(tmp_path)
    assert time.process_time() - began < 5


@pytest.mark.timeout(20)
def test_an_included_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "config.xml").write_text(_xml('<include from="pipe"/>'))
    with pytest.raises(DescriptionError, match=r"does not exist|not a regular file"):
        read(tmp_path)
    (tmp_path / "config.xml").unlink()
    os.mkfifo(tmp_path / "config.xml")
    with pytest.raises(DescriptionError, match="not a regular file"):
        read(tmp_path)
