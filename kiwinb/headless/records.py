"""Receive records of artefacts, expectations and steps from the cells of a running recipe.

The kernel appends lines of JSON to files that environment variables name. The runner reads the new
lines after each cell, and those about steps also while it runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, cast

from kiwinb.errors import NotebookError
from kiwinb.headless.result import Expectation
from kiwinb.results.artefacts import RECORD_VARIABLE, Artefact
from kiwinb.steps.recorded import RECORD_VARIABLE as STEPS_VARIABLE
from kiwinb.steps.recorded import StepRecord
from kiwinb.typed_json import WrongData, from_json, loads

EXPECTATIONS_VARIABLE = "KIWINB_RECORD_EXPECTATIONS"
"""Environment variable that names the file to which the kernel appends expectations."""


_MOST = 16 << 20
"""Largest number of bytes of records that are read at once."""

_LONGEST_QUOTE = 200


@dataclass(frozen=True)
class _ArtefactRecord:
    path: Path
    kind: str = "file"


@dataclass(frozen=True)
class _ExpectationRecord:
    what: str
    expected: str = ""
    measured: str = ""
    passed: bool = False


_R = TypeVar("_R", _ArtefactRecord, _ExpectationRecord)


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
        found = self._new_items(RECORD_VARIABLE, _ArtefactRecord)
        return tuple(Artefact(item.path, item.kind, cell) for item in found)

    def expectations(self, cell: int) -> tuple[Expectation, ...]:
        """Return the expectations recorded since the last call, as expectations of a cell.

        Args:
            cell: Number of the cell.

        Raises:
            NotebookError: A line is not a record.
        """
        found = self._new_items(EXPECTATIONS_VARIABLE, _ExpectationRecord)
        return tuple(Expectation(**vars(item), cell=cell) for item in found)

    def steps(self) -> tuple[StepRecord, ...]:
        """Return what happened to steps since the last call; lines that are no records are lost."""
        found = map(StepRecord.from_json, self._new(STEPS_VARIABLE))
        return tuple(record for record in found if record is not None)

    def _new_items(self, variable: str, kind: type[_R]) -> list[_R]:
        return [_item(line, kind) for line in self._new(variable)]

    def _new(self, variable: str) -> list[bytes]:
        file = self._files[variable]
        if not file.exists():
            return []
        with file.open("rb") as lines:
            lines.seek(self._read[variable])
            data = lines.read(_MOST)
        end = data.rfind(b"\n") + 1  # a killed kernel may leave an incomplete line
        if not end and len(data) == _MOST:  # no record is that long
            end = _MOST
        self._read[variable] += end
        return data[:end].splitlines()


def _item(line: bytes, kind: type[_R]) -> _R:
    try:
        given = loads(line, dict[str, object])
        known = {item.name for item in fields(cast(Any, kind))}
        record: _R = from_json({name: given[name] for name in given if name in known}, kind)
    except WrongData as error:
        text = line[:_LONGEST_QUOTE].decode(errors="replace")
        raise NotebookError(f"a cell wrote an invalid record ({error}): {text}") from None
    return record
