"""The service that grows the root partition and its file system to the size of the disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kiwinb.errors import ImageError
from kiwinb.sandbox.paths import resolve_in

_SERVICE = "kiwinb-oem-resize.service"
_SCRIPT = "/usr/lib/kiwinb/oem-resize"
_DONE = "/var/lib/kiwinb/oem-resize.done"

_UNIT = """\
[Unit]
Description=Grow the root partition and its file system to the size of the disk
DefaultDependencies=no
Wants=systemd-udevd.service
After=local-fs.target systemd-udevd.service
Before=sysinit.target shutdown.target
Conflicts=shutdown.target
{condition}
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={script}

[Install]
WantedBy=sysinit.target
"""

_TEXT = """\
#!/bin/sh
# Grow the root partition, the last one of the disk, and its file system.
set -eu

limit={limit}   # size of the root partition in MiB; 0: all there is
done={done}

device=$(readlink -f "$(findmnt --noheadings --nofsroot --output SOURCE /)")
name=${{device##*/}}
number=$(cat "/sys/class/block/$name/partition")
disk=$(basename "$(readlink -f "/sys/class/block/$name/..")")

start=$(cat "/sys/class/block/$name/start")
size=$(cat "/sys/class/block/$name/size")
end=$(cat "/sys/class/block/$disk/size")
room=$((end - start - 2048))
if [ "$limit" -gt 0 ] && [ $((limit * 2048)) -lt "$room" ]; then
    room=$((limit * 2048))
fi
if [ "$room" -gt $((size + 2048)) ]; then
    sector=$(cat "/sys/class/block/$disk/queue/logical_block_size")
    echo "growing $device to $((room / 2048)) MiB"
    echo ", $((room / 2048 * 1048576 / sector))" |
        sfdisk --quiet --no-reread --no-tell-kernel --force -N "$number" "/dev/$disk"
    partx --update --nr "$number" "/dev/$disk"
fi
{grow}
mkdir -p "${{done%/*}}"
: >"$done"
"""

_GROWFS = "/usr/lib/systemd/systemd-growfs"


@dataclass(frozen=True)
class Resize:
    """What the first boot, or each boot, does to the size of the root partition.

    Attributes:
        wanted: ``False`` for nothing; ``None`` when the description does not say.
        once: Only at the first boot.
        limit: Size in MiB that it does not grow beyond; ``None`` for all there is.
        filesystem: Of the root partition, as ``FILESYSTEMS`` names it.
    """

    wanted: bool | None
    once: bool
    limit: int | None
    filesystem: str


def install_resize(root: Path, resize: Resize, log: Callable[[str], None]) -> None:
    """Put the service into a tree.

    Raises:
        ImageError: The description asks for it, and the tree lacks what it takes.
    """
    if resize.wanted is False:
        return
    grow = _grow_command(root, resize.filesystem)
    lacks = [
        package
        for tool, package in (
            ("systemctl", "systemd"),
            ("sfdisk", "fdisk"),
            ("partx", "util-linux"),
            ("findmnt", "util-linux"),
        )
        if not _has(root, tool)
    ]
    if grow is None:
        lacks.append(
            {"xfs": "xfsprogs", "btrfs": "btrfs-progs"}.get(resize.filesystem, "e2fsprogs")
        )
    if lacks:
        names = ", ".join(dict.fromkeys(lacks))
        if resize.wanted:
            raise ImageError(
                "oem-resize is on, and the root tree lacks the tools to grow the root partition",
                remedy=f"add to <packages>: {names}; or set <oem-resize> to false",
            )
        log(f"WARNING: the image will not grow to its disk at the first boot: it lacks {names}")
        return
    condition = f"ConditionPathExists=!{_DONE}\n" if resize.once else ""
    _write(root, f"/usr/lib/systemd/system/{_SERVICE}", 0o644).write_text(
        _UNIT.format(condition=condition, script=_SCRIPT)
    )
    _write(root, _SCRIPT, 0o755).write_text(
        _TEXT.format(limit=resize.limit or 0, done=_DONE, grow=grow)
    )
    wants = resolve_in(root, "/etc/systemd/system/sysinit.target.wants")
    wants.mkdir(parents=True, exist_ok=True)
    link = wants / _SERVICE
    link.unlink(missing_ok=True)
    link.symlink_to(f"/usr/lib/systemd/system/{_SERVICE}")


def _grow_command(root: Path, filesystem: str) -> str | None:
    if resolve_in(root, _GROWFS).exists():
        return f"{_GROWFS} /"
    tool, command = {
        "xfs": ("xfs_growfs", "xfs_growfs /"),
        "btrfs": ("btrfs", "btrfs filesystem resize max /"),
    }.get(filesystem, ("resize2fs", 'resize2fs "$device"'))
    return command if _has(root, tool) else None


def _has(root: Path, tool: str) -> bool:
    directories = ("/usr/bin", "/usr/sbin", "/bin", "/sbin")
    return any(resolve_in(root, f"{directory}/{tool}").exists() for directory in directories)


def _write(root: Path, path: str, mode: int) -> Path:
    place = resolve_in(root, path)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    place.touch()
    place.chmod(mode)
    return place
