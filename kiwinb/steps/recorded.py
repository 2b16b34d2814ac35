"""Record the steps of builds for the program that runs this one.

``kiwinb run`` executes a notebook in another process, and shows on its own terminal which step of
which build is running there. It names a file in an environment variable; whatever builds in the
kernel or in its child processes appends one line of JSON for each event. The file is the only
connection, so nothing of it gets into the notebook.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Literal

from kiwinb.steps.progress import Observer, State, StepEvent
from kiwinb.typed_json import WrongData, loads

RECORD_VARIABLE = "KIWINB_RECORD_STEPS"
"""Environment variable with the name of the file to which builds append the events of steps."""

INTERVAL = 0.2
"""Shortest time in seconds between two records of a step whose state does not change."""


@dataclass(frozen=True)
class StepRecord:
    """An event of a step in another process.

    Attributes:
        build: Name of the image, and a number that tells builds of the same name apart.
        step: Name of the step.
        title: What it does.
        state: As in :class:`~kiwinb.steps.progress.StepEvent`; ``stopped`` if the build ended
            before the step did.
        line: A line that it printed.
        fraction: How much of the step is done, from 0.0 to 1.0.
        seconds: Run time.
    """

    build: tuple[str, int]
    step: str
    title: str
    state: State | Literal["stopped"]
    line: str | None = None
    fraction: float | None = None
    seconds: float | None = None

    @classmethod
    def from_json(cls, text: bytes) -> StepRecord | None:
        """Read a record; ``None`` if the text is something else."""
        try:
            record: StepRecord = loads(text, cls)
        except WrongData:
            return None
        return record


@contextmanager
def recorded(name: str, observer: Observer) -> Iterator[Observer]:
    """Yield an observer of a build that also records the events, if a program wants records.

    Args:
        name: Name of the image.
        observer: Gets all events, too.
    """
    place = os.environ.get(RECORD_VARIABLE)
    if not place:
        yield observer
        return
    recorder = _Recorder(place, name)

    def observe(event: StepEvent) -> None:
        recorder.record(event)
        observer(event)

    try:
        yield observe
    finally:
        recorder.end()


class _Recorder:
    """Appends the events of one build to a file."""

    def __init__(self, place: str, name: str) -> None:
        self._place = place
        self._build = (name, time.monotonic_ns())
        self._running: dict[str, StepRecord] = {}
        self._written: dict[str, float] = {}

    def record(self, event: StepEvent) -> None:
        name, now = event.step.name, time.monotonic()
        record = StepRecord(
            *(self._build, name, event.step.title, event.state),
            *(event.line, event.fraction, event.seconds),
        )
        if event.state != "running":
            self._running.pop(name, None)
        elif name in self._running and now - self._written[name] < INTERVAL:
            return
        else:
            self._running[name] = record
        self._written[name] = now
        self._write(record)

    def end(self) -> None:
        """Record that the steps that still run are stopped."""
        for record in self._running.values():
            self._write(StepRecord(record.build, record.step, record.title, "stopped"))

    def _write(self, record: StepRecord) -> None:
        line = f"{json.dumps(asdict(record))}\n".encode()
        with suppress(OSError):  # a build does not fail because nobody can watch it
            descriptor = os.open(self._place, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(descriptor, line)
            finally:
                os.close(descriptor)
