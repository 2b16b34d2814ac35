"""Forecast what a build would do now, step by step."""

from __future__ import annotations

from dataclasses import dataclass

from kiwinb.steps.step import Step


@dataclass(frozen=True)
class StepForecast:
    """Whether a step will run, and why.

    Attributes:
        step: The step.
        held: Whether the store holds its result.
        changed: The inputs that changed since it last ran; empty if it never ran.
        note: Why it did or may not run although they changed.
    """

    step: Step
    held: bool
    changed: tuple[str, ...]
    note: str = ""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Everything that there is to say, in the order in which to say it."""
        return (*self.changed, *((self.note,) if self.note else ()))
