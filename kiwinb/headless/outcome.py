"""Write the files that describe a run: report, JUnit XML and a directory of artefacts."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kiwinb.headless.junit import write_junit
from kiwinb.headless.result import NotebookRun
from kiwinb.paths import normalised
from kiwinb.results.artefacts import Artefact, Collected, collect, with_results

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OutcomeFiles:
    """Paths of the files to write; ``None`` for files that are not needed.

    Attributes:
        report: Path of the HTML report.
        junit: Path of the JUnit XML.
        artefacts: Directory of all artefacts, including report, JUnit XML and notebook.
    """

    report: Path | None = None
    junit: Path | None = None
    artefacts: Path | None = None


def write_outcome(run: NotebookRun, files: OutcomeFiles) -> tuple[Collected, ...]:
    """Write the files of a run: JUnit XML first, then artefacts, and the report last.

    Whatever goes wrong in a report costs only the report, and ends in a warning.

    Returns:
        The files in the directory of artefacts.

    Raises:
        HostError: The directory of artefacts cannot be written to, or is full.
    """
    suite = [(run.recipe.stem, run)]
    collected: tuple[Collected, ...] = ()
    if files.junit is not None:
        write_junit(normalised(files.junit), suite)
    if files.artefacts is not None:
        with tempfile.TemporaryDirectory(prefix="kiwinb-run-") as scratch:
            junit = Path(scratch) / "junit.xml"
            write_junit(junit, suite)
            items = (
                *with_results(run.artefacts),
                Artefact(run.output, "notebook"),
                Artefact(junit, "junit"),
            )
            told = {
                "format": 1,
                "recipe": str(run.recipe),
                "state": run.state,
                "parameters": dict(run.parameters),
            }

            def report(path: Path, others: Sequence[Collected]) -> bool:
                return _write_report(path, run, others)

            collected = collect(normalised(files.artefacts), items, told, report)
    if files.report is not None:
        _write_report(normalised(files.report), run, collected)
    return collected


def _write_report(file: Path, run: NotebookRun, artefacts: Sequence[Collected]) -> bool:
    """Write the report; if that fails, warn, remove that of an earlier run, and return false."""
    try:
        from kiwinb.headless.report import write_report  # importing nbconvert is slow

        write_report(file, run, artefacts)
        return True
    except Exception as error:  # nbconvert and its libraries raise all sorts
        reason = " ".join(str(error).split()) or type(error).__name__
        log.warning("There is no report of %s: %s", run.recipe, reason)
        with suppress(OSError):
            file.unlink(missing_ok=True)
        return False
