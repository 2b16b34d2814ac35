"""Build the initrd of each kernel in the root tree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from kiwinb.distributions import find_in_tree
from kiwinb.distributions.distribution import Distribution
from kiwinb.errors import ImageError
from kiwinb.initrd import INITRD_TOOLS
from kiwinb.sandbox.chroot import Chroot
from kiwinb.sandbox.paths import resolve_in
from kiwinb.steps.registry import Used
from kiwinb.steps.step import Output, StepContext


@dataclass(frozen=True)
class BuildInitrd:
    """Build an initrd for each kernel, with a tool of the tree.

    Attributes:
        tools: The tools to choose from, the preferred one first; if empty, no initrd is built.
        epoch: Time of the files in the initrds, in seconds since 1970-01-01 UTC.
        distributions: The distributions that the tree may be of; see
            :func:`~kiwinb.distributions.find_in_tree`.
    """

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 2
    observed: ClassVar[bool] = True
    reads_mtimes: ClassVar[bool] = True

    tools: tuple[Used, ...]
    epoch: int
    distributions: tuple[Used, ...] = ()

    def run(self, context: StepContext) -> None:
        """Build the initrds; do nothing if there is no kernel.

        Raises:
            ImageError: The tree has a kernel but none of the tools, or kiwinb does not know its
                distribution and so the names of kernels and initrds.
            CommandError: The tool failed.
        """
        root = context.root
        modules = resolve_in(root, "/usr/lib/modules")
        versions = sorted(path.name for path in modules.iterdir()) if modules.is_dir() else []
        if not versions or not self.tools:
            return
        distribution = find_in_tree(root, self.distributions)
        kernels = [version for version in versions if _has_kernel(root, distribution, version)]
        candidates = [INITRD_TOOLS.get_used(used) for used in self.tools]
        tool = next((item for item in candidates if item.find(root)), None)
        with Chroot(root, log=context.log) as chroot:
            for kernel in kernels:
                if tool is None:
                    raise ImageError(
                        f"the root tree has the kernel {kernel} but no tool to build its initrd",
                        remedy=f"Add the package {candidates[-1].package(distribution)}.",
                    )
                initrd = f"/boot/{distribution.initrd_name(kernel)}"
                tool.build(chroot, root, kernel, initrd, self.epoch)


def plan_initrd(
    system: str | None, epoch: int, distributions: tuple[Used, ...] = ()
) -> BuildInitrd:
    """Plan the action that builds the initrds of an image.

    Args:
        system: The ``initrd_system`` attribute of the ``<type>``.
        epoch: Time of the files in the initrds, in seconds since 1970-01-01 UTC.
        distributions: The distributions that the tree may be of.
    """
    names = INITRD_TOOLS.where(lambda tool: system in tool.systems)
    return BuildInitrd(tuple(INITRD_TOOLS.use(name) for name in names), epoch, distributions)


def _has_kernel(root: Path, distribution: Distribution, version: str) -> bool:
    names = (form.format(version) for form in distribution.kernels)
    return any(resolve_in(root, f"/boot/{name}").exists() for name in names)
