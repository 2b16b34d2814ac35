"""Output of the command line: progress bars on a terminal, plain lines elsewhere, or JSON."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from kiwinb.cli.heartbeat import Heartbeat
from kiwinb.cli.logs import STEPS
from kiwinb.durations import duration
from kiwinb.errors import KiwinbError
from kiwinb.steps.progress import Observer, StepEvent
from kiwinb.visible import visible

if TYPE_CHECKING:
    from rich.progress import TaskID

log = logging.getLogger(STEPS)

_MARKS = {"held": "=", "reused": "=", "done": "+", "failed": "!", "stopped": "!"}
_WORDS = {"reused": "not run: nothing that it read has changed"}


class Terminal(Console):
    """A console that shows texts as data: no markup, emoji codes and controls count in them.

    Args:
        **settings: Those of a :class:`rich.console.Console`.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **settings)

    def render_str(self, text: str, **how: Any) -> Text:
        """Lay out a text, in a table or by itself."""
        return super().render_str(visible(text, lines=True), **how)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """Draw anything; only rich itself moves the cursor."""
        for part in super().render(renderable, options):
            yield part if part.control else Segment(visible(part.text, lines=True), part.style)


def say(text: object, *, err: bool = False) -> None:
    """Print lines for people: on a terminal, in a pipe and in a log, they are escaped."""
    click.echo(visible(str(text), lines=True), err=err)


def say_each(*lines: str) -> None:
    """Print lines for people in which line ends are part of a name, and escaped."""
    for line in lines:
        click.echo(visible(line))


def emit(data: object, *, end: str = "\n") -> None:
    """Print data for programs: as they are to a file or a pipe, and escaped on a terminal."""
    if sys.stdout.isatty():
        click.echo(visible(f"{data}{end}", lines=True), nl=False)
    else:
        click.echo(f"{data}{end}".encode("utf-8", "surrogateescape"), nl=False)


@contextmanager
def step_progress(console: Console, *, verbose: bool) -> Iterator[Observer]:
    """An observer that shows the steps of a build on the console.

    Args:
        console: Usually standard error, so that users can pipe the results.
        verbose: Also show the output of running commands.
    """
    if not console.is_terminal:
        with _plain_lines(console, verbose=verbose) as tell:
            yield tell
        return
    # A build in a pipe or a cell needs no bars, and importing them takes a while
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TimeElapsedColumn(),
        TextColumn("{task.fields[line]}", markup=False, style="dim"),
        console=console,
        transient=True,
    ) as bars:
        tasks: dict[str, TaskID] = {}

        def observe(event: StepEvent) -> None:
            _log(event)
            _mark_shown(event, verbose=verbose)
            name = event.step.name
            if event.state == "running":
                if name not in tasks:
                    tasks[name] = bars.add_task(visible(event.step.title), total=None, line="")
                if event.fraction is not None:
                    bars.update(tasks[name], total=1.0, completed=event.fraction)
                if event.line is not None:
                    bars.update(tasks[name], line=visible(event.line)[:60])
                    if verbose:
                        _print_line(bars.console, event, several=len(tasks) > 1)
                return
            if name in tasks:
                bars.remove_task(tasks.pop(name))
            _print(bars.console, event, verbose=verbose)

        yield observe


@contextmanager
def _plain_lines(console: Console, *, verbose: bool) -> Iterator[Observer]:
    """An observer that prints a line for each event, and a heartbeat in long steps."""
    running: dict[str, tuple[str, float]] = {}

    def so_far() -> str:
        now = time.monotonic()
        steps = [*running.values()]
        said = (f"{title}: running for {duration(now - began)}" for title, began in steps)
        return "\n".join(f"  {line}" for line in said)

    with Heartbeat(console, so_far) as heartbeat:

        def tell(event: StepEvent) -> None:
            _log(event)
            _mark_shown(event, verbose=verbose)
            if event.state == "running":
                running.setdefault(event.step.name, (event.step.title, time.monotonic()))
            else:
                running.pop(event.step.name, None)
            if _print(console, event, verbose=verbose, several=len(running) > 1):
                heartbeat.beat()

        yield tell


def _mark_shown(event: StepEvent, *, verbose: bool) -> None:
    """Note that the output of a failed step is on the screen already, as the lines went by."""
    if verbose and isinstance(event.error, KiwinbError):
        event.error.is_output_shown = True


def _log(event: StepEvent) -> None:
    """Log what happens to a step; lines that it prints are of the level DEBUG."""
    name = event.step.name
    if event.line is not None:
        log.debug("%s: %s", name, event.line)
    elif event.fraction is None:
        log.info("%s: %s (%s)", name, event.state, event.step.title)


def _print_line(console: Console, event: StepEvent, *, several: bool) -> None:
    """Print a line of output; with the step's name when several steps run."""
    whose = f"{event.step.name}: " if several else ""
    console.print(f"  {whose}{visible(event.line or '')}")


def _print(console: Console, event: StepEvent, *, verbose: bool, several: bool = False) -> bool:
    """Print an event; return whether it is of those that are printed."""
    if event.state == "running":
        if event.line is not None and verbose:
            _print_line(console, event, several=several)
            return True
        is_start = event.line is None and event.fraction is None and not console.is_terminal
        if is_start:
            console.print(f"> {visible(event.step.title)}")
        return is_start
    console.print(outcome_line(event.step.title, event.state, event.seconds))
    return True


def outcome_line(title: str, state: str, seconds: float | None) -> str:
    """Return the line that says how a step ended.

    Args:
        title: What the step does.
        state: State of the step, other than ``running``.
        seconds: Run time; ``None`` if it is not known.
    """
    took = "" if seconds is None or state == "reused" else f" ({seconds:.1f} s)"
    return f"{_MARKS.get(state, '?')} {visible(title)}: {_WORDS.get(state, state)}{took}"


def print_json(data: Any) -> None:
    """Write data to standard output as JSON, one document of printable ASCII characters."""
    text = json.dumps(data, indent=2, default=str)
    sys.stdout.write(text.replace("\x7f", "\\u007f") + "\n")
