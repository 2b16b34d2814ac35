"""End a download from which nothing arrives, and say meanwhile what it waits for.

apt itself gives a connection up if nothing arrives for a while, but it tries again, and each
address of a mirror, and it waits as long as a mirror sends a byte now and then.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kiwinb.errors import RepositoryError
from kiwinb.packages.apt.config import AptConfig
from kiwinb.packages.manager import ResolvedRepository
from kiwinb.sizes import binary

PATIENCE = 60.0
"""Seconds in which at least :data:`LEAST` bytes have to arrive, for each URL of a repository."""

LEAST = 4096

NOTICE = 10.0
"""Seconds between two messages that nothing arrives."""


@dataclass
class Watch:
    """Watches how directories grow into which apt downloads; call it about once a second.

    Attributes:
        directories: The directories.
        say: Called with each message.
        whose: The repositories, for messages.
        patience: See :data:`PATIENCE`.
        notice: See :data:`NOTICE`.
    """

    directories: Sequence[Path]
    say: Callable[[str], None]
    whose: str = "a repository"
    patience: float = PATIENCE
    notice: float = NOTICE
    _bytes: int = -LEAST
    _since: float = field(default_factory=time.monotonic)
    _told: float = field(default_factory=time.monotonic)

    @classmethod
    def over(
        cls,
        config: AptConfig,
        repositories: Sequence[ResolvedRepository],
        say: Callable[[str], None],
    ) -> Watch:
        """Watch what a run of apt downloads; it may try each URL of a repository for a while."""
        assert config.archives is not None
        mirrors = max((len(item.urls) for item in repositories), default=1)
        places = _with_parts(config.lists, config.archives)
        aliases = ", ".join(item.alias for item in repositories)
        whose = f"the repositor{'ies' if len(repositories) > 1 else 'y'} {aliases}"
        return cls(places, say, whose, PATIENCE * mirrors, NOTICE)

    def __call__(self) -> None:
        """Look once.

        Raises:
            RepositoryError: Nothing has arrived for too long.
        """
        now, size = time.monotonic(), sum(map(_size, self.directories))
        if abs(size - self._bytes) >= LEAST:
            self._bytes, self._since, self._told = size, now, now
            return
        silent = now - self._since
        if silent >= self.patience:
            raise RepositoryError(
                f"the mirror stalls: nothing has arrived for {silent:.0f} seconds "
                f"({binary(size)} before) of {self.whose}",
                remedy="Run again later: packages that have arrived are kept. Or name another "
                "mirror for this repository.",
            )
        if now - self._told >= self.notice:
            self._told = now
            self.say(
                f"waiting for the mirror: nothing has arrived for {silent:.0f} seconds "
                f"({binary(size)} before); kiwinb gives up after {self.patience:.0f}"
            )


def _with_parts(*directories: Path) -> tuple[Path, ...]:
    return tuple(place for path in directories for place in (path, path / "partial"))


def _size(directory: Path) -> int:
    try:
        with os.scandir(directory) as entries:
            return sum(entry.stat(follow_symlinks=False).st_size for entry in entries)
    except OSError:  # apt moves files meanwhile
        return 0
