"""Reuse the result of an action for another tree that is the same in everything the action read.

The layer that the action made fits on the other tree, too: the action looked up every place that
it changed, so both trees are the same in these places. A layer also contains directories that the
action did not change, only because it changed something in them. These *carried* directories get
the metadata that they have in the other tree.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kiwinb.checkpoints import logs
from kiwinb.checkpoints.backend import copy_tree, make_place
from kiwinb.checkpoints.checkpoint import Checkpoint
from kiwinb.checkpoints.drafts import READS, Draft, commit
from kiwinb.checkpoints.manifest import MANIFEST, read_rows, unpack
from kiwinb.checkpoints.overlay import PRIVATE, attributes, copy_attributes
from kiwinb.checkpoints.places import ABSENT, above, hash_file, short_digest
from kiwinb.checkpoints.reads import Changed, Reads, record, same
from kiwinb.checkpoints.trees import BACKENDS, TreeRef
from kiwinb.checkpoints.treescan import compare, scan, walk
from kiwinb.sandbox.observation import Observation
from kiwinb.typed_json import dumps, loads
from kiwinb.visible import visible

_ORIGIN = tuple(f"{prefix}origin" for prefix in PRIVATE)
_OPAQUE = tuple(f"{prefix}opaque" for prefix in PRIVATE)
_WHITEOUT = ("char", [0, 0])
_MOST_REASONS = 5


@dataclass(frozen=True)
class Earlier:
    """The result of the same action with another tree.

    Attributes:
        checkpoint: Metadata of the result.
        directory: Directory of its checkpoint in the store.
        layers: The layers of the tree that the action read; ``None`` if the store no longer has
            them.
    """

    checkpoint: Checkpoint
    directory: Path
    layers: tuple[Path, ...] | None


@dataclass(frozen=True)
class _Kept:
    """The part of an observation that is kept with the result.

    Attributes:
        reads: What the action read of the tree.
        carried: Directories in the layer that the action itself did not change.
    """

    reads: Reads
    carried: tuple[bytes, ...]


@dataclass(frozen=True)
class _KeptData:
    """The same in a file."""

    reads: str
    carried: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """An earlier result that is right for another tree, too.

    Attributes:
        earlier: The result.
        carried: Directories in its layer that the action itself did not change.
    """

    earlier: Earlier
    carried: tuple[bytes, ...]


def keep_reads(
    tree: TreeRef, draft: Draft, observation: Observation, log: Callable[[str], None]
) -> None:
    """Write what an action read of the tree into the draft of its result; runs in a worker.

    If it is not certain what the action read, the function writes nothing, and the log says why. It
    never fails, because the action has succeeded.

    Args:
        tree: The tree before the action.
        draft: The draft of the result.
        observation: The observation of the action, with paths as seen from inside the tree.
        log: Called with the reason.
    """
    reasons = observation.incomplete
    if not reasons:
        try:
            reasons = _keep_reads(tree, draft, observation)
        except Exception as error:
            with suppress(OSError):
                (draft.directory / READS).unlink()
            reasons = (str(error) or type(error).__name__,)
    if reasons:
        more = len(reasons) - _MOST_REASONS
        told = (*reasons[:_MOST_REASONS], *([f"and {more} more"] if more > 0 else []))
        log(visible(f"What this step read is not known for certain: {', '.join(told)}."))


def _keep_reads(tree: TreeRef, draft: Draft, observation: Observation) -> tuple[str, ...]:
    """Write what an action read, or return the reasons why this is not certain."""
    place = make_place(tree.mnt)
    carried: list[bytes] = []
    with BACKENDS[tree.backend].view(tree.layers, place) as root:
        reads = record(root, observation.accesses, observation.links)
        if draft.output == "tree":
            reasons = tuple(_unexplained(draft.directory / "data", root, reads, carried))
            if reasons:
                return reasons
    data = _KeptData(reads.to_json(), tuple(os.fsdecode(path) for path in carried))
    (draft.directory / READS).write_bytes(zlib.compress(dumps(data).encode(), 1))
    return ()


def _unexplained(layer: Path, root: Path, reads: Reads, carried: list[bytes]) -> Iterator[str]:
    """Yield reasons why changes in a layer do not follow from the reads.

    It also adds the carried directories of the layer to ``carried``.
    """
    for path, status in sorted(walk(os.fsencode(layer)), key=lambda item: item[0]):
        own = os.path.join(os.fsencode(layer), path)  # noqa: PTH118 - bytes
        place = os.path.join(os.fsencode(root), path)  # noqa: PTH118 - bytes
        state = reads.states.get(path)
        if stat.S_ISDIR(status.st_mode) and _is_carried(own, status, place):
            carried.append(path)
        elif state is None:
            if not any(reads.states.get(directory) == ABSENT for directory in above(path)):
                yield f"/{os.fsdecode(path)} changed, and was not looked up"
        elif (state.links or 1) > 1 and status.st_nlink > 1:
            yield f"/{os.fsdecode(path)} has hard links, and changed"


def _is_carried(own: bytes, status: os.stat_result, place: bytes) -> bool:
    """Whether a layer only carries a directory: its metadata is the same as in the tree below."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return (
            _metadata(status) == _metadata(os.lstat(place))
            and not any(name in _OPAQUE for name in os.listxattr(own))
            and attributes(own) == attributes(place)
        )
    return False


def _metadata(status: os.stat_result) -> tuple[int, ...]:
    return status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns


