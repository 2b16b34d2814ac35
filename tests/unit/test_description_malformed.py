"""Malformed descriptions: one clear error each on the command line, never a traceback."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from kiwinb import cli
from kiwinb.description.document import read
from kiwinb.description.select import select
from kiwinb.description.xml import MAX_BYTES
from kiwinb.errors import DescriptionError, DescriptionErrors

DATA = Path(__file__).parents[1] / "data/descriptions"
SEEDS = tuple(
    (DATA / name).read_bytes()
    for name in ("server/config.xml", "container/debian.kiwi", "everything/config.xml")
)
BOMB = (
    b'<!DOCTYPE image [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">'
    b'<!ENTITY c SYSTEM "file:///etc/passwd">]>'
)
KINDS = (
    *("element", "attribute", "value", "remove", "move", "double", "text", "namespace"),
    *("version", "cut", "bytes", "encoding", "bomb"),
)
PLACE = re.compile(r"^(?:kiwinb: )?(?P<file>/\S+?)(?P<line>:\d+(?::\d+)?)?(?:: <[^>]+>)?: \S")


def _typo(text: str, rng: random.Random) -> str:
    at = rng.randrange(len(text)) if text else 0
    return text[:at] + rng.choice("xqz") + text[at + 1 :]


def _mutate(text: bytes, kind: str, rng: random.Random) -> bytes:
    if kind == "cut":
        return text[: rng.randrange(len(text))]
    if kind == "bytes":
        at = rng.randrange(len(text))
        return text[:at] + rng.randbytes(rng.randint(1, 8)) + text[at:]
    root = etree.fromstring(text)
    if kind == "encoding":
        name = rng.choice(("utf-16", "latin-1", "cp1252", "utf-7", "utf-32"))
        declared = rng.choice(("utf-8", "utf-16", "us-ascii", "x-none", name))
        plain = etree.tostring(root, encoding="unicode").replace("A", "\u00c4", 3)
        return f'<?xml version="1.0" encoding="{declared}"?>{plain}'.encode(name, "replace")
    element = rng.choice(list(root.iter("*")))
    parent = element.getparent()
    if kind == "element":
        element.tag = _typo(etree.QName(element).localname, rng)
    elif kind == "namespace":
        element.tag = f"{{urn:other}}{etree.QName(element).localname}"
    elif kind == "attribute" and element.attrib:
        name = rng.choice(sorted(map(str, element.attrib)))
        value = element.attrib.pop(name)
        element.set(_typo(etree.QName(name).localname, rng), value)
    elif kind == "value" and element.attrib:
        name = rng.choice(sorted(map(str, element.attrib)))
        element.set(name, rng.choice(("", " ", "ture", "-1", "\N{SNOWMAN}", "a" * 5000)))
    elif kind == "remove" and parent is not None:
        parent.remove(element)
    elif kind == "double" and parent is not None:
        parent.append(etree.fromstring(etree.tostring(element)))
    elif kind == "text":
        element.text = rng.choice(("word", "]]>", "\N{SNOWMAN}", "9" * 400))
    elif kind == "move" and element.tag == "package":
        preferences = root.find("preferences")
        assert preferences is not None
        preferences.append(element)
    elif kind == "version":
        root.set("schemaversion", rng.choice(("", "0", "7.3", "8.6", "99", "eight")))
    changed = etree.tostring(root)
    return BOMB + changed if kind == "bomb" else changed


def _run(*words: str) -> tuple[int | str | None, str]:
    """Exit status and standard error of the command line, run in this process."""
    said = StringIO()
    before = sys.argv
    sys.argv = ["kiwinb", *words]
    try:
        with redirect_stderr(said), redirect_stdout(StringIO()), pytest.raises(SystemExit) as ended:
            cli.main()
    finally:
        sys.argv = before
    return ended.value.code, said.getvalue()


def test_two_hundred_malformed_descriptions_give_an_error_each(tmp_path: Path) -> None:
    verdicts: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    file = tmp_path / "config.xml"

    @settings(
        max_examples=450,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        st.sampled_from(SEEDS),
        st.integers(0, 2**32).map(random.Random),
        st.lists(st.sampled_from(KINDS), min_size=1, max_size=3),
    )
    def check(seed: bytes, rng: random.Random, wanted: list[str]) -> None:
        text, done = seed, []
        try:
            for kind in wanted:
                text = _mutate(text, kind, rng)
                done.append(kind)
        except (etree.XMLSyntaxError, ValueError):
            pass  # the mutation before has made it malformed already
        file.write_bytes(text)
        status, said = _run("image", "info", "--description", str(file))
        assert "Traceback" not in said
        if status == 0:
            verdicts["valid"] += 1
            return
        assert status == 3, said
        verdicts["malformed"] += 1
        kinds.update(done)
        lines = said.splitlines()
        assert PLACE.match(lines[0]), said
        assert f"{file}" in lines[0]
        for place, remedy in zip(lines[::2], lines[1::2], strict=True):
            assert PLACE.match(place), place
            assert remedy.startswith("  "), remedy
            assert len(place) < 1000

    check()
    assert verdicts["malformed"] >= 200, verdicts
    assert {*kinds} == {*KINDS}


def _error_of(text: str | bytes, directory: Path) -> DescriptionError:
    file = directory / "config.xml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DescriptionError) as caught:
        select(read(file))
    error = caught.value
    if isinstance(error, DescriptionErrors):
        assert len(error.errors) == 1
        error = error.errors[0]
    assert error.location is not None
    assert error.location.file == file
    return error


@pytest.mark.parametrize(
    ("old", "new", "element", "said"),
    [
        ("<version>", "<vresion>", "vresion", ("did you mean <version>?", "<preferences> takes")),
        ("filesystem=", "filesytem=", "type", ("did you mean filesystem?",)),
        ('image="oem"', 'image="eom"', "type", ("did you mean oem?", "tbz")),
        ("<packagemanager>apt<", "<packagemanager>atp<", "packagemanager", ("did you mean apt?",)),
        ('<package name="bash"', '<package nmae="bash"', "package", ("did you mean name?",)),
    ],
)
def test_a_slip_is_named_with_its_line_and_what_was_meant(
    tmp_path: Path, old: str, new: str, element: str, said: tuple[str, ...]
) -> None:
    text = (
        '<image schemaversion="8.5" name="slip">\n<description type="system"><author>A</author>'
        "<contact>a@example.org</contact><specification>S</specification></description>\n"
        "<preferences>\n<version>1.0.0</version>\n<packagemanager>apt</packagemanager>\n"
        '<type image="oem" filesystem="ext4"/>\n</preferences>\n'
        '<repository><source path="mirror:debian"/></repository>\n'
        '<packages type="bootstrap">\n<package name="bash"/>\n</packages>\n</image>\n'
    )
    assert old in text
    changed = text.replace(old, new)
    if new == "<vresion>":
        changed = changed.replace("</version>", "</vresion>")
    (tmp_path / "config.xml").write_text(changed)
    with pytest.raises(DescriptionErrors) as caught:
        read(tmp_path)
    line = text[: text.index(old)].count("\n") + 1
    found = [item for item in caught.value.errors if item.location and item.location.line == line]
    assert found
    assert found[0].location is not None
    assert found[0].location.element == element
    for words in said:
        assert words in str(found[0]), str(found[0])


ROOT = '<image schemaversion="8.5" name="x">{}</image>'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('<image xmlns="urn:x" schemaversion="8.5" name="x"/>', "Remove xmlns=…"),
        ('<i:image xmlns:i="urn:x" schemaversion="8.5" name="x"/>', "Remove xmlns:i=…"),
        ('<image schemaversion="8.5" name="x"><include from="%s"/></image>' % ("a/" * 3000), "…"),
        ('<image schemaversion="\u202e" name="x"/>', "\\u202e"),
    ],
)
def test_messages_are_short_and_printable(tmp_path: Path, text: str, said: str) -> None:
    error = _error_of(text, tmp_path)
    assert said in str(error)
    assert len(str(error)) < 600
    assert str(error).replace("\n", "").isprintable()


def test_of_many_attributes_those_nearest_are_named(tmp_path: Path) -> None:
    (tmp_path / "config.xml").write_text(
        (DATA / "server/config.xml").read_text().replace(" filesystem=", " filesystm=", 1)
    )
    with pytest.raises(DescriptionErrors) as caught:
        read(tmp_path)
    said = next(str(error) for error in caught.value.errors if "filesystm" in str(error))
    assert "did you mean filesystem?" in said
    assert re.search(r"Its attributes are: .*bootfilesystem.* and \d+ more\.", said)
    assert "kernelcmdline" not in said


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))


@pytest.mark.parametrize(
    "text",
    [
        f'<!DOCTYPE image [<!ENTITY l0 "ha">{LAUGHS}]>{ROOT.format("&l11;")}',
        f'<!DOCTYPE image [<!ENTITY a "{"a" * 100_000}">]>{ROOT.format("&a;" * 50_000)}',
        f'<!DOCTYPE image [<!ENTITY x SYSTEM "file:///etc/passwd">]>{ROOT.format("&x;")}',
        f'<!DOCTYPE image SYSTEM "http://127.0.0.1:1/x.dtd">{ROOT.format("")}',
        f'<!DOCTYPE image PUBLIC "-//x//y" "x.dtd">{ROOT.format("")}',
        f'<!DOCTYPE image [<!ENTITY % p SYSTEM "file:///etc/passwd">%p;]>{ROOT.format("")}',
    ],
    ids=["laughs", "quadratic", "external", "remote", "public", "parameter"],
)
def test_entities_and_document_types_are_refused_before_they_are_read(
    tmp_path: Path, text: str
) -> None:
    error = _error_of(text, tmp_path)
    assert error.location is not None
    assert error.location.line == 1
    assert "root:" not in str(error)
    assert "DOCTYPE" in str(error)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" \n",
        b"\0" * 64,
        b"\xff\xfe\x00",
        b'<?xml version="1.0" encoding="utf-8"?><image name="\xe4"/>',
        b'<?xml version="1.0" encoding="x-none"?><image/>',
        b'<?xml version="1.0" encoding="utf-16"?><image/>',
        b'<?xml version="1.1"?><image\x01/>',
        '<?xml version="1.0" encoding="utf-8"?><image/>'.encode("utf-32"),
        b"PK\x03\x04" + bytes(range(256)),
        b"image:\n  '@name': x\n",
        b"<image>" * 100_000,
        b"<image a='1' a='2'/>",
        b"<image" + b"".join(b" a%d=''" % n for n in range(100_000)) + b"/>",
        b"<image xmlns='urn:x'/>",
        b"<image>&nosuch;</image>",
        b"<image>&#0;</image>",
    ],
)
def test_what_is_no_description_at_all(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "config.xml"
    file.write_bytes(data)
    status, said = _run("image", "info", "--description", str(file))
    assert status == 3
    assert said.startswith(f"kiwinb: {file}")
    assert "Traceback" not in said


def test_what_is_no_file_at_all(tmp_path: Path) -> None:
    loop = tmp_path / "loop.xml"
    loop.symlink_to(loop)
    pipe = tmp_path / "pipe.xml"
    subprocess.run(["mkfifo", pipe], check=True)
    for path in (loop, pipe, Path("/dev/zero"), tmp_path / "none.xml", tmp_path):
        status, said = _run("image", "info", "--description", str(path))
        assert status == 3, path
        assert said.startswith("kiwinb: /")


MEASURED = """
import resource, sys
from kiwinb import cli
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
sys.argv = ["kiwinb", "image", "info", "--description", sys.argv[1]]
try:
    cli.main()
