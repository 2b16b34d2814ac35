"""The model of virtual machines that run the image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class MachineEntry:
    """A child of ``<machine>`` (``vmdisk``, ``vmdvd``, ``vmnic``), attributes as written."""

    kind: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Machine:
    """``<machine>``: the virtual machine that runs the image; attributes as written."""

    attributes: Mapping[str, str] = field(default_factory=dict)
    config_entries: tuple[str, ...] = ()
    devices: tuple[MachineEntry, ...] = ()


@dataclass(frozen=True)
class VagrantConfig:
    """``<vagrantconfig>``."""

    provider: str
    boxname: str | None = None
    embedded_vagrantfile: str | None = None
    virtualbox_guest_additions_present: bool | None = None
    virtualsize: int | None = None