def find(
    tree: TreeRef,
    candidates: Sequence[Earlier],
    *,
    mtimes: bool,
    log: Callable[[str], None],
) -> Found | None:
    """Find an earlier result that is right for a tree, too; runs in a worker.

    Args:
        tree: The tree.
        candidates: Earlier results of the same action, the most promising one first.
        mtimes: Whether to compare modification times.
        log: Called with a line that says why the most promising result is not right, or why one
            cannot be compared.

    Returns:
        The result; ``None`` if there is none.
    """
    if not candidates:
        return None
    backend = BACKENDS[tree.backend]
    place = make_place(tree.mnt)
    with backend.view(tree.layers, place) as root:
        for candidate in candidates:
            kept = _read_kept(candidate)
            if kept is None or not (candidate.directory / "data").is_dir():
                continue
            changed, digests = None, dict[bytes, str]()
            if backend.stacked and candidate.layers is not None:
                changed, digests = _compare_layers(candidate.layers, tree.layers)

            def digest(path: Path, digests: dict[bytes, str] = digests) -> str:
                return digests.get(os.fsencode(path.relative_to(root))) or hash_file(path)

            try:
                differs = same(root, kept.reads, changed=changed, mtimes=mtimes, digest=digest)
            except (OSError, ValueError) as error:
                log(visible(f"What this step read when it ran before cannot be compared: {error}."))
                continue
            if differs is None:
                return Found(candidate, kept.carried)
            if candidate is candidates[0]:
                log(visible(f"{differs} has changed, which this step read when it ran before."))
    return None


def _read_kept(earlier: Earlier) -> _Kept | None:
    """Return what an earlier run read; ``None`` if the record is missing or damaged."""
    try:
        data = (earlier.directory / READS).read_bytes()
        if hashlib.sha256(data).hexdigest() != earlier.checkpoint.reads:
            return None
        kept: _KeptData = loads(zlib.decompress(data), _KeptData)
        carried = tuple(os.fsencode(path) for path in kept.carried)
        return _Kept(Reads.from_json(kept.reads), carried)
    except (OSError, ValueError, RecursionError, zlib.error):
        return None


def _compare_layers(
    one: Sequence[Path], other: Sequence[Path]
) -> tuple[Changed | None, dict[bytes, str]]:
    """Return where two trees may differ, and the digests of the second tree's files there.

    The places are ``None`` if a manifest cannot be read.
    """
    shared = 0
    while shared < min(len(one), len(other)) and one[shared] == other[shared]:
        shared += 1
    try:
        (paths, below, _), (more, more_below, digests) = map(_list, (one[shared:], other[shared:]))
    except (OSError, ValueError, KeyError, zlib.error):
        return None, {}
    return Changed(frozenset(paths | more), frozenset(below | more_below)), digests


def _list(layers: Sequence[Path]) -> tuple[set[bytes], set[bytes], dict[bytes, str]]:
    """List layers by their manifests.

    Returns:
        All paths in them; those which hide what layers below have there; the digests of files.
    """
    paths, hiding, digests = set[bytes](), set[bytes](), dict[bytes, str]()
    for entry in (row for layer in layers for row in read_rows(layer.parent)):
        path = entry["path"].encode("latin-1")
        path = b"" if path == b"." else path
        paths.add(path)
        is_whiteout = (entry["kind"], entry["device"]) == _WHITEOUT
        if is_whiteout or any(name in _OPAQUE for name, _value in entry["xattrs"]):
            hiding.add(path)
        if entry["sha256"]:
            digests[path] = short_digest(bytes.fromhex(entry["sha256"]))
    return paths, hiding, digests


def take_over(
    found: Found, tree: TreeRef, draft: Draft, log: Callable[[str], None]
) -> Checkpoint | None:
    """Commit a copy of an earlier result as the result for another tree; runs in a worker.

    Args:
        found: The result that :func:`find` returned.
        tree: The other tree.
        draft: The draft for the result.
        log: Called with a line that says why the result cannot be taken over.

    Returns:
        The checkpoint; ``None`` if the copy is not what the step made. The draft is empty then.
    """
    earlier = found.earlier
    data = draft.directory / "data"
    copy_tree(earlier.directory / "data", data)
    if problems := _damage(earlier, data):
        log(visible(f"The result of the earlier run is damaged, so it is not reused: {problems}."))
        shutil.rmtree(data)
        return None
    if draft.output == "tree":
        place = make_place(tree.mnt)
        with BACKENDS[tree.backend].view(tree.layers, place) as root:
            _fit(data, root, found.carried)
    shutil.copyfile(earlier.directory / READS, draft.directory / READS)
    logs.copy_log(earlier.directory, draft.directory)
    return commit(draft, earlier.checkpoint.seconds, reused=earlier.checkpoint.key)


def _damage(earlier: Earlier, copy: Path) -> str:
    """The first difference of a copy from the manifest of a result; empty if there is none."""
    manifest = (earlier.directory / MANIFEST).read_bytes()
    if hashlib.sha256(manifest).hexdigest() != earlier.checkpoint.manifest:
        return f"the checksum of {MANIFEST} is wrong"
    return next(iter(compare(unpack(manifest), scan(copy))), "")


def _fit(layer: Path, root: Path, carried: Sequence[bytes]) -> None:
    """Give the carried directories of a layer the metadata that they have in the tree below."""
    for path, _status in walk(os.fsencode(layer)):
        own = os.path.join(os.fsencode(layer), path)  # noqa: PTH118 - bytes
        for name in os.listxattr(own, follow_symlinks=False):
            if name in _ORIGIN:  # of a file in a layer that is not below this one
                os.removexattr(own, name, follow_symlinks=False)
    for path in sorted(carried, reverse=True):  # what is in a directory, before the directory
        directory = layer / os.fsdecode(path)
        if not directory.is_dir():  # an empty one, left out when the result was reused before
            continue
        if path and not any(directory.iterdir()):
            directory.rmdir()
        else:
            copy_attributes(root / os.fsdecode(path), directory)
