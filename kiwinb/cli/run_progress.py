"""What the command line shows of a run while it goes on: its cells, and the steps of its builds."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from kiwinb.cli.heartbeat import Heartbeat
from kiwinb.cli.logs import STEPS
from kiwinb.cli.terminal import outcome_line
from kiwinb.durations import duration
from kiwinb.visible import visible

if TYPE_CHECKING:
    from kiwinb.headless.result import CellEvent, Watcher
    from kiwinb.steps.recorded import StepRecord

log = logging.getLogger(STEPS)

_MARKS = {"running": ">", "resumed": "=", "done": "+", "failed": "!"}


@contextmanager
def cell_progress(console: Console, *, log_output: bool) -> Iterator[Watcher]:
    """Yield a watcher that shows the cells of a run, and the steps of the builds in them.

    On a terminal, bars show what runs. Elsewhere, there is a line when a cell starts and ends, and
    a heartbeat in between.

    Args:
        console: Usually standard error, so that users can pipe the results.
        log_output: Also show what the cells print and display, and each step of their builds.
    """
    if console.is_terminal:
        with Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            TextColumn("{task.fields[line]}", markup=False, style="dim"),
            console=console,
            transient=True,
        ) as bars:
            yield _Bars(bars, log_output=log_output).watch
        return
    plain = _Plain(log_output=log_output)
    with Heartbeat(console, plain.text) as heartbeat:
        plain.say = heartbeat.print
        yield plain.watch


class _Watcher:
    """Prints what stays on the screen; its subclasses show what runs.

    Args:
        say: Prints a line.
        log_output: Whether to print the output of cells and steps, too.
    """

    def __init__(self, say: Callable[[str], None], *, log_output: bool) -> None:
        self.say = say
        self.log_output = log_output
        self._output = _Lines(self._print_output)
        self._number = 0

    def watch(self, event: CellEvent) -> None:
        """Show an event."""
        self._number = event.cell.number
        if event.step is not None:
            _log_step(event.step)
            self.show_step(event.step)
        elif event.output:
            self._output.add(event.output)
            self.show_output(event)
        elif event.cell.seconds is None:
            self.show_start(event)
        else:
            self._output.flush()
            self.show_end(event)
            note = "executed again, " if event.cell.state == "resumed" else ""
            took = f" ({note}{duration(event.cell.seconds)})"
            self.say(f"{_MARKS[event.cell.state]} {_named(event)}{took}")

    def show_start(self, event: CellEvent) -> None:
        """Show that a cell starts."""

    def show_output(self, event: CellEvent) -> None:
        """Show that a cell prints something."""

    def show_step(self, step: StepRecord) -> None:
        """Show what happens to a step."""

    def show_end(self, event: CellEvent) -> None:
        """Show that a cell ends."""

    def _print_output(self, line: str) -> None:
        log.debug("cell %d: %s", self._number, line)
        if self.log_output:
            self.say(f"  {visible(line)}")


class _Bars(_Watcher):
    """A bar for the running cell, and one for each running step below it."""

    def __init__(self, bars: Progress, *, log_output: bool) -> None:
        super().__init__(self._say, log_output=log_output)
        self._bars = bars
        self._cell: TaskID | None = None
        self._steps: dict[tuple[object, ...], TaskID] = {}

    def _say(self, text: str) -> None:
        self._bars.console.print(text, soft_wrap=True)

    def show_start(self, event: CellEvent) -> None:
        self._cell = self._bars.add_task(_named(event), total=None, line="")

    def show_output(self, event: CellEvent) -> None:
        if self._cell is not None and event.line:
            self._bars.update(self._cell, line=visible(event.line)[:60])

    def show_step(self, step: StepRecord) -> None:
        key = (step.build, step.step)
        if step.state != "running":
            if key in self._steps:
                self._bars.remove_task(self._steps.pop(key))
            if step.state != "held" or self.log_output:
                self.say(f"  {_ended(step)}")
            return
        if key not in self._steps:
            self._steps[key] = self._bars.add_task(f"  {_titled(step)}", total=None, line="")
        if step.fraction is not None:
            self._bars.update(self._steps[key], total=1.0, completed=step.fraction)
        if step.line is not None:
            self._bars.update(self._steps[key], line=visible(step.line)[:60])

    def show_end(self, event: CellEvent) -> None:
        for task in (*self._steps.values(), self._cell):
            if task is not None:
                self._bars.remove_task(task)
        self._steps.clear()
        self._cell = None


class _Plain(_Watcher):
    """Lines for a log, and the text of the heartbeat."""

    def __init__(self, *, log_output: bool) -> None:
        super().__init__(lambda line: None, log_output=log_output)
        self._lock = threading.Lock()
        self._steps: dict[tuple[object, ...], StepRecord] = {}
        self._running: CellEvent | None = None
        self._began = 0.0

    def text(self) -> str:
        """Return one line about what runs; empty if no cell does."""
        with self._lock:
            event, steps = self._running, [*self._steps.values()]
        if event is None:
            return ""
        where = f"cell {event.cell.number} of {event.total} ({visible(event.cell.title)})"
        text = f"  {where} running for {duration(time.monotonic() - self._began)}"
        return f"{text}: {', '.join(map(_running, steps))}" if steps else text

    def show_start(self, event: CellEvent) -> None:
        with self._lock:
            self._running, self._began = event, time.monotonic()
        if event.cell.state == "running":
            self.say(f"> {_named(event)}")

    def show_step(self, step: StepRecord) -> None:
        key = (step.build, step.step)
        with self._lock:
            is_new = key not in self._steps
            if step.state == "running":
                self._steps[key] = step
            else:
                self._steps.pop(key, None)
        if self.log_output and step.state != "running":
            self.say(f"  {_ended(step)}")
        elif self.log_output and is_new:
            self.say(f"  > {_titled(step)}")

    def show_end(self, event: CellEvent) -> None:
        with self._lock:
            self._running = None
            self._steps.clear()


class _Lines:
    """Puts texts together into lines.

    Args:
        say: Called with each complete line. Of text that a carriage return overwrites, only the
            last form counts, as on a terminal.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._rest = ""

    def add(self, text: str) -> None:
        *lines, self._rest = re.split(r"\r*\n", self._rest + text)
        for line in lines:
            self._say(line.rpartition("\r")[2])

    def flush(self) -> None:
        if self._rest:
            self.add("\n")


def _named(event: CellEvent) -> str:
    return f"[{event.cell.number}/{event.total}] {visible(event.cell.title)}"


def _titled(step: StepRecord) -> str:
    return visible(f"{step.build[0]}: {step.title}")


def _ended(step: StepRecord) -> str:
    return outcome_line(_titled(step), step.state, step.seconds)


def _running(step: StepRecord) -> str:
    done = "" if step.fraction is None else f" ({step.fraction:.0%})"
    return f"step {step.step} of {step.build[0]}{done}"


def _log_step(step: StepRecord) -> None:
    if step.line is not None:
        log.debug("%s: %s: %s", step.build[0], step.step, step.line)
    elif step.fraction is None:
        log.info("%s: %s: %s (%s)", step.build[0], step.step, step.state, step.title)
