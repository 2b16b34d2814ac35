"""Write the texts of ``/etc/fstab`` and ``/etc/crypttab``, and the names of devices in them."""

from __future__ import annotations

from collections.abc import Iterator

from kiwinb.errors import ImageError
from kiwinb.storage.disk import DiskLayout, DiskPartition
from kiwinb.storage.filesystem import FILESYSTEMS
from kiwinb.storage.node import chain


def device_name(layout: DiskLayout, partition: DiskPartition, persistency: str | None) -> str:
    """Return the name by which fstab and the kernel find the file system of a partition.

    PARTUUID identifies only a file system that is directly in its partition; others are found by
    UUID instead. A file system without the requested UUID or label is found by PARTUUID.

    Args:
        layout: The disk.
        partition: The partition.
        persistency: ``by-uuid``, ``by-label`` or ``by-partuuid``; ``None`` means ``by-uuid``.

    Raises:
        ImageError: ``persistency`` has another value.
    """
    spec = partition.filesystem
    assert spec is not None
    maker = FILESYSTEMS.get_used(spec.kind)
    nameless = spec.label is None if persistency == "by-label" else not maker.has_uuid
    if (persistency == "by-partuuid" or nameless) and partition.files is partition.content:
        return f"PARTUUID={layout.partuuid(partition)}"
    if persistency == "by-label":
        return f"LABEL={_escaped(spec.label or '')}"
    if persistency not in (None, "by-uuid", "by-partuuid"):
        raise ImageError(f'devicepersistency="{persistency}" is not by-uuid, by-label, by-partuuid')
    return f"UUID={maker.identifier(spec.uuid)}"


def fstab(layout: DiskLayout, persistency: str | None, present: str = "") -> str:
    """Return the text of ``/etc/fstab``.

    Args:
        layout: The disk.
        persistency: See :func:`device_name`.
        present: Present text of fstab in the tree; entries for other mount points are kept.
    """
    ours = list(_entries(layout, persistency))
    taken = {entry[1] for entry in ours} - {"none"}
    kept = []
    for line in present.splitlines():
        words = line.split()
        entry = words and not words[0].startswith("#")
        if entry and not (len(words) > 1 and words[1] in taken):
            kept.append(line)
    lines = [" ".join(entry) for entry in ours]
    return "\n".join(lines + kept) + "\n"


def crypttab(layout: DiskLayout) -> str:
    """Return the text of ``/etc/crypttab``; empty if the system has no encrypted devices."""
    lines = (
        line
        for partition in layout.partitions
        if not partition.clone
        for node in chain(partition.content)
        for line in node.crypttab()
    )
    return "".join(f"{line}\n" for line in lines)


def _entries(layout: DiskLayout, persistency: str | None) -> Iterator[tuple[str, ...]]:
    mounted = [p for p in layout.partitions if p.mountpoint and not p.clone]
    for partition in sorted(mounted, key=lambda p: (p.mountpoint or "").split("/")):
        files = partition.files
        assert files is not None and files.mountpoint is not None
        maker = FILESYSTEMS.get_used(files.spec.kind)
        check = "0" if not maker.checked else "1" if partition.role == "root" else "2"
        yield (
            device_name(layout, partition, persistency),
            _escaped(files.mountpoint),
            maker.fstab_type,
            ",".join(files.options) or ("ro" if maker.read_only else "defaults"),
            "0",
            check,
        )
    for partition in layout.partitions:
        if partition.role == "swap" and partition.filesystem is not None:
            name = device_name(layout, partition, persistency)
            maker = FILESYSTEMS.get_used(partition.filesystem.kind)
            yield (name, "none", maker.fstab_type, "defaults", "0", "0")


def _escaped(text: str) -> str:
    """Escape blanks as fstab(5) says."""
    return text.replace("\\", "\\134").replace(" ", "\\040").replace("\t", "\\011")
