"""Write deb822 sources of apt, and read the keys that they name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from kiwinb.errors import RepositoryError
from kiwinb.packages.manager import ResolvedRepository
from kiwinb.steps.keys import Source


def stanza(
    repository: ResolvedRepository,
    urls: Sequence[str],
    keyrings: Iterable[Path],
    *,
    architecture: str | None = None,
) -> str:
    """Return a paragraph of a ``.sources`` file; see sources.list(5).

    Args:
        repository: The repository.
        urls: The URLs to write.
        keyrings: Paths of the keyring files for the apt that reads the paragraph.
        architecture: Architecture to write if the repository does not give any.

    Raises:
        RepositoryError: A value would be read as another field.
    """
    architectures = repository.architectures or ((architecture,) if architecture else ())
    fields = {
        "Types": "deb",
        "URIs": " ".join(urls),
        "Suites": repository.distribution or "./",
        "Components": " ".join(repository.components),
        "Architectures": " ".join(architectures),
        "Signed-By": " ".join(map(str, keyrings)) if repository.checked else "",
        "Trusted": "" if repository.checked else "yes",
        "Check-Valid-Until": "no" if architecture and repository.outdated_allowed else "",
    }
    for name, value in fields.items():
        if not value.isprintable():
            raise RepositoryError(
                f"the repository {repository.alias} has a control character in what apt calls "
                f"{name}: {value!r}",
                remedy="Remove it from the description.",
            )
    return "".join(f"{name}: {value}\n" for name, value in fields.items() if value)


def key_suffix(data: bytes) -> str:
    """Return the suffix that tells apt the format of a key: ``asc`` if armored, or else ``gpg``."""
    return "asc" if data.lstrip().startswith(b"-----BEGIN PGP") else "gpg"


def read_key(key: Source, alias: str) -> bytes:
    """Read a key file.

    Raises:
        RepositoryError: The file cannot be read, or has changed since the build was planned.
    """
    try:
        data = key.path.read_bytes()
    except OSError as error:
        raise RepositoryError(
            f"the key {key.path} of the repository {alias} cannot be read: {error.strerror}"
        ) from None
    if hashlib.sha256(data).hexdigest() != key.digest:
        raise RepositoryError(
            f"the key {key.path} of the repository {alias} has changed since the build was planned",
            remedy="Run again.",
        )
    return data
