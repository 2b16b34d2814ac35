"""GRUB 2: its modules, its configuration and its loaders for BIOS and EFI, without a disk.

What ``grub-install`` does to devices is done to the tree: modules and BIOS boot code go to
GRUB's directory in ``/boot``, loaders for EFI to ``/boot/efi``. Tools and modules are the
tree's own where it has them, else the host's.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kiwinb.bootloader.grub2.config import (
    defaults,
    early_config,
    environment_block,
    filesystem_module,
    menu,
    on_boot_partition,
    signed_config,
    table_module,
)
from kiwinb.bootloader.kernel import find_kernel
from kiwinb.bootloader.setup import BootSetup
from kiwinb.errors import ImageError
from kiwinb.sandbox.chroot import Chroot
from kiwinb.sandbox.command import run
from kiwinb.sandbox.paths import resolve_in
from kiwinb.steps.step import StepContext

BIOS_PLATFORM = "i386-pc"

_EFI_PLATFORMS: Mapping[str, tuple[str, str, str]] = {
    "x86_64": ("x86_64-efi", "BOOTX64.EFI", "x64"),
    "aarch64": ("arm64-efi", "BOOTAA64.EFI", "aa64"),
}
"""By architecture: GRUB's platform, the name firmware looks for, the suffix of signed files."""

_PACKAGES = {
    BIOS_PLATFORM: "grub-pc-bin",
    "x86_64-efi": "grub-efi-amd64-bin",
    "arm64-efi": "grub-efi-arm64-bin",
}
_LIBRARIES = ("/usr/lib/grub", "/usr/lib/grub2", "/usr/share/grub2")
_MKIMAGE = ("grub-mkimage", "grub2-mkimage")
_COMMANDS = ("normal", "configfile", "search_fs_uuid", "test", "echo", "linux", "all_video")
_HOST_LIBRARY = Path("/usr/lib/grub")


