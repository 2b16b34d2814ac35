"""Representations of steps and facts in notebooks and at prompts."""

from __future__ import annotations

from collections.abc import Sequence

from kiwinb.html import Markup, block, code, facts, table
from kiwinb.steps.forecast import StepForecast
from kiwinb.steps.step import Step
from kiwinb.visible import visible


class Steps(tuple[Step, ...]):
    """Steps in the order in which they run."""

    __slots__ = ()

    def __repr__(self) -> str:
        lines = (f"{step.name:<16} {step.key[:12]}  {step.title}" for step in self)
        return "\n".join(map(visible, lines))

    def _repr_html_(self) -> str:
        rows = [
            (code(step.name), step.title, step.output, step.base or "", code(step.key[:12]))
            for step in self
        ]
        return block(table(("Step", "What it does", "Leaves", "Goes on from", "Key"), rows))


class Explanation(tuple[StepForecast, ...]):
    """Forecasts that say for each step whether it will run, and why."""

    __slots__ = ()

    def __repr__(self) -> str:
        lines = [
            f"  {_plan(item):<7} {item.step.name:<16} {'; '.join(item.reasons)}".rstrip()
            for item in self
        ]
        return "\n".join(map(visible, (self._summary, *lines)))

    def _repr_html_(self) -> str:
        rows = [
            (
                Markup(f'<span class="state {"held" if item.held else "waiting"}">'
                       f"{_plan(item)}</span>"),
                code(item.step.name),
                item.step.title,
                "; ".join(item.reasons),
            )
            for item in self
        ]  # fmt: skip
        heads = ("State", "Step", "What it does", "What changed since it ran last")
        return block(f"<h4>{self._summary}</h4>{table(heads, rows)}")

    @property
    def _summary(self) -> str:
        held = sum(item.held for item in self)
        return f"{held} of {len(self)} steps are held"


def _plan(item: StepForecast) -> str:
    return "held" if item.held else "to run"


Pairs = Sequence[tuple[str, str]]
"""Names and values of facts."""


def facts_html(title: str, pairs: Pairs, below: str = "") -> str:
    """Format facts as HTML for the output of a notebook.

    Args:
        title: Heading.
        pairs: The facts.
        below: HTML to add at the end.
    """
    return block(facts(title, pairs) + below)


def facts_text(title: str, pairs: Pairs) -> str:
    """Format facts as text."""
    return "\n".join(map(visible, (title, *(f"  {name}: {value}" for name, value in pairs))))
