"""Find out what this host lacks to build images, or a particular image, and how to get it.

::

    from kiwinb.checks.doctor import examine

    examine("debian-server").install
"""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kiwinb.checkpoints.store import Store
from kiwinb.checks import make_subject, problems
from kiwinb.checks.host import why_foreign, why_no_cage
from kiwinb.checks.requirements import ALWAYS, packages_of, tools_for, without_package
from kiwinb.description.document import read
from kiwinb.description.login import without_logins
from kiwinb.description.model import ImageDescription
from kiwinb.description.select import select
from kiwinb.errors import KiwinbError
from kiwinb.html import block, escape
from kiwinb.images import IMAGE_KINDS
from kiwinb.packages import MANAGERS
from kiwinb.packages.mirrors import host_mirrors, resolve_for
from kiwinb.sandbox.machines import EMULATORS
from kiwinb.sandbox.mount_table import filesystem_of
from kiwinb.sandbox.privilege import detect
from kiwinb.sandbox.tool_versions import unfit
from kiwinb.sandbox.tools import TOOLS, search_path
from kiwinb.settings import Settings, load_settings
from kiwinb.sizes import binary
from kiwinb.visible import visible
from kiwinb.vm.machines import VIRTUAL_MACHINES
from kiwinb.vm.qemu import accelerator

State = Literal["ok", "note", "missing"]
"""``note``: builds work without it, perhaps more slowly. ``missing``: builds fail without it."""

LEAST_SPACE = 2 * 2**30
"""Free space in bytes that a small build needs in the store, and also in the cache."""

PLENTY_OF_SPACE = 10 * 2**30

OWN_CHECKS = frozenset(
    (
        "host_tools_installed",
        "host_tools_new_enough",
        "container_tool_chain_installed",
        "foreign_architecture_runs_here",
    )
)
"""Runtime checks that find what this module finds and explains itself."""

_ROOTLESS_TOOLS = {"newuidmap": "builds without root", "newgidmap": "builds without root"}


@dataclass(frozen=True)
class Finding:
    """Something that builds need from the host.

    Attributes:
        area: Topic, for example ``tools``.
        state: Whether the host has it.
        what: What was found.
        remedy: What the user can do; empty if nothing has to be done.
        packages: Debian packages to install.
    """

    area: str
    state: State
    what: str
    remedy: str = ""
    packages: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """What a host has and lacks.

    Attributes:
        findings: All findings.
        description: Name of the image to build; ``None`` for images in general.
    """

    findings: tuple[Finding, ...]
    description: str | None = None

    @property
    def ready(self) -> bool:
        """Whether nothing is missing."""
        return not self.missing

    @property
    def missing(self) -> tuple[Finding, ...]:
        """Findings without which builds fail."""
        return tuple(item for item in self.findings if item.state == "missing")

    @property
    def install(self) -> str | None:
        """The command that installs all missing packages; ``None`` if none is missing."""
        return _install(self.missing)

    @property
    def suggest(self) -> str | None:
        """The command that installs packages which are useful, but not required; or ``None``."""
        return _install(item for item in self.findings if item.state == "note")

    def __str__(self) -> str:
        lines = [f"{item.state:8}{item.area}: {visible(item.what)}" for item in self.findings]
        return "\n".join([*lines, *self.summary()])

    __repr__ = __str__

    def summary(self) -> tuple[str, ...]:
        """Return lines that say what the user can do."""
        what = f"build {visible(self.description)}" if self.description else "build images"
        said = f"This host can {what}." if self.ready else f"This host cannot {what} yet."
        commands = [item.remedy for item in self.missing if item.remedy and not item.packages]
        lines = [said, *dict.fromkeys(commands)]
        if self.install:
            lines.append(f"Install what is missing: {self.install}")
        if self.suggest:
            lines.append(f"Also useful: {self.suggest}")
        return tuple(lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(item.state)}</td><td>{escape(item.area)}</td>"
            f'<td style="text-align: left">{escape(item.what)}</td></tr>'
            for item in self.findings
        )
        lines = "".join(f"<p>{escape(line)}</p>" for line in self.summary())
        return block(f"<table>{rows}</table>{lines}")


