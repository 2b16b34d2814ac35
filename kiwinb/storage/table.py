"""Write the partition table of a disk as a script for sfdisk."""

from __future__ import annotations

from kiwinb.sizes import MIB
from kiwinb.storage.disk import PRIMARY, DiskLayout


def sfdisk_script(
    layout: DiskLayout, starts: dict[str, int], sizes: dict[str, int], active: str | None
) -> str:
    """Return the script from which sfdisk or fdisk writes the partition table.

    Args:
        layout: The disk.
        starts: Offset of each partition by key, in bytes.
        sizes: Size of each partition by key, in bytes.
        active: Key of the partition that an MBR marks as active; ``None`` for none.
    """
    sector = layout.sector_size
    lines = ["unit: sectors"]
    if layout.table == "gpt":
        lines += ["label: gpt", f"label-id: {layout.uuid.upper()}"]
        if layout.start < 2048:
            lines.append(f"first-lba: {min(layout.start, 34 if sector == 512 else 6)}")
    else:
        lines += ["label: dos", f"label-id: 0x{layout.signature}"]
    lines.append("")
    for index, partition in enumerate(layout.partitions):
        start, size = starts[partition.key], sizes[partition.key]
        if layout.extended and index == PRIMARY:
            last = layout.partitions[-1].key
            lines.append(_line(4, start - MIB, starts[last] + sizes[last], sector, "type=5"))
        text = f"type={partition.type}"
        if layout.table == "gpt":
            text += f', uuid={partition.uuid.upper()}, name="{partition.name}"'
        elif partition.key == active:
            text += ", bootable"
        lines.append(_line(partition.number, start, start + size, sector, text))
    return "\n".join(lines) + "\n"


def _line(number: int, start: int, end: int, sector: int, text: str) -> str:
    return f"{number} : start={start // sector}, size={(end - start) // sector}, {text}"
