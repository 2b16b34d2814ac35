"""Write deb822 sources of apt, and read the keys that they name."""

from __future__ import annotations

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
    }
    return "".join(f"{name}: {value}\n" for name, value in fields.items() if value)


def key_suffix(data: bytes) -> str:
    """Return the suffix that tells apt the format of a key: ``asc`` if armored, or else ``gpg``."""
    return "asc" if data.lstrip().startswith(b"-----BEGIN PGP") else "gpg"


def read_key(key: Source, alias: str) -> bytes:
    """Read a key file.

    Raises:
        RepositoryError: The file cannot be read.
    """
    try:
        return key.path.read_bytes()
    except OSError as error:
        raise RepositoryError(
            f"the key {key.path} of the repository {alias} cannot be read: {error.strerror}"
        ) from None