@dataclass(frozen=True)
class Grub2:
    """See :class:`~kiwinb.bootloader.setup.BootloaderMaker`."""

    name: str = "grub2"
    revision: int = 1

    def boot_code(self, setup: BootSetup) -> str | None:
        """Directory of the tree that has the boot code for a BIOS."""
        return f"/boot/grub/{BIOS_PLATFORM}" if setup.bios else None

    def configure(self, context: StepContext, setup: BootSetup) -> None:
        """Write ``grub.cfg``, ``grubenv`` and ``/etc/default/grub``."""
        root = context.root
        kernel = find_kernel(root, initrd=setup.initrd)
        context.log(f"kernel {kernel.version}, command line: {setup.kernel_options}")
        directory = resolve_in(root, "/boot/grub")
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "grub.cfg").write_text(menu(setup, kernel))
        (directory / "grub.cfg").chmod(0o600)
        (directory / "grubenv").write_bytes(environment_block(setup.settings.settings.environment))
        default = resolve_in(root, "/etc/default/grub")
        default.parent.mkdir(parents=True, exist_ok=True)
        default.write_text(defaults(setup, default.read_text() if default.exists() else ""))
        settings = setup.settings.settings
        for option in (*settings.installoption, *settings.configoption, *settings.shimoption):
            context.log(
                f"WARNING: {option.name} is not used: kiwinb calls neither grub-install, "
                "grub-mkconfig nor shim-install"
            )

    def install(self, context: StepContext, setup: BootSetup) -> None:
        """Put modules, BIOS boot code and EFI loaders into the tree."""
        if setup.bios:
            self._install_bios(context, setup)
        if setup.efi:
            if setup.arch not in _EFI_PLATFORMS:
                raise ImageError(f"GRUB for EFI on {setup.arch} is not something kiwinb makes")
            self._install_efi(context, setup)
        self._install_font(context.root)

    def _install_bios(self, context: StepContext, setup: BootSetup) -> None:
        modules = self._install_modules(context, BIOS_PLATFORM)
        target = resolve_in(context.root, f"/boot/grub/{BIOS_PLATFORM}")
        shutil.copyfile(modules / "boot.img", target / "boot.img")
        self._make_image(context, setup, BIOS_PLATFORM, modules, target / "core.img", ["biosdisk"])

    def _install_efi(self, context: StepContext, setup: BootSetup) -> None:
        platform, name, suffix = _EFI_PLATFORMS[setup.arch]
        target = resolve_in(context.root, "/boot/efi/EFI/BOOT")
        target.mkdir(parents=True, exist_ok=True)
        if setup.secure and self._install_signed(context, setup, platform, target / name, suffix):
            return
        modules = self._install_modules(context, platform)
        more = [*_COMMANDS, "part_gpt", "part_msdos", "fat"]
        self._make_image(context, setup, platform, modules, target / name, more)

    def _install_signed(
        self, context: StepContext, setup: BootSetup, platform: str, loader: Path, suffix: str
    ) -> bool:
        """Take shim and GRUB as the distribution signed them; false if the tree has none."""
        root = context.root
        shim = resolve_in(root, f"/usr/lib/shim/shim{suffix}.efi.signed")
        grub = resolve_in(root, f"/usr/lib/grub/{platform}-signed/grub{suffix}.efi.signed")
        if not (shim.exists() and grub.exists()):
            context.log(
                "WARNING: the image will not boot with secure boot on: the root tree lacks "
                "shim-signed or GRUB's signed loader (grub-efi-amd64-signed)"
            )
            return False
        shutil.copyfile(shim, loader)
        shutil.copyfile(grub, loader.with_name(f"grub{suffix}.efi"))
        manager = resolve_in(root, f"/usr/lib/shim/mm{suffix}.efi.signed")
        if manager.exists():
            shutil.copyfile(manager, loader.with_name(f"mm{suffix}.efi"))
        vendor = resolve_in(root, f"/boot/efi/EFI/{_vendor(root)}")
        vendor.mkdir(parents=True, exist_ok=True)
        (vendor / "grub.cfg").write_text(signed_config(setup.layout, "/boot/grub"))
        if (directory := _platform_directory(root, platform)) is not None:
            self._copy_modules(directory, resolve_in(root, f"/boot/grub/{platform}"))
        return True

    def _install_modules(self, context: StepContext, platform: str) -> Path:
        """Copy a platform's modules to GRUB's directory in the tree; where they are from."""
        source = _platform_directory(context.root, platform)
        if source is None:
            source = _HOST_LIBRARY / platform
            if not source.is_dir():
                raise ImageError(
                    f"neither the root tree nor this host has GRUB for {platform}",
                    remedy=f"add {_PACKAGES[platform]} to <packages>, or install it on this host",
                )
            context.log(f"the root tree has no GRUB for {platform}: taking this host's")
        self._copy_modules(source, resolve_in(context.root, f"/boot/grub/{platform}"))
        return source

    def _copy_modules(self, source: Path, target: Path) -> None:
        target.mkdir(parents=True, exist_ok=True)
        for path in sorted(source.iterdir()):
            if path.suffix in (".mod", ".lst"):
                shutil.copyfile(path, target / path.name)

    def _make_image(
        self,
        context: StepContext,
        setup: BootSetup,
        platform: str,
        modules: Path,
        result: Path,
        more: list[str],
    ) -> None:
        """Link GRUB's kernel and the modules it needs to find its directory."""
        layout = setup.layout
        names = [*more, table_module(layout), filesystem_module(layout.boot), "search_fs_uuid"]
        prefix = on_boot_partition(layout, "/boot/grub")
        tool = _tree_tool(context.root)
        inside = tool is not None and modules.is_relative_to(context.root)
        base = resolve_in(context.root, "/tmp") if inside else Path(tempfile.gettempdir())
        base.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=base) as scratch:
            config, image = Path(scratch, "early.cfg"), Path(scratch, "image")
            config.write_text(early_config(layout, "/boot/grub"))

            def seen(path: Path) -> str:
                return f"/{path.relative_to(context.root)}" if inside else str(path)

            argv = [
                *("--format", platform),
                *("--directory", seen(modules)),
                *("--config", seen(config)),
                *("--prefix", prefix),
                *("--output", seen(image)),
                *dict.fromkeys(names),
            ]
            if inside:
                assert tool is not None
                with Chroot(context.root, log=context.log) as chroot:
                    chroot.run([tool, *argv])
            else:
                run([_MKIMAGE[0], *argv], log=context.log)
            shutil.copyfile(image, result)

    def _install_font(self, root: Path) -> None:
        font = resolve_in(root, "/usr/share/grub/unicode.pf2")
        if font.exists():
            target = resolve_in(root, "/boot/grub/fonts")
            target.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(font, target / font.name)


def _platform_directory(root: Path, platform: str) -> Path | None:
    """Where a tree has GRUB's modules for a platform."""
    for library in _LIBRARIES:
        directory = resolve_in(root, f"{library}/{platform}")
        if (directory / "moddep.lst").exists():
            return directory
    return None


def _tree_tool(root: Path) -> str | None:
    for directory in ("/usr/bin", "/usr/sbin"):
        for name in _MKIMAGE:
            if resolve_in(root, f"{directory}/{name}").exists():
                return f"{directory}/{name}"
    return None


def _vendor(root: Path) -> str:
    """The directory of the EFI system partition that the distribution's GRUB looks into."""
    release = resolve_in(root, "/etc/os-release")
    for line in release.read_text().splitlines() if release.exists() else ():
        if line.startswith("ID="):
            return line[3:].strip("\"'")
    return "debian"
