"""Small repositories of each package format, built, indexed and signed with the format's own tools.

Another package manager is one more entry in :data:`MANAGED`; another format is one more
:class:`Format`.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import made_pacman
import made_rpm
import rpm_repository
from apt_repository import index as index_debs
from made_packages import Package, Version
from made_signer import Signer
from made_tar import write_tar
from made_tools import run_tool

ALIAS = "faulty"
"""Alias of the repository, which pacman's index is named after."""

EXPIRED = "Out of Date <expired@example.org>"
"""User whose key and signatures have expired: gpgv minds either, and sqv the signatures."""


class Format(Protocol):
    """How packages, indexes and signatures of a format are made.

    Attributes:
        index: Path of the signed index in a repository.
        signature: Path of its signature, which may be the same.
        suffix: What the names of package files end with.
        signs_packages: Whether packages have signatures of their own.
    """

    index: str
    signature: str
    suffix: str
    signs_packages: bool

    def build(self, package: Package, directory: Path, signer: Signer) -> Path:
        """Build a package, and return its file in the directory, which is made."""
        ...

    def write_index(self, root: Path, signer: Signer) -> None:
        """Make the index of a repository, without a signature."""
        ...

    def sign_index(self, root: Path, signer: Signer, user: str) -> None:
        """Sign the index with the key of a user."""
        ...

    def sign_package(self, file: Path, signer: Signer, user: str) -> None:
        """Sign a package file with the key of a user, if the format signs packages."""
        ...


class _Deb:
    index = signature = "InRelease"
    suffix = ".deb"
    signs_packages = False

    def build(self, package: Package, directory: Path, signer: Signer) -> Path:
        del signer
        tree = directory / "tree"
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN/control").write_text("".join(_control(package)))
        for name in ("pre", "post"):
            if body := getattr(package.scripts, name):
                script = tree / f"DEBIAN/{name}inst"
                script.write_text(f"#!/bin/sh\n{body}\n")
                script.chmod(0o755)
        payload = directory / "payload.tar"
        write_tar(package.entries, payload, {}, {})
        run_tool(["tar", "-xf", payload, "-C", tree])
        file = directory / f"{package.name}_{_version(package.version)}_all.deb"
        run_tool(["dpkg-deb", "--root-owner-group", "--build", tree, file])
        shutil.rmtree(tree)
        payload.unlink()
        return file

    def write_index(self, root: Path, signer: Signer) -> None:
        del signer
        index_debs(root)

    def sign_index(self, root: Path, signer: Signer, user: str) -> None:
        (root / self.signature).unlink(missing_ok=True)
        options = (*_by(user), *("--output", root / self.signature, "--clearsign"))
        signer.gpg(*options, root / "Release")

    def sign_package(self, file: Path, signer: Signer, user: str) -> None:
        raise NotImplementedError


def _control(package: Package) -> list[str]:
    def names(relations: object) -> str:
        return ", ".join(relation.name for relation in relations)  # type: ignore[attr-defined]

    depends = names(group[0] for group in package.requires)
    return [
        f"Package: {package.name}\nVersion: {_version(package.version)}\nArchitecture: all\n",
        "Maintainer: A <a@example.org>\n",
        f"Depends: {depends}\n" if depends else "",
        f"Conflicts: {names(package.conflicts)}\n" if package.conflicts else "",
        f"Description: {package.summary}\n",
    ]


def _version(version: Version) -> str:
    return f"{version.upstream}-{version.revision}"


class _Rpm:
    index = "repodata/repomd.xml"
    signature = "repodata/repomd.xml.asc"
    suffix = ".rpm"
    signs_packages = True

    def build(self, package: Package, directory: Path, signer: Signer) -> Path:
        del signer
        with tempfile.TemporaryDirectory() as work:
            (file,) = made_rpm.build([package], directory, Path(work))
        return file

    def write_index(self, root: Path, signer: Signer) -> None:
        del signer
        shutil.rmtree(root / "repodata", ignore_errors=True)
        rpm_repository.index(root)

    def sign_index(self, root: Path, signer: Signer, user: str) -> None:
        (root / self.signature).unlink(missing_ok=True)
        options = ("--armor", *_by(user), "--output", root / self.signature)
        signer.gpg(*options, "--detach-sign", root / self.index)

    def sign_package(self, file: Path, signer: Signer, user: str) -> None:
        macros = ("--define", f"__gpg {shutil.which('gpg')}", "--define", f"_gpg_name {user}")
        run_tool(["rpmsign", *macros, "--addsign", file], signer.environment)


class _Pacman:
    index = f"{ALIAS}.db"
    signature = f"{ALIAS}.db.sig"
    suffix = ".pkg.tar.zst"
    signs_packages = True

    def build(self, package: Package, directory: Path, signer: Signer) -> Path:
        made_pacman.make_repository([package], "built", directory, signer)
        (file,) = directory.glob(f"*{self.suffix}")
        for other in directory.iterdir():
            if other != file:
                other.unlink()
        return file

    def write_index(self, root: Path, signer: Signer) -> None:
        for file in root.glob(f"{ALIAS}.*"):
            file.unlink()
        options = ("--quiet", "--nocolor")
        files = sorted(root.glob(f"*{self.suffix}"))
        run_tool(["repo-add", *options, root / f"{ALIAS}.db.tar.gz", *files], signer.environment)

    def sign_index(self, root: Path, signer: Signer, user: str) -> None:
        (root / self.signature).unlink(missing_ok=True)
        options = (*_by(user), "--output", root / self.signature)
        signer.gpg(*options, "--detach-sign", root / self.index)

    def sign_package(self, file: Path, signer: Signer, user: str) -> None:
        signature = file.with_name(f"{file.name}.sig")
        signature.unlink(missing_ok=True)
        signer.gpg(*_by(user), "--output", signature, "--detach-sign", file)


def _by(user: str) -> tuple[str | Path, ...]:
    """Options of gpg to sign as a user."""
    lasting = ("--default-sig-expire", "30d") if user == EXPIRED else ()
    return ("--local-user", user, *lasting)


DEB, RPM, PACMAN = _Deb(), _Rpm(), _Pacman()


@dataclass(frozen=True)
class Managed:
    """What a package manager installs from.

    Attributes:
        format: The format of the repository.
        attributes: Those of ``<repository>``.
        base: Names of packages of the base tree, which has a shell.
    """

    format: Format
    attributes: str
    base: tuple[str, ...]


MANAGED: Mapping[str, Managed] = {
    "apt": Managed(DEB, 'type="apt-deb" distribution="./"', ("apt",)),
    "dnf4": Managed(RPM, 'type="rpm-md"', ("test-release", "bash")),
    "dnf5": Managed(RPM, 'type="rpm-md"', ("test-release", "bash", "dnf5")),
    "microdnf": Managed(RPM, 'type="rpm-md"', ("test-release", "bash")),
    "pacman": Managed(PACMAN, "", ("test-release", "bash")),
    "zypper": Managed(RPM, 'type="rpm-md"', ("test-release", "bash")),
}
"""By package manager."""
