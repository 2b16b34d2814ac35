"""Create the directory of a checkpoint store, and check that an existing one can be used."""

from __future__ import annotations

import json
import logging
import os
import secrets
import stat
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from kiwinb.checkpoints import jobs
from kiwinb.checkpoints.backend import BackendName
from kiwinb.checkpoints.locks import locked
from kiwinb.checkpoints.private import make_private, tighten
from kiwinb.checkpoints.trees import BACKENDS
from kiwinb.checkpoints.trial import TrialJob, try_backend
from kiwinb.errors import StoreError
from kiwinb.files import is_draft_of, read_json, replace_file
from kiwinb.sandbox.privilege import Privilege
from kiwinb.sandbox.worker import call
from kiwinb.typed_json import from_json

FORMAT = 4
BACKEND_VARIABLE = "KIWINB_STORE_BACKEND"
"""Environment variable that names the backend of a new store: ``overlay`` or ``copy``."""

LONGEST_PATH = 1024
"""In bytes; the kernel allows 4095, and most of it is for the paths in trees."""

_DIRECTORIES = ("objects", "drafts", "trash", "locks", "logs", "mnt")

log = logging.getLogger(__name__)


_FILE = "store.json"
_TRIED = "tried.json"
"""On which file system, and with which kernel, the store was tried out."""
_SECRET_BYTES = 32


@dataclass(frozen=True)
class Description:
    """What a store says of itself, in ``store.json``.

    Attributes:
        format: Version of its layout.
        backend: How it keeps trees.
        rootless: Whether its trees were made in a user namespace.
        uid: Its owner.
        secret: What it signs its checkpoints with, in hexadecimal.
    """

    format: int
    backend: BackendName
    rootless: bool
    uid: int
    secret: str


def prepare_directory(
    path: Path, privilege: Privilege, backend: BackendName | None
) -> tuple[BackendName, bytes]:
    """Make sure that a directory is a store of this user and of our format.

    Args:
        path: The directory.
        privilege: How workers become root.
        backend: Force a backend; by default, a new store uses the best one that works there.

    Returns:
        The backend of the store, and its secret.

    Raises:
        StoreError: The store belongs to somebody else, or cannot be created there.
    """
    wanted = backend or _forced_backend()
    _check_place(path)
    try:
        make_private(path)
        _renew(path, privilege)
        if not os.path.lexists(path / _FILE):
            _create(path, privilege, wanted)
    except OSError as error:
        _explain_owner(path, privilege)
        raise StoreError(
            f"cannot make the checkpoint store: {error}", remedy="Choose another directory."
        ) from error
    found = _read_description(path, privilege, wanted)
    tighten((path, *(path / name for name in _DIRECTORIES if (path / name).is_dir())))
    _try_again(path, privilege, found[0])
    return found


def mode(rootless: bool) -> str:
    """How a process works, in words."""
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
        if os.path.lexists(path / _FILE):
            return
        others = {entry.name for entry in path.iterdir()} - {".lock", _TRIED, *_DIRECTORIES}
        left = {name for name in others if is_draft_of(name, _FILE)}  # the power failed, or a kill
        if others - left:
            (path / ".lock").unlink()
            raise StoreError(
                f"{path} is not empty, and not a checkpoint store",
                remedy="Choose a directory of its own for the store.",
            )
        for name in left:
            (path / name).unlink()
        tighten([path])
        for name in _DIRECTORIES:
            (path / name).mkdir(0o700, exist_ok=True)
        tighten(path / name for name in _DIRECTORIES)
        problem = _try(path, privilege)
        if backend == "overlay" and problem:
            raise StoreError(
                f"overlay file systems do not work in {path}: {problem}",
                remedy="Use the backend copy.",
            )
        description = Description(
            format=FORMAT,
            backend=backend or ("copy" if problem else "overlay"),
            rootless=privilege.rootless,
            uid=os.getuid(),
            secret=secrets.token_hex(_SECRET_BYTES),
        )
        text = json.dumps(asdict(description), indent=2) + "\n"
        replace_file(path / _FILE, text, mode=0o600, durable=True)  # it has the secret


