"""Turn the output of a failed pacman into a clear error."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from kiwinb.errors import PackageError
from kiwinb.packages.failures import CLASH, CONFLICT, DAMAGED, MISSING, SCRIPT, Mark, failure
from kiwinb.spelling import with_near

_MISSING = re.compile(r"error: target not found: (\S+)")
_SCRIPT = re.compile(r"^error: command failed to execute correctly")
_SUBJECT = re.compile(r"^(?:\(\s*\d+/\d+\) )?(?:installing|upgrading|reinstalling|removing) ")
_MARKS = (
    Mark(CONFLICT, re.compile("unresolvable package conflicts detected")),
    Mark(MISSING, re.compile("could not satisfy dependencies")),
    Mark(CLASH, re.compile("exists in filesystem|exists in both|conflicting files")),
    Mark(DAMAGED, re.compile("invalid or corrupted package|could not extract|Truncated|damaged")),
    Mark(SCRIPT, _SCRIPT, _SUBJECT),
)


def has_failed_script(lines: Sequence[str]) -> bool:
    """Tell whether a script of a package failed, in spite of which pacman goes on."""
    return any(_SCRIPT.search(line) for line in lines)


def unknown_names(lines: Sequence[str], known: Collection[str]) -> PackageError | None:
    """Make the error for names that no repository has; ``None`` if pacman failed otherwise.

    Args:
        lines: The output of pacman.
        known: Names of all packages and groups in the repositories.
    """
    missing = [match[1] for line in lines if (match := _MISSING.match(line))]
    if not missing:
        return None
    said = [with_near(name, known) for name in dict.fromkeys(missing)]
    return PackageError(
        "the repositories have no installable package of these names:\n" + "\n".join(said),
        remedy="Correct the names, or add the repository that has them.",
    )


def complaint(lines: Sequence[str]) -> PackageError:
    """Make the error for a run of pacman that failed.

    Args:
        lines: Its output.
    """
    return failure("pacman", lines, _MARKS)
