"""The machines that QEMU emulates: one record for each architecture that images are booted on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kiwinb.errors import HostError


@dataclass(frozen=True)
class VirtualMachine:
    """A machine of one architecture.

    Attributes:
        arch: As ``uname -m`` prints it.
        board: QEMU's ``-machine``.
        emulated_cpu: QEMU's ``-cpu`` where KVM cannot be used.
        package: Debian package of QEMU.
        firmware: What firmware it can have.
        uefi: Files of UEFI firmware, the code and a template for its variables, of which those
            are taken that are there.
        uefi_package: Debian package of the UEFI firmware.
        options: Further options.
    """

    arch: str
    board: str
    emulated_cpu: str
    package: str
    firmware: frozenset[str]
    uefi: tuple[tuple[Path, Path], ...]
    uefi_package: str
    options: tuple[str, ...] = ()

    @property
    def program(self) -> str:
        """QEMU's program."""
        return f"qemu-system-{self.arch}"

    def find_uefi(self) -> tuple[Path, Path] | None:
        """The files of its UEFI firmware on this host; ``None`` when there are none."""
        return next((files for files in self.uefi if files[0].exists()), None)


_OVMF = Path("/usr/share/OVMF")
_AAVMF = Path("/usr/share/AAVMF")

VIRTUAL_MACHINES: Mapping[str, VirtualMachine] = {
    item.arch: item
    for item in (
        VirtualMachine(
            arch="x86_64",
            board="q35",
            emulated_cpu="max",
            package="qemu-system-x86",
            firmware=frozenset({"bios", "uefi"}),
            uefi=(
                (_OVMF / "OVMF_CODE_4M.fd", _OVMF / "OVMF_VARS_4M.fd"),
                (_OVMF / "OVMF_CODE.fd", _OVMF / "OVMF_VARS.fd"),
            ),
            uefi_package="ovmf",
            options=("-vga", "none"),
        ),
        VirtualMachine(
            arch="aarch64",
            board="virt",
            emulated_cpu="cortex-a57",  # "max" checks pointers by slow arithmetic
            package="qemu-system-arm",
            firmware=frozenset({"uefi"}),
            uefi=((_AAVMF / "AAVMF_CODE.fd", _AAVMF / "AAVMF_VARS.fd"),),
            uefi_package="qemu-efi-aarch64",
        ),
    )
}
"""Machines by architecture."""


def machine_for(arch: str) -> VirtualMachine:
    """The machine for an architecture.

    Raises:
        HostError: kiwinb knows none.
    """
    if arch not in VIRTUAL_MACHINES:
        raise HostError(
            f"kiwinb boots no images of the architecture {arch}",
            remedy=f"It boots those of: {', '.join(VIRTUAL_MACHINES)}.",
        )
    return VIRTUAL_MACHINES[arch]
