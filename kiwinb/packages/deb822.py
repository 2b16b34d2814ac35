"""Paragraphs of ``Field: value`` lines, as dpkg and apt write them: deb822(5)."""

from __future__ import annotations

from collections.abc import Iterator


def paragraphs(text: str) -> Iterator[dict[str, str]]:
    """The paragraphs of a file, each as fields by lower-case name.

    Continuation lines keep their line breaks and lose their leading blanks; comments and the
    armor of a signed file are passed over.
    """
    fields: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
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
