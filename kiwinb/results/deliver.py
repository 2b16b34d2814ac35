"""Deliver the files of a build into the target directory."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from kiwinb.checkpoints.checkpoint import DamagedCheckpointError
from kiwinb.description.model import ImageDescription
from kiwinb.errors import ImageError
from kiwinb.images.kind import ResultFile
from kiwinb.results.record import (
    RECORD,
    BuildResult,
    DeliveredFile,
    ImageFacts,
    UsedRepository,
    list_results,
    to_text,
)
from kiwinb.results.transaction import FileTransaction, sha256_of


@dataclass(frozen=True)
class StepFiles:
    """The output of a step.

    Attributes:
        key: The step's key.
        directory: Directory of its files.
        digests: SHA-256 of its files, by name; missing ones are computed.
        is_new: This build made them, so they need not be compared with the digests.
    """

    key: str
    directory: Path
    digests: Mapping[str, str] = field(default_factory=dict)
    is_new: bool = True


def deliver(
    image: ImageDescription,
    results: Sequence[ResultFile],
    outputs: Mapping[str, StepFiles],
    target_dir: Path,
    repositories: tuple[UsedRepository, ...] = (),
) -> BuildResult:
    """Copy the results of a build to the target directory and record them there.

    Each file that needs a checksum gets a ``FILENAME.sha256``, which ``sha256sum --check`` reads.
    Files that the same step delivered before and that have not changed are left alone. Either all
    files appear, or none. Several files are copied at the same time, by sharing their blocks if the
    file system supports this. Their checksums come from their steps. The files need not be read
    again, but those that an earlier build made are, to find damage.

    They are never hard links to files of the store: a user who changes a delivered image in place,
    for example by starting it, would change the checkpoint, too.

    Args:
        image: The effective description.
        results: The results to deliver.
        outputs: The outputs of steps, by step name.
        target_dir: The target directory; it is created if necessary.
        repositories: Where the packages came from.

    Raises:
        HostError: The target directory cannot be written to.
        SpaceError: The disk is full.
        ImageError: A step did not write a file that it announced.
        DamagedCheckpointError: A file is no longer what its step wrote.
    """
    with FileTransaction(target_dir, RECORD) as placement:
        before = _delivered(target_dir)
        with ThreadPoolExecutor(min(max(len(results), 1), len(os.sched_getaffinity(0)))) as pool:
            files = tuple(
                pool.map(
                    lambda item: _deliver(item, outputs[item.step], before, placement), results
                )
            )
        result = BuildResult(target_dir, ImageFacts.of(image), files, repositories)
        for file in files:
            if file.shasum:
                _place_text(placement, f"{file.filename}.sha256", checksum_line(file))
        _place_text(placement, RECORD, to_text(result))
    return result


def checksum_line(file: DeliveredFile) -> str:
    """The checksum of a delivered file, as ``sha256sum`` prints it."""
    return f"{file.sha256}  {file.filename}\n"


def _delivered(target_dir: Path) -> dict[str, DeliveredFile]:
    """The files that were delivered before and have not changed, by file name."""
    try:
        files = list_results(target_dir).files
    except ImageError:
        return {}
    return {file.filename: file for file in files if _is_unchanged(target_dir, file)}


def _is_unchanged(directory: Path, file: DeliveredFile) -> bool:
    try:
        status = (directory / file.filename).lstat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns, status.st_ino) == (
        file.size,
        file.mtime_ns,
        file.inode,
    )


def _deliver(
    item: ResultFile,
    output: StepFiles,
    before: Mapping[str, DeliveredFile],
    placement: FileTransaction,
) -> DeliveredFile:
    found = before.get(item.filename)
    if found is not None and found.key == output.key:
        size, sha256 = found.size, found.sha256
        mtime_ns, inode = found.mtime_ns, found.inode
    else:
        source = output.directory / item.filename
        if not source.is_file():
            raise ImageError(f"the step {item.step} did not write {item.filename}")
        copy = placement.add_copy(item.filename, source)
        status = copy.stat()
        size = status.st_size
        sha256 = output.digests.get(item.filename) or sha256_of(source)
        if not output.is_new and sha256_of(copy) != sha256:
            raise DamagedCheckpointError(
                output.key, f"{item.filename}: its checksum is wrong", item.step
            )
        mtime_ns, inode = status.st_mtime_ns, status.st_ino
    return DeliveredFile(
        tag=item.tag,
        filename=item.filename,
        use_for_bundle=item.use_for_bundle,
        compress=item.compress,
        shasum=item.shasum,
        key=output.key,
        size=size,
        sha256=sha256,
        mtime_ns=mtime_ns,
        inode=inode,
    )


def _place_text(placement: FileTransaction, name: str, text: str) -> None:
    with suppress(OSError, UnicodeDecodeError):
        if (placement.directory / name).read_text(encoding="utf-8") == text:
            return
    placement.add_text(name, text)
