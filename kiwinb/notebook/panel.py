"""The panel that a notebook shows while steps run, and keeps afterwards."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from IPython.display import DisplayHandle

from kiwinb.checkpoints.store import Store
from kiwinb.errors import KiwinbError, StoreError
from kiwinb.html import bar, block, clip, escape
from kiwinb.notebook.frontend import is_attended
from kiwinb.notebook.live import Live, bundle
from kiwinb.sizes import binary
from kiwinb.steps.progress import Observer, StepEvent
from kiwinb.steps.step import Step
from kiwinb.visible import visible

TICK = 0.25
"""Shortest time between two updates of a live panel, in seconds."""

TAIL = 30
"""Number of lines of output that a panel shows for each step during the run."""

KEPT = 200
"""Number of lines of output that a panel shows for each step after the run."""

State = Literal["waiting", "unneeded", "held", "reused", "running", "done", "failed", "stopped"]
_WORDS = {"unneeded": "not needed"}


class Stopped(KeyboardInterrupt):
    """The user pressed the stop button; results of finished steps are kept."""

    def _render_traceback_(self) -> list[str]:
        """Return the text that IPython shows instead of a traceback."""
        return ["Stopped. Run the cell again to go on."]


@dataclass
class Row:
    """A step in the panel.

    Attributes:
        step: The step.
        state: State of the step.
        seconds: Run time.
        bytes: Size of its checkpoint on disk.
        fraction: Completed fraction, from 0.0 to 1.0.
        log: Last lines of its output.
        lines: Number of all lines of its output.
        began: Start time, by the monotonic clock in seconds.
    """

    step: Step
    state: State = "waiting"
    seconds: float | None = None
    bytes: int | None = None
    fraction: float | None = None
    log: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT))
    lines: int = 0
    began: float = 0.0

    def add(self, lines: Sequence[str]) -> None:
        """Add lines of output."""
        self.log.extend(clip(line, 400) for line in lines[-KEPT:])
        self.lines += len(lines)

    def tail(self, count: int) -> list[str]:
        """Return the last lines of output, and a line that says how to see those before."""
        last = [*self.log][-count:]
        if before := self.lines - len(last):
            more = f"… {before} lines before: kiwinb checkpoints log {self.step.key[:12]}"
            return [more, *last]
        return last


class Panel:
    """The steps of a run and their states.

    Args:
        name: Name of the image.
        steps: The steps that the run may need, in order.
        store: The store that holds their results.
    """

    def __init__(self, name: str, steps: Sequence[Step], store: Store) -> None:
        self.name = name
        self.rows = {step.name: Row(step) for step in steps}
        self.note = ""
        self._bad = False
        self._store = store
        self._began = time.monotonic()
        self._ended: float | None = None

    def observe(self, event: StepEvent) -> bool:
        """Record an event of a step.

        Returns:
            Whether the state of a step changed.
        """
        row = self.rows.get(event.step.name)
        if row is None:
            return False
        before = row.state
        row.state = event.state
        if event.seconds is not None:
            row.seconds = event.seconds
        if event.fraction is not None:
            row.fraction = event.fraction
        if event.line is not None:
            row.add([event.line])
        if row.state == "running" and before != "running":
            row.began = time.monotonic()
        if row.state in ("held", "reused", "done"):
            with suppress(StoreError):
                checkpoint = self._store.get(row.step.key)
                row.bytes = checkpoint.bytes
                if not row.log:
                    row.add(self._store.log(checkpoint).splitlines())
        return row.state != before

    def end(self, error: BaseException | None = None) -> None:
        """Record the end of the run.

        Args:
            error: The error that ended it; ``None`` if it succeeded.
        """
        self._ended = time.monotonic()
        running = self._in("running")
        for row in running:
            row.state = "stopped" if isinstance(error, KeyboardInterrupt) else "failed"
            row.seconds = self._ended - row.began
        if error is None:
            for row in self._in("waiting"):
                row.state = "unneeded"
            return
        self._bad = True
        kept = self.count("held", "reused", "done")
        if isinstance(error, KeyboardInterrupt):
            names = ", ".join(row.step.name for row in running)
            where = f" in the step{'s' if len(running) > 1 else ''} {names}" if running else ""
            self.note = (
                f"Stopped{where}. {kept} of {len(self.rows)} steps are kept; "
                "run the cell again to go on behind them."
            )
            return
        said = f"{type(error).__name__}: {error}"
        if isinstance(error, KiwinbError):
            error.is_output_shown = any(row.log for row in self._in("failed"))
            said = error.message
        said = "\n".join((said, *getattr(error, "__notes__", ())))
        self.note = (
            f"{said}\n{kept} of {len(self.rows)} steps are kept: when this is put right, run the "
            "cell again to go on behind them."
        )

    def count(self, *states: State) -> int:
        """Return the number of steps in any of the states."""
        return len(self._in(*states))

    def _in(self, *states: State) -> list[Row]:
        return [row for row in self.rows.values() if row.state in states]

    @property
    def seconds(self) -> float:
        """Run time so far, in seconds."""
        return (self._ended or time.monotonic()) - self._began

    @property
    def fraction(self) -> float:
        """Completed fraction of the run, from 0.0 to 1.0."""
        done = float(self.count("held", "reused", "done", "unneeded"))
        done += sum(row.fraction or 0.0 for row in self._in("running"))
        return done / len(self.rows) if self.rows else 1.0

    @property
    def summary(self) -> str:
        """State of the run in one line."""
        kept = self.count("held", "reused", "done", "unneeded")
        parts = [f"{kept} of {len(self.rows)} steps"]
        if held := self.count("held"):
            parts.append(f"{held} held")
        if reused := self.count("reused"):
            parts.append(f"{reused} reused")
        parts += [state for state in ("failed", "stopped") if self.count(state)]
        return ", ".join(parts)

    def html(self, target: str = "") -> str:
        """Return the panel as HTML.

        Args:
            target: Class by which the live view finds it.
        """
        return block(self.body(), target)

    def text(self) -> str:
        """Return the panel as plain text."""
        lines = [f"{visible(self.name)}: {self.summary}, {_time(self.seconds)}"]
        for row in self.rows.values():
            size = "" if row.bytes is None else binary(row.bytes)
            took = "" if row.seconds is None else _time(row.seconds)
            state = _WORDS.get(row.state, row.state)
            lines.append(f"  {state:<10} {row.step.name:<16} {took:>9} {size:>10}".rstrip())
        return "\n".join([*lines, *(self.note.splitlines())])

    def body(self) -> str:
        """Return the HTML inside of the block."""
        clock = _time(self.seconds)
        if self._ended is None:
            clock = f'<span data-seconds="{self.seconds:.1f}">{clock}</span>'
        rows = "".join(self._row(row) for row in self.rows.values())
        note = ""
        if self.note:
            said = escape(self.note, lines=True)
            note = f'<div class="note{" bad" if self._bad else ""}">{said}</div>'
        return (
            f"<h4>{escape(self.name)}</h4>"
            f'<div><span class="bar wide"><span style="width:{self.fraction * 100:.1f}%"></span>'
            f"</span>{self.summary}, {clock}</div>"
            f'<table class="steps" role="table"><thead role="rowgroup"><tr role="row">{_HEADS}</tr>'
            f'</thead><tbody role="rowgroup">{rows}</tbody></table>{note}'
        )

    def _row(self, row: Row) -> str:
        took = "" if row.seconds is None else _time(row.seconds)
        if row.state == "running":
            so_far = time.monotonic() - row.began
            took = f'<span data-seconds="{so_far:.1f}">{_time(so_far)}</span>'
        what = escape(row.step.title)
        if row.state == "running" and row.fraction is not None:
            what += f" {bar(row.fraction)}"
        if row.log:
            lines = escape("\n".join(row.tail(TAIL if self._ended is None else KEPT)), lines=True)
            last = escape(clip(row.log[-1], 90))
            unfold = " open" if row.state == "failed" else ""
            what += (
                f'<details data-step="{escape(row.step.name)}"{unfold}><summary>'
                f"{last}</summary><pre>{lines}</pre></details>"
            )
        size = "" if row.bytes is None else binary(row.bytes)
        word = _WORDS.get(row.state, row.state)
        cells = (
            f'<td class="state {row.state}" role="cell" style="text-align:left">{word}</td>',
            _cell(f"<code>{escape(row.step.name)}</code>"),
            _cell(what),
            _cell(took, "right"),
            _cell(size, "right"),
        )
        return f'<tr role="row">{"".join(cells)}</tr>'


# Narrow windows show rows as grids; the roles keep the table a table for screen readers.
def _cell(html: str, align: str = "left") -> str:
    return f'<td role="cell" style="text-align:{align}">{html}</td>'


_HEADS = "".join(
    f'<th role="columnheader" style="text-align:{align}">{name}</th>'
    for name, align in (
        *(("State", "left"), ("Step", "left"), ("What it does", "left")),
        *(("Time", "right"), ("Checkpoint", "right")),
    )
)


@contextmanager
def watch(
    name: str, steps: Sequence[Step], targets: Sequence[str], store: Store
) -> Iterator[Observer]:
    """Show a panel with the steps that the targets need, while the block runs.

    Args:
        name: Name of the image.
        steps: All steps of the build.
        targets: Names of the steps whose results are needed.
        store: The store that holds the results.

    Yields:
        The observer that passes events to the panel.

    Raises:
        Stopped: The user interrupted the block.
    """
    panel = Panel(name, _needed(steps, targets), store)
    live = _only_live(panel) if is_attended() else None
    shown = DisplayHandle()

    def output(live: Live | None) -> dict[str, Any]:
        data, metadata = bundle(panel.body(), panel.text(), live)
        return {"obj": data, "metadata": metadata, "raw": True}

    shown.display(**output(live))
    with _Ticker(panel, live) as ticker:

        def observe(event: StepEvent) -> None:
            with ticker.lock:
                moved = panel.observe(event)
                ticker.changed.set()
            if moved:  # so that the notebook has it even if the kernel dies
                shown.update(**output(live))

        error: BaseException | None = None
        try:
            yield observe
        except BaseException as caught:
            error = caught
        panel.end(error)
    if live is None or live.over:
        shown.update(**output(live))
    else:  # the view goes with its model
        shown.update(**output(None))
        live.close()
    if isinstance(error, KeyboardInterrupt):
        raise Stopped(panel.note) from None
    if error is not None:
        raise error


class _Ticker:
    """A thread that sends the panel to its live view at most once every ``TICK`` seconds."""

    def __init__(self, panel: Panel, live: Live | None) -> None:
        self.lock = threading.Lock()
        self.changed = threading.Event()
        self._over = threading.Event()
        self._panel = panel
        self._live = live
        self._thread = threading.Thread(target=self._run, name="kiwinb-panel", daemon=True)

    def __enter__(self) -> _Ticker:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self.changed.set()
        self._thread.join()
        if self._live is not None:
            self._send(self._live)

    def _run(self) -> None:
        while self._live is not None and self.changed.wait() and not self._over.is_set():
            self.changed.clear()
            self._send(self._live)
            self._over.wait(TICK)

    def _send(self, live: Live) -> None:
        with self.lock:
            html = self._panel.body()
        live.state = {"html": html}


def _only_live(panel: Panel) -> Live:
    """Make a live view and close that of the previous run, whose output stays unchanged."""
    for view in _views:
        view.close()
    _views[:] = [Live("panel", {"html": panel.body()})]
    return _views[0]


_views: list[Live] = []


def _needed(steps: Sequence[Step], targets: Sequence[str]) -> tuple[Step, ...]:
    by_name = {step.name: step for step in steps}
    pending, needed = [*targets], set()
    while pending:
        name = pending.pop()
        if name not in needed:
            needed.add(name)
            step = by_name[name]
            pending += step.before
    return tuple(step for step in steps if step.name in needed)


def _time(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"
