"""Find out which repositories the packages are of that apt or dpkg complains about."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from kiwinb.errors import CommandError
from kiwinb.packages.apt.complaints import repositories_in
from kiwinb.packages.apt.config import AptConfig
from kiwinb.packages.apt.metadata import apt
from kiwinb.packages.manager import ResolvedRepository

_NAME = r"([a-z0-9][a-z0-9+.-]+)"
_NAMED = re.compile(
    rf"^ {_NAME}(?::\S+)? : |/{_NAME}_\S*\.deb\b|\b{_NAME} package \S+ script |in package {_NAME} "
)
"""Where a package is named: by apt, which cannot install it, and by dpkg."""

_MOST_NAMES = 10


def origins(
    config: AptConfig, lines: Sequence[str], repositories: Sequence[ResolvedRepository]
) -> Mapping[str, str]:
    """Return the alias of the repository of each package that is named, by its name.

    Args:
        config: The configuration of apt.
        lines: The output of apt and dpkg.
        repositories: The repositories, in the order of the sources.
    """
    found = (match for line in lines for match in _NAMED.finditer(line))
    names = list(dict.fromkeys(match[match.lastindex or 0] for match in found))[:_MOST_NAMES]
    if not names or not repositories:
        return {}
    try:
        said = apt(config, ["apt-cache", "madison", *names], lambda _line: None)
    except CommandError:
        return {}
    aliases: dict[str, str] = {}
    for line in said.splitlines():
        name, _, place = (word.strip() for word in (*line.split("|"), "", "")[:3])
        for number in repositories_in(place, repositories)[:1]:
            aliases.setdefault(name, repositories[number].alias)
    return aliases
