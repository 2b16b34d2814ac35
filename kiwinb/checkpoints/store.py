"""The checkpoint store, which keeps results of steps under their content keys.

Layout of the directory::

    store.json                  format, backend, and whose store it is
    objects/KEY/checkpoint.json metadata of the checkpoint
    objects/KEY/manifest.json.z list of its contents, made with it
    objects/KEY/log.gz          what the step printed
    objects/KEY/data/           the tree, the layer of a tree, or the files
    drafts/                     checkpoints in the making, locked by their builds
    trash/                      on the way out
    locks/                      lock files
    logs/                       logs of steps that failed, for a week
    mnt/                        where workers show trees; always empty from outside
    history.json                what was built last

A draft becomes an object by one rename, after its file system is synced. A build that dies leaves
an unlocked draft, which the next build removes.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from kiwinb.checkpoints import jobs, logs
from kiwinb.checkpoints.backend import BackendName
from kiwinb.checkpoints.checkpoint import FILE, Checkpoint, read_checkpoint
from kiwinb.checkpoints.drafts import Draft
from kiwinb.checkpoints.history import History
from kiwinb.checkpoints.locks import locked, try_lock
from kiwinb.checkpoints.reuse import Earlier
from kiwinb.checkpoints.space import explained_space, store_place, target_place
from kiwinb.checkpoints.trees import BACKENDS, TreeRef
from kiwinb.checkpoints.treescan import Entry
from kiwinb.errors import StoreError
from kiwinb.files import replace_file
from kiwinb.sandbox.privilege import Privilege, detect
from kiwinb.sandbox.worker import Report, call
from kiwinb.settings import Settings
from kiwinb.steps.keys import Digest
from kiwinb.steps.step import Output

__all__ = ["Checkpoint", "Store"]

FORMAT = 3
BACKEND_VARIABLE = "KIWINB_STORE_BACKEND"
"""Environment variable that names the backend of a new store: ``overlay`` or ``copy``."""

_DIRECTORIES = ("objects", "drafts", "trash", "locks", "logs", "mnt")

log = logging.getLogger(__name__)

A = TypeVar("A")
R = TypeVar("R")


@dataclass(frozen=True)
class Store:
    """A checkpoint store; get one with :meth:`Store.open`.

    Attributes:
        path: Its directory.
        backend: How the store keeps trees: ``overlay`` or ``copy``.
        privilege: How the workers of the store become root.
        limit: Bytes that the store may take on disk after a build; ``None`` for no limit.
    """

    path: Path
    backend: BackendName
    privilege: Privilege
    limit: int | None = None
    history: History = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        history = History(self.path / "history.json", self.path / "locks" / "history")
        object.__setattr__(self, "history", history)

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
            return cls._open(path, rootless=rootless, limit=limit, backend=backend)

    @classmethod
    def _open(
        cls,
        path: Path,
        *,
        rootless: bool | None,
        limit: int | None,
        backend: BackendName | None,
    ) -> Store:
        privilege = detect()
        if rootless is not None and rootless != privilege.rootless:
            raise StoreError(
                f"the store {path} is to be opened {_mode(rootless)}, "
                f"but this process works {_mode(privilege.rootless)}",
                remedy="Run kiwinb as the user whose store it is.",
            )
        wanted = backend or _forced_backend()
        try:
            path.mkdir(parents=True, exist_ok=True)
            _renew(path, privilege)
            if not (path / "store.json").exists():
                _create(path, privilege, wanted)
        except OSError as error:
            raise StoreError(
                f"cannot make the checkpoint store: {error}", remedy="Choose another directory."
            ) from error
        store = cls(path, _read_description(path, privilege, wanted), privilege, limit)
        store.clean()
        return store

    @property
    def rootless(self) -> bool:
        """Whether its trees were made in a user namespace."""
        return self.privilege.rootless

    # --- what it holds ---

    def holds(self, key: Digest) -> bool:
        """Whether the store holds the result and everything that it is based on."""
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
            return read_checkpoint(self._object(key))
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
                found.append((self.last_used(directory.name), read_checkpoint(directory)))
        return tuple(checkpoint for _used, checkpoint in sorted(found, key=lambda item: item[0]))

    def last_used(self, key: Digest) -> float:
        """When a build last used the checkpoint, in seconds since 1970-01-01 UTC."""
        return (self._object(key) / FILE).stat().st_mtime

    def touch(self, key: Digest) -> None:
        """Record that the checkpoint, and everything that it is based on, is used now."""
        with suppress(StoreError, OSError):
            for directory in self.layers(self.get(key)):
                os.utime(directory.parent / FILE)

    def files(self, checkpoint: Checkpoint) -> Path:
        """The directory with the output of a ``files`` step."""
        return self._object(checkpoint.key) / "data"

    def log(self, checkpoint: Checkpoint) -> str:
        """Everything that the step printed."""
        return logs.read_log(self._object(checkpoint.key))

    @property
    def failed_logs(self) -> Path:
        """The directory of the logs of steps that failed."""
        return self.path / "logs"

    def layers(self, checkpoint: Checkpoint) -> tuple[Path, ...]:
        """The ``data`` directories that a result consists of, the oldest first.

        Raises:
            StoreError: A directory is missing.
        """
        chain = [checkpoint]
        if checkpoint.output == "tree" and BACKENDS[self.backend].stacked:
            while chain[-1].base is not None:
                chain.append(self.get(chain[-1].base))
        return tuple(self._object(item.key) / "data" for item in reversed(chain))

    def tree(self, key: Digest | None) -> TreeRef:
        """The tree of a key, or the empty tree, for a worker."""
        layers = () if key is None else self.layers(self.get(key))
        return TreeRef(self.backend, layers, (self.path / "mnt").resolve())

    def can_lay_over(self, output: Output) -> bool:
        """Whether the result of a step can be reused with another tree."""
        return output == "files" or BACKENDS[self.backend].stacked

    def earlier(self, checkpoint: Checkpoint) -> Earlier:
        """A result, for a worker that may reuse it."""
        try:
            layers = None if checkpoint.base is None else self.layers(self.get(checkpoint.base))
        except StoreError:
            layers = None
        return Earlier(checkpoint, self._object(checkpoint.key), layers)

    def _object(self, key: Digest) -> Path:
        return self.path / "objects" / key

    # --- locks ---

    def in_use(self) -> AbstractContextManager[None]:
        """Protect everything in the store from removal while the context lasts."""
        return locked(self._lock("store"), what=f"the store {self.path}", shared=True)

    def making(
        self,
        key: Digest,
        name: str,
        on_wait: Callable[[str], None] = lambda holder: None,
        on_poll: Callable[[], None] = lambda: None,
    ) -> AbstractContextManager[None]:
        """Lock the checkpoint of a key, to make it; wait if another build makes it now."""
        what = f"the step {name}"
        return locked(self._lock(key), what=what, on_wait=on_wait, on_poll=on_poll)

    def _alone(self, timeout: float) -> AbstractContextManager[None]:
        return locked(self._lock("store"), what=f"the store {self.path}", timeout=timeout)

    def _lock(self, name: str) -> Path:
        return self.path / "locks" / name

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
        with self._draft_directory() as directory:
            if self._object(key).exists():
                self._discard([self._object(key)])  # damaged, or part of a damaged chain
            yield Draft(
                directory=directory,
                destination=self._object(key),
                key=key,
                name=name,
                title=title,
                output=output,
                base=base,
                needs=dict(needs or {}),
                inputs=dict(inputs or {}),
                action_key=action_key,
            )

    @contextmanager
    def _draft_directory(self) -> Iterator[Path]:
        directory = self.path / "drafts" / f"{os.getpid()}-{secrets.token_hex(4)}"
        with ExitStack() as stack:
            stack.callback(self._discard_draft, directory)
            with self._sorting_drafts():
                directory.mkdir(0o755)
                descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                stack.callback(os.close, descriptor)
                try_lock(descriptor)
            yield directory

    def _sorting_drafts(self) -> AbstractContextManager[None]:
        """Lock drafts, so that no cleaner looks at a draft between its creation and its lock."""
        return locked(self._lock("drafts"), what="the list of drafts")

    def _discard_draft(self, directory: Path) -> None:
        if directory.exists():
            self._discard([directory])

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
                if not self.holds(key):
                    title = f"Import {directory}"
                    with self.draft(key=key, name="import", title=title, output="tree") as draft:
                        job = jobs.ImportJob(directory, draft)
                        call(jobs.import_tree, job, privilege=self.privilege)
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
        on_log: Callable[[str], None] = lambda line: None,
    ) -> R:
        """Call ``function(root, argument, report)`` in a worker that sees the tree of a key.

        Args:
            key: Key of a tree.
            function: A function on the module level of an importable module.
            argument: Passed to the function; it is pickled.
            writable: Make the tree writable and discard the changes; otherwise it is read-only.
            on_log: Called with the lines that the function reports.

        Raises:
            StoreError: The store does not hold the tree.
        """
        with self.in_use():
            tree = self.tree(key)
            self.touch(key)
            if not writable:
                return self._view(jobs.ViewJob(function, argument, tree, None), on_log)
            with self._draft_directory() as directory:
                return self._view(jobs.ViewJob(function, argument, tree, directory), on_log)

    def _view(self, job: jobs.ViewJob[A, R], on_log: Callable[[str], None]) -> R:
        return call(jobs.run_in_tree, job, on_log=on_log, privilege=self.privilege)

    def scan(self, key: Digest, *, contents: bool = True) -> tuple[Entry, ...]:
        """List the tree of a key."""
        return self.in_tree(key, jobs.scan_tree, contents)

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
            self.in_tree(key, jobs.export_tree, destination)

    def remove_exported(self, directory: Path) -> None:
        """Remove a directory that :meth:`export_tree` wrote, no matter who owns its files."""
        call(jobs.remove, (directory,), privilege=self.privilege)

    # --- keeping house ---

    def clean(self) -> None:
        """Remove the leftovers of builds that died."""
        with self._sorting_drafts():
            for draft in (self.path / "drafts").iterdir():
                with suppress(FileNotFoundError):
                    descriptor = os.open(draft, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                    try:
                        if try_lock(descriptor):
                            draft.rename(self.path / "trash" / draft.name)
                    finally:
                        os.close(descriptor)
        logs.remove_old(self.failed_logs)
        self._empty_trash()

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
        with self._alone(timeout):
            present = self.list()
            doomed = {*keys}
            while more := {c.key for c in present if self._stands_on(c) & doomed} - doomed:
                doomed |= more
            self._discard([self._object(key) for key in doomed if self._object(key).exists()])
            return tuple(checkpoint for checkpoint in present if checkpoint.key in doomed)

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
        with self._alone(timeout):
            self.clean()
            logs.remove_old(self.failed_logs, every=limit == 0)
            left = [*self.list()]
            gone: list[Checkpoint] = []
            while limit is not None and sum(item.bytes for item in left) > limit:
                needed = {*keep}.union(*(self._stands_on(item) for item in left))
                free = [item for item in left if item.key not in needed]
                if not free:
                    break
                left.remove(free[0])
                gone.append(free[0])
            self._discard([self._object(item.key) for item in gone])
            return tuple(gone)

    def _stands_on(self, checkpoint: Checkpoint) -> set[Digest]:
        """The checkpoints that this one needs."""
        stacked = checkpoint.output == "tree" and BACKENDS[self.backend].stacked
        return {checkpoint.base} if stacked and checkpoint.base is not None else set()

    def verify(self, key: Digest) -> tuple[str, ...]:
        """Compare the contents of a checkpoint with its manifest.

        It reads everything: type, mode, owner, size, content, link target, device numbers, extended
        attributes and hard links of each file.

        Returns:
            The differences, one line each.
        """
        with self.in_use():
            if not self._object(key).exists():
                return (f"the store holds no checkpoint {key[:12]}",)
            found = call(jobs.verify, self._object(key), privilege=self.privilege)
            if not found and not self.holds(key):
                return ("a checkpoint that it is based on is missing",)
            return found

    def verify_all(self) -> Mapping[Digest, tuple[str, ...]]:
        """The damage, by key; empty if there is none."""
        keys = sorted(directory.name for directory in (self.path / "objects").iterdir())
        return {key: found for key in keys if (found := self.verify(key))}

    def _discard(self, directories: Iterable[Path]) -> None:
        """Move directories out of the store at once, then remove them."""
        for directory in directories:
            name = f"{directory.name}-{secrets.token_hex(4)}"
            with suppress(FileNotFoundError):
                directory.rename(self.path / "trash" / name)
        self._empty_trash()

    def _empty_trash(self) -> None:
        if trash := tuple((self.path / "trash").iterdir()):
            call(jobs.remove, trash, privilege=self.privilege)


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


def _mode(rootless: bool) -> str:
    return "rootless" if rootless else "as root"


def _forced_backend() -> BackendName | None:
    value = os.environ.get(BACKEND_VARIABLE)
    if not value:
        return None
    for name in BACKENDS:
        if name == value:
            return name
    raise StoreError(
        f"{BACKEND_VARIABLE}={value} names no backend",
        remedy=f"Use one of: {', '.join(BACKENDS)}.",
    )


def _create(path: Path, privilege: Privilege, backend: BackendName | None) -> None:
    with locked(path / ".lock", what=f"the store {path}"):
        if (path / "store.json").exists():
            return
        others = {entry.name for entry in path.iterdir()} - {".lock", *_DIRECTORIES}
        if others:
            (path / ".lock").unlink()
            raise StoreError(
                f"{path} is not empty, and not a checkpoint store",
                remedy="Choose a directory of its own for the store.",
            )
        for name in _DIRECTORIES:
            (path / name).mkdir(exist_ok=True)
        trial = path / "trash" / f"trial-{secrets.token_hex(4)}"
        trial.mkdir()
        job = jobs.TrialJob(trial, path / "mnt", privilege.rootless)
        problem = call(jobs.try_backend, job, privilege=privilege)
        call(jobs.remove, (trial,), privilege=privilege)
        if backend == "overlay" and problem:
            raise StoreError(
                f"overlay file systems do not work in {path}: {problem}",
                remedy="Use the backend copy.",
            )
        description = {
            "format": FORMAT,
            "backend": backend or ("copy" if problem else "overlay"),
            "rootless": privilege.rootless,
            "uid": os.getuid(),
        }
        replace_file(path / "store.json", json.dumps(description, indent=2) + "\n")


def _renew(path: Path, privilege: Privilege) -> None:
    """Empty a store whose format this kiwinb does not read; leave any other directory alone.

    Raises:
        StoreError: A build uses the store.
    """
    file = path / "store.json"
    if not (found := _other_format(file, privilege)) or not (path / "locks").is_dir():
        return
    alone = locked(path / "locks" / "store", what=f"the store {path} of format {found}", timeout=0)
    with locked(path / ".lock", what=f"the store {path}"), alone:
        if not (found := _other_format(file, privilege)):
            return
        log.warning(
            "The store %s has format %s, which this kiwinb does not read: "
            "it is emptied and made anew (format %s).",
            *(path, found, FORMAT),
        )
        names = ("objects", "drafts", "trash", "mnt", "logs")
        doomed = tuple(path / name for name in names if (path / name).is_dir())
        call(jobs.remove, doomed, privilege=privilege)
        (path / "history.json").unlink(missing_ok=True)
        file.unlink()


def _other_format(file: Path, privilege: Privilege) -> str | None:
    """The format of a store of this user, if it differs from ours."""
    try:
        description = json.loads(file.read_bytes())
        found, owner = description["format"], (description["rootless"], description["uid"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return str(found) if found != FORMAT and owner == (privilege.rootless, os.getuid()) else None


def _read_description(path: Path, privilege: Privilege, backend: BackendName | None) -> BackendName:
    try:
        description = json.loads((path / "store.json").read_bytes())
        owner = (description["rootless"], description["uid"])
        found: BackendName = description["backend"]
    except OSError as error:
        raise StoreError(
            f"cannot read the store: {error}", remedy="Use a store of your own."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path}/store.json is damaged: {error}", remedy="Remove the store and build again."
        ) from error
    if owner != (privilege.rootless, os.getuid()):
        raise StoreError(
            f"the store {path} is that of user {owner[1]} ({_mode(owner[0])}); "
            f"this process is user {os.getuid()} ({_mode(privilege.rootless)})",
            remedy="Use a store of your own; owners of files differ between the two.",
        )
    if backend is not None and backend != found:
        raise StoreError(
            f"the store {path} keeps trees with the backend {found}, not {backend}",
            remedy="Use another directory for the store, or its own backend.",
        )
    return found
