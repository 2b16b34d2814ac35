"""Bundle the results of a build for release, as ``kiwi-ng result bundle`` does."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from kiwinb.errors import ImageError
from kiwinb.images.compress import xz_writer
from kiwinb.images.tarball import CHUNK
from kiwinb.paths import normalised
from kiwinb.results.record import BuildResult, DeliveredFile, ImageFacts, list_results
from kiwinb.results.transaction import FileTransaction, sha256_of
from kiwinb.sandbox.command import run
from kiwinb.sandbox.tools import find_tool

_PLACEHOLDER = re.compile(r"%(.?)", re.DOTALL)


def bundle(
    target_dir: Path,
    bundle_dir: Path,
    bundle_id: str,
    *,
    compress: bool = True,
    bundle_format: str | None = None,
    zsync_source: str | None = None,
    package_as_rpm: bool = False,
    log: Callable[[str], None] | None = None,
) -> tuple[Path, ...]:
    """Copy the results that belong in a bundle, under names with an identifier.

    ``NAME.ARCH-VERSION`` at the start of a file name becomes ``NAME.ARCH-VERSION-ID``, or follows
    the name pattern. Files that are marked for compression are compressed with xz; each file with a
    checksum gets ``FILE.sha256``. Either all files appear, or none.

    Args:
        target_dir: Directory of the result files.
        bundle_dir: Directory for the bundle; it is created if necessary.
        bundle_id: The identifier.
        compress: Compress the files that are marked for compression.
        bundle_format: Name pattern with the placeholders ``%N %P %A %I %T %M %m %p %v``; that of
            the ``<type>`` by default.
        zsync_source: URL of the directory from which users will download the bundle; writes a
            ``.zsync`` control file for each file with a checksum.
        package_as_rpm: Not available.
        log: Called with each line of output of the commands.

    Returns:
        The bundled files, including checksums and control files.

    Raises:
        HostError: The bundle directory cannot be written to or is full, or a tool is missing.
        ImageError: There are no results, one is missing, or the format or identifier is wrong.
    """
    if package_as_rpm:
        raise ImageError(
            "a bundle cannot be packaged as RPM",
            remedy="Leave --package-as-rpm out, and package the bundle directory with rpmbuild.",
        )
    if not bundle_id or "/" in bundle_id:
        raise ImageError(f"{bundle_id!r} is not a bundle identifier: it is part of file names")
    target_dir, bundle_dir = normalised(target_dir), normalised(bundle_dir)
    result = list_results(target_dir)
    base = _base_name(result.image, bundle_id, bundle_format or result.image.bundle_format)
    files = _for_bundle(result)
    names: list[str] = []
    with FileTransaction(bundle_dir) as placement:
        for file in files:
            name = _bundled_name(file, result.image, base, bundle_id)
            if name in names:
                raise ImageError(f"two files of the bundle would have the name {name}")
            names += _add(placement, target_dir, file, name, compress, zsync_source, log)
    return tuple(bundle_dir / name for name in names)


def _for_bundle(result: BuildResult) -> list[DeliveredFile]:
    """The files that belong in a bundle; all of them exist."""
    files = [file for file in result.files if file.use_for_bundle]
    for file in files:
        if not (result.directory / file.filename).is_file():
            raise ImageError(
                f"the result {file.filename} is no longer in {result.directory}",
                remedy="Create the image again.",
            )
    return files


def _add(
    placement: FileTransaction,
    target_dir: Path,
    file: DeliveredFile,
    name: str,
    compress: bool,
    zsync_source: str | None,
    log: Callable[[str], None] | None,
) -> list[str]:
    """Place a file and its companions; returns the names."""
    source = target_dir / file.filename
    if compress and file.compress:
        name += ".xz"
        part = placement.add_made(name, lambda path: _compress(source, path))
    else:
        part = placement.add_copy(name, source)
    names = [name]
    if file.shasum:
        placement.add_text(f"{name}.sha256", f"{sha256_of(part)}  {name}\n")
        names.append(f"{name}.sha256")
    if zsync_source is not None and file.shasum:
        find_tool("zsyncmake")
        url = f"{zsync_source.rstrip('/')}/{name}"
        argv = ["zsyncmake", "-e", "-f", name, "-u", url]
        placement.add_made(f"{name}.zsync", lambda path: run([*argv, "-o", path, part], log=log))
        names.append(f"{name}.zsync")
    return names


def _compress(source: Path, target: Path) -> None:
    with source.open("rb") as reader, xz_writer(target) as writer:
        shutil.copyfileobj(reader, writer, CHUNK)


def _bundled_name(file: DeliveredFile, image: ImageFacts, base: str, bundle_id: str) -> str:
    if file.filename.startswith(image.result_name):
        return base + file.filename.removeprefix(image.result_name)
    stem, dot, suffix = file.filename.partition(".")
    return f"{stem}-{bundle_id}{dot}{suffix}"


def _base_name(image: ImageFacts, bundle_id: str, pattern: str | None) -> str:
    if not pattern:
        return f"{image.result_name}-{bundle_id}"
    values = image.name_tags(bundle_id)

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise ImageError(
                f"the bundle format {pattern!r} has the unknown placeholder {match[0]!r}",
                remedy=f"There are: {' '.join('%' + name for name in values)}.",
            )
        return values[match[1]]

    name = _PLACEHOLDER.sub(value, pattern)
    if "/" in name or name.startswith("."):
        raise ImageError(f"the bundle format {pattern!r} makes {name!r}, which is not a file name")
    return name
