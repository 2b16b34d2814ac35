"""Make the disk images of a build larger; the root file system grows at the first boot."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from kiwinb.errors import ImageError
from kiwinb.images.formats import FORMATS
from kiwinb.paths import normalised
from kiwinb.results.deliver import checksum_line
from kiwinb.results.record import RECORD, BuildResult, DeliveredFile, list_results, to_text
from kiwinb.results.transaction import FileTransaction, sha256_of
from kiwinb.sandbox.command import run
from kiwinb.sandbox.holes import copy_file
from kiwinb.sizes import binary

_RAW = ".raw"
_SECTOR = 512
_GPT = b"EFI PART"


def resize(target_dir: Path, size: int, *, options: Sequence[str] = ()) -> BuildResult:
    """Make the disks of a build larger, in all delivered formats.

    This also moves the copy of the GPT to the new end of the disk.

    Args:
        target_dir: Directory of the result files.
        size: The new size in bytes.
        options: Options of formats other than raw, as ``formatoptions`` gives them.

    Raises:
        ImageError: There is no disk, or it is already larger.
    """
    target_dir = normalised(target_dir)
    found = list_results(target_dir)
    raw = next((file for file in found.files if file.filename.endswith(_RAW)), None)
    if raw is None:
        raise ImageError(
            f"{target_dir} has no disk image to resize",
            remedy="Only images of type oem are disks.",
        )
    source = target_dir / raw.filename
    if size < source.stat().st_size:
        raise ImageError(
            f"{raw.filename} has {binary(source.stat().st_size)}, and cannot become smaller",
            remedy="Name a larger size, or set <size> in the description and create it anew.",
        )
    if size % _SECTOR:
        raise ImageError(f"a disk has whole sectors, and {size} is no multiple of {_SECTOR}")

    with FileTransaction(target_dir, RECORD) as placement:
        grown = placement.add_made(raw.filename, lambda path: _grow(source, path, size))
        paths = {raw.filename: grown}
        for file in found.files:
            if (name := _format_of(file)) is not None:
                convert = partial(_convert, grown, name=name, options=options)
                paths[file.filename] = placement.add_made(file.filename, convert)
        files = tuple(
            _recorded(file, paths[file.filename]) if file.filename in paths else file
            for file in found.files
        )
        result = BuildResult(target_dir, found.image, files, found.repositories)
        for file in files:
            if file.filename in paths and file.shasum:
                placement.add_text(f"{file.filename}.sha256", checksum_line(file))
        placement.add_text(RECORD, to_text(result))
    return result


def _grow(source: Path, target: Path, size: int) -> None:
    copy_file(source, target)
    os.truncate(target, size)
    with target.open("rb") as disk:
        disk.seek(_SECTOR)
        first = disk.read(len(_GPT))
        disk.seek(4096)
        large = disk.read(len(_GPT)) == _GPT
    if first == _GPT:
        run(["sfdisk", "--quiet", "--relocate", "gpt-bak-std", target])
    elif large:
        raise ImageError(
            "disks with sectors of 4096 bytes are not resized",
            remedy="Set <size> in the description and create the image anew.",
        )


def _format_of(file: DeliveredFile) -> str | None:
    """The format of a delivered disk, if it is not raw."""
    for name, known in FORMATS.items():
        if file.filename.endswith(f".{known.suffix}"):
            return name
    return None


def _convert(raw: Path, target: Path, name: str, options: Sequence[str]) -> None:
    FORMATS[name].remake(raw, target, options, None)


def _recorded(file: DeliveredFile, path: Path) -> DeliveredFile:
    status = path.stat()
    return replace(
        file,
        size=status.st_size,
        sha256=sha256_of(path),
        mtime_ns=status.st_mtime_ns,
        inode=status.st_ino,
    )
