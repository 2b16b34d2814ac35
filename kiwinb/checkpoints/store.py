"""The checkpoint store, which keeps results of steps under their content keys.

:mod:`kiwinb.checkpoints.contents` says what the directory of a store contains. A draft becomes an
object by one rename, after its file system is synced. A build that dies leaves an unlocked draft,
which the next build removes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from kiwinb.checkpoints import housekeeping, jobs
from kiwinb.checkpoints.backend import BackendName
from kiwinb.checkpoints.checkpoint import Checkpoint
from kiwinb.checkpoints.contents import StoreContents
from kiwinb.checkpoints.directory import mode, prepare_directory
from kiwinb.checkpoints.drafts import Draft, publish
from kiwinb.checkpoints.history import HISTORY, History
from kiwinb.checkpoints.inspector import Inspector
from kiwinb.checkpoints.space import explained_space, store_place, target_place
from kiwinb.checkpoints.treescan import Entry
from kiwinb.errors import StoreError
from kiwinb.sandbox.privilege import detect
from kiwinb.sandbox.worker import MOST_RESULT, Report, call
from kiwinb.settings import Settings
from kiwinb.steps.keys import Digest
from kiwinb.steps.step import Output
from kiwinb.typed_json import return_type

__all__ = ["Checkpoint", "Store"]

A = TypeVar("A")
R = TypeVar("R")

_MOST_LISTED = 1 << 30


@dataclass(frozen=True)
class Store(StoreContents):
    """A checkpoint store; get one with :meth:`Store.open`.

    Attributes:
        limit: Bytes that the store may take on disk after a build; ``None`` for no limit.
    """

    limit: int | None = None
    inspector: Inspector = field(init=False, repr=False, compare=False)
    """Has looked at those checkpoints into which the user of this object has looked."""
    made: set[Digest] = field(default_factory=set, init=False, repr=False, compare=False)
    """Keys of the checkpoints that were made through this object."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "inspector", Inspector(self))

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        rootless: bool | None = None,
        limit: int | None = None,
        backend: BackendName | None = None,
    ) -> Store:
        """Open a store; create it if it does not exist.

        If the store has another format, it is emptied first: checkpoints are only a cache.

        Args:
            path: Its directory.
            rootless: Whether workers run in user namespaces; by default, the host decides.
            limit: Bytes that it may take on disk after a build.
            backend: Force a backend; by default, a new store uses the best one that works there.

        Raises:
            StoreError: The store belongs to somebody else, or cannot be created there.
            SpaceError: The disk is full.
            HostError: Workers cannot run on this host.
        """
        path = path.absolute()
        with explained_space((store_place(path),)):
            privilege = detect()
            if rootless is not None and rootless != privilege.rootless:
                raise StoreError(
                    f"the store {path} is to be opened {mode(rootless)}, "
                    f"but this process works {mode(privilege.rootless)}",
                    remedy="Run kiwinb as the user whose store it is.",
                )
            found, secret = prepare_directory(path, privilege, backend)
            store = cls(path, found, privilege, secret, limit)
            store.clean()
            return store

    @property
    def history(self) -> History:
        """What the last build of each image read."""
        return History(self.path / HISTORY, self.lock("history"))

    # --- making checkpoints ---

    @contextmanager
    def draft(
        self,
        *,
        key: Digest,
        name: str,
        title: str,
        output: Output,
        base: Digest | None = None,
        needs: Mapping[str, Digest] | None = None,
        inputs: Mapping[str, Digest] | None = None,
        action_key: Digest = "",
    ) -> Iterator[Draft]:
        """A directory to make a checkpoint in; it is removed at the end unless committed."""
        with housekeeping.draft_directory(self) as directory:
            if os.path.lexists(self.object(key)):
                # It is damaged, or part of a damaged chain.
                housekeeping.discard(self, [self.object(key)])
            yield Draft(
                directory=directory,
                destination=self.object(key),
                key=key,
                name=name,
                title=title,
                output=output,
                base=base,
                needs=dict(needs or {}),
                inputs=dict(inputs or {}),
                action_key=action_key,
            )

    def publish(self, draft: Draft) -> Checkpoint:
        """Make a checkpoint of a draft that a worker has completed."""
        publish(draft, self.secret)
        self.touch(draft.key)
        self.inspector.trust(draft.key)
        self.made.add(draft.key)
        return self.get(draft.key)

    def import_tree(self, directory: Path) -> Digest:
        """Import a root tree into the store, unless the store has it unchanged.

        Args:
            directory: A tree that :meth:`export_tree` wrote, perhaps changed by hand since.

        Returns:
            Its key: a fingerprint of all its files' metadata.

        Raises:
            StoreError: The directory does not exist or belongs to another user.
        """
        directory = directory.absolute()
        if not directory.is_dir():
            raise StoreError(f"{directory} is no directory")
        if not self.privilege.owns(directory.stat().st_uid):
            raise StoreError(
                f"the root tree {directory} belongs to another user",
                remedy="Prepare and create as one and the same user.",
            )
        with self.in_use():
            key = call(jobs.fingerprint_tree, directory, privilege=self.privilege)
            with self.making(key, "import"):
                if not Inspector(self).is_usable(key):
                    title = f"Import {directory}"
                    with self.draft(key=key, name="import", title=title, output="tree") as draft:
                        job = jobs.ImportJob(directory, draft)
                        call(jobs.import_tree, job, privilege=self.privilege)
                        self.publish(draft)
            self.touch(key)
        return key

    # --- looking into trees ---

    def in_tree(
        self,
        key: Digest,
        function: Callable[[Path, A, Report], R],
        argument: A,
        *,
        writable: bool = False,
        returns: Any = None,
        most: int = MOST_RESULT,
    ) -> R:
        """Call ``function(root, argument, report)`` in a worker that sees the tree of a key.

        Args:
            key: Key of a tree.
            function: A function on the module level of an importable module.
            argument: Passed to the function; it is pickled.
            writable: Make the tree writable and discard the changes; otherwise it is read-only.
            returns: The type that the function returns, if what it declares is generic.
            most: Largest number of bytes of what it returns.

        Raises:
            StoreError: The store does not hold the tree, or it is damaged.
        """
        kind = return_type(function) if returns is None else returns
        with self.in_use():
            self.inspector.require(key)
            tree = self.tree(key)
            self.touch(key)
            if not writable:
                return self._view(jobs.ViewJob(function, argument, tree, None), kind, most)
            with housekeeping.draft_directory(self) as directory:
                return self._view(jobs.ViewJob(function, argument, tree, directory), kind, most)

    def _view(self, job: jobs.ViewJob[A, R], returns: Any, most: int) -> R:
        return call(jobs.run_in_tree, job, privilege=self.privilege, returns=returns, most=most)

    def scan(self, key: Digest, *, contents: bool = True) -> tuple[Entry, ...]:
        """List the tree of a key."""
        return self.in_tree(key, jobs.scan_tree, contents, most=_MOST_LISTED)

    def export_tree(self, key: Digest, destination: Path) -> None:
        """Write the tree of a key to a directory, completely or not at all.

        Args:
            key: Of a tree.
            destination: A path that does not exist yet, or an empty directory.

        Raises:
            StoreError: The destination is something else.
            SpaceError: The disk is full.
        """
        destination = destination.absolute()
        if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
            raise StoreError(
                f"{destination} is there already and not empty",
                remedy="Remove it, or choose another directory.",
            )
        with explained_space((target_place(destination), store_place(self.path))):
            destination.parent.mkdir(parents=True, exist_ok=True)
            Inspector(self).require(key)
            self.in_tree(key, jobs.export_tree, destination)

    def remove_exported(self, directory: Path) -> None:
        """Remove a directory that :meth:`export_tree` wrote, no matter who owns its files."""
        call(jobs.remove, (directory,), privilege=self.privilege)

    # --- keeping house ---

    def clean(self) -> None:
        """Remove the leftovers of builds that died."""
        housekeeping.clean(self)
        self.history.clean()

    def break_seal(self, key: Digest) -> None:
        """Let no build use a checkpoint any more; the next one makes it again."""
        housekeeping.break_seal(self, key)

    def remove(self, keys: Iterable[Digest], *, timeout: float = 5.0) -> tuple[Checkpoint, ...]:
        """Remove checkpoints, and the trees that are based on them.

        Args:
            keys: Keys of the checkpoints to remove.
            timeout: Seconds to wait for builds that use the store.

        Returns:
            The checkpoints that were removed.

        Raises:
            StoreError: A build used the store for the whole timeout.
        """
        return housekeeping.remove(self, keys, timeout)

    def gc(
        self,
        limit: int | None = None,
        *,
        keep: Collection[Digest] = (),
        timeout: float = 5.0,
    ) -> tuple[Checkpoint, ...]:
        """Remove the least recently used checkpoints until the store is within its limit.

        It keeps checkpoints that a kept tree is based on.

        Args:
            limit: The limit in bytes; by default that of the store. 0 removes everything that may
                go.
            keep: Keys of checkpoints to keep.
            timeout: Seconds to wait for builds that use the store.

        Returns:
            The checkpoints that were removed.

        Raises:
            StoreError: A build used the store for the whole timeout.
        """
        limit = self.limit if limit is None else limit
        return housekeeping.shrink(self, limit, keep, timeout)

    def verify(self, key: Digest) -> tuple[str, ...]:
        """Compare the contents of a checkpoint with its seal and its manifest.

        A damaged checkpoint loses its seal, so that no build uses it.

        It reads everything: type, mode, owner, size, content, link target, device numbers, extended
        attributes, hard links and modification time of each file, and the log.

        Returns:
            The differences, one line each.
        """
        return housekeeping.verify(self, key)

    def verify_all(self) -> Mapping[Digest, tuple[str, ...]]:
        """The damage, by key; ``history.json`` stands for the build history."""
        keys = sorted(directory.name for directory in (self.path / "objects").iterdir())
        found = {key: problems for key in keys if (problems := self.verify(key))}
        for key in keys:  # those that were undamaged before a checkpoint that they need was read
            if key not in found and (problems := housekeeping.damaged_base(self, key)):
                found[key] = problems
        return found | ({HISTORY: problems} if (problems := self.history.problems()) else {})


def open_store(settings: Settings) -> Store:
    """Open the store that the settings name.

    Raises:
        StoreError: It is damaged, or belongs to another user.
        HostError: The host allows only root to build.
    """
    backend: BackendName | None = None
    if settings.backend != "auto":
        backend = "overlay" if settings.backend == "overlay" else "copy"
    return Store.open(settings.store, limit=settings.store_limit, backend=backend)
