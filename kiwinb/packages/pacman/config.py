"""Configure pacman independently of the host."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from kiwinb.packages.indexed import directory_of
from kiwinb.packages.manager import PackageRequest, ResolvedRepository
from kiwinb.packages.pacman.metadata import INDEX, repository_name

ARCHITECTURES: Mapping[str, str] = {"ix86": "i686", "armv7l": "armv7h", "armv6l": "armv6h"}
"""Names of architectures in pacman, where they are other ones than ``uname -m`` prints."""

_USUAL_PRIORITY = 99


def ordered(request: PackageRequest) -> list[tuple[int, ResolvedRepository]]:
    """Return the repositories with their numbers in the state, in order of precedence."""

    def priority(item: tuple[int, ResolvedRepository]) -> int:
        given = item[1].priority
        return _USUAL_PRIORITY if given is None else given

    return sorted(enumerate(request.used), key=priority)


def write_config(work: Path, root: Path, request: PackageRequest | None) -> Path:
    """Write ``pacman.conf``; see pacman.conf(5).

    Args:
        work: Private directory.
        root: The root tree.
        request: The request; ``None`` for removing packages.

    Returns:
        The file.
    """
    (work / "cache").mkdir(exist_ok=True)
    arch = "auto" if request is None else ARCHITECTURES.get(request.arch, request.arch)
    lines = [
        "[options]",
        f"RootDir = {root}",
        f"CacheDir = {work}/cache/",
        f"LogFile = {work}/pacman.log",
        f"GPGDir = {work}/keys/",
        f"HookDir = {root}/etc/pacman.d/hooks/",
        f"Architecture = {arch}",
        "SigLevel = Never",  # kiwinb has checked the packages
        "LocalFileSigLevel = Never",
    ]
    for _number, repository in ordered(request) if request is not None else ():
        lines += [f"[{repository_name(repository)}]", f"Server = {work.as_uri()}/cache"]
    file = work / "pacman.conf"
    file.write_text("\n".join([*lines, ""]))
    return file


def place_indexes(state: Path, request: PackageRequest, database: Path) -> Sequence[Path]:
    """Copy the indexes of a state to where pacman looks for them.

    Args:
        state: Directory of the state, which has been checked.
        request: The request.
        database: Database directory of pacman.

    Returns:
        The copies.
    """
    (database / "sync").mkdir(parents=True, exist_ok=True)
    made = []
    for number, repository in ordered(request):
        target = database / "sync" / f"{repository_name(repository)}.db"
        shutil.copyfile(directory_of(state, number) / INDEX, target)
        made.append(target)
    return made
