"""Virtual machines of QEMU, one record for each architecture on which images can be booted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kiwinb.errors import HostError


@dataclass(frozen=True)
class VirtualMachine:
    """A virtual machine for an architecture.

    Attributes:
        arch: Architecture, as ``uname -m`` prints it.
        board: Value of QEMU's ``-machine``.
        emulated_cpu: Value of QEMU's ``-cpu`` if KVM cannot be used.
        package: Debian package of QEMU.
        firmware: Supported firmware.
        uefi: Files of UEFI firmware, each with the code and a template for variables. The first
            one that exists is used.
        uefi_package: Debian package of the UEFI firmware.
        options: More options of QEMU.
        virtualization: Flags in ``/proc/cpuinfo`` of a processor that runs virtual machines; empty
            if it has none for this. Where no flag is present, some kernels offer KVM all the same,
            without the processor's help, and do not execute all instructions correctly.
    """

    arch: str
    board: str
    emulated_cpu: str
    package: str
    firmware: frozenset[str]
    uefi: tuple[tuple[Path, Path], ...]
    uefi_package: str
    options: tuple[str, ...] = ()
    virtualization: frozenset[str] = frozenset()

    @property
    def program(self) -> str:
        """Name of QEMU's program."""
        return f"qemu-system-{self.arch}"

    def has_virtualization(self, cpuinfo: str) -> bool:
        """Whether a processor runs virtual machines, by the text of its ``/proc/cpuinfo``."""
        flags = re.search(r"^flags\s*:(.*)$", cpuinfo, re.MULTILINE)
        found = flags[1].split() if flags else ()
        return not self.virtualization or not self.virtualization.isdisjoint(found)

    def find_uefi(self) -> tuple[Path, Path] | None:
        """Find the files of its UEFI firmware on this host; ``None`` if there are none."""
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
            virtualization=frozenset({"vmx", "svm"}),
        ),
        VirtualMachine(
            arch="aarch64",
            board="virt",
            emulated_cpu="cortex-a57",  # "max" has pointer authentication, which is slow to emulate
            package="qemu-system-arm",
            firmware=frozenset({"uefi"}),
            uefi=((_AAVMF / "AAVMF_CODE.fd", _AAVMF / "AAVMF_VARS.fd"),),
            uefi_package="qemu-efi-aarch64",
        ),
    )
}
"""Virtual machines, by architecture."""


def machine_for(arch: str) -> VirtualMachine:
    """Return the virtual machine for an architecture.

    Raises:
        HostError: kiwinb has no virtual machine for it.
    """
    if arch not in VIRTUAL_MACHINES:
        raise HostError(
            f"kiwinb cannot boot images of the architecture {arch}",
            remedy=f"It can boot images of: {', '.join(VIRTUAL_MACHINES)}.",
        )
    return VIRTUAL_MACHINES[arch]
