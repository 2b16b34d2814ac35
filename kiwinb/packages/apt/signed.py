"""Read what the signed text of an index says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from kiwinb.packages.deb822 import paragraphs
from kiwinb.packages.signatures import SIGNED_MESSAGE, split_signed
from kiwinb.steps.keys import Digest


@dataclass(frozen=True)
class Release:
    """The text of an index that describes a repository.

    Attributes:
        fields: Its fields, in lower case.
        files: SHA-256 and size of each file that it lists, by path.
    """

    fields: Mapping[str, str]
    files: Mapping[str, tuple[Digest, int]]

    @classmethod
    def read(cls, data: bytes) -> Release:
        """Read an ``InRelease`` or ``Release`` file; of a signed one, only the signed text.

        Raises:
            ValueError: It is neither.
        """
        text = split_signed(data)[0] if data.startswith(SIGNED_MESSAGE) else data
        fields = next(paragraphs(text.decode("utf-8", "replace")), {})
        files = {}
        for line in fields.get("sha256", "").splitlines():
            if line:
                sha256, size, path = line.split(None, 2)
                files[path] = (sha256, int(size))
        return cls(fields, files)

    @property
    def date(self) -> int | None:
        """When it was made, in seconds since 1970-01-01 UTC; ``None`` if it does not say."""
        from email.utils import parsedate_to_datetime  # slow to import

        try:
            return int(parsedate_to_datetime(self.fields["date"]).timestamp())
        except (KeyError, ValueError):
            return None


def quoted(text: str) -> str:
    """Return a path as apt writes it in the names of its lists."""
    bad = '\\|{}[]<>"^~_=!@#$%^&*'
    return "".join(
        f"%{byte:02x}" if chr(byte) in bad or not 0x20 < byte < 0x7F else chr(byte)
        for byte in os.fsencode(text)
    ).replace("/", "_")
