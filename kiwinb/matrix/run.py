"""Run the cells of a matrix in parallel, and collect their outcomes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future, as_completed
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from kiwinb.errors import MatrixError
from kiwinb.headless.run import Limits
from kiwinb.matrix.cell import Job, Outcome, lost, read_outcome, run_cell_for_data
from kiwinb.matrix.matrix import Matrix, MatrixCell
from kiwinb.paths import normalised
from kiwinb.sandbox.worker import exit_on_termination

_STATE = "matrix.json"
_STOP = ".stop"


@dataclass(frozen=True)
class MatrixOptions:
    """Options for running cells.

    Attributes:
        limits: Time limits of each cell.
        kernel: Name of the kernel; ``None`` for the one that each notebook names.
        resume: Whether to resume the run in the directory; cells that passed do not run again.
    """

    limits: Limits = field(default_factory=Limits)
    kernel: str | None = None
    resume: bool = False


def run_matrix(
    matrix: Matrix,
    directory: Path,
    pool: Executor,
    options: MatrixOptions | None = None,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> tuple[Outcome, ...]:
    """Run all cells; a failing cell does not stop the others.

    An interrupt or SIGTERM ends running cells cleanly, and cancels the others.

    Args:
        matrix: The matrix.
        directory: Directory in which each cell has a directory with its name. Workers of a cluster
            have to see it at the same path.
        pool: Executor that runs the cells; see :func:`kiwinb.matrix.pool.open_pool`.
        options: Options for running cells.
        on_outcome: Called with the outcome of each cell when it ends.

    Returns:
        The outcomes, in the order of the cells.

    Raises:
        MatrixError: There is no run to resume.
    """
    options = options or MatrixOptions()
    directory = normalised(directory).absolute()
    directory.mkdir(parents=True, exist_ok=True)
    stop_file = directory / _STOP
    stop_file.unlink(missing_ok=True)
    token = _token(directory, options.resume)
    jobs = [_job(cell, directory, token, options) for cell in matrix.cells]
    outcomes: dict[str, Outcome] = {}
    futures: dict[Future[str], Job] = {}
    with exit_on_termination():
        try:
            for job in jobs:
                futures[pool.submit(run_cell_for_data, job)] = job
            for future in as_completed(futures):
                outcome = _result(future, futures[future])
                outcomes[outcome.name] = outcome
                on_outcome(outcome)
        except BaseException:
            stop_file.touch()
            for future in futures:
                future.cancel()
            for future in as_completed(futures):
                with suppress(Exception, CancelledError):
                    future.result()
            raise
    return tuple(outcomes[job.cell.name] for job in jobs)


def _job(cell: MatrixCell, directory: Path, token: str, options: MatrixOptions) -> Job:
    return Job(
        replace(cell, recipe=normalised(cell.recipe).absolute()),
        directory / cell.name,
        token,
        options.limits,
        options.kernel,
        directory / _STOP,
    )


def _result(future: Future[str], job: Job) -> Outcome:
    try:
        return read_outcome(future.result(), job)
    except (Exception, CancelledError) as error:  # its workers died or could not start it
        return lost(job, f"{type(error).__name__}: {error}")


def _token(directory: Path, resume: bool) -> str:
    state = directory / _STATE
    if resume:
        try:
            return str(json.loads(state.read_bytes())["token"])
        except (OSError, ValueError, LookupError, TypeError):
            raise MatrixError(
                f"there is no run of a matrix in {directory} to resume",
                remedy="Run it without --resume.",
            ) from None
    token = uuid.uuid4().hex
    state.write_text(json.dumps({"format": 1, "token": token}) + "\n")
    return token
