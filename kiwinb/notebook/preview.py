"""Previews of paths: facts, and the beginning of a text."""

from __future__ import annotations

import io
import posixpath
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pandas as pd
from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import NoteSection

from kiwinb.errors import InspectError
from kiwinb.inspect.tree import Tree
from kiwinb.sizes import binary

TEXT_BYTES = 64 * 1024
"""Number of bytes of a text that are shown."""

ELF_BYTES = 64 * 1024 * 1024
"""Number of bytes of an ELF file that are read for its facts."""

_HEX_BYTES = 256
_TYPES = {
    "file": stat.S_IFREG,
    "directory": stat.S_IFDIR,
    "symlink": stat.S_IFLNK,
    "fifo": stat.S_IFIFO,
    "socket": stat.S_IFSOCK,
    "char": stat.S_IFCHR,
    "block": stat.S_IFBLK,
}


@dataclass(frozen=True)
class Preview:
    """A preview of a path.

    Attributes:
        facts: Names and values of facts.
        text: Beginning of a text, or of other content in hexadecimal.
    """

    facts: tuple[tuple[str, str], ...]
    text: str = ""


def mode_text(kind: str, mode: int) -> str:
    """Format type and permissions as ``ls -l`` does."""
    return stat.filemode(_TYPES[kind] | mode)


def preview(tree: Tree, file: pd.Series, *, has_packages: bool = True) -> Preview:
    """Make a preview of a path.

    Args:
        tree: The tree that holds it.
        file: Its row in the table from :func:`kiwinb.inspect.files.files`.
        has_packages: Whether that table has packages.

    Raises:
        InspectError: The path cannot be read.
    """
    kind = str(file["type"])
    when = datetime.fromtimestamp(int(file["mtime"]), UTC)
    facts = [
        ("Size", f"{binary(int(file['size']))} ({int(file['size']):,} bytes)"),
        ("On disk", binary(int(file["allocated"]))),
        ("Mode", f"{mode_text(kind, int(file['mode']))} ({int(file['mode']):04o})"),
        ("Owner", f"{file['owner']} ({file['uid']}:{file['gid']})"),
        ("Modified", f"{when:%Y-%m-%d %H:%M:%S} UTC"),
    ]
    if has_packages:
        facts.append(("Package", str(file["package"]) or "none"))
    if kind == "symlink":
        return Preview((*_link(tree, str(file["path"]), str(file["target"])), *facts[2:]))
    if kind != "file":
        return Preview(tuple(facts[2:]))
    if int(file["links"]) > 1:
        facts.append(("Hard links", str(file["links"])))
    head = tree.read(str(file["path"]), TEXT_BYTES)
    if head.startswith(b"\x7fELF"):
        facts += _elf(tree.read(str(file["path"]), ELF_BYTES))
        return Preview(tuple(facts))
    text = _text(head)
    if text is not None:
        if int(file["size"]) > len(head):
            text += f"\n… {binary(int(file['size']) - len(head))} more"
        return Preview(tuple(facts), text)
    return Preview(tuple(facts), _hex(head[:_HEX_BYTES]))


def _link(tree: Tree, path: str, target: str) -> list[tuple[str, str]]:
    place = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    try:
        there = tree.exists(place)
    except InspectError:
        there = False
    said = "is there" if there else "is not there, or behind another link"
    return [("Points to", target), ("That is", f"{place}, which {said}")]


def _text(data: bytes) -> str | None:
    if b"\0" in data:
        return None
    for cut in range(4):  # the last character may have been cut
        try:
            return data[: len(data) - cut].decode("utf-8")
        except UnicodeDecodeError:
            continue
    return None


def _hex(data: bytes) -> str:
    lines = []
    for at in range(0, len(data), 16):
        piece = data[at : at + 16]
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in piece)
        lines.append(f"{at:08x}  {piece.hex(' '):<47}  {shown}")
    return "\n".join(lines)


def _elf(data: bytes) -> list[tuple[str, str]]:
    try:
        return _elf_facts(ELFFile(io.BytesIO(data)))
    except (ELFError, ValueError, KeyError, AssertionError, UnicodeDecodeError) as error:
        return [("ELF", f"cannot be read: {error}")]


def _elf_facts(elf: Any) -> list[tuple[str, str]]:
    kinds = {"ET_REL": "relocatable", "ET_EXEC": "program", "ET_DYN": "shared object"}
    kind = kinds.get(elf["e_type"], str(elf["e_type"]))
    order = "little" if elf.little_endian else "big"
    facts = []
    for segment in elf.iter_segments("PT_INTERP"):
        facts.append(("Loader", segment.get_interp_name()))
        kind = "program"
    sections = list(elf.iter_sections())
    needed: list[str] = []
    for section in sections:
        if isinstance(section, NoteSection):
            for note in section.iter_notes():
                if note["n_type"] == "NT_GNU_BUILD_ID":
                    facts.append(("Build ID", str(note["n_desc"])))
        if isinstance(section, DynamicSection):
            needed += [str(getattr(tag, "needed", "")) for tag in section.iter_tags("DT_NEEDED")]
            facts += [
                ("Name", str(getattr(tag, "soname", ""))) for tag in section.iter_tags("DT_SONAME")
            ]
    if needed:
        facts.append(("Needs", ", ".join(needed)))
    stripped = not any(section.name == ".symtab" for section in sections)
    what = f"{kind}, {elf.get_machine_arch()}, {elf.elfclass} bit, {order} endian"
    return [("ELF", f"{what}, {'stripped' if stripped else 'with symbols'}"), *facts]
