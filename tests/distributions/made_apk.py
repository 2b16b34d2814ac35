"""Write packages of apk and repositories of them, in version 2 of the format.

No tool for that is in Debian, so this follows the description of the format: a package is three
gzip streams (signature, control files, data), and the first two are tar files without an end.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from made_base import GROUP_IDS, USER_IDS
from made_packages import EPOCH, Entry, Package, Relation, Version, with_parents
from made_tar import member
from made_tools import run_tool

ARCH = "x86_64"

_SCRIPTS: Mapping[str, Sequence[str]] = {
    "pre": (".pre-install", ".pre-upgrade"),
    "post": (".post-install", ".post-upgrade"),
    "preun": (".pre-deinstall",),
    "postun": (".post-deinstall",),
}
"""Names of the scripts in the control files, by what they are called here."""

_DIRECTORY_SIZE = 4096

_UPSTREAM = re.compile(r"\d+(\.\d+)*[a-z]?(?![a-z0-9])|\d+(\.\d+)*")


@dataclass(frozen=True)
class RsaSigner:
    """What signs.

    Attributes:
        secret: The secret key.
        name: Name of the file of the public key, by which apk finds it.
    """

    secret: Path
    name: str

    def sign(self, data: bytes, work: Path) -> bytes:
        """Return the first stream of a file: the signature of the next one."""
        signed = work / "signed"
        signed.write_bytes(data)
        signature = run_tool(["openssl", "dgst", "-sha1", "-sign", self.secret, signed])
        return _stream([(f".SIGN.RSA.{self.name}", signature)], whole=False)


def make_keys(cache: Path, directory: Path, names: Sequence[str]) -> RsaSigner:
    """Use the keys of this machine, which are made if they are not there.

    Args:
        cache: Where the secret keys are.
        directory: Where the public keys go.
        names: Names of their files; the first key signs.
    """
    for name in names:
        secret = cache / name.removesuffix(".pub")
        if not secret.exists():
            fresh = secret.with_suffix(".new")
            fresh.write_bytes(run_tool(["openssl", "genrsa", "2048"]))
            fresh.chmod(0o600)
            fresh.rename(secret)
        run_tool(["openssl", "rsa", "-in", secret, "-pubout", "-out", directory / name])
    return RsaSigner(cache / names[0].removesuffix(".pub"), names[0])


def make_repository(packages: Iterable[Package], root: Path, signer: RsaSigner, work: Path) -> None:
    """Write packages, and a signed index of them.

    Args:
        packages: The packages.
        root: Directory of the repository, which is made; the files are in that of the architecture.
        signer: Signs the packages and the index.
        work: A directory for files in between.
    """
    directory = root / ARCH
    directory.mkdir(parents=True)
    records = []
    for package in packages:
        data, size = _data(package.entries)
        about = _about(package, size, data)
        scripts = [(name, body.encode()) for name, body in _scripts(package)]
        control = _stream([(".PKGINFO", about.encode()), *scripts], whole=False)
        content = signer.sign(control, work) + control + data
        (directory / f"{package.name}-{_written(package.version)}.apk").write_bytes(content)
        records.append(_record(package, control, len(content), size))
    files = [("DESCRIPTION", b"test"), ("APKINDEX", "".join(sorted(records)).encode())]
    stream = _stream(files, whole=True)
    (directory / "APKINDEX.tar.gz").write_bytes(signer.sign(stream, work) + stream)


def _stream(files: Sequence[tuple[str, bytes]], *, whole: bool) -> bytes:
    """A compressed tar file, which only has an end if it is whole."""
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in files:
            about = tarfile.TarInfo(name)
            about.size, about.mtime = len(data), EPOCH
            about.mode = 0o755 if data.startswith(b"#!") else 0o644
            about.uname = about.gname = "root"
            tar.addfile(about, BytesIO(data))
        end = tar.offset
    text = buffer.getvalue()
    return gzip.compress(text if whole else text[:end], mtime=0)


def _data(entries: Sequence[Entry]) -> tuple[bytes, int]:
    """The last stream of a package, which has all directories, and the size of its files."""
    buffer, size = BytesIO(), 0
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry in with_parents([entry for entry in entries if not entry.ghost]):
            about = member(entry, USER_IDS, GROUP_IDS)
            if entry.kind in ("file", "symlink"):
                summed = entry.data if entry.kind == "file" else entry.target.encode()
                sha1 = hashlib.sha1(summed).hexdigest()
                about.pax_headers = {**about.pax_headers, "APK-TOOLS.checksum.SHA1": sha1}
            # a package without a size is not even unpacked
            size += _DIRECTORY_SIZE if entry.kind == "directory" else len(entry.data)
            tar.addfile(about, BytesIO(entry.data))
    return gzip.compress(buffer.getvalue(), 6, mtime=0), size


def _about(package: Package, size: int, data: bytes) -> str:
    """The text of ``.PKGINFO``."""
    scripts = package.scripts
    fields = [
        ("pkgname", package.name),
        ("pkgver", _written(package.version)),
        ("pkgdesc", package.summary),
        ("url", "https://example.org"),
        ("builddate", str(EPOCH)),
        ("packager", "Test Distribution <test@example.org>"),
        ("size", str(size)),
        ("arch", ARCH if package.arch == ARCH else "noarch"),
        ("origin", package.name),
        ("license", "MIT"),
        *(("replaces", relation.name) for relation in package.obsoletes),
        *(("depend", word) for word in _needed(package)),
        *(("provides", word) for word in _provided(package)),
        *([("triggers", scripts.watched)] if scripts.watched else []),
        ("datahash", hashlib.sha256(data).hexdigest()),
    ]
    return "".join(f"{name} = {value}\n" for name, value in fields)


def _record(package: Package, control: bytes, length: int, size: int) -> str:
    """The lines about a package in the index, and an empty one."""
    checksum = base64.b64encode(hashlib.sha1(control).digest()).decode()
    fields = [
        ("C", f"Q1{checksum}"),
        ("P", package.name),
        ("V", _written(package.version)),
        ("A", ARCH),  # as in the path of the file, also if it fits any architecture
        ("S", str(length)),
        ("I", str(size)),
        ("T", package.summary),
        ("U", "https://example.org"),
        ("L", "MIT"),
        ("o", package.name),
        ("m", "Test Distribution <test@example.org>"),
        ("t", str(EPOCH)),
        ("D", " ".join(_needed(package))),
        ("p", " ".join(_provided(package))),
    ]
    return "".join(f"{name}:{value}\n" for name, value in fields if value) + "\n"


def _scripts(package: Package) -> Iterator[tuple[str, str]]:
    scripts = package.scripts
    for name, files in _SCRIPTS.items():
        if body := getattr(scripts, name):
            yield from ((file, f"#!/bin/sh\n{body}\n") for file in files)
    if scripts.watched:
        yield ".trigger", f'#!/bin/sh\nprintf "%s\\n" "$@" | {scripts.triggered}\n'


def _needed(package: Package) -> list[str]:
    """What a package needs, and with an exclamation mark what it does not go together with."""
    needs = [*(group[0] for group in package.requires), *map(Relation, package.scripts.needs)]
    words = ["/bin/sh"] if any(_scripts(package)) else []
    words += map(_relation, needs)
    # to apk, a package would be in conflict with itself
    own = {package.name, *(relation.name for relation in package.provides)}
    others = (item for item in (*package.conflicts, *package.obsoletes) if item.name not in own)
    words += (f"!{_relation(item)}" for item in others)
    return [*dict.fromkeys(words)]


def _provided(package: Package) -> list[str]:
    """What a package provides, without what only rpm knows."""
    return [_relation(item) for item in package.provides if "(" not in item.name]


def _relation(relation: Relation) -> str:
    if relation.version is None:
        return relation.name
    return f"{relation.name}{relation.operator}{_written(relation.version)}"


def _written(version: Version) -> str:
    """A version as apk knows it: without an epoch, and with a number as its revision.

    What else is in a version of Debian is left out, both in packages and in relations to them.
    """
    match = _UPSTREAM.match(version.upstream)
    assert match, f"{version.upstream} does not start with a number"
    revision = re.match(r"\d+", version.revision)
    return match[0] + (f"-r{revision[0]}" if revision else "")
