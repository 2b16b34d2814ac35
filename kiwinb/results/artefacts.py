"""Artefacts: the files that a recipe makes; the headless runner collects them.

A cell records a file with :func:`record`. The runner copies the files that a run recorded into one
directory, with a ``manifest.json`` that gives the name, kind, size, SHA-256 and cell of each.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kiwinb.errors import ImageError
from kiwinb.results.record import RECORD, list_results
from kiwinb.results.transaction import FileTransaction, sha256_of

RECORD_VARIABLE = "KIWINB_RECORD_ARTEFACTS"
"""Environment variable with the name of the file that lists recorded artefacts."""
MANIFEST = "manifest.json"
REPORT = "report.html"


@dataclass(frozen=True)
class Artefact:
    """A file that a run made.

    Attributes:
        path: Path of the file.
        kind: ``image``, ``result`` (another result file of a build), ``notebook``, ``report``,
            ``junit``, or the kind that a cell gave.
        cell: Number of the cell that recorded it; ``None`` if the runner wrote the file.
    """

    path: Path
    kind: str
    cell: int | None = None


@dataclass(frozen=True)
class Collected:
    """An artefact in the directory of artefacts.

    Attributes:
        name: File name in that directory.
        kind: See :class:`Artefact`.
        size: In bytes.
        sha256: SHA-256 of its content, in hexadecimal.
        cell: Number of the cell that recorded it.
    """

    name: str
    kind: str
    size: int
    sha256: str
    cell: int | None


def record(path: str | os.PathLike[str], kind: str = "file") -> None:
    """Record a file that a cell made, for the headless runner, if there is one."""
    place = os.environ.get(RECORD_VARIABLE)
    if place:
        line = json.dumps({"path": str(Path(path).resolve()), "kind": kind})
        with Path(place).open("a", encoding="utf-8") as lines:
            lines.write(f"{line}\n")


def record_image(path: Path) -> None:
    """Record the image that a build delivered, for the headless runner."""
    record(path, "image")


def with_results(artefacts: Iterable[Artefact]) -> tuple[Artefact, ...]:
    """Add the other result files of its build to each image; the last record of a file counts."""
    found: dict[Path, Artefact] = {}
    for artefact in artefacts:
        found[artefact.path] = artefact
        if artefact.kind == "image":
            for path in _siblings(artefact.path):
                found[path] = Artefact(path, "result", artefact.cell)
    return tuple(found.values())


def collect(
    directory: Path,
    artefacts: Sequence[Artefact],
    run: Mapping[str, Any],
    report: Callable[[Path, Sequence[Collected]], bool],
) -> tuple[Collected, ...]:
    """Copy artefacts into one directory and write its manifest, completely or not at all.

    Args:
        directory: The directory; it is created if necessary. Files that only the previous manifest
            lists are removed.
        artefacts: The artefacts; files that no longer exist are left out.
        run: Data about the run for the manifest.
        report: Writes ``report.html`` from the other collected files, and tells whether it could.

    Raises:
        HostError: The directory cannot be written to, or is full.
    """
    before = _listed(directory)
    collected: list[Collected] = []
    with FileTransaction(directory, MANIFEST) as placement:
        for artefact in artefacts:
            if not artefact.path.is_file():
                continue
            name = _free_name(artefact, {item.name for item in collected})
            target = directory / name
            if target.exists() and target.samefile(artefact.path):
                copy = target
            else:
                copy = placement.add_copy(name, artefact.path)
            collected.append(_collected(name, artefact.kind, copy, artefact.cell))
        made = placement.stage(REPORT)
        if report(made, tuple(collected)):
            collected.append(_collected(REPORT, "report", made, None))
        else:
            placement.drop(REPORT)
        manifest = {**run, "artefacts": [asdict(item) for item in collected]}
        placement.add_text(MANIFEST, json.dumps(manifest, indent=2, default=str) + "\n")
    for name in before - {item.name for item in collected}:
        (directory / name).unlink(missing_ok=True)
    return tuple(collected)


def _siblings(image: Path) -> list[Path]:
    try:
        result = list_results(image.parent)
    except ImageError:
        return []
    paths = list(result.paths().values())
    if image not in paths:
        return []
    sums = [path.with_name(f"{path.name}.sha256") for path in paths]
    files = [*paths, *sums, image.parent / RECORD]
    return [path for path in files if path != image and path.is_file()]


def _collected(name: str, kind: str, file: Path, cell: int | None) -> Collected:
    return Collected(name, kind, file.stat().st_size, sha256_of(file), cell)


def _free_name(artefact: Artefact, taken: set[str]) -> str:
    name = artefact.path.name
    if name not in taken and name not in (MANIFEST, REPORT):
        return name
    prefix = "run" if artefact.cell is None else f"cell-{artefact.cell}"
    candidates = (f"{prefix}-{name}", *(f"{prefix}-{n}-{name}" for n in range(2, len(taken) + 3)))
    return next(candidate for candidate in candidates if candidate not in taken)


def _listed(directory: Path) -> set[str]:
    """The names in the manifest of the last run; none of them leads out of the directory."""
    try:
        manifest = json.loads((directory / MANIFEST).read_bytes())
        names = {str(item["name"]) for item in manifest["artefacts"]}
    except (OSError, ValueError, LookupError, TypeError):
        return set()
    return {name for name in names if Path(name).name == name}
