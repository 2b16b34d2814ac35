"""systemd-boot: its EFI program, its configuration and the kernel on the EFI system partition.

The result is the same as from ``bootctl install`` and ``kernel-install`` on a mounted partition:
the EFI program from the tree, and the kernel either as a Unified Kernel Image or as files with an
entry (type 2 or 1 of the UAPI group's *Boot Loader Specification*).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kiwinb.bootloader.host import HostDirectory
from kiwinb.bootloader.kernel import Kernel, find_kernel
from kiwinb.bootloader.target import DEFAULT_TIMEOUT, BootFacts, BootTarget
from kiwinb.bootloader.uki import unify
from kiwinb.description.model import ImageDescription
from kiwinb.distributions import release_id, release_text
from kiwinb.errors import ImageError
from kiwinb.sandbox.paths import resolve_in
from kiwinb.sandbox.tree_files import copy_out, read_in, write_in
from kiwinb.steps.step import StepContext
from kiwinb.storage.patches import Patch

ESP_SIZE = 256
"""In MiB, with room for two kernels: an update adds the new one before it removes the old one."""

_SUFFIXES: Mapping[str, str] = {"x86_64": "x64", "aarch64": "aa64"}
_PROGRAMS = "/usr/lib/systemd/boot/efi"
_MAKES_IMAGES = (
    "/usr/lib/kernel/install.d/60-ukify.install",
    "/usr/lib/kernel/install.d/90-uki-copy.install",
)


@dataclass(frozen=True)
class SystemdBoot:
    """See :class:`~kiwinb.bootloader.target.BootloaderMaker`."""

    name: str = "systemd_boot"
    revision: int = 1
    honours: frozenset[str] = frozenset({"timeout"})
    boots_bios: bool = False
    embeds_code: bool = False
    keeps_environment: bool = False
    needs_filesystems: bool = False

    def esp_size(self, image: ImageDescription) -> int:
        """See :class:`~kiwinb.bootloader.target.BootloaderMaker`."""
        return ESP_SIZE

    def host_directories(self, image: ImageDescription) -> Mapping[str, HostDirectory]:
        """Return nothing: the tree has all files that are needed."""
        return {}

    def configure(self, context: StepContext, target: BootTarget) -> None:
        """Configure ``kernel-install`` for later kernels."""
        root = context.root
        _suffix(target)
        find_kernel(root, initrd=target.initrd, distributions=target.distributions)
        write_in(root, "/etc/kernel/cmdline", f"{target.kernel_options}\n")
        write_in(root, "/etc/kernel/entry-token", f"{_token(root, target)}\n")
        # If the tree lacks ukify's hooks, later kernels are installed as files with an entry.
        if target.unified and all(resolve_in(root, path).exists() for path in _MAKES_IMAGES):
            layout = "layout=uki\nuki_generator=ukify\n"
            write_in(root, "/etc/kernel/install.conf", layout)

    def finalise(
        self, context: StepContext, target: BootTarget, facts: BootFacts, esp: Path
    ) -> tuple[Patch, ...]:
        """Write the EFI program, its settings and the kernel to the EFI system partition."""
        root, suffix = context.root, _suffix(target)
        loader = _program(root, f"systemd-boot{suffix}.efi", signed=target.secure)
        for name in (f"systemd/systemd-boot{suffix}.efi", f"BOOT/BOOT{suffix.upper()}.EFI"):
            place = esp / "EFI" / name
            place.parent.mkdir(parents=True, exist_ok=True)
            copy_out(root, loader, place)
        timeout = DEFAULT_TIMEOUT if target.settings.timeout is None else target.settings.timeout
        _write(esp / "loader/loader.conf", f"timeout {timeout}\nconsole-mode keep\n")
        _write(esp / "loader/entries.srel", "type1\n")
        kernel = find_kernel(root, initrd=target.initrd, distributions=target.distributions)
        context.log(f"kernel {kernel.version}, command line: {target.kernel_options}")
        if target.unified:
            self._write_unified(root, target, kernel, esp)
        else:
            self._write_files(root, target, kernel, esp)
        return ()

    def _write_unified(self, root: Path, target: BootTarget, kernel: Kernel, esp: Path) -> None:
        image = unify(
            read_in(root, _program(root, f"linux{_suffix(target)}.efi.stub")),
            kernel=read_in(root, f"/boot/{kernel.file}"),
            initrd=read_in(root, f"/boot/{kernel.initrd}") if kernel.initrd else None,
            command_line=target.kernel_options,
            os_release=release_text(root),
            version=kernel.version,
            arch=target.arch,
        )
        place = esp / f"EFI/Linux/{_token(root, target)}-{kernel.version}.efi"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(image)

    def _write_files(self, root: Path, target: BootTarget, kernel: Kernel, esp: Path) -> None:
        token = _token(root, target)
        place = f"/{token}/{kernel.version}"
        directory = esp / place.lstrip("/")
        directory.mkdir(parents=True, exist_ok=True)
        copy_out(root, f"/boot/{kernel.file}", directory / "linux")
        lines = [
            f"title {target.title}",
            f"version {kernel.version}",
            f"sort-key {token}",
            f"options {target.kernel_options}",
            f"linux {place}/linux",
        ]
        if kernel.initrd is not None:
            copy_out(root, f"/boot/{kernel.initrd}", directory / "initrd.img")
            lines.append(f"initrd {place}/initrd.img")
        entry = esp / f"loader/entries/{token}-{kernel.version}.conf"
        _write(entry, "\n".join([*lines, ""]))


def _suffix(target: BootTarget) -> str:
    """Return the suffix of the names of EFI programs for the target's architecture."""
    if target.arch not in _SUFFIXES or not target.efi:
        raise ImageError(
            f"systemd-boot needs EFI firmware on {' or '.join(_SUFFIXES)}",
            remedy='set firmware="efi", or take another bootloader',
        )
    return _SUFFIXES[target.arch]


def _program(root: Path, name: str, *, signed: bool = False) -> str:
    """Find an EFI program of systemd in the tree, preferably signed if ``signed`` is true."""
    for candidate in (f"{name}.signed", name) if signed else (name,):
        path = f"{_PROGRAMS}/{candidate}"
        if resolve_in(root, path).is_file():
            return path
    raise ImageError(
        f"the root tree lacks {_PROGRAMS}/{name}",
        remedy="add the package that contains it to <packages>: systemd-boot-efi or systemd-boot",
    )


def _token(root: Path, target: BootTarget) -> str:
    """Return the first part of the names of entries, which is the ID of the distribution."""
    return release_id(root, target.find_distribution(root))


def _write(place: Path, text: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
