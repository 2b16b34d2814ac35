"""The initrd of each kernel in the root tree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from kiwinb.errors import ImageError
from kiwinb.sandbox.chroot import Chroot
from kiwinb.sandbox.paths import resolve_in
from kiwinb.steps.step import Output, StepContext


@dataclass(frozen=True)
class BuildInitrd:
    """Build an initrd for each kernel, with the tree's own initramfs-tools or dracut.

    Attributes:
        system: ``initrd_system`` of the type; what the tree has when ``None``.
        epoch: Time of the files in it, in seconds since 1970-01-01 UTC.
    """

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    system: str | None
    epoch: int

    def run(self, context: StepContext) -> None:
        """Build them; there is nothing to do when there is no kernel."""
        if self.system == "none":
            return
        modules = resolve_in(context.root, "/usr/lib/modules")
        kernels = sorted(
            path.name
            for path in (modules.iterdir() if modules.is_dir() else ())
            if (context.root / f"boot/vmlinuz-{path.name}").exists()
        )
        has = {
            name: resolve_in(context.root, f"/usr/{place}/{name}").exists()
            for name, place in (("update-initramfs", "sbin"), ("dracut", "bin"))
        }
        env = {"SOURCE_DATE_EPOCH": str(self.epoch)}
        with Chroot(context.root, log=context.log) as chroot:
            for kernel in kernels:
                initrd = f"/boot/initrd.img-{kernel}"
                if has["dracut"] and self.system in (None, "dracut", "kiwi"):
                    options = ["--force", "--no-hostonly", "--reproducible"]
                    chroot.run(["dracut", *options, initrd, kernel], env=env)
                elif has["update-initramfs"] and self.system != "dracut":
                    resolve_in(context.root, initrd).unlink(missing_ok=True)
                    chroot.run(["update-initramfs", "-c", "-k", kernel], env=env)
                else:
                    raise ImageError(
                        f"the root tree has the kernel {kernel} but no tool to build its initrd",
                        remedy="Add the package "
                        + ("dracut." if self.system == "dracut" else "initramfs-tools."),
                    )
