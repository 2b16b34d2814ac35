"""The kernels of a root tree, and their names in ``/boot``.

Distributions differ in who puts a kernel into ``/boot``, and under which name. Debian's package has
it there. Packages of Fedora, openSUSE and Arch Linux have it in the directory of its modules. From
there, a tool copies it (``kernel-install`` on Fedora, mkinitcpio on Arch Linux), or a link leads to
it (openSUSE). On Arch Linux, names in ``/boot`` do not have the version of the kernel but what the
file ``pkgbase`` in that directory says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from kiwinb.distributions.distribution import Distribution
from kiwinb.sandbox.paths import resolve_in
from kiwinb.sandbox.tree_files import names_in, read_in, read_text_in, write_in

MODULES = "/usr/lib/modules"
"""The directory that has one of modules for each kernel, which its version names."""

_LABEL_FILE = "pkgbase"
_LABEL = re.compile(r"[\w+.@-]+", re.ASCII)


@dataclass(frozen=True)
class TreeKernel:
    """A kernel of a root tree.

    Attributes:
        version: Version, as ``uname -r`` prints it.
        label: What stands in place of the version in names in ``/boot``; mostly the version.
        file: File name in ``/boot``.
        modules: Whether it has modules.
        source: Path in the tree of the same file among the modules, if ``/boot`` does not have it;
            else empty.
    """

    version: str
    label: str
    file: str
    modules: bool = True
    source: str = ""


def find_kernels(root: Path, distribution: Distribution) -> tuple[TreeKernel, ...]:
    """Find the kernels of a root tree, sorted by name of their modules.

    Where no kernel has modules, those in ``/boot`` count, sorted by name. Where some have, other
    files in ``/boot`` are no kernels to boot: on openSUSE, ``vmlinux-VERSION.gz`` is for debuggers.

    Args:
        root: The root tree.
        distribution: Its distribution.
    """
    there = names_in(root, "/boot")
    found = [_of_modules(root, distribution, version, there) for version in names_in(root, MODULES)]
    if kernels := tuple(kernel for kernel in found if kernel is not None):
        return kernels
    labels = ((name, distribution.kernel_version(name)) for name in there)
    return tuple(TreeKernel(label, label, name, modules=False) for name, label in labels if label)


def put_in_boot(root: Path, kernel: TreeKernel) -> None:
    """Copy a kernel from the directory of its modules to ``/boot``, if ``/boot`` does not have it.

    Args:
        root: The root tree.
        kernel: The kernel.

    Raises:
        ImageError: It is no regular file.
    """
    if kernel.source:
        write_in(root, f"/boot/{kernel.file}", read_in(root, kernel.source), mode=0o644)


def _of_modules(
    root: Path, distribution: Distribution, version: str, there: list[str]
) -> TreeKernel | None:
    home = f"{MODULES}/{version}"
    base = read_text_in(root, f"{home}/{_LABEL_FILE}").strip()
    labels = [version, base] if _LABEL.fullmatch(base) else [version]
    for form in distribution.kernels:
        for label in labels:
            if (name := form.format(label)) in there:
                return TreeKernel(version, label, name)
    for form in distribution.kernels:
        source = f"{home}/{form.partition('-')[0]}"
        if resolve_in(root, source).is_file():
            return TreeKernel(version, labels[-1], form.format(labels[-1]), source=source)
    return None
