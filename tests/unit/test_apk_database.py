"""The database of apk, by its documentation: there is no apk to hold it against."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
from collections.abc import Mapping
from dataclasses import replace

import pytest
from inspect_trees import Item, MemoryTree

from kiwinb.errors import InspectError
from kiwinb.inspect.diff import diff
from kiwinb.inspect.files import files
from kiwinb.inspect.packages import packages
from kiwinb.inspect.unowned import unowned
from kiwinb.inspect.verify import verify
from kiwinb.packages.databases.apk import Apk
from kiwinb.packages.databases.database import Requirement

BUSYBOX, MOTD = b"\x7fELF busybox", b"Welcome\n"


def sha1(content: bytes) -> str:
    return "Q1" + base64.b64encode(hashlib.sha1(content).digest()).decode()


INSTALLED = f"""C:Q1p78yvTLG094tHE1+dToJGbmYzQE=
P:busybox
V:1.36.1-r29
A:x86_64
S:500000
I:962560
T:Size optimized toolbox of many common UNIX utilities
U:https://busybox.net/
L:GPL-2.0-only
o:busybox-source
m:Maintainer <maintainer@example.org>
t:1716000000
c:1f0a
k:100
D:so:libc.musl-x86_64.so.1 !conflicting musl>=1.2
p:/bin/sh cmd:busybox=1.36.1-r29
F:bin
R:busybox
a:0:0:755
Z:{sha1(BUSYBOX)}
R:sh
a:0:0:777
Z:{sha1(b"/bin/busybox")}
F:etc
R:motd
Z:{sha1(MOTD)}
F:tmp
M:0:0:1777

P:musl
V:1.2.5-r0
A:x86_64
I:667648
L:MIT
o:musl
p:so:libc.musl-x86_64.so.1=1
r:libiconv
q:5
f:s
F:lib
R:ld-musl

