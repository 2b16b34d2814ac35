"""One cell of a matrix, run in whatever process it is given to."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kiwinb.checkpoints.locks import locked
from kiwinb.errors import KiwinbError
from kiwinb.headless.outcome import OutcomeFiles, write_outcome
from kiwinb.headless.parameters import recipe_parameters
from kiwinb.headless.result import Failure, NotebookRun
from kiwinb.headless.run import Limits, read_notebook, run_notebook
from kiwinb.matrix.matrix import MatrixCell

TARGET_DIR = "target_dir"
"""The parameter that says where a recipe delivers its image."""


@dataclass(frozen=True)
class Job:
    """A cell to run.

    Attributes:
        cell: The cell.
        directory: Where everything that it makes goes; the same place on every host.
        token: Names the run of the matrix; what ran of the cell under this token is not run again.
        limits: How long it may take.
        kernel: Name of the kernel; the notebook says it when ``None``.
        stop_file: Its appearance ends the run.
    """

    cell: MatrixCell
    directory: Path
    token: str
    limits: Limits
    kernel: str | None
    stop_file: Path


@dataclass(frozen=True)
class Outcome:
    """What came of a cell.

    Attributes:
        name: Of the cell.
        run: The run of its recipe.
        host: Name of the host that ran it.
        image: File name of the last image; ``""`` when it made none.
        size: Bytes that this image has; ``None`` when it made none.
        usage: Bytes that it takes on disk.
        packages: Version of each package in it, by name.
    """

    name: str
    run: NotebookRun
    host: str = ""
    image: str = ""
    size: int | None = None
    usage: int | None = None
    packages: Mapping[str, str] = field(default_factory=dict)


def run_cell(job: Job) -> Outcome:
    """Run a cell, or go on with it where a worker that died left it."""
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


def lost(job: Job, problem: str) -> Outcome:
    """The outcome of a cell that could not be run at all."""
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
    """Those of the list that the build left beside its image, if it left one."""
    from kiwinb.inspect.package_list import SUFFIX, read_package_list  # imports pandas

    lists = [file for file in image.parent.glob(f"*{SUFFIX}") if image.name.startswith(file.stem)]
    if not lists:
        return {}
    return {package.label: package.version for package in read_package_list(lists[0]).packages}
