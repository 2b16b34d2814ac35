"""Events that a build sends to its observers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from kiwinb.steps.step import Step

State = Literal["held", "reused", "running", "done", "failed"]


@dataclass(frozen=True)
class StepEvent:
    """Something happened to a step.

    Attributes:
        step: The step.
        state: ``held`` (the store has its result), ``running``, ``done``, ``reused`` (it did not
            run, because nothing that it had read has changed) or ``failed``.
        line: A line of output, if the event is about one.
        fraction: How much of the step is done, 0.0 to 1.0, if the event is about progress.
        seconds: Run time so far; for ``held`` and ``reused``, the time that the step took when
            it ran.
        error: Why the step failed.
    """

    step: Step
    state: State
    line: str | None = None
    fraction: float | None = None
    seconds: float | None = None
    error: BaseException | None = None


Observer = Callable[[StepEvent], None]


def ignore(_event: StepEvent) -> None:
    """An observer that ignores all events."""
