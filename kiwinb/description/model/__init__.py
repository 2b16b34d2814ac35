"""The effective image description: what one build reads, as frozen data.

An :class:`ImageDescription` is what is left of a KIWI NG description after
includes and constants are resolved, older schema versions are upgraded, and
one set of profiles, one architecture and one ``<type>`` are selected. Field
names are KIWI NG's element and attribute names with ``-`` written as ``_``.
A field is ``None`` (or empty) when the description does not say it; defaults
belong to whoever reads the field.
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
