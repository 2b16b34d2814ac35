"""Find the kernel of a root tree and its initrd."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kiwinb.distributions import find_in_tree
from kiwinb.errors import ImageError
from kiwinb.sandbox.paths import resolve_in
from kiwinb.steps.registry import Used


@dataclass(frozen=True)
class Kernel:
    """A kernel in ``/boot``.

    Attributes:
        version: Version, as ``uname -r`` prints it.
        file: File name in ``/boot``.
        initrd: File name of the initrd in ``/boot``; ``None`` if the kernel starts without one.
    """

    version: str
    file: str
    initrd: str | None


def find_kernel(root: Path, *, initrd: bool, distributions: Sequence[Used] = ()) -> Kernel:
    """Find the newest kernel.

    Args:
        root: The tree.
        initrd: Whether the kernel needs an initrd.
        distributions: The distributions that the tree may be of; all if empty.

    Raises:
        ImageError: There is no kernel, or no initrd for it, or kiwinb does not know the
            distribution of the tree and so the names of these files.
    """
    distribution = find_in_tree(root, distributions)
    boot = resolve_in(root, "/boot")
    names = {path.name for path in boot.iterdir()} if boot.is_dir() else set()
    found = {name: version for name in names if (version := distribution.kernel_version(name))}
    if not found:
        raise ImageError(
            "the root tree has no kernel in /boot",
            remedy=f"add a kernel to <packages>, for example {distribution.packages.kernel}",
        )
    newest = max(found, key=lambda name: (_order(found[name]), name))
    version = found[newest]
    images = [name for form in distribution.initrds if (name := form.format(version)) in names]
    if initrd and not images:
        wanted = dict.fromkeys((distribution.packages.initrd, distribution.packages.dracut))
        raise ImageError(
            f"the root tree has no initrd for the kernel {version} in /boot",
            remedy=f"add {' or '.join(wanted)} to <packages>; it makes one for each kernel",
        )
    return Kernel(version, newest, images[0] if initrd else None)


def _order(version: str) -> list[tuple[int, int, str]]:
    """Return a sort key that places 6.10 after 6.9."""
    parts = re.findall(r"\d+|[^\d.\-_+]+", version)
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts]
