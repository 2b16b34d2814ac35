"""Variables in the URLs of repositories, such as ``$basearch``."""

from __future__ import annotations

import re
from collections.abc import Mapping

from kiwinb.errors import RepositoryError

Variables = Mapping[str, str | None]
"""Value by name; ``None`` if the description should say it, but does not."""

_VARIABLE = re.compile(r"\$(?:([A-Za-z0-9_]+)|\{([A-Za-z0-9_]+)\})")


def replaced(url: str, variables: Variables) -> str:
    """Replace ``$name`` and ``${name}`` in a URL; others than the known ones stay.

    Raises:
        RepositoryError: The description does not say the value of one.
    """

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        known = variables.get(name, found[0])
        if known is None:
            raise RepositoryError(
                f"the repository {url} depends on ${name}, but the description does not say the "
                "release of the distribution",
                remedy="Add <release-version> to <preferences>, or give --set-release-version.",
            )
        return known

    return _VARIABLE.sub(value, url)
