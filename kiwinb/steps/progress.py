"""What a build tells those who watch it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from kiwinb.steps.step import Step

State = Literal["held", "running", "done", "failed"]


@dataclass(frozen=True)
class StepEvent:
    """Something happened to a step.

    Attributes:
        step: The step.
        state: ``held`` (its result was there already), ``running``, ``done`` or ``failed``.
        line: One line of output of a running command, when the event is that.
        fraction: How much of the step is done, 0.0 to 1.0, when the event is that.
        seconds: Run time so far; for ``held``, the time the step took when it ran.
        error: Why it failed.
    """

    step: Step
    state: State
    line: str | None = None
    fraction: float | None = None
    seconds: float | None = None
    error: BaseException | None = None


Observer = Callable[[StepEvent], None]


def ignore(_event: StepEvent) -> None:
    """The observer that watches nothing."""
