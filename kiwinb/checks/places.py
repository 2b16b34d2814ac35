"""Checks of the directories that results and root trees are written to."""

from __future__ import annotations

from collections.abc import Iterator

from kiwinb.checks.problem import Problem, Subject

_UNFIT = frozenset(
    (
        *("vfat", "msdos", "exfat", "ntfs", "ntfs3", "fuseblk"),
        *("cifs", "smb3", "smbfs", "9p", "iso9660", "udf", "squashfs", "erofs", "proc", "sysfs"),
    )
)
"""File systems without owners, modes, holes or writing."""


def target_dir_on_unsupported_filesystem(subject: Subject) -> Iterator[Problem]:
    """Root trees and sparse images need a file system made for Linux."""
    host = subject.host
    if host.target_filesystem in _UNFIT:
        yield Problem(
            f"{host.target} is on {host.target_filesystem}, which cannot keep owners, modes or "
            "sparse files",
            "Choose a directory on ext4, xfs, btrfs or the like.",
            subject.at(""),
        )


def target_directory_not_in_shared_cache(subject: Subject) -> Iterator[Problem]:
    """What is in the shared directories is cleaned up by kiwinb itself."""
    host = subject.host
    for shared in host.shared:
        if host.target is not None and host.target.is_relative_to(shared):
            yield Problem(
                f"{host.target} is inside {shared}, which all builds share",
                "Choose a directory outside of it.",
                subject.at(""),
            )
