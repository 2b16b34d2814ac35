"""What a build reads besides its description, found and fingerprinted before it is planned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kiwinb.bootloader.host import HostFiles
from kiwinb.description.model import ImageDescription
from kiwinb.description.sources import Sources
from kiwinb.images.container.derived import ImportBaseContainer
from kiwinb.packages.manager import RepositoryState, ResolvedRepository
from kiwinb.prepare.scripts import Script, script_environment


@dataclass(frozen=True)
class BuildInputs:
    """Everything outside of the description that the steps of a build read.

    Attributes:
        sources: Overlays, scripts and archives of the description directory.
        epoch: Time of all that a build stamps with one, in seconds since 1970-01-01 UTC.
        repositories: The repositories, resolved.
        state: What the repositories hold; ``None`` when the root tree is there already.
        base: The container that the root tree starts from, if it does.
        host_files: Files of the build host that a bootloader may take, by their purpose.
        variables: Variables of scripts that only the kind of the image has.
    """

    sources: Sources
    epoch: int
    repositories: tuple[ResolvedRepository, ...] = ()
    state: RepositoryState | None = None
    base: ImportBaseContainer | None = None
    host_files: tuple[tuple[str, HostFiles], ...] = ()
    variables: Mapping[str, object] = field(default_factory=dict)

    def script(self, image: ImageDescription, name: str) -> Script | None:
        """A script of the description, with what it finds; ``None`` when there is none.

        Args:
            image: The effective description.
            name: KIWI NG's name for it: ``config.sh`` and so on.
        """
        if name not in self.sources.scripts:
            return None
        environment = script_environment(image, self.epoch, self.variables)
        return Script(name, self.sources.scripts[name], environment)
