"""Install a service that grows the root partition and its file system to the size of the disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kiwinb.errors import ImageError
from kiwinb.sandbox.paths import resolve_in
from kiwinb.storage.filesystem.spec import Growth

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
while below=$(ls "/sys/class/block/$name/slaves" 2>/dev/null) && [ -n "$below" ]; do
    name=${{below%%[!a-zA-Z0-9_-]*}}   # what the device is made of, down to the partition
done
partition=/dev/$name
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
    echo "growing $partition to $((room / 2048)) MiB"
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
    """How the running system resizes its root partition when it boots.

    Attributes:
        wanted: Whether it resizes the partition; ``None`` if the description does not say, which
            means yes if the tree has the tools.
        once: Whether it does so only at the first boot.
        limit: Largest size in MiB; ``None`` for the whole disk.
        growths: How each node in the partition grows, from the outermost to the file system;
            ``None`` for a node that cannot grow.
    """

    wanted: bool | None
    once: bool
    limit: int | None
    growths: tuple[Growth | None, ...] = ()


def install_resize(root: Path, resize: Resize, log: Callable[[str], None]) -> None:
    """Install the service into a tree.

    Raises:
        ImageError: The description asks for it, but the tree lacks programs that it needs.
    """
    if resize.wanted is False:
        return
    commands, missing = _grow_commands(root, resize.growths)
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
    lacks += missing
    if lacks:
        names = ", ".join(dict.fromkeys(lacks))
        if resize.wanted:
            raise ImageError(
                "oem-resize is on, but the root tree lacks the tools to grow the root partition",
                remedy=f"add to <packages>: {names}; or set <oem-resize> to false",
            )
        log(f"WARNING: the image will not grow to its disk at the first boot: it lacks {names}")
        return
    condition = f"ConditionPathExists=!{_DONE}\n" if resize.once else ""
    _write(root, f"/usr/lib/systemd/system/{_SERVICE}", 0o644).write_text(
        _UNIT.format(condition=condition, script=_SCRIPT)
    )
    _write(root, _SCRIPT, 0o755).write_text(
        _TEXT.format(limit=resize.limit or 0, done=_DONE, grow="\n".join(commands))
    )
    wants = resolve_in(root, "/etc/systemd/system/sysinit.target.wants")
    wants.mkdir(parents=True, exist_ok=True)
    link = wants / _SERVICE
    link.unlink(missing_ok=True)
    link.symlink_to(f"/usr/lib/systemd/system/{_SERVICE}")


def _grow_commands(root: Path, growths: tuple[Growth | None, ...]) -> tuple[list[str], list[str]]:
    """Return the commands that grow the nodes in the partition, and the missing packages."""
    commands, missing = [], []
    *around, files = growths or (None,)
    for growth in around:
        if growth is not None and _has(root, growth.tool):
            commands.append(growth.command)
        elif growth is not None:
            missing.append(growth.package)
    if files is not None and resolve_in(root, _GROWFS).exists():
        commands.append(f"{_GROWFS} /")
    elif files is not None and _has(root, files.tool):
        commands.append(files.command)
    elif files is not None:
        missing.append(files.package)
    return commands, missing


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