def examine(
    description: str | os.PathLike[str] | None = None,
    *,
    profiles: Sequence[str] = (),
    type: str | None = None,
    arch: str | None = None,
    kiwi_file: str | None = None,
    settings: Settings | None = None,
) -> Diagnosis:
    """Examine this host.

    Args:
        description: Description of the image to build; ``None`` for images in general.
        profiles: Profiles to select, as for :class:`kiwinb.Appliance`.
        type: Image type.
        arch: Target architecture, also without a description.
        kiwi_file: Name of the description file.
        settings: The settings to use; by default, the user's.

    Raises:
        DescriptionError: The description cannot be read.
    """
    settings = settings or load_settings()
    if description is None:
        return Diagnosis(tuple(_general(settings, arch or platform.machine())))
    document = read(Path(description), kiwi_file=kiwi_file)
    image = select(document, profiles=profiles, type=type, arch=arch)
    subject = make_subject(document, image, settings)
    more = tuple(
        Finding("description", "missing", f"{item.location}: {item.what}", item.remedy)
        for item in problems(subject, disabled=settings.all_disabled_checks)
        if item.check not in OWN_CHECKS
    )
    return Diagnosis((*_for_image(image, settings), *more), image.name)


def _general(settings: Settings, arch: str) -> Iterator[Finding]:
    managers = (tool for manager in MANAGERS.values() for tool in manager.tools)
    needed = dict.fromkeys((*ALWAYS, *managers), "root trees") | _rootless_tools()
    yield from _tools(needed, "missing")
    known = {*needed, *_ROOTLESS_TOOLS, *EMULATORS}
    others = {name: "some images" for name in TOOLS if name not in known}
    yield from _tools(others, "note")
    yield from _host(settings)
    yield from _architecture(arch)
    yield from _machine(arch)
    yield _aliases(settings)


def _for_image(image: ImageDescription, settings: Settings) -> Iterator[Finding]:
    yield from _tools(tools_for(image) | _rootless_tools(), "missing")
    yield from _host(settings)
    yield from _architecture(image.arch)
    kind = IMAGE_KINDS.get(image.type.image)
    if kind is not None and kind.boots:
        yield from _machine(image.arch)
    yield from _repositories(image, settings)


def _rootless_tools() -> dict[str, str]:
    return {} if os.geteuid() == 0 else _ROOTLESS_TOOLS


def _tools(needed: dict[str, str], state: State) -> Iterator[Finding]:
    """Yield a finding for all installed tools, and one for each missing package."""
    path = search_path()
    missing = {name: why for name, why in needed.items() if not shutil.which(name, path=path)}
    there = [name for name in needed if name not in missing]
    old = tuple(unfit(there))
    if fit := [name for name in there if name not in {item.tool for item in old}]:
        yield Finding("tools", "ok", ", ".join(fit))
    for item in old:
        yield Finding("tools", state, item.what, item.remedy)
    for package in packages_of(missing):
        names = [name for name in missing if TOOLS.get(name) == package]
        reasons = ", ".join(dict.fromkeys(missing[name] for name in names))
        yield Finding(
            "tools",
            state,
            f"{', '.join(names)} for {reasons}: package {package}",
            f"Run: sudo apt-get install {package}",
            (package,),
        )
    for name in without_package(missing):
        what = f"{name} for {missing[name]}: kiwinb does not know its package"
        yield Finding("tools", state, what, f"Install the package that brings {name}.")


def _host(settings: Settings) -> Iterator[Finding]:
    """Find out whether root trees can be made and stored on this host."""
    try:
        privilege = detect()
    except KiwinbError as error:
        yield Finding("privileges", "missing", error.problem, error.remedy or "")
    else:
        how = "in a user namespace" if privilege.rootless else "as root"
        ids = sum(item.count for item in privilege.uids)
        yield Finding("privileges", "ok", f"builds run {how}" + (f", {ids} ids" if ids else ""))
        yield _store(settings)
        yield _cage()
    for name, place in (("store", settings.store), ("cache", settings.cache)):
        yield _space(name, place)


def _cage() -> Finding:
    """Run a program in a cage to find out whether this host allows that."""
    error = why_no_cage()
    if error is None:
        return Finding("cage", "ok", "programs of root trees are kept from this host")
    return Finding("cage", "missing", error.problem, error.remedy or "")


