"""Read a disk with partitions as the tree that the system on it would mount."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
import pandas as pd

from kiwinb.errors import InspectError
from kiwinb.inspect.formats import partitions
from kiwinb.inspect.formats.btrfs import BtrfsTree
from kiwinb.inspect.formats.indexed import IndexedTree, Volume
from kiwinb.inspect.formats.partitions import Partition
from kiwinb.inspect.formats.signatures import identify, locked
from kiwinb.inspect.formats.window import Window, reading
from kiwinb.inspect.table import Table
from kiwinb.inspect.tree import COLUMNS, Tree, table

T = TypeVar("T")

_FSTAB = "/etc/fstab"

Opener = Callable[[Window, str], IndexedTree | None]
"""Function that opens a file system; it returns ``None`` if there is no known one."""


@dataclass(frozen=True)
class Mount:
    """A file system and its mount point in the tree.

    Attributes:
        point: Absolute path.
        tree: The file system.
        partition: Number of its partition.
    """

    point: str
    tree: IndexedTree
    partition: int


class DiskTree(Tree):
    """A disk whose partitions are combined as ``/etc/fstab`` on one of them says.

    If no partition has an ``/etc/fstab``, the partition that is marked as root is the tree, or else
    the only file system. Otherwise, all file systems become directories of the tree, such as
    ``/partition-1``.

    Args:
        window: The disk.
        name: Name in messages.
        opener: Function that opens file systems.
    """

    what = "a disk with partitions"

    def __init__(self, window: Window, name: str, opener: Opener) -> None:
        self.name = name
        self._window = window
        self._opener = opener
        with reading(name, self.what):
            self._layout = partitions.read(window)

    # --- partitions and volumes ---

    @cached_property
    def _filesystems(self) -> Mapping[int, IndexedTree]:
        """File systems, by number of the partition."""
        found = {}
        for partition in self._layout.partitions:
            window = self._stretch(partition)
            if window is not None and locked(window) is None:
                tree = self._opener(window, f"partition {partition.number} of {self.name}")
                if tree is not None:
                    found[partition.number] = tree
        return found

    def _stretch(self, partition: Partition) -> Window | None:
        if partition.start >= self._window.size:
            return None
        return self._window.part(partition.start, partition.size)

    @cached_property
    def _volumes(self) -> Mapping[int, Volume]:
        found: dict[int, Volume] = {}
        for partition in self._layout.partitions:
            tree = self._filesystems.get(partition.number)
            if tree is not None:
                with reading(tree.name, tree.what):
                    volume = tree.volume
                if volume is not None:
                    found[partition.number] = volume
            elif (window := self._stretch(partition)) is not None and (known := identify(window)):
                found[partition.number] = known[1]
        return found

    @cached_property
    def mounts(self) -> tuple[Mount, ...]:
        """The file systems of the tree, with outer ones before inner ones."""
        trees = self._filesystems
        if not trees:
            raise InspectError(
                f"{self.name} has no partition with files that can be read",
                remedy=self._why_nothing(),
            )
        roots = [number for number, tree in trees.items() if tree.found([_FSTAB])]
        if not roots:
            roots = [p.number for p in self._layout.partitions if p.role == "root"]
            roots = [number for number in roots if number in trees]
        if not roots:
            if len(trees) == 1:
                return tuple(Mount("/", tree, number) for number, tree in trees.items())
            return tuple(Mount(f"/partition-{n}", tree, n) for n, tree in trees.items())
        root = Mount("/", trees[roots[0]], roots[0])
        found = {"/": root}
        for spec, point, options in _fstab(root.tree):
            number = self._named(spec)
            if number is None or number not in trees or point == "/":
                continue
            tree = trees[number]
            if isinstance(tree, BtrfsTree) and (subvolume := options.get("subvol")):
                tree = tree.subvolume(subvolume)
            point = root.tree.resolved(point)
            found[point] = Mount(point, tree, number)
        mounted = {mount.partition for mount in found.values()}
        for partition in self._layout.partitions:
            if partition.role == "esp" and partition.number in trees.keys() - mounted:
                places = map(root.tree.resolved, ("/boot/efi", "/efi"))
                place = next((place for place in places if root.tree.exists(place)), "/efi")
                found.setdefault(place, Mount(place, trees[partition.number], partition.number))
        return tuple(found[point] for point in sorted(found))

    def _why_nothing(self) -> str:
        for partition in self._layout.partitions:
            window = self._stretch(partition)
            known = identify(window) if window is not None else None
            if known is not None and known[1].filesystem != "swap":
                return f"Partition {partition.number} is {known[0].what}. {known[0].remedy}"
        return "parts() lists what is on it."

    def _named(self, spec: str) -> int | None:
        """Find the partition that the first field of a line in fstab names."""
        tag, _, value = spec.partition("=")
        value = value.strip('"')
        if spec.startswith("/dev/disk/by-"):
            tag, _, value = spec.removeprefix("/dev/disk/by-").partition("/")
            tag = tag.upper()
        for partition in self._layout.partitions:
            volume = self._volumes.get(partition.number, Volume(""))
            own = {
                "UUID": volume.uuid.lower(),
                "LABEL": volume.label,
                "PARTUUID": partition.uuid.lower(),
                "PARTLABEL": partition.name,
            }.get(tag)
            wanted = value.lower() if tag.endswith("UUID") else value
            if own and own == wanted:
                return partition.number
            if spec.startswith("/dev/") and not spec.startswith(("/dev/disk", "/dev/mapper")):
                digits = spec[len(spec.rstrip("0123456789")) :]
                if digits and int(digits) == partition.number:
                    return partition.number
        return None

    def parts(self) -> pd.DataFrame:
        """List all parts of the image, in their order on the disk.

        Columns: ``number`` (0 if it is not a partition), ``role`` (``partition table``,
        ``unpartitioned``, or the purpose of the partition), ``name``, ``type`` (GUID, or byte of an
        MBR), ``start`` and ``size`` in bytes, ``filesystem``, ``label``, ``uuid``, ``used`` (bytes
        in use), ``files`` (bytes in use for files and directories; ``used`` - ``files`` is the
        overhead of the file system), ``free`` (bytes), ``mountpoint``. The sizes add up to the size
        of the image.
        """
        rows = []
        points = {mount.partition: mount.point for mount in reversed(self._safe_mounts())}
        for item in _stretches(self._layout, self._window.size):
            volume = self._volumes.get(item.number) if item.number else None
            row = {
                "number": item.number,
                "role": item.role,
                "name": item.name,
                "type": item.type if item.number else "",
                "start": item.start,
                "size": item.size,
                "filesystem": volume.filesystem if volume else "",
                "label": volume.label if volume else "",
                "uuid": volume.uuid if volume else "",
                "used": item.size if item.role != "unpartitioned" else 0,
                "files": 0,
                "mountpoint": "",
            }
            if volume:
                row["used"] = min(volume.used, item.size)
                row["files"] = self._files(item.number)
                row["mountpoint"] = points.get(item.number, "")
                if volume.filesystem == "swap":
                    row["mountpoint"] = "swap"
            row["free"] = int(str(row["size"])) - int(str(row["used"]))
            rows.append(row)
        order = ["number", "role", "name", "type", "start", "size", "filesystem", "label", "uuid"]
        return Table(rows, columns=[*order, "used", "files", "free", "mountpoint"])

    def _safe_mounts(self) -> tuple[Mount, ...]:
        with suppress(InspectError):
            return self.mounts
        return ()

    def _files(self, number: int) -> int:
        tree = self._filesystems.get(number)
        if tree is None:
            return 0
        found = tree.scan()
        return int(found.drop_duplicates("inode")["allocated"].sum())

    # --- the tree ---

    @cached_property
    def _table(self) -> pd.DataFrame:
        points = {mount.point for mount in self.mounts}
        pieces = []
        first = 0
        for mount in self.mounts:
            found = mount.tree.scan()
            hidden = [point for point in points if _under(point, mount.point)]
            keep = np.ones(len(found), bool)
            prefix = mount.point.rstrip("/")
            paths = [prefix + path if path != "/" else mount.point for path in found["path"]]
            for point in hidden:
                keep &= np.fromiter((not _at_or_under(p, point) for p in paths), bool, len(paths))
            number, inverse = np.unique(found["inode"].to_numpy(), return_inverse=True)
            if first:  # inode numbers have to differ between file systems
                found = found.assign(inode=inverse + first)
                first += len(number)
            else:
                first = int(number.max()) + 1 if number.max() < 1 << 62 else len(number)
                if number.max() >= 1 << 62:
                    found = found.assign(inode=inverse)
            pieces.append(found.assign(path=pd.Series(paths, dtype=object))[keep])
        joined = pd.concat(pieces, ignore_index=True)
        columns = {name: joined[name].to_numpy() for name in COLUMNS if name != "type"}
        return table({**columns, "type": pd.Categorical(joined["type"])})

    def scan(self) -> pd.DataFrame:
        """List the tree; see :meth:`kiwinb.inspect.tree.Tree.scan`."""
        return self._table.copy(deep=False)

    def _within(self, path: str) -> tuple[IndexedTree, str]:
        """Return the file system that holds a path, and the path in that file system."""
        for mount in reversed(self.mounts):
            if _at_or_under(path, mount.point):
                return mount.tree, "/" + path[len(mount.point) :].lstrip("/")
        raise InspectError(f"{self.name} has no entry {path}", remedy="scan() lists what it has.")

    def read(self, path: str, limit: int | None = None) -> bytes:
        """Read a file; see :meth:`kiwinb.inspect.tree.Tree.read`."""
        tree, inner = self._within(path)
        return tree.read(inner, limit)

    def exists(self, path: str) -> bool:
        """Tell whether there is a file of any kind at the path."""
        if path == "/":
            return True
        with suppress(InspectError):
            tree, inner = self._within(path)
            return tree.exists(inner)
        return False

    def read_many(self, paths: Sequence[str]) -> Mapping[str, bytes]:
        """Read several files, by path."""
        return self._each(paths, lambda tree, inner: tree.read_many(inner))

    def digests(self, paths: Sequence[str]) -> Mapping[str, str]:
        """Compute the digests of several files, by path."""
        return self._each(paths, lambda tree, inner: tree.digests(inner))

    def _each(
        self, paths: Sequence[str], ask: Callable[[Tree, Sequence[str]], Mapping[str, T]]
    ) -> Mapping[str, T]:
        by_tree: dict[int, tuple[Tree, list[tuple[str, str]]]] = {}
        for path in paths:
            tree, inner = self._within(path)
            by_tree.setdefault(id(tree), (tree, []))[1].append((path, inner))
        found = {}
        for one, pairs in by_tree.values():
            answers = ask(one, [inner for _path, inner in pairs])
            found.update({path: answers[inner] for path, inner in pairs})
        return {path: found[path] for path in paths}

    def close(self) -> None:
        """Close the file."""
        self._window.close()


def _under(path: str, directory: str) -> bool:
    return path != directory and _at_or_under(path, directory)


def _at_or_under(path: str, directory: str) -> bool:
    return directory == "/" or path == directory or path.startswith(f"{directory}/")


def _fstab(tree: Tree) -> list[tuple[str, str, Mapping[str, str]]]:
    """Return device, mount point and options of each mount in ``/etc/fstab``."""
    try:
        place = tree.found([_FSTAB])[_FSTAB]
        text = tree.read(place, 1 << 20).decode("utf-8", "surrogateescape")
    except (InspectError, KeyError):
        return []
    found: list[tuple[str, str, Mapping[str, str]]] = []
    for line in text.split("\n"):
        words = line.split()
        if len(words) >= 3 and not words[0].startswith("#") and words[1].startswith("/"):
            device, point = (_unescaped(word) for word in words[:2])
            options = dict(
                [*option.split("=", 1), ""][:2]
                for option in (words[3].split(",") if len(words) > 3 else [])
            )
            parts = [part for part in point.split("/") if part not in ("", ".", "..")]
            found.append((device, "/" + "/".join(parts), options))
    return found


def _unescaped(text: str) -> str:
    for code, character in (("040", " "), ("011", "\t"), ("012", "\n"), ("134", "\\")):
        text = text.replace(f"\\{code}", character)
    return text


def _stretches(layout: partitions.PartitionTable, size: int) -> list[Partition]:
    """Divide the whole disk into parts without gaps or overlaps."""
    table = [Partition(0, *taken, "partition table") for taken in layout.taken]
    known = sorted((*table, *layout.partitions), key=lambda item: (item.start, -item.number))
    found: list[Partition] = []
    at = 0
    for item in known:
        start, end = max(item.start, at), min(item.start + item.size, size)
        if end <= start:
            continue
        if start > at:
            found.append(Partition(0, at, start - at, "unpartitioned"))
        last = found[-1] if found else None
        if last and not item.number and last.type == "partition table" and start == at:
            found[-1] = replace(last, size=end - last.start)
        else:
            found.append(replace(item, start=start, size=end - start))
        at = end
    if at < size:
        found.append(Partition(0, at, size - at, "unpartitioned"))
    return found
