"""What the cells of a running recipe tell the runner: artefacts and expectations.

The kernel appends lines of JSON to files that environment variables name; after each cell the
runner reads what is new.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kiwinb.errors import NotebookError
from kiwinb.headless.result import Expectation
from kiwinb.results.artefacts import RECORD_VARIABLE, Artefact

EXPECTATIONS_VARIABLE = "KIWINB_RECORD_EXPECTATIONS"
"""Environment variable that names the file which expectations are appended to."""


class Records:
    """The files of one run.

    Args:
        directory: An empty directory.
    """

    def __init__(self, directory: Path) -> None:
        self._files = {
            RECORD_VARIABLE: directory / "artefacts",
            EXPECTATIONS_VARIABLE: directory / "expectations",
        }
        self._read = dict.fromkeys(self._files, 0)

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that name the files."""
        return {variable: str(file) for variable, file in self._files.items()}

    def artefacts(self, cell: int) -> tuple[Artefact, ...]:
        """Those that were recorded since the last call, by the cell of this number."""
        return tuple(
            Artefact(Path(str(item["path"])), str(item.get("kind", "file")), cell)
            for item in self._new(RECORD_VARIABLE, "path")
        )

    def expectations(self, cell: int) -> tuple[Expectation, ...]:
        """Those that were recorded since the last call, by the cell of this number."""
        return tuple(
            Expectation(
                str(item["what"]),
                str(item.get("expected", "")),
                str(item.get("measured", "")),
                bool(item.get("passed")),
                cell,
            )
            for item in self._new(EXPECTATIONS_VARIABLE, "what")
        )

    def _new(self, variable: str, required: str) -> list[dict[str, Any]]:
        file = self._files[variable]
        if not file.exists():
            return []
        with file.open("rb") as lines:
            lines.seek(self._read[variable])
            data = lines.read()
        end = data.rfind(b"\n") + 1  # a killed kernel may leave half a line
        self._read[variable] += end
        return [_item(line, required) for line in data[:end].splitlines()]


def _item(line: bytes, required: str) -> dict[str, Any]:
    try:
        item = json.loads(line)
        if required in item:
            return dict(item)
    except (ValueError, TypeError):
        pass
    raise NotebookError(f"a cell recorded what is no record: {line.decode(errors='replace')}")
