"""Packages that rpmbuild makes, installed by rpm, and databases of each of its formats."""

from __future__ import annotations

import os
import sqlite3
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

SPEC = """
%global debug_package %{nil}
%global _build_id_links none
%global __os_install_post %{nil}
%global source_date_epoch_from_changelog 0
Name: app
Epoch: 2
Version: 1.2~rc1
Release: 3
Summary: An application
Summary(de): Eine Anwendung
License: MIT AND BSD-3-Clause
Vendor: Vendor of tests
Group: Applications/Tests
BuildArch: noarch
Requires: applib >= 1.2
Requires: /usr/share/applib/data
Requires: (appextra if applib)
Requires: (appdoc or nothing)
Requires: config(app)
Recommends: appdoc
Provides: application = 7
AutoReqProv: no
%description
Text.

%package -n applib
Summary: A library
License: Zlib
Provides: bare
AutoReqProv: no
%description -n applib
Text.

%package -n appextra
Summary: More
Version: 5
Release: 1
License: MIT
AutoReqProv: no
%description -n appextra
Text.

%package -n appdoc
Summary: Documentation
License: MIT
AutoReqProv: no
%description -n appdoc
Text.

%install
mkdir -p %{buildroot}/etc %{buildroot}/usr/bin %{buildroot}/usr/share/applib %{buildroot}/var/log
mkdir -p %{buildroot}/usr/share/doc/app
echo config > %{buildroot}/etc/app.conf
printf '#!/bin/sh\\n' > %{buildroot}/usr/bin/app
ln -s app %{buildroot}/usr/bin/application
echo data > %{buildroot}/usr/share/applib/data
echo other > "%{buildroot}/usr/share/applib/with space"
echo own > %{buildroot}/usr/share/applib/unchecked
echo text > %{buildroot}/usr/share/doc/app/README
touch %{buildroot}/var/log/app.log

%post
echo /etc/made-by-app
%pre -n applib -p <lua>
print("pre")

%files
%config(noreplace) /etc/app.conf
%attr(4755,root,root) /usr/bin/app
/usr/bin/application
%ghost /var/log/app.log
%files -n applib
%dir /usr/share/applib
/usr/share/applib/data
"/usr/share/applib/with space"
%verify(not md5 size mtime) /usr/share/applib/unchecked
%files -n appextra
%files -n appdoc
%doc /usr/share/doc/app/README
"""

HOME = "usr/lib/sysimage/rpm"


def run(*words: str | Path, check: bool = True, text: str | None = None) -> str:
    """Run a program, and return what it prints."""
    options: dict[str, Any] = {"input": text, "capture_output": True, "text": True}
    with tempfile.TemporaryDirectory() as home:  # rpm makes a database there
        environment = {**os.environ, "LC_ALL": "C", "HOME": home}
        done = subprocess.run([*map(str, words)], env=environment, **options)
    assert not check or done.returncode == 0, done.stderr
    return str(done.stdout)


def build(directory: Path, spec: str = SPEC) -> list[Path]:
    """Build packages, and return their files."""
    (directory / "it.spec").write_text(spec)
    run("rpmbuild", "-bb", "--quiet", "-D", f"_topdir {directory}", directory / "it.spec")
    return sorted((directory / "RPMS").rglob("*.rpm"))


def install(root: Path, packages: Sequence[Path], *, home: str = HOME) -> Path:
    """Install packages into a tree, whose database has the format sqlite."""
    words: list[str | Path] = [
        "--root",
        root,
        "--dbpath",
        f"/{home}",
        "--nodeps",
        "--nosignature",
        "--noscripts",
    ]
    root.mkdir(parents=True, exist_ok=True)
    run("unshare", "--map-root-user", "rpm", "-i", *words, *packages)
    return root


def query(root: Path, *words: str, backend: str = "sqlite", home: str = HOME) -> str:
    """What ``rpm`` says of a tree."""
    options = ("--root", root, "--dbpath", f"/{home}", "-D", f"_db_backend {backend}")
    return run("unshare", "--map-root-user", "rpm", *options, *words, check=False)


def blobs(root: Path, *, home: str = HOME) -> list[bytes]:
    """The headers in the database of a tree, which has the format sqlite."""
    with closing(sqlite3.connect(root / home / "rpmdb.sqlite")) as connection:
        return [row[0] for row in connection.execute("SELECT blob FROM Packages ORDER BY hnum")]


def ndb(headers: Sequence[bytes]) -> bytes:
    """A database of the format ndb with a slot that was freed; the real rpm of Debian has none."""
    slots, body = [], b""
    start = 4096 // 16
    for number, header in enumerate(headers, 1):
        count = -(-(16 + len(header) + 12) // 16)
        piece = struct.pack("<4sIII", b"BlbS", number, 1, len(header)) + header
        piece += bytes(count * 16 - len(piece) - 12)
        piece += struct.pack("<II4s", zlib.adler32(piece), len(header), b"BlbE")
        slots.append(struct.pack("<4sIII", b"Slot", number, start + len(body) // 16, count))
        body += piece
    slots.insert(1, struct.pack("<4sIII", b"Slot", 0, 0, 0))
    page = struct.pack("<4sIIII12x", b"RpmP", 0, 7, 1, len(headers) + 1) + b"".join(slots)
    free = struct.pack("<4sIII", b"Slot", 0, 0, 0)
    return page + free * ((4096 - len(page)) // 16) + body


def bdb(file: Path, headers: Sequence[bytes], *, order: int = 1234, page: int = 4096) -> Path:
    """A database of the format bdb, which ``db_load`` writes.

    Args:
        file: The file to write.
        headers: The headers of the packages.
        order: The byte order of its numbers: 1234 or 4321.
        page: The size of its pages.
    """
    sign = "<" if order == 1234 else ">"
    rows = [(0, struct.pack(f"{sign}I", len(headers) + 1)), *enumerate(headers, 1)]
    lines = "".join(
        f" {struct.pack(f'{sign}I', number).hex()}\n {value.hex()}\n" for number, value in rows
    )
    text = f"VERSION=3\nformat=bytevalue\ntype=hash\nh_nelem=10\ndb_lorder={order}\n"
    text += f"db_pagesize={page}\nHEADER=END\n{lines}DATA=END\n"
    run("db5.3_load", file, text=text)
    return file


def header(*entries: tuple[int, int, bytes, int]) -> bytes:
    """A header without a digest, from tags, types, data and numbers of values."""
    index, data = b"", b""
    for tag, kind, content, count in entries:
        data += bytes(-len(data) % 8)
        index += struct.pack(">IIiI", tag, kind, len(data), count)
        data += content
    return struct.pack(">II", len(entries), len(data)) + index + data


NAMED = ((1000, 6, b"n\0", 1), (1001, 6, b"1\0", 1), (1002, 6, b"1\0", 1))
"""What every package has."""
