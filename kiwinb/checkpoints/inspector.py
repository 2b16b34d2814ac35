"""Find damaged checkpoints before they are used.

The metadata of a checkpoint, its manifest and its list of reads are small: they are compared with
their digests. The data are many files: they are listed and compared with the stamp in the seal,
which costs some milliseconds for 1,000 files. Only if the stamp differs, for example because the
store was copied to another disk, they are read and compared with the manifest. If they are the
same, the checkpoint gets a new seal.
"""

from __future__ import annotations

import hashlib
import logging
import stat
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from kiwinb.checkpoints import jobs, logs
from kiwinb.checkpoints.checkpoint import (
    FILE,
    Checkpoint,
    DamagedCheckpointError,
    read_sealed,
)
from kiwinb.checkpoints.contents import StoreContents
from kiwinb.checkpoints.drafts import READS
from kiwinb.checkpoints.manifest import MANIFEST
from kiwinb.checkpoints.seal import SEAL, Seal, write_seal
from kiwinb.checkpoints.stamps import quick_stamp
from kiwinb.errors import StoreError
from kiwinb.files import is_draft_of, read_regular
from kiwinb.sandbox.worker import call
from kiwinb.steps.keys import Digest

log = logging.getLogger(__name__)

_DATA = "data"
_PARTS = frozenset({FILE, SEAL, MANIFEST, READS, logs.LOG, _DATA})


class Inspector:
    """Tells which checkpoints can be used, and remembers those that it has looked at.

    Several threads may use it at the same time.

    Args:
        store: The store.
    """

    def __init__(self, store: StoreContents) -> None:
        self._store = store
        self._lock = threading.RLock()
        self._found: dict[str, tuple[str, ...]] = {}
        self._told: set[Digest] = set()

    def is_usable(self, key: Digest) -> bool:
        """Whether the store holds a result, and all that it consists of is undamaged.

        It logs a warning for each damaged checkpoint.
        """
        return self._succeeds(self.require, key)

    def is_sound(self, key: Digest) -> bool:
        """Whether a checkpoint is undamaged, no matter what it is based on; logs a warning."""
        return self._succeeds(self._require_one, key)

    def require(self, key: Digest) -> None:
        """Make sure that a result, and all that it consists of, is undamaged.

        Raises:
            DamagedCheckpointError: It is damaged.
            StoreError: It is missing.
        """
        for checkpoint in self._store.chain(self._store.get(key)):
            self._require_one(checkpoint.key)

    def _require_one(self, key: Digest) -> None:
        try:
            checkpoint, seal = read_sealed(self._store.object(key), self._store.secret)
        except FileNotFoundError:
            self._store.get(key)
            raise
        with self._lock:
            found = self._found.get(seal.signature)
            if found is None:
                found = self._found[seal.signature] = inspect(self._store, key)
        if found:
            raise DamagedCheckpointError(key, _short(found), checkpoint.name)

    def _succeeds(self, check: Callable[[Digest], None], key: Digest) -> bool:
        try:
            check(key)
        except DamagedCheckpointError as error:
            with self._lock:
                is_new = error.key not in self._told
                self._told.add(error.key)
            if is_new:
                log.warning("%s. It is not used, but made again.", _sentence(error.problem))
            return False
        except StoreError:
            return False
        return True

    def has_manifests(self, key: Digest) -> bool:
        """Whether the manifests of a tree are undamaged; its data need not be."""
        store = self._store
        with suppress(StoreError):
            chain = store.chain(store.get(key))
            return not any(_check_manifest(store.object(item.key), item) for item in chain)
        return False

    def trust(self, key: Digest) -> None:
        """Note that a checkpoint has just been made."""
        _checkpoint, seal = read_sealed(self._store.object(key), self._store.secret)
        with self._lock:
            self._found[seal.signature] = ()


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _short(problems: Sequence[str]) -> str:
    more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
    return f"{problems[0]}{more}"


def inspect(store: StoreContents, key: Digest, *, thorough: bool = False) -> tuple[str, ...]:
    """Find damage in one checkpoint, without those that it is based on.

    Args:
        store: The store.
        key: Key of the checkpoint.
        thorough: Read all data in any case, and the log, too.

    Returns:
        The problems, one line each.
    """
    directory = store.object(key)
    try:
        checkpoint, seal = read_sealed(directory, store.secret)
    except DamagedCheckpointError as error:
        return (error.said,)
    except OSError as error:
        return (str(error),)
    problems = _check_parts(directory, checkpoint)
    if thorough:
        problems += _check_file(directory / logs.LOG, seal.log)
    if problems:
        return problems
    with suppress(OSError):  # the user may not list all directories, but a worker may
        if not thorough and quick_stamp(directory / _DATA) == seal.data.quick:
            return ()
    return _read_all(store, directory, checkpoint, seal)


def _read_all(
    store: StoreContents, directory: Path, checkpoint: Checkpoint, seal: Seal
) -> tuple[str, ...]:
    """Compare the data with the manifest, in a worker, and renew the seal if they are the same."""
    job = jobs.CheckJob(directory, checkpoint.manifest, seal.data)
    found = call(jobs.check, job, privilege=store.privilege)
    if not found.problems and found.data != seal.data:
        with suppress(OSError):  # of a store that cannot be written; it costs time only
            write_seal(replace(seal, data=found.data).signed(store.secret), directory)
    return found.problems


def _check_parts(directory: Path, checkpoint: Checkpoint) -> tuple[str, ...]:
    problems = _check_manifest(directory, checkpoint)
    problems += _check_file(directory / READS, checkpoint.reads)
    names = {entry.name for entry in directory.iterdir()}
    names -= {name for name in names if is_draft_of(name, SEAL)}  # somebody renews it, or was to
    problems += tuple(f"{name}: does not belong there" for name in sorted(names - _PARTS))
    try:
        if not stat.S_ISDIR((directory / _DATA).lstat().st_mode):
            problems += (f"{_DATA}: is not a directory",)
    except OSError as error:
        problems += (f"{_DATA}: {error.strerror}",)
    return problems


def _check_manifest(directory: Path, checkpoint: Checkpoint) -> tuple[str, ...]:
    return _check_file(directory / MANIFEST, checkpoint.manifest)


def _check_file(file: Path, expected: Digest) -> tuple[str, ...]:
    """Compare a file with its digest; empty if there should be none."""
    try:
        found = hashlib.sha256(read_regular(file)).hexdigest()
    except FileNotFoundError:
        return (f"{file.name}: is missing",) if expected else ()
    except OSError as error:
        return (f"{file.name}: {error.strerror}",)
    return () if found == expected else (f"{file.name}: its checksum is wrong",)
