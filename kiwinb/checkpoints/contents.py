"""What a checkpoint store contains, and the locks that protect it.

Layout of the directory::

    store.json                  format, backend, whose store it is, and its secret
    objects/KEY/checkpoint.json metadata of the checkpoint
    objects/KEY/seal.json       signed digests and stamps of all that the checkpoint consists of
    objects/KEY/manifest.json.z list of its contents, made with it
    objects/KEY/log.gz          what the step printed
    objects/KEY/data/           the tree, the layer of a tree, or the files
    drafts/                     checkpoints in the making, locked by their builds
    trash/                      on the way out
    locks/                      lock files, and ``used``, whose time is that of the last use
    logs/                       logs of steps that failed, for a week
    mnt/                        where workers show trees; always empty from outside
    history.json                what was built last

All of it is for its owner alone: trees have files that are setuid root, and secrets.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from kiwinb.checkpoints import logs
from kiwinb.checkpoints.backend import BackendName
from kiwinb.checkpoints.checkpoint import FILE, Checkpoint, read_checkpoint
from kiwinb.checkpoints.locks import locked
from kiwinb.checkpoints.reuse import Earlier
from kiwinb.checkpoints.trees import BACKENDS, TreeRef
from kiwinb.checkpoints.used import tick
from kiwinb.errors import StoreError
from kiwinb.sandbox.privilege import Privilege
from kiwinb.steps.keys import Digest
from kiwinb.steps.step import Output


@dataclass(frozen=True)
class StoreContents:
    """The contents of a store.

    Attributes:
        path: Directory of the store.
        backend: How the store keeps trees: ``overlay`` or ``copy``.
        privilege: How the workers of the store become root.
        secret: What the store signs the seals of its checkpoints with.
    """

    path: Path
    backend: BackendName
    privilege: Privilege
    secret: bytes = field(repr=False)

    @property
    def rootless(self) -> bool:
        """Whether its trees were made in a user namespace."""
        return self.privilege.rootless

    def holds(self, key: Digest) -> bool:
        """Whether the store holds the result and everything that it is based on.

        This looks at the metadata only; :class:`~kiwinb.checkpoints.inspector.Inspector` looks at
        the data, too.
        """
        try:
            self.layers(self.get(key))
        except StoreError:
            return False
        return True

    def get(self, key: Digest) -> Checkpoint:
        """The checkpoint of a key.

        Raises:
            StoreError: The checkpoint does not exist or is damaged.
        """
        try:
            return read_checkpoint(self.object(key), self.secret)
        except OSError:
            raise StoreError(
                f"the store holds no checkpoint {key[:12]}",
                remedy="Run the build again; it makes what is missing.",
            ) from None

    def list(self) -> tuple[Checkpoint, ...]:
        """All undamaged checkpoints, the least recently used first."""
        found = []
        for directory in (self.path / "objects").iterdir():
            with suppress(OSError, StoreError):
                checkpoint = read_checkpoint(directory, self.secret)
                found.append((self.last_used(directory.name), checkpoint))
        return tuple(checkpoint for _used, checkpoint in sorted(found, key=lambda item: item[0]))

    def last_used(self, key: Digest) -> float:
        """When a build last used the checkpoint, in seconds since 1970-01-01 UTC.

        What is used later has a later time, also if the clock of the host was set back between. As
        long as the clock is behind such a time, this is not when it was.
        """
        return (self.object(key) / FILE).stat().st_mtime

    def touch(self, key: Digest) -> None:
        """Record that the checkpoint, and everything that it is based on, is used now."""
        with suppress(StoreError, OSError):
            layers = self.layers(self.get(key))
            now = tick(self.path / "locks" / "used")
            for directory in layers:
                os.utime(directory.parent / FILE, ns=(now, now))

    def files(self, checkpoint: Checkpoint) -> Path:
        """The directory with the output of a ``files`` step."""
        return self.object(checkpoint.key) / "data"

    def log(self, checkpoint: Checkpoint) -> str:
        """Everything that the step printed."""
        return logs.read_log(self.object(checkpoint.key))

    @property
    def failed_logs(self) -> Path:
        """The directory of the logs of steps that failed."""
        return self.path / "logs"

    def chain(self, checkpoint: Checkpoint) -> tuple[Checkpoint, ...]:
        """The checkpoints that a result consists of, the oldest first.

        Raises:
            StoreError: One is missing or damaged.
        """
        chain = [checkpoint]
        if checkpoint.output == "tree" and BACKENDS[self.backend].stacked:
            while chain[-1].base is not None:
                chain.append(self.get(chain[-1].base))
        return tuple(reversed(chain))

    def layers(self, checkpoint: Checkpoint) -> tuple[Path, ...]:
        """The ``data`` directories that a result consists of, the oldest first.

        Raises:
            StoreError: A checkpoint is missing or damaged.
        """
        return tuple(self.object(item.key) / "data" for item in self.chain(checkpoint))

    def tree(self, key: Digest | None) -> TreeRef:
        """The tree of a key, or the empty tree, for a worker."""
        layers = () if key is None else self.layers(self.get(key))
        return TreeRef(self.backend, layers, (self.path / "mnt").resolve())

    def can_lay_over(self, output: Output) -> bool:
        """Whether the result of a step can be reused with another tree."""
        return output == "files" or BACKENDS[self.backend].stacked

    def earlier(self, checkpoint: Checkpoint, base: Checkpoint | None) -> Earlier:
        """A result, for a worker that may reuse it.

        Args:
            checkpoint: The result.
            base: The tree that its step read; ``None`` if the store no longer has it.
        """
        try:
            layers = None if base is None else self.layers(base)
        except StoreError:
            layers = None
        return Earlier(checkpoint, self.object(checkpoint.key), layers)

    def object(self, key: Digest) -> Path:
        """The directory of a checkpoint, whether it exists or not."""
        return self.path / "objects" / key

    def needed_by(self, checkpoint: Checkpoint) -> set[Digest]:
        """The keys of the checkpoints without which this one is useless."""
        stacked = checkpoint.output == "tree" and BACKENDS[self.backend].stacked
        return {checkpoint.base} if stacked and checkpoint.base is not None else set()

    # --- locks ---

    def in_use(self) -> AbstractContextManager[None]:
        """Protect everything in the store from removal while the context lasts."""
        return locked(self.lock("store"), what=f"the store {self.path}", shared=True)

    def making(
        self,
        key: Digest,
        name: str,
        on_wait: Callable[[str], None] = lambda holder: None,
        on_poll: Callable[[], None] = lambda: None,
    ) -> AbstractContextManager[None]:
        """Lock the checkpoint of a key, to make it; wait if another build makes it now."""
        what = f"the step {name}"
        return locked(self.lock(key), what=what, on_wait=on_wait, on_poll=on_poll)

    def alone(self, timeout: float) -> AbstractContextManager[None]:
        """Wait until no build uses the store, and let none begin while the context lasts.

        Args:
            timeout: Seconds to wait.

        Raises:
            StoreError: A build used the store for the whole timeout.
        """
        return locked(self.lock("store"), what=f"the store {self.path}", timeout=timeout)

    def lock(self, name: str) -> Path:
        """The lock file of this name."""
        return self.path / "locks" / name
