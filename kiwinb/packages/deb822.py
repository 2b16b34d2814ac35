"""Parse paragraphs of ``Field: value`` lines, as dpkg and apt write them; see deb822(5)."""

from __future__ import annotations

from collections.abc import Iterator


def paragraphs(text: str) -> Iterator[dict[str, str]]:
    """Yield the paragraphs of a file, each as a mapping of lower-case field names to values.

    Values keep the line breaks of continuation lines, but not their indentation. Comments and the
    armor of a signed file are skipped.
    """
    fields: dict[str, str] = {}
    name = ""
    for line in text.split("\n"):
        if line.startswith("#"):
            continue
        if not line.strip():
            if fields:
                yield fields
            fields, name = {}, ""
        elif line[0] in " \t":
            if name:
                fields[name] += "\n" + line.strip()
        else:
            name, colon, value = line.partition(":")
            name = name.lower() if colon else ""
            if name:
                fields[name] = value.strip()
    if fields:
        yield fields
