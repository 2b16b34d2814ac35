"""GRUB 2 for BIOS and EFI firmware, installed into a tree instead of onto a disk.

Modules and boot code for BIOS firmware go to GRUB's directory in ``/boot``; EFI programs go to the
files of the EFI system partition. ``grub-mkimage`` and the modules come from the tree if it has
them, otherwise from the host.
"""

from __future__ import annotations

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
from kiwinb.bootloader.kernel import find_kernel, keep_in_boot
from kiwinb.bootloader.target import BootFacts, BootTarget
from kiwinb.description.model import ImageDescription
from kiwinb.distributions import release_id
from kiwinb.errors import ImageError
from kiwinb.files import read_regular
from kiwinb.sandbox.chroot import Chroot
from kiwinb.sandbox.command import run
from kiwinb.sandbox.paths import anchored, resolve_in
from kiwinb.sandbox.tree_files import copy_out, names_in, read_in, read_text_in, write_in
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
_HOST = Path("/")
_DEFAULTS = "/etc/default/grub"
_FONTS = ("/usr/share/grub/unicode.pf2", "/usr/share/grub2/unicode.pf2")


@dataclass(frozen=True)
class Grub2:
    """See :class:`~kiwinb.bootloader.target.BootloaderMaker`."""

    name: str = "grub2"
    revision: int = 2
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
        if target.boot.own:
            keep_in_boot(root, kernel)
        directory = _directory(root, target)
        write_in(root, f"{directory}/grub.cfg", menu(target, kernel), mode=0o600)
        environment = environment_block(target.settings.settings.environment)
        write_in(root, f"{directory}/grubenv", environment)
        write_in(root, _DEFAULTS, defaults(target, read_text_in(root, _DEFAULTS)))
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
        directory = f"{_directory(context.root, target)}/{BIOS_PLATFORM}"
        return patches(
            boot=read_in(context.root, f"{directory}/boot.img"),
            core=read_in(context.root, f"{directory}/core.img"),
            room=target.core,
        )

    def _install_bios(self, context: StepContext, target: BootTarget) -> None:
        modules = self._install_modules(context, target, BIOS_PLATFORM)
        place = f"{_directory(context.root, target)}/{BIOS_PLATFORM}"
        write_in(context.root, f"{place}/boot.img", modules.read("boot.img"))
        core = self._make_image(context, target, BIOS_PLATFORM, modules, ["biosdisk"])
        write_in(context.root, f"{place}/core.img", core)

    def _install_efi_modules(self, context: StepContext, target: BootTarget) -> None:
        platform, _, _ = _efi_platform(target.arch)
        if not (target.secure and _signed(context.root, target.arch)):
            self._install_modules(context, target, platform)
        elif (modules := _modules_in(context.root, platform)) is not None:
            modules.copy(context.root, f"{_directory(context.root, target)}/{platform}")

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
        self, context: StepContext, target: BootTarget, esp: Path, loaders: Mapping[str, str]
    ) -> None:
        """Install the distribution's signed shim and GRUB."""
        root = context.root
        for name, source in loaders.items():
            copy_out(root, source, esp / "EFI/BOOT" / name)
        distribution = target.find_distribution(root)
        vendor = esp / "EFI" / distribution.efi_vendor(release_id(root, distribution))
        vendor.mkdir(parents=True, exist_ok=True)
        (vendor / "grub.cfg").write_text(signed_config(target.boot, _directory(root, target)))

    def _modules(self, context: StepContext, target: BootTarget, platform: str) -> _Modules:
        """Find a platform's modules, in the tree or else on the host."""
        found = _modules_in(context.root, platform)
        if found is None and (directory := target.host(platform)) is not None:
            found = _Modules(_HOST, str(directory))
        if found is None:
            own = _PACKAGES[platform]
            name = target.find_distribution(context.root).grub_packages.get(platform, own)
            raise ImageError(
                f"neither the root tree nor this host has GRUB for {platform}",
                remedy=f"add {name} to <packages>, or install {own} on this host",
            )
        return found

    def _install_modules(self, context: StepContext, target: BootTarget, platform: str) -> _Modules:
        """Copy a platform's modules to GRUB's directory in the tree; return their source."""
        modules = self._modules(context, target, platform)
        if modules.root == _HOST:
            context.log(f"the root tree has no GRUB for {platform}: using this host's")
        modules.copy(context.root, f"{_directory(context.root, target)}/{platform}")
        return modules

    def _make_image(
        self,
        context: StepContext,
        target: BootTarget,
        platform: str,
        modules: _Modules,
        more: list[str],
    ) -> bytes:
        """Make a core from GRUB's kernel and the modules with which it finds its directory."""
        boot, directory = target.boot, _directory(context.root, target)
        names = [*more, *boot.modules, "search_fs_uuid"]
        prefix = boot.path(directory)
        tool = _tree_tool(context.root)
        inside = tool is not None and modules.root != _HOST
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
                *("--directory", modules.path if inside else str(modules.on_host(Path(scratch)))),
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
        for font in _FONTS:
            if resolve_in(root, font).exists():
                place = f"{_directory(root, target)}/fonts/{Path(font).name}"
                write_in(root, place, read_in(root, font))
                return


@dataclass(frozen=True)
class _Modules:
    """A directory of GRUB's modules for a platform.

    Attributes:
        root: The tree that has it, or the host's root directory.
        path: Path of the directory in that.
    """

    root: Path
    path: str

    def read(self, name: str) -> bytes:
        return read_in(self.root, f"{self.path}/{name}")

    def copy(self, root: Path, directory: str) -> None:
        """Copy the modules and their lists to a directory of a tree."""
        for name in self._names(".mod", ".lst"):
            write_in(root, f"{directory}/{name}", self.read(name))

    def on_host(self, scratch: Path) -> Path:
        """Return the directory for a program of the host, which would follow links of a tree."""
        if self.root == _HOST:
            return Path(self.path)
        copy = scratch / "modules"
        copy.mkdir()
        for name in self._names(".mod", ".lst", ".img"):
            copy_out(self.root, f"{self.path}/{name}", copy / name)
        return copy

    def _names(self, *endings: str) -> list[str]:
        return [name for name in names_in(self.root, self.path) if name.endswith(endings)]


def _modules_in(root: Path, platform: str) -> _Modules | None:
    """Find GRUB's modules for a platform in a tree; ``None`` if there are none."""
    for library in _LIBRARIES:
        if resolve_in(root, f"{library}/{platform}/moddep.lst").exists():
            return _Modules(root, f"{library}/{platform}")
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


def _signed(root: Path, arch: str) -> Mapping[str, str]:
    """Find the signed programs of a tree, by file name in ``EFI/BOOT``; none if any is missing."""
    platform, name, suffix = _efi_platform(arch)
    found = {
        name: f"/usr/lib/shim/shim{suffix}.efi.signed",
        f"grub{suffix}.efi": f"/usr/lib/grub/{platform}-signed/grub{suffix}.efi.signed",
    }
    if not all(resolve_in(root, path).exists() for path in found.values()):
        return {}
    manager = f"/usr/lib/shim/mm{suffix}.efi.signed"
    return {**found, f"mm{suffix}.efi": manager} if resolve_in(root, manager).exists() else found
