"""GRUB 2 for BIOS and EFI firmware, installed into a tree instead of onto a disk.

Modules and boot code for BIOS firmware go to GRUB's directory in ``/boot``; EFI programs go to the
files of the EFI system partition. ``grub-mkimage`` and the modules come from the tree if it has
them, otherwise from the host.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kiwinb.bootloader.grub2.bios import patches
from kiwinb.bootloader.grub2.config import (
    defaults,
    early_config,
    environment_block,
    menu,
    signed_config,
)
from kiwinb.bootloader.host import HostDirectory
from kiwinb.bootloader.kernel import find_kernel
from kiwinb.bootloader.target import BootFacts, BootTarget
from kiwinb.description.model import ImageDescription
from kiwinb.distributions import release
from kiwinb.errors import ImageError
from kiwinb.files import read_regular
from kiwinb.sandbox.chroot import Chroot
from kiwinb.sandbox.command import run
from kiwinb.sandbox.paths import anchored, resolve_in
from kiwinb.steps.step import StepContext
from kiwinb.storage.firmware import uses_bios, uses_efi
from kiwinb.storage.layout import DEFAULT_EFI_SIZE
from kiwinb.storage.patches import Patch

BIOS_PLATFORM = "i386-pc"

_EFI_PLATFORMS: Mapping[str, tuple[str, str, str]] = {
    "x86_64": ("x86_64-efi", "BOOTX64.EFI", "x64"),
    "aarch64": ("arm64-efi", "BOOTAA64.EFI", "aa64"),
}
"""GRUB's platform, the file that firmware starts, and the suffix of signed files, by architecture.
"""

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
    """See :class:`~kiwinb.bootloader.target.BootloaderMaker`."""

    name: str = "grub2"
    revision: int = 1
    honours: frozenset[str] = frozenset(
        {
            *("input_console", "output_console", "serial_line", "timeout", "timeout_style"),
            *("video_mode", "bootloadersettings"),
        }
    )
    boots_bios: bool = True
    embeds_code: bool = True
    keeps_environment: bool = True
    needs_filesystems: bool = False

    def esp_size(self, image: ImageDescription) -> int:
        """See :class:`~kiwinb.bootloader.target.BootloaderMaker`."""
        return DEFAULT_EFI_SIZE

    def host_directories(self, image: ImageDescription) -> Mapping[str, HostDirectory]:
        """Return the directories of GRUB's modules, by platform of the image."""
        platforms = [BIOS_PLATFORM] if uses_bios(image) else []
        if uses_efi(image) and image.arch in _EFI_PLATFORMS:
            platforms.append(_EFI_PLATFORMS[image.arch][0])
        return {name: HostDirectory(_HOST_LIBRARY / name, _PACKAGES[name]) for name in platforms}

    def configure(self, context: StepContext, target: BootTarget) -> None:
        """Write ``grub.cfg``, ``grubenv``, ``/etc/default/grub``, the modules and the core."""
        root = context.root
        kernel = find_kernel(root, initrd=target.initrd, distributions=target.distributions)
        context.log(f"kernel {kernel.version}, command line: {target.kernel_options}")
        directory = resolve_in(root, _directory(root, target))
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "grub.cfg").write_text(menu(target, kernel))
        (directory / "grub.cfg").chmod(0o600)
        (directory / "grubenv").write_bytes(environment_block(target.settings.settings.environment))
        default = resolve_in(root, "/etc/default/grub")
        default.parent.mkdir(parents=True, exist_ok=True)
        default.write_text(defaults(target, default.read_text() if default.exists() else ""))
        if target.core is not None:
            self._install_bios(context, target)
        if target.efi:
            self._install_efi_modules(context, target)
        self._install_font(root, target)

    def finalise(
        self, context: StepContext, target: BootTarget, facts: BootFacts, esp: Path
    ) -> tuple[Patch, ...]:
        """Write EFI programs to the EFI system partition; return boot code for BIOS firmware."""
        if target.efi:
            self._install_efi(context, target, esp)
        if target.core is None:
            return ()
        directory = resolve_in(context.root, f"{_directory(context.root, target)}/{BIOS_PLATFORM}")
        return patches(
            boot=(directory / "boot.img").read_bytes(),
            core=(directory / "core.img").read_bytes(),
            room=target.core,
        )

    def _install_bios(self, context: StepContext, target: BootTarget) -> None:
        modules = self._install_modules(context, target, BIOS_PLATFORM)
        place = resolve_in(context.root, f"{_directory(context.root, target)}/{BIOS_PLATFORM}")
        shutil.copyfile(modules / "boot.img", place / "boot.img")
        core = self._make_image(context, target, BIOS_PLATFORM, modules, ["biosdisk"])
        image = f"{_directory(context.root, target)}/{BIOS_PLATFORM}/core.img"
        resolve_in(context.root, image).write_bytes(core)

    def _install_efi_modules(self, context: StepContext, target: BootTarget) -> None:
        platform, _, _ = _efi_platform(target.arch)
        if not (target.secure and _signed(context.root, target.arch)):
            self._install_modules(context, target, platform)
        elif (source := _platform_directory(context.root, platform)) is not None:
            place = resolve_in(context.root, f"{_directory(context.root, target)}/{platform}")
            self._copy_modules(source, place)

    def _install_efi(self, context: StepContext, target: BootTarget, esp: Path) -> None:
        platform, name, _ = _efi_platform(target.arch)
        place = esp / "EFI/BOOT"
        place.mkdir(parents=True, exist_ok=True)
        if target.secure:
            if loaders := _signed(context.root, target.arch):
                self._install_signed(context, target, esp, loaders)
                return
            context.log(
                "WARNING: the image will not boot with secure boot on: the root tree lacks "
                "shim-signed or GRUB's signed loader (grub-efi-amd64-signed)"
            )
        modules = self._modules(context, target, platform)
        more = [*_COMMANDS, "part_gpt", "part_msdos", "fat"]
        (place / name).write_bytes(self._make_image(context, target, platform, modules, more))

    def _install_signed(
        self, context: StepContext, target: BootTarget, esp: Path, loaders: Mapping[str, Path]
    ) -> None:
        """Install the distribution's signed shim and GRUB."""
        root = context.root
        for name, source in loaders.items():
            shutil.copyfile(source, esp / "EFI/BOOT" / name)
        distribution = target.find_distribution(root)
        vendor = esp / "EFI" / distribution.efi_vendor(release(root).get("ID", distribution.name))
        vendor.mkdir(parents=True, exist_ok=True)
        (vendor / "grub.cfg").write_text(signed_config(target.boot, _directory(root, target)))

    def _modules(self, context: StepContext, target: BootTarget, platform: str) -> Path:
        """Find the directory of a platform's modules, in the tree or else on the host."""
        source = _platform_directory(context.root, platform) or target.host(platform)
        if source is None:
            raise ImageError(
                f"neither the root tree nor this host has GRUB for {platform}",
                remedy=f"add {_PACKAGES[platform]} to <packages>, or install it on this host",
            )
        return source

    def _install_modules(self, context: StepContext, target: BootTarget, platform: str) -> Path:
        """Copy a platform's modules to GRUB's directory in the tree; return their source."""
        source = self._modules(context, target, platform)
        if not source.is_relative_to(context.root):
            context.log(f"the root tree has no GRUB for {platform}: using this host's")
        place = resolve_in(context.root, f"{_directory(context.root, target)}/{platform}")
        self._copy_modules(source, place)
        return source

    def _copy_modules(self, source: Path, target: Path) -> None:
        target.mkdir(parents=True, exist_ok=True)
        for path in sorted(source.iterdir()):
            if path.suffix in (".mod", ".lst"):
                shutil.copyfile(path, target / path.name)

    def _make_image(
        self,
        context: StepContext,
        target: BootTarget,
        platform: str,
        modules: Path,
        more: list[str],
    ) -> bytes:
        """Make a core from GRUB's kernel and the modules with which it finds its directory."""
        boot, directory = target.boot, _directory(context.root, target)
        names = [*more, *boot.modules, "search_fs_uuid"]
        prefix = boot.path(directory)
        tool = _tree_tool(context.root)
        inside = tool is not None and modules.is_relative_to(context.root)
        base = resolve_in(context.root, "/tmp") if inside else Path(tempfile.gettempdir())
        base.mkdir(exist_ok=True)
        with (
            tempfile.TemporaryDirectory(dir=base, ignore_cleanup_errors=True) as scratch,
            anchored(Path(scratch)) as held,
        ):
            config, image = Path(scratch, "early.cfg"), Path(scratch, "image")
            config.write_text(early_config(boot, directory))

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
            return read_regular(held / image.name)

    def _install_font(self, root: Path, target: BootTarget) -> None:
        font = resolve_in(root, "/usr/share/grub/unicode.pf2")
        if font.exists():
            place = resolve_in(root, f"{_directory(root, target)}/fonts")
            place.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(font, place / font.name)


