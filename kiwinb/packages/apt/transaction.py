"""Read from ``apt-get --simulate`` what apt would do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_CHANGE = re.compile(
    r"(?P<what>Inst|Remv|Purg) (?P<name>[^\s:]+)\S*"
    r"(?: \[\S+\])?(?: \((?P<version>\S+) .*?\[(?P<arch>\S+)\]\))?"
)
"""A line of ``apt-get --simulate``: ``Inst bash [5.1-2] (5.2.15-2+b7 Debian:12/stable [amd64])``.

The old version is in brackets, and the origins follow the new one.
"""

_MANUAL = re.compile(
    r"(?:Note, selecting '(?P<chosen>[^':]+)\S* (?:for|instead of) "
    r"|(?P<wanted>[^\s:]+)\S* set to manually installed\.)"
)
_NAME = re.compile(r"[^:=/]+")
"""The name in what apt is asked for: ``bash:amd64=5.2``, ``bash/stable``; also ``bash+``."""


@dataclass(frozen=True)
class Transaction:
    """What apt would do.

    Attributes:
        installed: Name, version and architecture of each package that it would install.
        removed: Names of the packages that it would remove.
        manual: Names of the packages that were asked for, or chosen for virtual packages and
            tasks. apt marks other new packages as automatic. Not all of them need to be there.
    """

    installed: tuple[tuple[str, str, str], ...]
    removed: tuple[str, ...]
    manual: frozenset[str]

    @classmethod
    def read(cls, output: str, names: Sequence[str]) -> Transaction:
        """Read the output of ``apt-get --simulate``.

        Args:
            output: The output.
            names: What apt was asked for.
        """
        lines = output.splitlines()
        changes = [match for line in lines if (match := _CHANGE.match(line))]
        asked = [match[0] for name in names if (match := _NAME.match(name))]
        manual = [*asked, *(name.removesuffix("+") for name in asked)]
        manual += [m["chosen"] or m["wanted"] for line in lines if (m := _MANUAL.match(line))]
        return cls(
            tuple((m["name"], m["version"], m["arch"]) for m in changes if m["what"] == "Inst"),
            tuple(m["name"] for m in changes if m["what"] != "Inst"),
            frozenset(manual),
        )