finally:
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print((after - before) // 1024)
"""


@pytest.mark.parametrize("kind", ["text", "elements", "attributes", "sparse", "laughs", "include"])
def test_a_hundred_megabytes_are_refused_in_bounded_memory(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "config.xml"
    head, size = b'<image schemaversion="8.5" name="x">', 100 * 2**20
    with file.open("wb") as big:
        big.write(head)
        if kind == "sparse":
            big.truncate(size)
        elif kind == "include":
            big.write(b'<include from="big.xml"/></image>')
            (tmp_path / "big.xml").write_bytes(b"<image>" + b"x" * size)
        elif kind == "laughs":
            entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 30))
            big.seek(0)
            big.write(f'<!DOCTYPE image [<!ENTITY l0 "x">{entities}]>'.encode())
            big.write(head + b"&l29;</image>")
        else:
            piece = {"text": b"a" * 64, "elements": b"<a/>" * 16, "attributes": b"<a b='c'/>"}[kind]
            for _ in range(size // (len(piece) * 16384)):
                big.write(piece * 16384)
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(file)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 3, done.stderr
    assert done.stderr.startswith(f"kiwinb: {tmp_path}/")
    assert "Traceback" not in done.stderr
    assert int(done.stdout) < 64, "MiB that it took"


def test_as_much_as_may_be_read_is_read_in_bounded_memory_and_time(tmp_path: Path) -> None:
    file = tmp_path / "config.xml"
    head, element = b'<image schemaversion="8.5" name="x">', b"<a/>"
    file.write_bytes(head + element * ((MAX_BYTES - 100) // len(element)) + b"</image>")
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(file)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 3, done.stderr
    assert done.stderr.startswith(f"kiwinb: {file}:1")
    assert int(done.stdout) < 768, "MiB that it took"


def test_the_first_of_several_descriptions(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = (DATA / "container/debian.kiwi").read_text()
    for name in ("b.kiwi", "a.kiwi", "c.kiwi"):
        (tmp_path / name).write_text(text)
    assert read(tmp_path).file.name == "a.kiwi"
    assert caplog.messages == [
        f"{tmp_path}: reading a.kiwi, and not b.kiwi, c.kiwi; --kiwi-file chooses another"
    ]
    assert read(tmp_path, kiwi_file="b.kiwi").file.name == "b.kiwi"


def test_a_description_in_a_folder_named_image(tmp_path: Path) -> None:
    (tmp_path / "image").mkdir()
    (tmp_path / "image/config.xml").write_text((DATA / "container/debian.kiwi").read_text())
    found = read(tmp_path)
    assert (found.file, found.directory) == (tmp_path / "image/config.xml", tmp_path / "image")
