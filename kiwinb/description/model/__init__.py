"""The effective image description, which one build reads, as frozen data.

An :class:`ImageDescription` is a KIWI NG description with includes and constants resolved, upgraded
to the current schema version, and reduced to one set of profiles, one architecture and one
``<type>``. Field names are KIWI NG's element and attribute names with ``-`` written as ``_``. A
field is ``None`` (or empty) if the description does not set it; the code that reads the field knows
the default.
"""

from __future__ import annotations

from kiwinb.description.model.boot import (
    Bootloader,
    BootloaderSettings,
    ConfigOption,
    Dracut,
    Initrd,
)
from kiwinb.description.model.container import (
    Container,
    ContainerCommand,
    ContainerConfig,
    ContainerHistory,
)
from kiwinb.description.model.image import (
    Certificates,
    ImageDescription,
    Information,
    Preferences,
    Profile,
    User,
)
from kiwinb.description.model.machine import Machine, MachineEntry, VagrantConfig
from kiwinb.description.model.packages import (
    Archive,
    CollectionModule,
    OverlayFile,
    Packages,
    PackageSet,
    Repository,
    Strip,
)
from kiwinb.description.model.storage import OemConfig, Partition, Size, SystemDisk, Volume
from kiwinb.description.model.type import BuildType

__all__ = [
    "Archive",
    "Bootloader",
    "BootloaderSettings",
    "BuildType",
    "Certificates",
    "CollectionModule",
    "ConfigOption",
    "Container",
    "ContainerCommand",
    "ContainerConfig",
    "ContainerHistory",
    "Dracut",
    "ImageDescription",
    "Information",
    "Initrd",
    "Machine",
    "MachineEntry",
    "OemConfig",
    "OverlayFile",
    "PackageSet",
    "Packages",
    "Partition",
    "Preferences",
    "Profile",
    "Repository",
    "Size",
    "Strip",
    "SystemDisk",
    "User",
    "VagrantConfig",
    "Volume",
]
