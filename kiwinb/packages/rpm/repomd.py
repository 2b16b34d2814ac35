"""Read the index of an rpm-md repository: ``repodata/repomd.xml``.

Source of the format: createrepo_c(8), and the RELAX NG schema ``repomd.rng`` of openSUSE's libzypp.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lxml import etree

from kiwinb.errors import RepositoryError
from kiwinb.packages.manager import ResolvedRepository
from kiwinb.packages.signatures import is_strong
from kiwinb.steps.keys import Digest

REPOMD = "repodata/repomd.xml"
"""Path of the index in a repository."""

KINDS: Mapping[str, tuple[str, ...]] = {
    "primary": ("primary",),
    "filelists": ("filelists",),
    "group": ("group", "group_gz", "group_xz", "group_zst"),
    "modules": ("modules",),
}
"""Kinds of metadata that kiwinb reads, with the names that they have in the index."""

_NAMESPACE = "{http://linux.duke.edu/metadata/repo}"
_MOST_PARTS = 100


@dataclass(frozen=True)
class Part:
    """A file of metadata.

    Attributes:
        kind: One of :data:`KINDS`.
        path: Path in the repository.
        size: Size in bytes; ``None`` if it is not stated.
        digest: Digest of the file.
        open_size: Size in bytes without compression; ``None`` if it is not stated.
        open_digest: Digest without compression.
    """

    kind: str
    path: str
    size: int | None
    digest: Digest
    open_size: int | None
    open_digest: Digest


@dataclass(frozen=True)
class Repomd:
    """An index.

    Attributes:
        parts: The files of metadata, by their kind.
        date: When the newest of them was made, in seconds since 1970-01-01 UTC.
    """

    parts: Mapping[str, Part]
    date: int

    @classmethod
    def read(cls, data: bytes) -> Repomd:
        """Read an index.

        Raises:
            ValueError: It is damaged, or states no digest that can be trusted.
        """
        parser = etree.XMLParser(
            resolve_entities=False, load_dtd=False, no_network=True, remove_comments=True
        )
        try:
            root = etree.fromstring(data, parser)
        except etree.XMLSyntaxError as error:
            raise ValueError(f"it is not XML: {error.msg}") from None
        found, dates = {}, [0]
        elements = root.findall(f"{_NAMESPACE}data")
        for element in elements[:_MOST_PARTS]:
            dates.append(int(float(_text(element, "timestamp") or 0)))
            named = element.get("type", "")
            kind = next((kind for kind, names in KINDS.items() if named in names), None)
            if kind is not None and kind not in found:
                found[kind] = _part(kind, element)
        if "primary" not in found:
            raise ValueError("it lists no packages (no data of type primary)")
        return cls(found, max(dates))


def _part(kind: str, element: etree._Element) -> Part:
    location = element.find(f"{_NAMESPACE}location")
    path = location.get("href", "") if location is not None else ""
    digest = _text(element, "checksum")
    open_digest = _text(element, "open-checksum") or digest
    if not path or not is_strong(digest) or not is_strong(open_digest):
        raise ValueError(f"it states no path or no SHA-256 of its {kind} metadata")
    size, open_size = _text(element, "size"), _text(element, "open-size")
    return Part(
        kind,
        path,
        int(size) if size.isdecimal() else None,
        digest,
        int(open_size) if open_size.isdecimal() else None,
        open_digest,
    )


def _text(element: etree._Element, name: str) -> str:
    return (element.findtext(f"{_NAMESPACE}{name}") or "").strip()


def damaged_index(repository: ResolvedRepository, why: object) -> RepositoryError:
    """Return the error about an index that cannot be read."""
    return RepositoryError(
        f"the index {REPOMD} of the repository {repository.alias} cannot be read: {why}",
        remedy="Check that its URL is that of an rpm-md repository, or use another mirror.",
    )
