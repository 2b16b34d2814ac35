"""Find the kernel of a root tree and its initrd."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kiwinb.distributions import find_in_tree
from kiwinb.distributions.kernels import find_kernels
from kiwinb.errors import ImageError
from kiwinb.sandbox.paths import resolve_in
from kiwinb.sandbox.tree_files import names_in, read_in, write_in
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
    found = [kernel for kernel in find_kernels(root, distribution) if not kernel.source]
    if not found:
        raise ImageError(
            "the root tree has no kernel in /boot",
            remedy=f"add a kernel to <packages>, for example {distribution.packages.kernel}",
        )
    newest = max(found, key=lambda kernel: (_order(kernel.version), kernel.file))
    names = names_in(root, "/boot")
    images = (form.format(newest.label) for form in distribution.initrds)
    image = next((name for name in images if name in names), None)
    if initrd and image is None:
        wanted = dict.fromkeys((distribution.packages.initrd, distribution.packages.dracut))
        raise ImageError(
            f"the root tree has no initrd for the kernel {newest.version} in /boot",
            remedy=f"add {' or '.join(wanted)} to <packages>; it makes one for each kernel",
        )
    return Kernel(newest.version, newest.file, image if initrd else None)


def keep_in_boot(root: Path, kernel: Kernel) -> None:
    """Put a copy in the place of a kernel that is a link to a file elsewhere.

    A bootloader that finds ``/boot`` on a file system of its own could not follow the link. Such
    links are in the packages of openSUSE.

    Args:
        root: The tree.
        kernel: The kernel.

    Raises:
        ImageError: The link leads to no regular file.
    """
    boot, path = resolve_in(root, "/boot"), f"/boot/{kernel.file}"
    link = resolve_in(root, path, follow_last=False)
    if link.is_symlink() and not resolve_in(root, path).is_relative_to(boot):
        content = read_in(root, path)
        link.unlink()
        write_in(root, path, content, mode=0o644)


def _order(version: str) -> list[tuple[int, int, str]]:
    """Return a sort key that places 6.10 after 6.9."""
    parts = re.findall(r"\d+|[^\d.\-_+]+", version)
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts]
