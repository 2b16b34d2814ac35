"""User names and passwords in the URLs of repositories."""

from __future__ import annotations

import re
from urllib.parse import unquote

_LOGIN = re.compile(r"(?<=://)([^/?#]*)@")


def split_login(url: str) -> tuple[str, str | None, str | None]:
    """Split user name and password off a URL; see :rfc:`3986`, section 3.2.1.

    Args:
        url: A URL, in which characters of the user name and the password can be written as ``%20``.

    Returns:
        The URL without them, the user name and the password; ``None`` for what it does not have.
    """
    found = _LOGIN.search(url)
    if found is None:
        return url, None, None
    user, colon, password = found[1].partition(":")
    return without_logins(url), unquote(user), unquote(password) if colon else None


def logins(text: str) -> tuple[str, ...]:
    """Return the user names and passwords in the URLs in a text, as they are written there."""
    return tuple(found[1] for found in _LOGIN.finditer(text))


def without_logins(text: str) -> str:
    """Remove user names and passwords from the URLs in a text."""
    return _LOGIN.sub("", text)
