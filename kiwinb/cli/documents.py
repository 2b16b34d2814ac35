"""Write the generated documents.

``python -m kiwinb.cli.documents`` writes the documents in ``docs/`` that are out of date. With
``--check``, it only names them, and exits with status 1 if there are any.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

DOCUMENTS: Mapping[str, str] = {
    "checks.md": "kiwinb.checks.reference",
    "cli.md": "kiwinb.cli.reference",
    "plugins.md": "kiwinb.cli.plugins",
    "schema.md": "kiwinb.description.reference",
}
"""Files in ``docs/``, each with the module whose ``markdown()`` returns its text."""

DIRECTORY = Path(__file__).parents[2] / "docs"
"""Their directory in a checkout."""


def text(name: str) -> str:
    """The text of a document in :data:`DOCUMENTS`."""
    found: str = import_module(DOCUMENTS[name]).markdown()
    return found


def outdated() -> Iterator[tuple[Path, str]]:
    """The documents that are out of date, each with its new text."""
    for name in DOCUMENTS:
        path, wanted = DIRECTORY / name, text(name)
        if not path.is_file() or path.read_text() != wanted:
            yield path, wanted


def main(arguments: list[str]) -> int:
    """Write or check the documents.

    Args:
        arguments: ``--check`` or nothing.

    Returns:
        The exit status: 1 if ``--check`` finds a document that is out of date.
    """
    check = arguments == ["--check"]
    if arguments and not check:
        print("usage: python -m kiwinb.cli.documents [--check]", file=sys.stderr)
        return 2
    found = list(outdated())
    for path, wanted in found:
        if not check:
            path.write_text(wanted)
        print(f"{path}: {'out of date' if check else 'written'}", file=sys.stderr)
    if check and found:
        print("python -m kiwinb.cli.documents writes them.", file=sys.stderr)
    return int(check and bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
