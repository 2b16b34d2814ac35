"""Write deb822 sources of apt, and read the keys that they name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from kiwinb.packages.failures import check_printable
from kiwinb.packages.manager import ResolvedRepository


def mirror_list(number: int) -> str:
    """Return the path of the list of mirrors of a repository, in the directory of the lists."""
    return f"mirrors/{number}.txt"


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
    check_printable(
        repository.alias, {f"what apt calls {name}": value for name, value in fields.items()}
    )
    return "".join(f"{name}: {value}\n" for name, value in fields.items() if value)
