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
        changed: Why it runs, a phrase for each input or earlier step that changed since it last
            ran, or one that says that it never ran; empty if the store holds its result.
        note: Why it was not run, or may not have to run, in spite of these changes; can be empty.
    """

    step: Step
    held: bool
    changed: tuple[str, ...]
    note: str = ""

    @property
    def reasons(self) -> tuple[str, ...]:
        """The changes, followed by the note if there is one."""
        return (*self.changed, *((self.note,) if self.note else ()))
