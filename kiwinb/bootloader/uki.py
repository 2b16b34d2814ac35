"""Make Unified Kernel Images: kernel, initrd and command line in one EFI program.

The program is one of systemd's stubs, with added sections for the kernel and the data that the
stub passes to it. The result is byte-for-byte equal to that of ``ukify`` of systemd 257 for its own
stub and the same sections, but the tree needs neither ukify nor Python.

Sources of the formats: Microsoft's *PE Format*, and the UAPI group's *Unified Kernel Image*
(UAPI.5).
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kiwinb.errors import ImageError

MACHINES: Mapping[str, int] = {"x86_64": 0x8664, "aarch64": 0xAA64}
"""Machine types in PE files, by the output of ``uname -m``."""

_PAGE = 4096
_LARGEST = 2 << 30
_PE32_PLUS = 0x20B
_SECTION = struct.Struct("<8sIIII12xI")
_SYMBOL_SIZE = 18
_GZIP = b"\x1f\x8b"

# Flags of the file, and of sections that hold code or initialised data.
_SYMBOLS_STRIPPED = 0x0008
_NX_COMPATIBLE = 0x0100
_CODE = 0x40000020
_DATA = 0x40000040

# Offsets in the COFF header and in the optional header of a 64-bit program.
_SECTIONS, _SYMBOLS, _SYMBOL_COUNT, _OPTIONAL_SIZE, _FLAGS = 2, 8, 12, 16, 18
_OPTIONAL = 20
_DATA_SIZE, _ALIGNMENTS, _IMAGE_SIZE, _CHECKSUM, _DLL_FLAGS = 8, 32, 56, 64, 70
_DIRECTORIES, _CERTIFICATES = 112, 4


@dataclass(frozen=True)
class Section:
    """A section of a PE file.

    Attributes:
        name: Name of at most 8 bytes, for example ``.cmdline``.
        data: Content of the section.
    """

    name: str
    data: bytes


@dataclass(frozen=True)
class _Placed:
    """Location of a section of a PE file, in memory and in the file."""

    name: str
    size: int
    address: int
    file_size: int
    offset: int


@dataclass(frozen=True)
class _Program:
    """The headers of a PE file.

    Attributes:
        coff: Offset of the COFF header.
        machine: Machine type, which identifies the architecture.
        table: Offset of the section table.
        sections: The sections, in the order of the table.
        symbols: Offset and number of the symbols; both are 0 if there are none.
        alignment: Alignment of sections in memory, in bytes.
        file_alignment: Alignment of sections in the file, in bytes.
        headers_size: Number of bytes at the start of the file that are for headers.
        dll_flags: The program's DLL characteristics.
        signed: Whether the file has certificates.
    """

    coff: int
    machine: int
    table: int
    sections: tuple[_Placed, ...]
    symbols: tuple[int, int]
    alignment: int
    file_alignment: int
    headers_size: int
    dll_flags: int
    signed: bool


def unify(
    stub: bytes,
    *,
    kernel: bytes,
    initrd: bytes | None,
    command_line: str,
    os_release: str,
    version: str,
    arch: str,
) -> bytes:
    """Make a Unified Kernel Image.

    Args:
        stub: The EFI stub.
        kernel: The kernel file from ``/boot``; a kernel compressed with gzip is decompressed.
        initrd: The initrd file, or ``None``.
        command_line: Kernel command line.
        os_release: Text of ``/etc/os-release``, from which boot menus take title and version.
        version: Kernel version, as ``uname -r`` prints it.
        arch: Architecture, as ``uname -m`` prints it.

    Raises:
        ImageError: The stub or the kernel is not an EFI program for this architecture, or
            :func:`assemble` refuses the stub.
    """
    image = gzip.decompress(kernel) if kernel.startswith(_GZIP) else kernel
    for what, data in (("stub", stub), ("kernel", image)):
        if _parse(data, what).machine != MACHINES.get(arch):
            raise ImageError(f"the {what} is an EFI program, but not one for {arch}")
    sections = [
        Section(".osrel", os_release.encode()),
        Section(".cmdline", command_line.encode()),
        Section(".uname", version.encode()),
        *([] if initrd is None else [Section(".initrd", initrd)]),
        # The kernel is last because kernels before 5.8 are started in place and unpack themselves
        # beyond their end.
        Section(".linux", image),
    ]
    return assemble(stub, sections)


def assemble(stub: bytes, sections: Sequence[Section]) -> bytes:
    """Add sections to an EFI program.

    The program keeps its own sections, including ``.sbat``, but not its symbols. The checksum
    becomes 0: firmware does not check it, and signing tools write a new one.

    Args:
        stub: The program, for example ``linuxx64.efi.stub``.
        sections: The sections, in their order in memory and in the file.

    Raises:
        ImageError: The program is not an EFI program, is signed, has unknown data after its
            sections, has a section of the same name, or its headers have no room for more.
    """
    program = _parse(stub, "stub")
    _check(program, sections)
    made = bytearray(stub[: _end(program, len(stub))])
    made += bytes(-len(made) % program.file_alignment)
    optional = program.coff + _OPTIONAL
    last = max(placed.address + placed.size for placed in program.sections)
    parts, offset = [], len(made)
    alignment = max(program.alignment, _PAGE)
    for number, section in enumerate(sections, len(program.sections)):
        size, address = len(section.data), _aligned(last, alignment)
        padded = _aligned(size, program.file_alignment)
        kind = _CODE if section.name == ".linux" else _DATA
        entry = (section.name.encode(), size, address, padded, offset, kind)
        _SECTION.pack_into(made, program.table + number * _SECTION.size, *entry)
        parts += [section.data, bytes(padded - size)]
        last, offset = address + size, offset + padded
    flags = _uint(made, program.coff + _FLAGS, "H")
    if program.symbols[0]:
        struct.pack_into("<H", made, program.coff + _FLAGS, flags | _SYMBOLS_STRIPPED)
        struct.pack_into("<II", made, program.coff + _SYMBOLS, 0, 0)
    total = len(program.sections) + len(sections)
    data_size = _uint(made, optional + _DATA_SIZE) + sum(len(s.data) for s in sections)
    struct.pack_into("<H", made, program.coff + _SECTIONS, total)
    struct.pack_into("<I", made, optional + _DATA_SIZE, data_size)
    struct.pack_into("<I", made, optional + _IMAGE_SIZE, _aligned(last, program.alignment))
    struct.pack_into("<I", made, optional + _CHECKSUM, 0)
    struct.pack_into("<H", made, optional + _DLL_FLAGS, _dll_flags(program, sections))
    return b"".join((bytes(made), *parts))


def _parse(data: bytes, what: str) -> _Program:
    """Read the headers.

    Args:
        data: The file.
        what: Name of the file in errors.
    """
    try:
        coff = _uint(data, 0x3C) + 4
        optional = coff + _OPTIONAL
        if (data[:2], data[coff - 4 : coff]) != (b"MZ", b"PE\0\0"):
            raise ImageError(f"the {what} is not an EFI program")
        if _uint(data, optional, "H") != _PE32_PLUS:
            raise ImageError(f"the {what} is an EFI program, but not one of 64 bits")
        table = optional + _uint(data, coff + _OPTIONAL_SIZE, "H")
        count = _uint(data, coff + _SECTIONS, "H")
        signature = optional + _DIRECTORIES + _CERTIFICATES * 8
        alignments = struct.unpack_from("<II", data, optional + _ALIGNMENTS)
        if count == 0 or not all(_is_alignment(value) for value in alignments):
            raise ImageError(f"the {what} is an EFI program with headers that make no sense")
        sections = tuple(_placed(data, table + i * _SECTION.size) for i in range(count))
        if any(placed.address + placed.size > _LARGEST for placed in sections):
            raise ImageError(f"the {what} is an EFI program with sections that are too large")
        return _Program(
            coff=coff,
            machine=_uint(data, coff, "H"),
            table=table,
            sections=sections,
            symbols=(_uint(data, coff + _SYMBOLS), _uint(data, coff + _SYMBOL_COUNT)),
            alignment=alignments[0],
            file_alignment=alignments[1],
            headers_size=_uint(data, optional + _IMAGE_SIZE + 4),
            dll_flags=_uint(data, optional + _DLL_FLAGS, "H"),
            signed=signature + 8 <= table and _uint(data, signature) != 0,
        )
    except struct.error:
        raise ImageError(f"the {what} is not an EFI program, or is cut off") from None


def _placed(data: bytes, offset: int) -> _Placed:
    name, size, address, file_size, start, _ = _SECTION.unpack_from(data, offset)
    return _Placed(name.rstrip(b"\0").decode("latin-1"), size, address, file_size, start)


def _check(program: _Program, sections: Sequence[Section]) -> None:
    """Check that the sections can be added."""
    if program.signed:
        raise ImageError("the EFI stub is signed, which a change would break")
    names = [placed.name for placed in program.sections]
    for section in sections:
        if section.name in names:
            raise ImageError(f"the EFI image has a section {section.name} already")
        if not section.data or len(section.name.encode()) > 8:
            raise ImageError(f"the section {section.name} is empty, or its name is too long")
        names.append(section.name)
    if sum(len(section.data) for section in sections) > _LARGEST:
        raise ImageError("kernel and initrd are too large for an EFI program")
    first = min(placed.offset or program.headers_size for placed in program.sections)
    limit = min(program.headers_size, first)
    room = (limit - program.table) // _SECTION.size
    if len(names) > room:
        raise ImageError(
            f"the EFI stub has room for {room} sections, and the image needs {len(names)}",
            remedy="take the stub of a newer systemd",
        )


def _end(program: _Program, size: int) -> int:
    """Return the offset at which the sections end in the file; only symbols may follow."""
    end = max(placed.offset + placed.file_size for placed in program.sections)
    symbols, count = program.symbols
    if size > end and not (symbols == end and size >= end + count * _SYMBOL_SIZE):
        raise ImageError("the EFI stub has unknown data after its sections")
    if size < end:
        raise ImageError("the EFI stub is cut off")
    return end


def _dll_flags(program: _Program, sections: Sequence[Section]) -> int:
    """Return the program's flags, with NX compatibility only if its kernel declares it, too."""
    kernel = next((section.data for section in sections if section.name == ".linux"), None)
    if kernel is None or _parse(kernel, "kernel").dll_flags & _NX_COMPATIBLE:
        return program.dll_flags
    return program.dll_flags & ~_NX_COMPATIBLE


def _uint(data: bytes | bytearray, offset: int, kind: str = "I") -> int:
    value: int = struct.unpack_from(f"<{kind}", data, offset)[0]
    return value


def _is_alignment(value: int) -> bool:
    return 0 < value <= 1 << 20 and value & (value - 1) == 0


def _aligned(value: int, alignment: int) -> int:
    return -(-value // alignment) * alignment