def _store(settings: Settings) -> Finding:
    """Make a small store beside the real one to find out how checkpoints are stored."""
    place = _existing(settings.store.parent)
    kind = filesystem_of(place) or "unknown file system"
    try:
        with tempfile.TemporaryDirectory(prefix="kiwinb-doctor-", dir=place) as scratch:
            backend = Store.open(Path(scratch, "store")).backend
    except KiwinbError as error:
        return Finding("namespaces", "missing", error.problem, error.remedy or "")
    except OSError as error:
        return Finding(
            "store",
            "missing",
            f"{place} cannot be written to: {error.strerror}",
            "Set another directory for the store in the settings, or KIWINB_STORE.",
        )
    if backend == "overlay":
        return Finding("checkpoints", "ok", f"overlayfs works on {place} ({kind})")
    return Finding(
        "checkpoints",
        "note",
        f"no overlayfs on {place} ({kind}): each checkpoint is a full copy",
        "Put the store on ext4, XFS or Btrfs, on a kernel with overlayfs (5.11 or newer "
        "without root).",
    )


def _space(name: str, place: Path) -> Finding:
    free = shutil.disk_usage(_existing(place)).free
    what = f"{binary(free)} free for the {name} in {place}"
    if free < LEAST_SPACE:
        remedy = f"Make room, or set another directory for the {name} in the settings."
        return Finding("disk space", "missing", what, remedy)
    if free < PLENTY_OF_SPACE and name == "store":
        return Finding("disk space", "note", what, "Large images need more.")
    return Finding("disk space", "ok", what)


def _existing(path: Path) -> Path:
    return next(item for item in (path, *path.parents) if item.is_dir())


def _architecture(arch: str) -> Iterator[Finding]:
    """Find out whether this host can make root trees of a foreign architecture."""
    error = why_foreign(arch)
    if error is not None:
        yield Finding("architecture", "missing", error.problem, error.remedy or "")
    elif arch != platform.machine():
        yield Finding("architecture", "ok", f"programs for {arch} run here")


def _machine(arch: str) -> Iterator[Finding]:
    """Find out whether this host can boot images to try them out."""
    machine = VIRTUAL_MACHINES.get(arch)
    if machine is None:
        yield Finding("QEMU", "note", f"kiwinb boots no images for {arch}")
        return
    path = shutil.which(machine.program)
    if path:
        yield Finding("QEMU", "ok", f"{machine.program} boots images")
    else:
        what = f"no {machine.program} to boot images with"
        yield Finding("QEMU", "note", what, "", (machine.package,))
    if files := machine.find_uefi():
        yield Finding("UEFI firmware", "ok", f"{files[0]} is there")
    else:
        what = f"no UEFI firmware to boot images for {arch} with"
        yield Finding("UEFI firmware", "note", what, "", (machine.uefi_package,))
    if arch != platform.machine():
        return
    device = Path("/dev/kvm")
    if path and "kvm" in accelerator(path, machine):
        yield Finding("KVM", "ok", "QEMU runs images with KVM")
    else:
        remedy = (
            "Join the group kvm: sudo usermod -a -G kvm $USER"
            if device.exists() and not os.access(device, os.R_OK | os.W_OK)
            else "Turn virtualization on in the firmware, or nested virtualization on the host."
        )
        yield Finding("KVM", "note", "not usable: QEMU emulates, which is slow", remedy)


def _repositories(image: ImageDescription, settings: Settings) -> Iterator[Finding]:
    for repository in image.repositories:
        if repository.path.startswith("iso:"):
            continue  # resolving it would unpack it
        try:
            found = resolve_for(image, repository, settings, image.directory)
        except KiwinbError as error:
            yield Finding("repositories", "missing", error.problem, error.remedy or "")
        else:
            place = without_logins(found.urls[0])
            checked = f", signed by {len(found.keys)} keys" if found.checked else ", not checked"
            yield Finding("repositories", "ok", f"{repository.path} is {place}{checked}")


def _aliases(settings: Settings) -> Finding:
    known = {alias for mirror in host_mirrors() for alias in mirror.aliases}
    names = sorted({*known, *settings.mirrors})
    if names:
        return Finding("mirrors", "ok", ", ".join(f"mirror:{name}" for name in names))
    return Finding(
        "mirrors",
        "note",
        "neither the settings nor this host's package managers name a mirror",
        "Name one in the table [mirrors] of the settings.",
    )


def _install(findings: Iterable[Finding]) -> str | None:
    packages = sorted({name for item in findings for name in item.packages})
    return f"sudo apt-get install {' '.join(packages)}" if packages else None
