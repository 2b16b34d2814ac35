"""Put the kernels of the root tree into ``/boot``, and build the initrd of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from kiwinb.distributions import find_in_tree
from kiwinb.distributions.kernels import MODULES, find_kernels, put_in_boot
from kiwinb.errors import ImageError
from kiwinb.initrd import INITRD_TOOLS
from kiwinb.sandbox.chroot import Chroot
from kiwinb.sandbox.tree_files import names_in
from kiwinb.steps.registry import Used
from kiwinb.steps.step import Output, StepContext


@dataclass(frozen=True)
class BuildInitrd:
    """Build an initrd for each kernel, with a tool of the tree.

    A kernel that is only in the directory of its modules is copied to ``/boot`` before.

    Attributes:
        tools: The tools to choose from, the preferred one first; if empty, no initrd is built.
        epoch: Time of the files in the initrds, in seconds since 1970-01-01 UTC.
        distributions: The distributions that the tree may be of; see
            :func:`~kiwinb.distributions.find_in_tree`.
    """

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 3
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
        if not names_in(root, MODULES):
            return
        distribution = find_in_tree(root, self.distributions)
        kernels = [item for item in find_kernels(root, distribution) if item.modules]
        for kernel in kernels:
            put_in_boot(root, kernel)
        if not self.tools:
            return
        candidates = [INITRD_TOOLS.get_used(used) for used in self.tools]
        tool = next((item for item in candidates if item.find(root)), None)
        with Chroot(root, log=context.log) as chroot:
            for kernel in kernels:
                if tool is None:
                    raise ImageError(
                        f"the root tree has the kernel {kernel.version} but no tool to build "
                        "its initrd",
                        remedy=f"Add the package {candidates[-1].package(distribution)}.",
                    )
                initrd = f"/boot/{distribution.initrd_name(kernel.label)}"
                tool.build(chroot, root, kernel.version, initrd, self.epoch)


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
