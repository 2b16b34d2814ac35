"""Build a small appliance in a process of its own: whole, resumed, or to be killed.

python tests/build/small_build.py write DIRECTORY TYPE  writes its description
python tests/build/small_build.py run DIRECTORY         prepare and create it; prints the steps
python tests/build/small_build.py prepare DIRECTORY     prepare it; prints a digest of its tree
python tests/build/small_build.py create DIRECTORY      and create it; prints one of its image, too
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from kiwinb.build.appliance import Appliance
from kiwinb.build.image import Image
from kiwinb.checkpoints.treescan import to_json
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
    <packagemanager>apt</packagemanager>
    <timezone>UTC</timezone>
    <type image="{type}" {attributes}/>
  </preferences>
  <users><user name="operator" groups="operator,adm" password="secret" pwdformat="plain"/></users>
  <repository type="apt-deb" alias="debian" distribution="bookworm"
      components="main" imageinclude="true">
    <source path="mirror:debian"/>
  </repository>
  <packages type="bootstrap"><package name="passwd"/></packages>
  <packages type="image">
    <package name="iputils-ping"/><package name="tzdata"/>{packages}
  </packages>
</image>
"""
PROGRAM = f"import runpy; runpy.run_path({__file__!r}, run_name='__main__')"
"""What ``python -c`` runs to do the same."""

KERNEL = """
    <package name="linux-image-cloud-amd64"/><package name="systemd-sysv"/><package name="fdisk"/>
    <package name="grub-pc-bin"/><package name="grub-efi-amd64-bin"/><package name="grub2-common"/>
"""


def write_description(directory: Path, type: str = "cpio", packages: str = "") -> Path:
    """Write the description into ``DIRECTORY/description``."""
    path = directory / "description"
    (path / "root/etc").mkdir(parents=True)
    (path / "root/etc/motd").write_text("hello\n")
    (path / "config.sh").write_text("set -e\nmkdir -p /srv/data\nchmod 2750 /srv/data\n")
    attributes = 'filesystem="ext4" firmware="efi" efiparttable="gpt"' if type == "oem" else ""
    if type == "oem":
        packages += KERNEL
    text = DESCRIPTION.format(type=type, attributes=attributes, packages=packages)
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


def digests(directory: Path, *, create: bool) -> str:
    """SHA-256 of the list of the prepared tree and of the image, one a line."""
    appliance = Appliance(directory / "description", settings=settings(directory))
    appliance.prepare()
    found = [to_json(appliance.store.scan(appliance.plan.prepare[-1].key)).encode()]
    if create:
        found.append(appliance.build(directory / "out").path.read_bytes())
    return "".join(f"{hashlib.sha256(data).hexdigest()}\n" for data in found)


if __name__ == "__main__":
    command, place = sys.argv[1], Path(sys.argv[2])
    if command == "write":
        write_description(place, sys.argv[3])
    elif command == "run":
        seen: list[StepEvent] = []
        build(place, seen)
        print(*(f"{event.step.name} {event.state}" for event in seen), sep="\n")
    else:
        print(digests(place, create=command == "create"), end="")
