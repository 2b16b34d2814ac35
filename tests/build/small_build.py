"""Build a small appliance in a process of its own: whole, resumed, or to be killed.

python tests/build/small_build.py write DIRECTORY TYPES MANAGER
                                                     writes its description; types with commas
python tests/build/small_build.py run DIRECTORY      prepare and create it; prints the steps
python tests/build/small_build.py prepare DIRECTORY  prepare it; prints a digest of its tree
python tests/build/small_build.py create DIRECTORY   and create it; prints one of each image, too
python tests/build/small_build.py create DIRECTORY TYPE    of the image of this type only
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from made import made, made_for_disks

from kiwinb.build.appliance import Appliance
from kiwinb.build.image import Image
from kiwinb.checkpoints.treescan import to_json
from kiwinb.images import IMAGE_KINDS
from kiwinb.settings import Settings, load_settings
from kiwinb.steps.progress import StepEvent

DESCRIPTION = """\
<image schemaversion="8.5" name="small">
  <description type="system">
    <author>A. Author</author><contact>author@example.org</contact>
    <specification>A small tree with one of everything</specification>
  </description>
  <preferences>
    <version>1.0.0</version>
    <packagemanager>{manager}</packagemanager>
    <timezone>UTC</timezone>
    {types}
  </preferences>
  <users><user name="operator" groups="operator,adm" password="secret" pwdformat="plain"/></users>
  {repository}
  <packages type="bootstrap">{bootstrap}</packages>
  <packages type="image">{packages}</packages>
</image>
"""
CONFIG_SCRIPT = """\
set -e
mkdir -p /srv/data
chmod 2750 /srv/data
test -e /home/operator/.config/app/settings
test -z "$(find /home/operator ! -user operator)"
"""
"""It also proves that the home of the user, with what the overlay put there, is the user's."""

PROGRAM = f"import runpy; runpy.run_path({__file__!r}, run_name='__main__')"
"""What ``python -c`` runs to do the same."""


@dataclass(frozen=True)
class System:
    """What the small appliance is made of, for one package manager.

    Attributes:
        repository: ``<repository>`` elements.
        bootstrap: The first package: it brings ``useradd``.
        packages: Time zones, and a file with capabilities.
        boots: What a disk boots with, from a BIOS and from EFI firmware.
        distribution: The small distribution, if it is one that the tests make: ``{root}``,
            ``{name}`` and ``{key}`` in ``repository`` stand for the place of a repository, its
            name and its key.
    """

    repository: str
    bootstrap: str
    packages: tuple[str, ...]
    boots: tuple[str, ...]
    distribution: str = ""

    def repositories(self, *, disk: bool) -> str:
        """The ``<repository>`` elements, with or without what a disk boots with."""
        if not self.distribution:
            return self.repository
        distribution = made(self.distribution)
        places = {"main": distribution.root}
        if disk:
            places["boot"] = made_for_disks(self.distribution)
        return "".join(
            self.repository.format(root=root, name=name, key=distribution.key)
            for name, root in places.items()
        )


def _of_tests(distribution: str, *boots: str, attributes: str = "") -> System:
    return System(
        repository=f'<repository {attributes} alias="{{name}}"><source path="dir:{{root}}">'
        '<signing key="{key}"/></source></repository>',
        bootstrap="passwd",
        packages=("iputils-ping", "tzdata", "test-release", "bash", "coreutils", "findutils"),
        boots=("dracut", "fdisk", "systemd", *boots) if boots else (),
        distribution=distribution,
    )


