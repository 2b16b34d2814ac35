"""The files that apt and dpkg leave behind."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from kiwinb.packages import settled as packages

TRACES = (
    "var/cache/apt/*.bin",
    "var/cache/apt/archives/lock",
    "var/cache/apt/archives/partial/*",
    "var/cache/debconf/*-old",
    "var/lib/apt/lists/lock",
    "var/lib/apt/lists/auxfiles",
    "var/lib/apt/lists/partial/*",
    "var/lib/dpkg/*-old",
    "var/lib/dpkg/lock*",
    "var/lib/dpkg/triggers/Lock",
    "var/log/alternatives.log",
    "var/log/apt/*",
    "var/log/bootstrap.log",
    "var/log/dpkg.log",
)
"""Caches, locks, backups and logs of apt and dpkg."""

_OF_BUILD = ("var/cache/apt/archives/*.deb", "var/lib/apt/lists/*_*")


def settled(root: Path, log: Callable[[str], None]) -> AbstractContextManager[None]:
    """Remove what packages, apt and dpkg make until the end and an image should not have.

    Args:
        root: The root tree.
        log: Called with a line for each key that is removed.
    """
    return packages.settled(root, log, (*TRACES, *_OF_BUILD))
