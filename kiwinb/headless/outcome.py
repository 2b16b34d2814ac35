"""The files that tell of a run: report, JUnit XML, and the directory of artefacts."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kiwinb.headless.junit import write_junit
from kiwinb.headless.result import NotebookRun
from kiwinb.paths import normalised
from kiwinb.results.artefacts import Artefact, Collected, collect, with_results


@dataclass(frozen=True)
class OutcomeFiles:
    """Where the files are wanted; those that are ``None`` are not.

    Attributes:
        report: HTML report.
        junit: JUnit XML.
        artefacts: Directory of all artefacts, report, JUnit XML and notebook included.
    """

    report: Path | None = None
    junit: Path | None = None
    artefacts: Path | None = None


def write_outcome(run: NotebookRun, files: OutcomeFiles) -> tuple[Collected, ...]:
    """Write the files of a run.

    Returns:
        What the directory of artefacts holds.

    Raises:
        HostError: The directory of artefacts cannot be written to, or is full.
    """
    suite = [(run.recipe.stem, run)]
    collected: tuple[Collected, ...] = ()
    from kiwinb.headless.report import write_report  # nbconvert takes long to import

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

            def report(path: Path, others: Sequence[Collected]) -> None:
                write_report(path, run, others)

            collected = collect(normalised(files.artefacts), items, told, report)
    if files.junit is not None:
        write_junit(normalised(files.junit), suite)
    if files.report is not None:
        write_report(normalised(files.report), run, collected)
    return collected