P:extra
V:1
A:noarch
D:busybox~1.36 /bin/sh
"""
WORLD = b"extra@edge\ncmd:busybox>1\n!none\n"
FILES: Mapping[str, Item | bytes | str] = {
    "/lib/apk/db/installed": INSTALLED.encode(),
    "/etc/apk/world": WORLD,
    "/bin/busybox": Item(BUSYBOX, mode=0o755),
    "/bin/sh": "/bin/busybox",
    "/bin/ls": "/bin/busybox",
    "/etc/motd": MOTD,
    "/tmp": Item(type="directory", mode=0o1777),
    "/lib/ld-musl": b"",
}
HOMES = ("/lib/apk/db", "/usr/lib/apk/db")


def test_facts() -> None:
    busybox, extra, musl = Apk().packages(MemoryTree(FILES))
    assert (busybox.name, busybox.version, busybox.arch) == ("busybox", "1.36.1-r29", "x86_64")
    assert (busybox.installed_size, busybox.license) == (962560, "GPL-2.0-only")
    assert (busybox.source, busybox.source_version) == ("busybox-source", "1.36.1-r29")
    assert busybox.vendor == "Maintainer <maintainer@example.org>"
    assert busybox.summary.startswith("Size optimized")
    assert busybox.provides == (("/bin/sh", ""), ("cmd:busybox", "1.36.1-r29"))
    assert [str(item.name) for (item,) in busybox.depends] == ["so:libc.musl-x86_64.so.1", "musl"]
    assert (busybox.state, musl.state, extra.state) == ("installed", "broken", "installed")
    assert (busybox.automatic, extra.automatic, musl.automatic) == (False, False, True)
    without = {path: content for path, content in FILES.items() if path != "/etc/apk/world"}
    assert {item.automatic for item in Apk().packages(MemoryTree(without))} == {None}


@pytest.mark.parametrize("home", HOMES)
def test_why_and_who(home: str) -> None:
    kept = {path.replace("/lib/apk/db", home): content for path, content in FILES.items()}
    tree = MemoryTree(kept)
    table = packages(tree).set_index("name")
    assert table.loc["extra", "why"] == "installed by name"
    assert table.loc["musl", "why"] == ("dependency of busybox, provides so:libc.musl-x86_64.so.1")
    assert table.loc["busybox", "required_by"] == ("extra",)
    owner = files(tree).set_index("path")["package"]
    assert owner["/bin/busybox"] == owner["/etc/motd"] == owner["/bin"] == "busybox"
    assert owner["/lib/ld-musl"] == "musl"
    reasons = unowned(tree).set_index("path")["reason"]
    assert reasons["/bin/ls"] == "link by busybox"
    assert reasons[f"{home}/installed"] == "database of apk"


def test_a_usr_merge_that_links_to_the_database() -> None:
    kept = {path.replace("/lib/apk/db", "/usr/lib/apk/db"): it for path, it in FILES.items()}
    kept = {
        **{p.replace("/lib/ld", "/usr/lib/ld"): it for p, it in kept.items()},
        "/lib": "usr/lib",
    }
    tree = MemoryTree(kept)
    assert packages(tree)["name"].tolist() == ["busybox", "extra", "musl"]
    assert files(tree).set_index("path").loc["/usr/lib/ld-musl", "package"] == "musl"


def test_verify() -> None:
    assert verify(MemoryTree(FILES)).empty
    changed: dict[str, Item | bytes | str] = {
        **FILES,
        "/bin/busybox": Item(BUSYBOX, mode=0o4755),
        "/bin/sh": "/bin/bash",
        "/etc/motd": b"Hello!!\n",
        "/tmp": Item(type="directory", mode=0o755),
    }
    del changed["/lib/ld-musl"]
    found = verify(MemoryTree(changed))
    assert dict(zip(found["path"], found["what"], strict=True)) == {
        "/bin/busybox": "mode",
        "/bin/sh": "content",
        "/etc/motd": "content",
        "/lib/ld-musl": "missing",
        "/tmp": "mode",
    }
    assert found.loc[found["config"], "path"].tolist() == ["/etc/motd"]


@pytest.mark.parametrize("letter", ["S", ""])
def test_digests_of_newer_versions(letter: str) -> None:
    digest = hashlib.sha256(MOTD).digest()
    text = base64.b64encode(digest[:20] if letter else digest).decode()
    lines = f"P:a\nV:1\n{f'f:{letter}' + chr(10) if letter else ''}F:etc\nR:motd\n"
    lines += f"Z:{'Q1' if letter else 'Q2'}{text}\n"
    kept = {"/lib/apk/db/installed": lines.encode(), "/etc/motd": MOTD}
    assert verify(MemoryTree(kept)).empty
    assert verify(MemoryTree({**kept, "/etc/motd": b"x"}))["what"].tolist() == ["content"]


@pytest.mark.parametrize(
    ("version", "operator", "wanted", "meets"),
    [
        ("1.36.1-r29", "~", "1.36", True),
        ("1.36.1-r29", "~", "1.35", False),
        ("1.3", "~", "1.36", False),
        ("1.40", ">~", "1.36", True),
        ("1.36.1", ">~", "1.36", True),
        ("1.36.1", "<~", "1.36", True),
        ("1.35", "<~", "1.36", True),
        ("1.37", "<~", "1.36", False),
        ("1.0", ">=", "1.0_rc1", True),
        ("", ">=", "1", True),
    ],
)
def test_what_meets_a_requirement(version: str, operator: str, wanted: str, meets: bool) -> None:
    assert Apk().meets(version, Requirement("x", operator, wanted)) is meets


def test_scripts() -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name in ("busybox-1.36.1-r29.Q1abc.post-install", "busybox-1.36.1-r29.Q1abc.trigger"):
            content = f"#!/bin/sh\ntouch /etc/{name[-7:]}\n".encode()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    kept = {**FILES, "/lib/apk/db/scripts.tar.gz": packed.getvalue(), "/etc/install": b""}
    tree = MemoryTree(kept)
    reasons = unowned(tree).set_index("path")["reason"]
    assert reasons["/etc/install"] == "named in the post-install script of busybox"
    damaged = MemoryTree({**kept, "/lib/apk/db/scripts.tar.gz": packed.getvalue()[:90]})
    with pytest.raises(InspectError, match=r"scripts\.tar\.gz"):
        unowned(damaged)


def test_what_changed() -> None:
    newer = INSTALLED.replace("1.2.5-r0", "1.2.5_git20240101-r0").replace("V:1\n", "V:1_rc1\n")
    found = diff(MemoryTree(FILES), MemoryTree({**FILES, "/lib/apk/db/installed": newer.encode()}))
    assert found.packages.set_index("name")["change"].to_dict() == {
        "extra": "downgraded",
        "musl": "upgraded",
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("P:a\nV:1", "installed:2: the file ends within a line"),
        ("P:a\nV:1\njunk\n", "installed:3: not a field: 'junk'"),
        ("P:a\n\n", "installed:2: a package has no name or version"),
        ("P:a\nV:1\nR:file\n", "installed:3: a file is in no directory"),
        ("P:a\nV:1\nF:d\nZ:Q1AAAA\n", "installed:4: not a field of a directory: Z"),
        ("P:a\nV:1\nF:d\nR:f\nM:0:0:755\n", "installed:5: not a field of a file: M"),
        ("P:a\nV:1\nF:d\nR:f\nZ:Q1?\n", "installed:5: no digest"),
        ("P:a\nV:1\nF:d\nR:f\na:root\n", "installed:5: no owner and mode"),
        ("P:a\nV:1\n\nP:a\nV:2\n", "a package is there twice"),
        ("P:a\nV:1\nF:" + "x" * (1 << 16) + "\n" + "R:f\n" * (1 << 13), "lists more than"),
    ],
)
def test_damage_names_its_place(text: str, problem: str) -> None:
    with pytest.raises(InspectError, match=problem):
        packages(MemoryTree({"/lib/apk/db/installed": text.encode()}))


def test_a_package_is_the_same_wherever_its_record_ends() -> None:
    (one,) = Apk().packages(MemoryTree({"/lib/apk/db/installed": b"P:a\nV:1\n"}))
    (other,) = Apk().packages(MemoryTree({"/lib/apk/db/installed": b"\n\nP:a\nV:1\n\n\n"}))
    assert one == other == replace(one)
