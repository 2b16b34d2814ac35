"""Run a cell of a matrix, in the process that this module is called in."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kiwinb.checkpoints.locks import locked
from kiwinb.errors import KiwinbError
from kiwinb.headless.outcome import OutcomeFiles, write_outcome
from kiwinb.headless.parameters import recipe_parameters
from kiwinb.headless.recipe import read_notebook
from kiwinb.headless.result import Failure, NotebookRun, checked
from kiwinb.headless.run import Limits, run_notebook
from kiwinb.matrix.matrix import MatrixCell
from kiwinb.results.artefacts import REPORT
from kiwinb.typed_json import WrongData, dumps, loads

_MOST = 32 << 20
"""Largest number of characters of an outcome."""

TARGET_DIR = "target_dir"
"""Name of the parameter for the target directory of a recipe."""


@dataclass(frozen=True)
class Job:
    """A cell to run.

    Attributes:
        cell: The cell.
        directory: Directory for everything that it makes, at the same path on every host.
        token: Identifies the run of the matrix; an earlier run with the same token is resumed.
        limits: Time limits.
        kernel: Name of the kernel; ``None`` for the one that the notebook names.
        stop_file: If this file appears, the run is interrupted.
    """

    cell: MatrixCell
    directory: Path
    token: str
    limits: Limits
    kernel: str | None
    stop_file: Path


@dataclass(frozen=True)
class Outcome:
    """The outcome of a cell.

    Attributes:
        name: Name of the cell.
        run: The run of its recipe.
        host: Name of the host that ran it.
        image: File name of the last image; ``""`` if it made none.
        size: Size of this image in bytes; ``None`` if it made none.
        usage: Disk usage of this image in bytes; ``None`` if it made none.
        packages: Versions of the packages in it, by package.
    """

    name: str
    run: NotebookRun
    host: str = ""
    image: str = ""
    size: int | None = None
    usage: int | None = None
    packages: Mapping[str, str] = field(default_factory=dict)

    @property
    def report(self) -> Path | None:
        """Path of its report; ``None`` if the cell could not be run, or has no report."""
        report = self.run.output.with_name(REPORT)
        return report if self.run.started and report.exists() else None

    @property
    def notebook(self) -> Path | None:
        """Path of the notebook with its outputs; ``None`` if the cell could not be run."""
        return self.run.output if self.run.started and self.run.output.exists() else None


def run_cell(job: Job) -> Outcome:
    """Run a cell, or resume it if its worker has died."""
    recipe = job.cell.recipe
    directory = job.directory.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    try:
        parameters = dict(job.cell.parameters)
        known = recipe_parameters(read_notebook(recipe), recipe)
        if TARGET_DIR not in parameters and any(item.name == TARGET_DIR for item in known):
            parameters[TARGET_DIR] = str(directory)
        with locked(directory / ".lock", what=f"the cell {job.cell.name}"):
            run = run_notebook(
                recipe,
                output=directory / recipe.name,
                parameters=parameters,
                limits=job.limits,
                resume=True,
                kernel=job.kernel,
                token=job.token,
                stop_file=job.stop_file,
            )
            write_outcome(run, OutcomeFiles(artefacts=directory))
    except KiwinbError as error:
        return lost(job, str(error))
    return _measured(job.cell.name, run)


def run_cell_for_data(job: Job) -> str:
    """Run a cell; return its outcome as JSON text, whatever happens.

    The text is for another process or host, where :func:`read_outcome` reads it.
    """
    try:
        return dumps(run_cell(job))
    except Exception as error:
        return dumps(lost(job, f"{type(error).__name__}: {error}"))


def read_outcome(text: object, job: Job) -> Outcome:
    """Return the outcome of a cell that another process sent as text."""
    try:
        if not isinstance(text, str) or len(text) > _MOST:
            raise WrongData("it is not a text of reasonable size")
        outcome: Outcome = loads(text, Outcome)
        if outcome.name != job.cell.name:
            raise WrongData(f"it is about {outcome.name}")
        checked(outcome.run)
        return outcome
    except WrongData as error:
        return lost(job, f"its worker answered nonsense: {error}")


def lost(job: Job, problem: str) -> Outcome:
    """Make the outcome of a cell that could not be run.

    Args:
        job: The cell.
        problem: Why it could not be run.
    """
    run = NotebookRun(
        job.cell.recipe,
        job.directory / job.cell.recipe.name,
        state="failed",
        failure=Failure("error", None, problem),
    )
    return Outcome(job.cell.name, run, socket.gethostname())


def _measured(name: str, run: NotebookRun) -> Outcome:
    host = socket.gethostname()
    images = [image for image in run.images if image.is_file()]
    if not images:
        return Outcome(name, run, host)
    image = images[-1]
    status = image.stat()
    return Outcome(
        name, run, host, image.name, status.st_size, status.st_blocks * 512, _packages(image)
    )


def _packages(image: Path) -> dict[str, str]:
    """Read the package list that a build may have written beside its image."""
    from kiwinb.inspect.package_list import SUFFIX, read_package_list  # imports pandas

    lists = [file for file in image.parent.glob(f"*{SUFFIX}") if image.name.startswith(file.stem)]
    if not lists:
        return {}
    return {package.label: package.version for package in read_package_list(lists[0]).packages}