def _platform_directory(root: Path, platform: str) -> Path | None:
    """Find the directory of GRUB's modules for a platform in a tree; ``None`` if there is none."""
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


def _directory(root: Path, target: BootTarget) -> str:
    """Return GRUB's directory, in which the distribution of a tree keeps ``grub.cfg``."""
    return target.find_distribution(root).grub_directory


def _efi_platform(arch: str) -> tuple[str, str, str]:
    if arch not in _EFI_PLATFORMS:
        raise ImageError(f"kiwinb does not support GRUB for EFI on {arch}")
    return _EFI_PLATFORMS[arch]


def _signed(root: Path, arch: str) -> Mapping[str, Path]:
    """Find the signed programs of a tree, by file name in ``EFI/BOOT``; none if any is missing."""
    platform, name, suffix = _efi_platform(arch)
    found = {
        name: resolve_in(root, f"/usr/lib/shim/shim{suffix}.efi.signed"),
        f"grub{suffix}.efi": resolve_in(
            root, f"/usr/lib/grub/{platform}-signed/grub{suffix}.efi.signed"
        ),
    }
    if not all(path.exists() for path in found.values()):
        return {}
    manager = resolve_in(root, f"/usr/lib/shim/mm{suffix}.efi.signed")
    return {**found, f"mm{suffix}.efi": manager} if manager.exists() else found
