"""Receive records of artefacts, expectations and steps from the cells of a running recipe.

The kernel appends lines of JSON to files that environment variables name. The runner reads the new
lines after each cell, and those about steps also while it runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kiwinb.errors import NotebookError
from kiwinb.headless.result import Expectation
from kiwinb.results.artefacts import RECORD_VARIABLE, Artefact
from kiwinb.steps.recorded import RECORD_VARIABLE as STEPS_VARIABLE
from kiwinb.steps.recorded import StepRecord

EXPECTATIONS_VARIABLE = "KIWINB_RECORD_EXPECTATIONS"
"""Environment variable that names the file to which the kernel appends expectations."""


class Records:
    """The files with the records of a run.

    Args:
        directory: An empty directory.
    """

    def __init__(self, directory: Path) -> None:
        self._files = {
            RECORD_VARIABLE: directory / "artefacts",
            EXPECTATIONS_VARIABLE: directory / "expectations",
            STEPS_VARIABLE: directory / "steps",
        }
        self._read = dict.fromkeys(self._files, 0)

    @property
    def environment(self) -> Mapping[str, str]:
        """Environment variables that name the files."""
        return {variable: str(file) for variable, file in self._files.items()}

    def artefacts(self, cell: int) -> tuple[Artefact, ...]:
        """Return the artefacts recorded since the last call, as artefacts of a cell.

        Args:
            cell: Number of the cell.

        Raises:
            NotebookError: A line is not a record.
        """
        return tuple(
            Artefact(Path(str(item["path"])), str(item.get("kind", "file")), cell)
            for item in self._new_items(RECORD_VARIABLE, "path")
        )

    def expectations(self, cell: int) -> tuple[Expectation, ...]:
        """Return the expectations recorded since the last call, as expectations of a cell.

        Args:
            cell: Number of the cell.

        Raises:
            NotebookError: A line is not a record.
        """
        return tuple(
            Expectation(
                str(item["what"]),
                str(item.get("expected", "")),
                str(item.get("measured", "")),
                bool(item.get("passed")),
                cell,
            )
            for item in self._new_items(EXPECTATIONS_VARIABLE, "what")
        )

    def steps(self) -> tuple[StepRecord, ...]:
        """Return what happened to steps since the last call; lines that are no records are lost."""
        found = map(StepRecord.from_json, self._new(STEPS_VARIABLE))
        return tuple(record for record in found if record is not None)

    def _new_items(self, variable: str, required: str) -> list[dict[str, Any]]:
        return [_item(line, required) for line in self._new(variable)]

    def _new(self, variable: str) -> list[bytes]:
        file = self._files[variable]
        if not file.exists():
            return []
        with file.open("rb") as lines:
            lines.seek(self._read[variable])
            data = lines.read()
        end = data.rfind(b"\n") + 1  # a killed kernel may leave an incomplete line
        self._read[variable] += end
        return data[:end].splitlines()


def _item(line: bytes, required: str) -> dict[str, Any]:
    try:
        item = json.loads(line)
        if required in item:
            return dict(item)
    except (ValueError, TypeError):
        pass
    raise NotebookError(f"a cell wrote an invalid record: {line.decode(errors='replace')}")
