"""The registries of plug-ins, for the tests that go through all of them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from descriptions import document

from kiwinb.bootloader import BOOTLOADERS
from kiwinb.build.plan import BuildPlan, plan_build
from kiwinb.description.document import Document
from kiwinb.description.select import select
from kiwinb.description.sources import Sources
from kiwinb.distributions import DISTRIBUTIONS, used_with
from kiwinb.images import IMAGE_KINDS
from kiwinb.images.formats import FORMATS
from kiwinb.images.inputs import BuildInputs
from kiwinb.initrd import INITRD_TOOLS
from kiwinb.initrd.build import plan_initrd
from kiwinb.packages import MANAGERS
from kiwinb.packages.manager import RepositoryState, ResolvedRepository
from kiwinb.steps.registry import Registry
from kiwinb.steps.step import DraftStep, seal
from kiwinb.storage.filesystem import FILESYSTEMS
from kiwinb.storage.filesystem.swap import SWAP

REGISTRIES: Mapping[str, Registry[Any]] = MappingProxyType(
    {
        registry.sort: registry
        for registry in (
            *(MANAGERS, DISTRIBUTIONS, IMAGE_KINDS, FORMATS, FILESYSTEMS, BOOTLOADERS),
            INITRD_TOOLS,
        )
    }
)
"""By the sort of plug-in: ``file system``."""


def raise_revision(patch: pytest.MonkeyPatch, registry: Registry[Any], name: str) -> None:
    """Have a plug-in say that it makes something else of the same input."""
    changed = copy.copy(registry[name])
    object.__setattr__(changed, "revision", changed.revision + 1)  # many are frozen
    patch.setitem(registry._plugins, name, changed)


PLUGINS = [(sort, name) for sort, registry in REGISTRIES.items() for name in registry]
"""All plug-ins, by sort and name."""


def type_with(sort: str, name: str) -> str:
    """A ``<type>`` for which a plug-in is at work."""
    if sort == IMAGE_KINDS.sort:
        disk = 'filesystem="ext4" firmware="bios"' if IMAGE_KINDS[name].form == "disk" else ""
        loader = '<bootloader name="custom"/>' if disk else ""
        return f'<type image="{name}" {disk}>{loader}</type>'
    if sort == FILESYSTEMS.sort and FILESYSTEMS[name].makes_images:
        return f'<type image="{name}"/>'
    attributes, loader, more = "", "custom", ""
    if sort == FORMATS.sort:
        attributes = f'format="{name}"'
    elif sort == FILESYSTEMS.sort and name == SWAP.name:
        more = "<oemconfig><oem-swap>true</oem-swap><oem-swapsize>8</oem-swapsize></oemconfig>"
    elif sort == FILESYSTEMS.sort:
        attributes = f'bootpartition="true" bootfilesystem="{name}"'
    elif sort == BOOTLOADERS.sort:
        loader = name
    elif sort == INITRD_TOOLS.sort:
        named = sorted(system for system in INITRD_TOOLS[name].systems if system)
        attributes = f'initrd_system="{named[0]}"' if named else ""
    elif sort == MANAGERS.sort:
        return '<type image="cpio"/>'
    firmware = "bios" if BOOTLOADERS[loader].boots_bios else "efi"
    return (
        f'<type image="oem" filesystem="ext4" firmware="{firmware}" {attributes}>'
        f'<bootloader name="{loader}"/>{more}</type>'
    )


def document_with(directory: Path, sort: str, name: str, more: str = "") -> Document:
    """A description for which a plug-in is at work; written into the directory.

    Args:
        directory: Its directory.
        sort: The sort of the plug-in.
        name: Its name.
        more: What else is in the ``<type>``.
    """
    manager = name if sort == MANAGERS.sort else "apt"
    preferences = (
        f"<preferences><version>1.0.0</version><packagemanager>{manager}</packagemanager>"
        f"{type_with(sort, name).replace('</type>', f'{more}</type>')}</preferences>"
    )
    return document(directory, preferences=preferences)


def keys_with(directory: Path, sort: str, name: str, more: str = "") -> list[str]:
    """The keys of the steps of a build for which a plug-in is at work; arguments as before."""
    if sort == DISTRIBUTIONS.sort:  # its package manager may be one that kiwinb does not have yet
        among = used_with(DISTRIBUTIONS[name].managers[0])
        return [step.key for step in seal((DraftStep("", "", plan_initrd(None, 0, among)),))]
    return [step.key for step in plan_with(directory, sort, name, more).steps]


def plan_with(directory: Path, sort: str, name: str, more: str = "") -> BuildPlan:
    """The plan of a build for which a plug-in is at work; arguments as before."""
    image = select(document_with(directory, sort, name, more), arch="x86_64")
    repository = ResolvedRepository("debian", "mirror:debian", ("file:///srv",))
    state = RepositoryState((("debian", "0" * 64),), 1_700_000_000, Path("/srv/lists"))
    inputs = BuildInputs(Sources(), state.epoch, (repository,), state)
    return plan_build(image, inputs)
