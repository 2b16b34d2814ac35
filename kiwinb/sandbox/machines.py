"""Properties of programs by architecture: their ELF headers, and QEMU's names."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_HEADER = struct.Struct("=4sBBBB8x")
_SIZE_64, _SIZE_32 = (64, 56), (52, 32)  # sizes of the ELF header and of a program header
_PT_LOAD, _PT_INTERP = 1, 3
_ANY_SYSTEM_BYTE = 7  # offset of the operating system; it is 0 or 3 for Linux


@dataclass(frozen=True)
class Machine:
    """Properties of the programs for an architecture.

    Source of the format: elf(5).

    Attributes:
        bits: 32 or 64.
        big_endian: Whether the most significant byte comes first.
        number: Value of ``e_machine``.
        flags: Value of ``e_flags`` for :attr:`trial`.
        trial: Machine code that ends a process with status 0.
        emulator: QEMU's name of the architecture.
        family: QEMU's name of the family of architectures, which is a part of package names.
    """

    bits: int
    big_endian: bool
    number: int
    flags: int
    trial: bytes
    emulator: str
    family: str

    @property
    def programs(self) -> tuple[str, ...]:
        """Possible names of its statically linked emulator."""
        return (f"qemu-{self.emulator}-static", f"qemu-{self.emulator}")

    @property
    def magic(self) -> bytes:
        """The first 20 bytes of programs with a fixed load address."""
        order = ">" if self.big_endian else "<"
        ident = _HEADER.pack(b"\x7fELF", self.bits // 32, 1 + self.big_endian, 1, 0)
        return ident + struct.pack(f"{order}HH", 2, self.number)

    @property
    def mask(self) -> bytes:
        """The bits of :attr:`magic` that all programs share, with or without a fixed address."""
        mask = bytearray(b"\xff" * len(self.magic))
        mask[_ANY_SYSTEM_BYTE] = 0
        mask[17 if self.big_endian else 16] = 0xFE
        return bytes(mask)

    def trial_program(self) -> bytes:
        """Return a minimal program, which ends at once with status 0."""
        order = ">" if self.big_endian else "<"
        wide = self.bits == 64
        header, entry = _SIZE_64 if wide else _SIZE_32
        start, size = 0x400000, header + entry + len(self.trial)
        first = self.magic + struct.pack(f"{order}I", 1)
        rest = (self.flags, header, entry, 1, 0, 0, 0)
        first += struct.pack(
            f"{order}{'QQQ' if wide else 'III'}I6H", start + header + entry, header, 0, *rest
        )
        places = (0, start, start, size, size)
        first += (
            struct.pack(f"{order}II6Q", _PT_LOAD, 5, *places, 0x1000)
            if wide
            else struct.pack(f"{order}8I", _PT_LOAD, *places, 5, 0x1000)
        )
        return first + self.trial


_ARM = Machine(32, False, 40, 0x5000000, bytes.fromhex("0170a0e30000a0e3000000ef"), "arm", "arm")
_I386 = Machine(32, False, 3, 0, bytes.fromhex("31dbb801000000cd80"), "i386", "x86")
MACHINES: Mapping[str, Machine] = {
    "aarch64": Machine(
        64, False, 183, 0, bytes.fromhex("a80b80d2000080d2010000d4"), "aarch64", "aarch64"
    ),
    "armv6l": _ARM,
    "armv7l": _ARM,
    "i586": _I386,
    "i686": _I386,
    "ppc64le": Machine(
        64, False, 21, 2, bytes.fromhex("010000380000603802000044"), "ppc64le", "ppc"
    ),
    "riscv64": Machine(
        64, False, 243, 4, bytes.fromhex("9308d0051305000073000000"), "riscv64", "riscv"
    ),
    "s390x": Machine(64, True, 22, 0, bytes.fromhex("a72900000a01"), "s390x", "s390x"),
    "x86_64": Machine(64, False, 62, 0, bytes.fromhex("b83c00000031ff0f05"), "x86_64", "x86"),
}
"""Architectures for which kiwinb can build on any host, by the output of ``uname -m``."""

EMULATORS = frozenset(name for machine in MACHINES.values() for name in machine.programs)
"""Names of all emulators."""


def needs_libraries(program: Path) -> bool:
    """Tell whether a program needs shared libraries or an interpreter."""
    with program.open("rb") as file:
        header = file.read(64)
        if header[:4] != b"\x7fELF":
            return True  # a script
        order = "<" if header[5] == 1 else ">"
        wide = header[4] == 2
        (offset,) = struct.unpack_from(f"{order}{'Q' if wide else 'I'}", header, 32 if wide else 28)
        size, count = struct.unpack_from(f"{order}HH", header, 54 if wide else 42)
        file.seek(offset)
        entries = file.read(size * count)
    kinds = [struct.unpack_from(f"{order}I", entries, i * size)[0] for i in range(count)]
    return _PT_INTERP in kinds


def matches(data: bytes, magic: bytes, mask: bytes) -> bool:
    """Tell whether data starts with a magic number, comparing only the bits in the mask."""
    return all(not (a ^ b) & c for a, b, c in zip(data, magic, mask, strict=False))