SYSTEMS: Mapping[str, System] = {
    "apt": System(
        repository='<repository type="apt-deb" alias="debian" distribution="bookworm" '
        'components="main" imageinclude="true"><source path="mirror:debian"/></repository>',
        bootstrap="passwd",
        packages=("iputils-ping", "tzdata"),
        boots=(
            *("linux-image-cloud-amd64", "systemd-sysv", "fdisk"),
            *("grub-pc-bin", "grub-efi-amd64-bin", "grub2-common"),
        ),
    ),
    "dnf4": _of_tests(
        "fedora",
        *("grub2-efi-x64-modules", "grub2-pc-modules", "grub2-tools", "kernel", "systemd-udev"),
        attributes='type="rpm-md"',
    ),
    "dnf5": _of_tests("fedora5", attributes='type="rpm-md"'),
    "microdnf": _of_tests("fedora5", attributes='type="rpm-md"'),
    "pacman": _of_tests("arch", "grub", "linux"),
    "zypper": _of_tests(
        "suse",
        *("grub2", "grub2-i386-pc", "grub2-x86_64-efi", "kernel-default", "udev"),
        attributes='type="rpm-md"',
    ),
}
"""By package manager; a new one needs an entry, so that it is killed, resumed and compared."""


def write_description(
    directory: Path, types: str = "cpio", packages: str = "", manager: str = "apt"
) -> Path:
    """Write the description into ``DIRECTORY/description``.

    Args:
        directory: Its parent directory.
        types: Image kinds, with commas between them.
        packages: More ``<package>`` elements.
        manager: The package manager.
    """
    path = directory / "description"
    (path / "root/etc").mkdir(parents=True)
    (path / "root/etc/motd").write_text("hello\n")
    (path / "root/home/operator/.config/app").mkdir(parents=True)
    (path / "root/home/operator/.config/app/settings").write_text("own\n")
    (path / "config.sh").write_text(CONFIG_SCRIPT)
    kinds, system = types.split(","), SYSTEMS[manager]
    disks = [kind for kind in kinds if IMAGE_KINDS[kind].form == "disk"]
    disk = 'filesystem="ext4" firmware="efi" efiparttable="gpt"'
    names = (*system.packages, *(system.boots if disks else ()))
    text = DESCRIPTION.format(
        manager=manager,
        types="".join(f'<type image="{kind}" {disk if kind in disks else ""}/>' for kind in kinds),
        repository=system.repositories(disk=bool(disks)),
        bootstrap=f'<package name="{system.bootstrap}"/>',
        packages="".join(f'<package name="{name}"/>' for name in names) + packages,
    )
    (path / "config.xml").write_text(text)
    return path


def settings(directory: Path) -> Settings:
    """Settings with a store of its own; downloads are shared with all other tests."""
    return Settings(store=directory / "store", cache=load_settings().cache)


def build(directory: Path, events: list[StepEvent] | None = None) -> tuple[Appliance, Image]:
    """Build what the directory describes into ``DIRECTORY/out``."""
    appliance = Appliance(directory / "description", settings=settings(directory))
    if events is not None:
        appliance = appliance.observed_by(events.append)
    return appliance, appliance.build(directory / "out")


def digests(directory: Path, kind: str | None, *, create: bool) -> str:
    """SHA-256 of the list of the prepared tree and of each image, one a line."""
    description = directory / "description"
    appliance = Appliance(description, type=kind, settings=settings(directory))
    appliance.prepare()
    found = {"tree": to_json(appliance.store.scan(appliance.plan.prepare[-1].key)).encode()}
    kinds = [str(item.get("image")) for item in appliance.document.tree.getroot().iter("type")]
    for item in [kind] if kind and create else kinds if create else ():
        appliance = Appliance(description, type=item, settings=settings(directory))
        found[item] = appliance.build(directory / "out" / item).path.read_bytes()
    return "".join(f"{hashlib.sha256(data).hexdigest()} {kind}\n" for kind, data in found.items())


if __name__ == "__main__":
    command, place = sys.argv[1], Path(sys.argv[2])
    if command == "write":
        write_description(place, sys.argv[3], manager=sys.argv[4])
    elif command == "run":
        seen: list[StepEvent] = []
        build(place, seen)
        print(*(f"{event.step.name} {event.state}" for event in seen), sep="\n")
    else:
        chosen = sys.argv[3] if len(sys.argv) > 3 else None
        print(digests(place, chosen, create=command == "create"), end="")
