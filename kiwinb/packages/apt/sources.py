"""deb822 sources of apt, and the keys they name."""

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
    """A paragraph of a ``.sources`` file; see sources.list(5).

    Args:
        repository: What it is about.
        urls: The URLs to write.
        keyrings: Paths of the keyring files, where whoever reads the paragraph finds them.
        architecture: Written when the repository itself does not say which it has.
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
    """The suffix by which apt knows the format of a key: ``asc`` when armored, else ``gpg``."""
    return "asc" if data.lstrip().startswith(b"-----BEGIN PGP") else "gpg"


def read_key(key: Source, alias: str) -> bytes:
    """The content of a key file.

    Raises:
        RepositoryError: It is not there any more.
    """
    try:
        return key.path.read_bytes()
    except OSError as error:
        raise RepositoryError(
            f"the key {key.path} of the repository {alias} cannot be read: {error.strerror}"
        ) from None
