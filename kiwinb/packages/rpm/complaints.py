"""What rpm, dnf and zypper say of failures.

Source of the words: ``lib/rpmps.c``, ``lib/rpmscript.c`` and ``lib/psm.c`` of rpm.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from kiwinb.packages.failures import CLASH, DAMAGED, SCRIPT, Mark

_SCRIPT = re.compile(r"%\w+\(.*\) scriptlet failed\b|lua script failed:")

MARKS = (
    Mark(
        CLASH,
        re.compile(
            r"file \S+ (?:from install of \S+ )?conflicts (?:between|with) "
            r"|^Detected \d+ file conflict"
        ),
    ),
    Mark(
        DAMAGED,
        re.compile(r"does not verify:|unpacking of archive failed|(?:Payload|Header) .*: BAD\b"),
    ),
    Mark(SCRIPT, _SCRIPT),
)


def has_failed_script(lines: Sequence[str]) -> bool:
    """Tell whether a scriptlet failed, in spite of which rpm goes on."""
    return any(_SCRIPT.search(line) for line in lines)
