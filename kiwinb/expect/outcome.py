"""Measured expectations: record, show and report them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pandas as pd

from kiwinb.errors import ExpectationError
from kiwinb.html import block, escape
from kiwinb.inspect.opening import Source, opened
from kiwinb.inspect.remembered import RememberedTree, remembered
from kiwinb.inspect.table import Table
from kiwinb.visible import visible

RECORD_VARIABLE = "KIWINB_RECORD_EXPECTATIONS"
"""Environment variable with the name of the file that lists expectations as JSON lines."""


@dataclass(frozen=True, repr=False)
class Outcome:
    """An expectation, and the measured value.

    Attributes:
        what: Description of what was measured.
        expected: The expected value.
        measured: The measured value.
        passed: Whether it holds.
    """

    what: str
    expected: str
    measured: str
    passed: bool

    def __str__(self) -> str:
        """Format the expectation as one line of text."""
        mark = "ok" if self.passed else "FAILED"
        said = f"{mark}: {self.what}: {self.measured} (expected: {self.expected})"
        return visible(said, lines=True)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return _as_html((self,))


@dataclass
class Expectations:
    """Expectations that are reported together; see :func:`all`.

    Attributes:
        outcomes: The expectations that were measured so far.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    _trees: dict[object, RememberedTree] = field(default_factory=dict, repr=False)
    _opened: ExitStack = field(default_factory=ExitStack, repr=False)

    def tree(self, source: Source) -> RememberedTree:
        """Return the tree of a source, which is read only once in a block.

        Raises:
            InspectError: The tree cannot be read.
        """
        place = os.fspath(source) if isinstance(source, str | os.PathLike) else id(source)
        if place not in self._trees:
            self._trees[place] = remembered(self._opened.enter_context(opened(source)))
        return self._trees[place]

    def close(self) -> None:
        """Close the trees."""
        self._trees.clear()
        self._opened.close()

    @property
    def passed(self) -> bool:
        """Whether all expectations hold."""
        return not self.failures

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """The expectations that do not hold."""
        return tuple(item for item in self.outcomes if not item.passed)

    def table(self) -> pd.DataFrame:
        """Return a table with the columns ``what``, ``expected``, ``measured`` and ``passed``."""
        columns = list(Outcome.__dataclass_fields__)
        return Table([asdict(item) for item in self.outcomes], columns=columns)

    def check(self) -> None:
        """Raise an error if an expectation does not hold.

        Raises:
            ExpectationError: Expectations do not hold; the error lists them with the measured
                values.
        """
        if self.failures:
            raise _error(self.failures, len(self.outcomes))

    def __str__(self) -> str:
        return "\n".join(map(str, self.outcomes)) or "nothing was expected"

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return _as_html(self.outcomes)


OPEN: ContextVar[Expectations | None] = ContextVar("expectations", default=None)


@contextmanager
def all() -> Iterator[Expectations]:
    """Measure all expectations in the block, show them as a table, and report all that fail.

    Raises:
        ExpectationError: At the end of the block, if any expectation does not hold.
    """
    found = Expectations()
    token = OPEN.set(found)
    try:
        yield found
    finally:
        OPEN.reset(token)
        found.close()
        _show(found)
    found.check()


def report(what: str, expected: str, measured: str, passed: bool) -> Outcome:
    """Record an expectation, for the headless runner and the enclosing ``all()``.

    Raises:
        ExpectationError: The expectation does not hold, and there is no enclosing ``all()``.
    """
    outcome = Outcome(what, expected, measured, passed)
    place = os.environ.get(RECORD_VARIABLE)
    if place:
        with Path(place).open("a", encoding="utf-8") as lines:
            lines.write(f"{json.dumps(asdict(outcome))}\n")
    together = OPEN.get()
    if together is not None:
        together.outcomes.append(outcome)
    elif not passed:
        raise _error((outcome,), 1)
    return outcome


def _error(failures: Sequence[Outcome], total: int) -> ExpectationError:
    lines = "\n".join(
        f"  {item.what}: {item.measured}; expected: {item.expected}" for item in failures
    )
    if total == 1:
        return ExpectationError(f"an expectation does not hold: {lines.strip()}")
    return ExpectationError(f"{len(failures)} of {total} expectations do not hold:\n{lines}")


def _show(found: Expectations) -> None:
    """Show the table below the cell, if in a notebook."""
    from kiwinb.notebook.frontend import in_notebook

    if found.outcomes and in_notebook():
        from IPython.display import display

        display(found)


def _as_html(outcomes: Sequence[Outcome]) -> str:
    rows = "".join(
        f"<tr><td style='text-align:left'>{'✓' if item.passed else '<b>✗ failed</b>'}</td>"
        + "".join(
            f"<td style='text-align:left;white-space:pre-wrap'>{escape(text, lines=True)}</td>"
            for text in (item.what, item.expected, item.measured)
        )
        + "</tr>"
        for item in outcomes
    )
    heads = "".join(
        f"<th style='text-align:left'>{name}</th>" for name in ("", "what", "expected", "measured")
    )
    return block(f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>")
