"""Inputs of a build besides its description, found and fingerprinted before planning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kiwinb.bootloader.host import HostFiles
from kiwinb.description.model import ImageDescription
from kiwinb.description.sources import Sources
from kiwinb.images.container.derived import ImportBaseContainer
from kiwinb.packages.manager import RepositoryState, ResolvedRepository
from kiwinb.prepare.scripts import Script, script_environment

EVERY_SCRIPT = "all"


@dataclass(frozen=True)
class BuildInputs:
    """Everything outside the description that the steps of a build read.

    Attributes:
        sources: Overlays, scripts and archives in the description directory.
        epoch: Time that the build uses for timestamps, in seconds since 1970-01-01 UTC.
        repositories: The repositories, resolved.
        state: Content of the repositories; ``None`` if the root tree exists already.
        base: The container that the root tree starts from, if any.
        host_files: Files of the build host that a bootloader may use, by purpose.
        variables: Additional script variables, which this image kind sets.
        network: Names of the scripts that reach the network; ``all`` for all scripts.
    """

    sources: Sources
    epoch: int
    repositories: tuple[ResolvedRepository, ...] = ()
    state: RepositoryState | None = None
    base: ImportBaseContainer | None = None
    host_files: tuple[tuple[str, HostFiles], ...] = ()
    variables: Mapping[str, object] = field(default_factory=dict)
    network: tuple[str, ...] = ()

    def script(self, image: ImageDescription, name: str) -> Script | None:
        """Return a script of the description with its environment; ``None`` if there is none.

        Args:
            image: The effective description.
            name: KIWI NG's name for the script, such as ``config.sh``.
        """
        if name not in self.sources.scripts:
            return None
        environment = script_environment(image, self.epoch, self.variables)
        network = name in self.network or EVERY_SCRIPT in self.network
        return Script(name, self.sources.scripts[name], environment, network)
