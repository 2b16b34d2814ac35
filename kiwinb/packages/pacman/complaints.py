"""Turn the output of a failed pacman into a clear error."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from kiwinb.errors import PackageError
from kiwinb.spelling import with_near

_MISSING = re.compile(r"error: target not found: (\S+)")
_SCRIPT = "error: command failed to execute correctly"
_MOST_LINES = 20
_KINDS = (
    (
        "unresolvable package conflicts detected",
        "the packages cannot be installed together",
        "Drop one of them.",
    ),
    (
        "could not satisfy dependencies",
        "the packages need something that no repository has",
        "Drop them, or add the repository that has what is missing.",
    ),
    (
        "conflicting files",
        "packages have the same files, or files that are in the tree already",
        "Drop one of the packages, or remove the files first.",
    ),
    (
        "command failed to execute correctly",
        "a script of a package failed",
        "Find out what the script lacks; the log of the step has all of its output.",
    ),
)


def has_failed_script(lines: Sequence[str]) -> bool:
    """Tell whether a script of a package failed, in spite of which pacman goes on."""
    return any(line.startswith(_SCRIPT) for line in lines)


def complaint(lines: Sequence[str], known: Collection[str]) -> PackageError:
    """Make the error for a run of pacman that failed.

    Args:
        lines: Its output.
        known: Names of all packages and groups in the repositories.
    """
    if missing := [match[1] for line in lines if (match := _MISSING.match(line))]:
        said = [with_near(name, known) for name in dict.fromkeys(missing)]
        return PackageError(
            "the repositories have no installable package of these names:\n" + "\n".join(said),
            remedy="Correct the names, or add the repository that has them.",
        )
    shown = [line for line in lines if line.strip()][-_MOST_LINES:]
    text = "\n".join(f"  | {line}" for line in shown)
    for mark, problem, remedy in _KINDS:
        if any(mark in line for line in lines):
            return PackageError(f"{problem}:\n{text}", remedy=remedy)
    return PackageError(
        f"pacman failed:\n{text}", remedy="The lines above are the last ones of pacman."
    )
