"""Run the attacks of the table in one build, and tell which were successful."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import payloads
from attacks import BY_NAME, TABLE, Attack, Proof
from host import Host, give, started
from witness import Witness

PROGRAM = Path(__file__).with_name("attacked_build.py")

NO_LIMITS: Mapping[str, int] = MappingProxyType({})

DESCRIPTION = """\
<image schemaversion="8.5" name="attacked">
  <description type="system">
    <author>A. Stranger</author><contact>stranger@example.org</contact>
    <specification>A description of somebody else</specification>
  </description>
  <preferences>
    <version>1.0.0</version>
    <packagemanager>apt</packagemanager>
    {type}
  </preferences>
  <repository type="apt-deb" alias="debian" distribution="bookworm" components="main">
    <source path="mirror:debian"/>
  </repository>
  {repository}
  <packages type="bootstrap"><package name="passwd"/><package name="python3"/></packages>
  <packages type="image">{packages}</packages>
  {more}
</image>
"""
_CONTAINER = '<type image="oci" delta_root="true"><containerconfig name="attacked"/></type>'
_DISK = (
    '<type image="oem" filesystem="ext2" firmware="bios" editbootinstall="edit_boot_install.sh">'
    '<bootloader name="custom"/></type>'
)
_OWN = (
    '<repository type="apt-deb" alias="own" repository_gpgcheck="false">'
    '<source path="dir:{place}"/></repository>'
)


@dataclass(frozen=True)
class Outcome:
    """What came of the attacks of one build.

    Attributes:
        successful: Labels of the attacks that were successful: the place, and the name.
        ran: Labels of all attacks that ran.
        said: What each attack said of itself, by label.
        status: Exit status of the build.
        output: Everything that the build printed.
    """

    successful: frozenset[str]
    ran: frozenset[str]
    said: dict[str, str]
    status: int
    output: str


def merged(outcomes: Sequence[Outcome]) -> Outcome:
    """What came of several builds."""
    return Outcome(
        frozenset().union(*(item.successful for item in outcomes)),
        frozenset().union(*(item.ran for item in outcomes)),
        {label: said for item in outcomes for label, said in item.said.items()},
        max(item.status for item in outcomes),
        "".join(item.output for item in outcomes),
    )


def rows(places: str) -> Iterator[tuple[str, Attack]]:
    """The place and the row of each attack that runs in some of the places."""
    yield from ((place, row) for place in places for row in TABLE if place in row.places)


def attacked(
    host: Host,
    places: str,
    without: Sequence[str] = (),
    only: Sequence[str] = tuple(BY_NAME),
    network: Sequence[str] = (),
) -> Outcome:
    """Build once, with attacks in some places.

    Args:
        host: Whom they attack.
        places: Letters of the places.
        without: Names of protections to switch off.
        only: Names of the attacks that run.
        network: Names of the scripts that reach the network.
    """
    chosen = [(place, row) for place, row in rows(places) if row.name in only]
    host.lay_out(f"{place}-{row.name}" for place, row in chosen)
    scripts = {
        place: _script(host, place, [row.name for of, row in chosen if of == place])
        for place in places
    }
    package = _write_scripts(host, scripts)
    witness = Witness(host)
    done = built(host, witness, without=without, network=network, create="E" in places)
    host.settle()
    said = _said(done.output)
    judge = _Judge(host, witness, said, witness.left(), package)
    successful = {
        label for place, row in chosen if judge.successful(label := f"{place}-{row.name}", row)
    }
    _clean_up(host)
    return Outcome(frozenset(successful), frozenset(said), said, done.status, done.output)


@dataclass(frozen=True)
class Done:
    """What a build left.

    Attributes:
        status: Exit status.
        output: Everything that it printed.
        seconds: How long it took.
    """

    status: int
    output: str
    seconds: float


def built(
    host: Host,
    witness: Witness | None = None,
    *,
    without: Sequence[str] = (),
    network: Sequence[str] = (),
    limits: Mapping[str, int] = NO_LIMITS,
    timeout: float = 900,
    create: bool = False,
) -> Done:
    """Build the description of a host.

    Args:
        host: The host.
        witness: Who looks at it meanwhile.
        without: Names of protections to switch off.
        network: Names of the scripts that reach the network.
        limits: Limits by name.
        timeout: Seconds after which it is killed, and an error is raised.
        create: Whether to create the image, too.
    """
    given = {"without": [*without], "network": [*network], "limits": {**limits}}
    options = {**given, "create": create}
    file = host.directory / "options/options.json"
    file.parent.mkdir(exist_ok=True)
    give(file.parent, host.account)
    file.write_text(json.dumps(options))
    began = time.monotonic()
    with (
        started(host, PROGRAM, str(host.directory)) as process,
        nullcontext() if witness is None else witness.looking(process),
    ):
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return Done(process.returncode, output, time.monotonic() - began)


# ---- the description ---------------------------------------------------------------------


def _script(host: Host, place: str, names: list[str]) -> str:
    """A script of Python that runs attacks."""
    source = Path(payloads.__file__).read_text()
    return f"{source}\nFACTS.update({host.facts!r})\nmain({place!r}, {names!r})\n"


def _write_scripts(host: Host, scripts: Mapping[str, str]) -> Path | None:
    """Write a description with attacks by place; return the package in which some of them are."""
    files = {}
    package, packages, repository = None, "", ""
    if "C" in scripts:
        files["config.sh"] = "#!/usr/bin/python3\n" + scripts["C"]
    if "H" in scripts:
        files["config-host-overlay.sh"] = f"exec python3 - <<'ATTACKS'\n{scripts['H']}ATTACKS\n"
    if "E" in scripts:
        files["edit_boot_install.sh"] = f"exec python3 - <<'ATTACKS'\n{scripts['E']}ATTACKS\n"
    if "P" in scripts:
        package = _repository(host.directory, "#!/usr/bin/python3\n" + scripts["P"])
        give(package.parent, host.account)
        repository = _OWN.format(place=package.parent)
        packages = '<package name="kiwinb-attack"/>'
    packages += '<archive name="node.tar.gz"/>'
    write_description(host, files, packages, repository, disk="E" in scripts)
    return package


def write_description(
    host: Host,
    files: Mapping[str, str],
    packages: str = "",
    repository: str = "",
    more: str = "",
    *,
    disk: bool = False,
) -> None:
    """Write a description.

    Args:
        host: The host, in whose directory it is.
        files: Texts of executable files by path.
        packages: What the image has besides Python.
        repository: One more repository.
        more: More elements.
        disk: Whether the image is a disk, and not a container.
    """
    description = host.directory / "description"
    shutil.rmtree(description, ignore_errors=True)
    description.mkdir()
    for name, content in files.items():
        (description / name).parent.mkdir(parents=True, exist_ok=True)
        _executable(description / name, content)
    numbers = (int(str(host.facts[name])) for name in ("major", "minor"))
    _archive(description / "node.tar.gz", *numbers)
    text = DESCRIPTION.format(
        type=_DISK if disk else _CONTAINER, repository=repository, packages=packages, more=more
    )
    (description / "config.xml").write_text(text)
    for path in (description, *description.rglob("*")):
        give(path, host.account)


def _executable(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def _archive(path: Path, major: int, minor: int) -> None:
    """An archive with a device node that everybody may open."""
    with tarfile.open(path, "w:gz") as archive:
        directory = tarfile.TarInfo("attack")
        directory.type, directory.mode = tarfile.DIRTYPE, 0o755
        node = tarfile.TarInfo("attack/node")
        node.type, node.mode, node.devmajor, node.devminor = tarfile.BLKTYPE, 0o666, major, minor
        archive.addfile(directory)
        archive.addfile(node, io.BytesIO())


def _repository(directory: Path, script: str) -> Path:
    """A repository with one package, whose maintainer script attacks."""
    place = directory / "repository"
    shutil.rmtree(place, ignore_errors=True)
    tree = place / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        "Package: kiwinb-attack\nVersion: 1\nArchitecture: all\nDepends: python3\n"
        "Maintainer: A <a@example.org>\nDescription: a package of somebody else\n"
    )
    _executable(tree / "DEBIAN/postinst", script)
    package = place / "kiwinb-attack_1_all.deb"
    quiet = {"check": True, "capture_output": True, "text": True}
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, package], **quiet)  # type: ignore[call-overload]
    shutil.rmtree(tree)
    index = ["apt-ftparchive", "packages", "."]
    found = subprocess.run(index, cwd=place, **quiet)  # type: ignore[call-overload]
    (place / "Packages").write_text(found.stdout)
    found = subprocess.run(["apt-ftparchive", "release", "."], cwd=place, **quiet)  # type: ignore[call-overload]
    (place / "Release").write_text(found.stdout)
    return package


# ---- the judge ---------------------------------------------------------------------------

_LINE = re.compile(r"attack (?P<place>[A-Z]) (?P<name>\S+) (?P<said>.*)")


def _said(output: str) -> dict[str, str]:
    return {f"{match['place']}-{match['name']}": match["said"] for match in _LINE.finditer(output)}


@dataclass(frozen=True)
class _Judge:
    host: Host
    witness: Witness
    said: dict[str, str]
    left: set[str]
    package: Path | None

    def successful(self, label: str, row: Attack) -> bool:
        """Whether an attack was successful; see :class:`Proof`."""
        name = label.encode()
        match row.proof:
            case Proof.LOOT:
                return self.host.secret.encode().hex() in self.said.get(label, "")
            case Proof.CANARY:
                return (self.host.canaries / label).read_text() != "untouched"
            case Proof.PLANTED:
                return any(
                    True for place in _kept(self.host) for _ in place.rglob(f"attack-{label}")
                )
            case Proof.POOL:
                return self._poisoned()
            case Proof.HEARD:
                return name in self.host.heard.split()
            case Proof.TERMINAL:
                return name in self.host.shown
            case Proof.SEEN:
                return any(re.search(row.sign, item) for item in self.witness.seen.get(label, ()))
            case Proof.DISK:
                return self.host.disk is not None and b"harmed" in self.host.disk.read_bytes()
            case Proof.LEFT:
                return label in self.left
            case Proof.ANSWER:
                return self.said.get(label, "").startswith("reached")

    def _poisoned(self) -> bool:
        """Whether the pool, or the repository on this host, has another package than it had."""
        if self.package is None:
            return False
        wanted = re.search(r"SHA256: (\w+)", (self.package.parent / "Packages").read_text())
        assert wanted is not None
        pooled = self.host.cache / f"apt/pool/{wanted[1][:2]}/{wanted[1]}.deb"
        places = [place for place in (pooled, self.package) if place.exists()]
        found = [hashlib.sha256(place.read_bytes()).hexdigest() for place in places]
        pooled.unlink(missing_ok=True)
        return any(digest != wanted[1] for digest in found)


def _kept(host: Host) -> tuple[Path, ...]:
    return host.directory / "store", host.cache


def _clean_up(host: Host) -> None:
    for place in _kept(host):
        for file in place.rglob("attack-[A-Z]-*"):
            file.unlink()
    if host.disk is not None:
        with host.disk.open("r+b") as disk:
            disk.write(f"untouched {host.secret}".encode())
