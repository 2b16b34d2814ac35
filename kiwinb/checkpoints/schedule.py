"""Decide which steps run at the same time, and which go first."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from kiwinb.steps.step import Step

_POLL_SECONDS = 0.5


class Graph:
    """The steps that have to run, each after those that it builds on.

    Args:
        steps: The steps, in order.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self._waiting = {step.name: step for step in steps}
        self._pending = set(self._waiting)

    def take_ready(self) -> tuple[Step, ...]:
        """The steps that are ready to run; each is returned once."""
        ready = [step for step in self._waiting.values() if not self._pending & {*step.before}]
        for step in ready:
            del self._waiting[step.name]
        return tuple(ready)

    def done(self, name: str) -> None:
        """Note that a step has its result. Steps that build on a failed one never become ready."""
        self._pending.discard(name)


def ranks(steps: Sequence[Step], seconds: Mapping[str, float]) -> Mapping[str, int]:
    """The order in which steps get a free core; 0 is first.

    The step with the longest chain of dependent steps goes first; ties keep the given order.

    Args:
        steps: The steps that have to run, in order.
        seconds: By step name, how long the step took before, if known.
    """
    unknown = min((seconds[step.name] for step in steps if step.name in seconds), default=0.0)
    behind = dict.fromkeys((step.name for step in steps), 0.0)
    total: dict[str, float] = {}
    for step in reversed(steps):
        total[step.name] = behind[step.name] + seconds.get(step.name, unknown)
        for name in step.before:
            if name in behind:
                behind[name] = max(behind[name], total[step.name])
    ordered = sorted(steps, key=lambda step: -total[step.name])  # stable: else in order
    return {step.name: number for number, step in enumerate(ordered)}


class Slots:
    """Slots for steps that run at the same time; fewer if memory is short, but at least one.

    Args:
        count: Number of slots.
        available: Returns how many bytes of memory are available.
    """

    def __init__(self, count: int, available: Callable[[], int] | None = None) -> None:
        self._count = count
        self._available = available or available_memory
        self._budget = self._available()
        self._turn = threading.Condition()
        self._queue: set[int] = set()
        self._needs: list[int] = []

    def enter(self, rank: int) -> None:
        """Join the queue, so that no step with a higher rank number takes a slot first."""
        with self._turn:
            self._queue.add(rank)

    def leave(self, rank: int) -> None:
        """Leave the queue."""
        with self._turn:
            self._queue.discard(rank)
            self._turn.notify_all()

    @contextmanager
    def taken(self, rank: int, memory: int, on_poll: Callable[[], None]) -> Iterator[None]:
        """Wait for a slot, and hold it while the context lasts.

        Args:
            rank: Of the waiting steps, the one with the lowest rank is next.
            memory: Bytes of memory that the step needs.
            on_poll: Called repeatedly while it waits; an exception from it ends the wait.
        """
        self.enter(rank)
        try:
            with self._turn:
                while not self._is_next(rank, memory):
                    on_poll()
                    self._turn.wait(_POLL_SECONDS)
                self._needs.append(memory)
        finally:
            self.leave(rank)
        try:
            yield
        finally:
            with self._turn:
                self._needs.remove(memory)
                self._turn.notify_all()

    def _is_next(self, rank: int, memory: int) -> bool:
        if rank != min(self._queue) or len(self._needs) >= self._count:
            return False
        if not self._needs:
            return True
        return memory <= min(self._available(), self._budget - sum(self._needs))


def core_count() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0))


def available_memory() -> int:
    """Bytes of memory that are available without swapping: MemAvailable in proc(5)."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _colon, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return 0
