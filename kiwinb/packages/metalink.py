"""Read metalinks: lists of the mirrors of a file, with its digests.

Sources of the formats: :rfc:`5854` (version 4); the Metalink 3.0 specification, and what the
MirrorManager of Fedora adds to it: ``alternates``, older versions of the file that mirrors may
still have. Others who run a MirrorManager give its elements a namespace of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lxml import etree

from kiwinb.packages.signatures import digest_of, is_strong
from kiwinb.steps.keys import Digest

_VERSION_3, _VERSION_4 = "http://www.metalinker.org/", "urn:ietf:params:xml:ns:metalink"
_LAST_PRIORITY = 999_999
_MOST_DIGITS = 15
_MOST_VERSIONS = 100


@dataclass(frozen=True)
class Version:
    """A version of a file.

    Attributes:
        size: Size in bytes; ``None`` if it is not stated.
        digest: The strongest digest that is stated: SHA-512, SHA-384 or SHA-256.
    """

    size: int | None
    digest: Digest

    def is_of(self, file: Path) -> bool:
        """Tell whether a file has this version.

        Raises:
            OSError: The file cannot be read.
        """
        return (
            self.size in (None, file.stat().st_size)
            and digest_of(file, len(self.digest)) == self.digest
        )


@dataclass(frozen=True)
class Metalink:
    """What a metalink says of one file.

    Attributes:
        urls: URLs of the file, the preferred ones first.
        versions: Versions of the file, the current one first.
    """

    urls: tuple[str, ...]
    versions: tuple[Version, ...]

    @classmethod
    def read(cls, data: bytes, name: str) -> Metalink:
        """Read what a metalink says of a file.

        Args:
            data: The metalink.
            name: Name of the file.

        Raises:
            ValueError: It is no metalink, does not list the file, or states no digest of it that
                can be trusted: MD5 and SHA-1 cannot.
        """
        root = _root(data)
        is_new = etree.QName(root).namespace == _VERSION_4
        (parent,) = [root] if is_new else _below(root, "files")[:1] or [root]
        file = next((item for item in _below(parent, "file") if item.get("name") == name), None)
        if file is None:
            raise ValueError(f"it does not list {name}")
        current = _version(file)
        if current is None:
            raise ValueError(f"it states no SHA-256 and no SHA-512 of {name}")
        older = (
            _version(item)
            for alternates in _below(file, "alternates")[:1]
            for item in _below(alternates, "alternate")[:_MOST_VERSIONS]
        )
        places = (
            _by_priority(_below(file, "url"))
            if is_new
            else _by_preference(
                item for group in _below(file, "resources") for item in _below(group, "url")
            )
        )
        urls = tuple((place.text or "").strip() for place in places)
        return cls(urls, (current, *filter(None, older)))


def _root(data: bytes) -> etree._Element:
    parser = etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise ValueError(f"it is not XML: {error.msg}") from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise ValueError("it has a document type, which no metalink has")
    name = etree.QName(root)
    if name.localname != "metalink" or name.namespace not in (_VERSION_3, _VERSION_4):
        raise ValueError(f"it is not a metalink, but <{name.localname}>")
    return root


def _below(element: etree._Element, name: str) -> list[etree._Element]:
    """The children with a name, in any namespace."""
    return element.findall(f"{{*}}{name}")


def _version(element: etree._Element) -> Version | None:
    hashes = [*_below(element, "hash")]
    for group in _below(element, "verification"):
        hashes += _below(group, "hash")
    stated = ((item.text or "").strip().lower() for item in hashes if _is_sha2(item))
    digest = max(filter(is_strong, stated), key=len, default=None)
    size = next(((item.text or "").strip() for item in _below(element, "size")), "")
    return None if digest is None else Version(_number(size), digest)


def _is_sha2(item: etree._Element) -> bool:
    kind = item.get("type", "").lower().replace("-", "")
    return kind in ("sha256", "sha384", "sha512") and len((item.text or "").strip()) == (
        int(kind[3:]) // 4
    )


def _number(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else None


def _by_priority(places: Sequence[etree._Element]) -> list[etree._Element]:
    """Those of version 4: 1 comes first; see :rfc:`5854`, section 4.2.16."""

    def order(place: etree._Element) -> int:
        return _number(place.get("priority")) or _LAST_PRIORITY

    return sorted(places, key=order)


def _by_preference(places: Iterator[etree._Element]) -> list[etree._Element]:
    """Those of version 3: 100 comes first."""

    def order(place: etree._Element) -> int:
        return -(_number(place.get("preference")) or 0)

    return sorted(places, key=order)