def _try(path: Path, privilege: Privilege) -> str:
    """Try out the file system of a store, and note which one that was.

    Returns:
        Why overlay file systems do not work there; empty if they work.

    Raises:
        StoreError: Trees cannot be kept there.
    """
    directory = path / "trash" / f"trial-{secrets.token_hex(4)}"
    directory.mkdir()
    try:
        problem = call(try_backend, TrialJob(directory, path / "mnt"), privilege=privilege)
    finally:
        call(jobs.remove, (directory,), privilege=privilege)
    replace_file(path / _TRIED, json.dumps(_surroundings(path)) + "\n", mode=0o600)
    return problem


def _surroundings(path: Path) -> list[int | str]:
    """What a store may find changed when it is opened again: the file system and the kernel."""
    return [path.stat().st_dev, os.uname().release]


def _try_again(path: Path, privilege: Privilege, backend: BackendName) -> None:
    """Try out the file system of a store that was moved, or that another kernel shows.

    Raises:
        StoreError: The trees of the store cannot be used or made there.
    """
    with suppress(OSError, ValueError):
        if read_json(path / _TRIED) == _surroundings(path):
            return
    problem = _try(path, privilege)
    if backend == "overlay" and problem:
        raise StoreError(
            f"the store {path} keeps trees as layers, and overlay file systems do not work there: "
            f"{problem}",
            remedy="Move it back to the file system on which it was made, or name another "
            "directory: the setting `store`, or KIWINB_STORE.",
        )


def _check_place(path: Path) -> None:
    """Find out whether a store can be at a path.

    Raises:
        StoreError: The path is too long, or its file system is mounted read-only.
    """
    length = len(os.fsencode(path))
    if length > LONGEST_PATH:
        raise StoreError(
            f"the path of the checkpoint store has {length} bytes, and {LONGEST_PATH} are the "
            f"most: {path}",
            remedy="Choose a directory with a shorter path.",
        )
    with suppress(OSError):
        there = next(item for item in (path, *path.parents) if item.exists())
        if os.statvfs(there).f_flag & os.ST_RDONLY:
            raise StoreError(
                f"the file system of the checkpoint store {path} is mounted read-only",
                remedy="Mount it for writing, or name another directory: the setting `store`, or "
                "KIWINB_STORE.",
            )


def _renew(path: Path, privilege: Privilege) -> None:
    """Empty a store whose format this kiwinb does not read; leave any other directory alone.

    Raises:
        StoreError: A build uses the store.
    """
    file = path / _FILE
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
        description = read_json(file)
        found, owner = description["format"], (description["rootless"], description["uid"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return str(found) if found != FORMAT and owner == (privilege.rootless, os.getuid()) else None


def _read_description(
    path: Path, privilege: Privilege, backend: BackendName | None
) -> tuple[BackendName, bytes]:
    try:
        data = read_json(path / _FILE)
        _check_owner(path, privilege, (data["rootless"], data["uid"]))
        description: Description = from_json(data, Description)
        secret = bytes.fromhex(description.secret)
        if len(secret) != _SECRET_BYTES or description.format != FORMAT:
            raise ValueError("it has no secret")
    except OSError as error:
        _explain_owner(path, privilege)
        raise StoreError(
            f"cannot read the store: {error}", remedy="Use a store of your own."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path}/{_FILE} is damaged: {error}", remedy="Remove the store and build again."
        ) from error
    if backend is not None and backend != description.backend:
        raise StoreError(
            f"the store {path} keeps trees with the backend {description.backend}, not {backend}",
            remedy="Use another directory for the store, or its own backend.",
        )
    return description.backend, secret


def _explain_owner(path: Path, privilege: Privilege) -> None:
    """Raise the error about the owner if another user's store cannot be read.

    Raises:
        StoreError: The directory belongs to another user.
    """
    with suppress(OSError):
        uid = path.stat().st_uid
        if uid != os.getuid() and stat.S_IMODE(path.stat().st_mode) == 0o700:
            _check_owner(path, privilege, (uid != 0, uid))


def _check_owner(path: Path, privilege: Privilege, owner: tuple[object, object]) -> None:
    if owner != (privilege.rootless, os.getuid()):
        raise StoreError(
            f"the store {path} is that of user {owner[1]} ({mode(bool(owner[0]))}); "
            f"this process is user {os.getuid()} ({mode(privilege.rootless)})",
            remedy="Use a store of your own; owners of files differ between the two.",
        )
