"""Checks of the target directories of results and root trees."""

from __future__ import annotations

from collections.abc import Iterator

from kiwinb.checks.problem import Problem, Subject

_UNFIT = frozenset(
    (
        *("vfat", "msdos", "exfat", "ntfs", "ntfs3", "fuseblk"),
        *("cifs", "smb3", "smbfs", "9p", "iso9660", "udf", "squashfs", "erofs", "proc", "sysfs"),
    )
)
"""File systems that are read-only, or do not have owners, modes or holes."""


def target_dir_on_unsupported_filesystem(subject: Subject) -> Iterator[Problem]:
    """Root trees and sparse images need a file system with owners, modes and holes."""
    host = subject.host
    if host.target_filesystem in _UNFIT:
        yield Problem(
            f"{host.target} is on {host.target_filesystem}, which cannot keep owners, modes or "
            "sparse files",
            "Choose a directory on a file system such as ext4, xfs or btrfs.",
            subject.at(""),
        )


def target_directory_not_in_shared_cache(subject: Subject) -> Iterator[Problem]:
    """Files in directories that all builds share are removed when kiwinb cleans up."""
    host = subject.host
    for shared in host.shared:
        if host.target is not None and host.target.is_relative_to(shared):
            yield Problem(
                f"{host.target} is inside {shared}, which all builds share",
                "Choose a directory outside it.",
                subject.at(""),
            )
