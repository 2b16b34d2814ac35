"""Which steps run at the same time, and which of them goes first."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from kiwinb.steps.step import Step

_POLL_SECONDS = 0.5


class Graph:
    """The steps that have to run, each behind those that it builds on.

    Args:
        steps: The steps, in order.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self._waiting = {step.name: step for step in steps}
        self._pending = set(self._waiting)

    def take_ready(self) -> tuple[Step, ...]:
        """The steps for which nothing is to be waited any more; each is given once."""
        ready = [step for step in self._waiting.values() if not self._pending & {*step.before}]
        for step in ready:
            del self._waiting[step.name]
        return tuple(ready)

    def done(self, name: str) -> None:
        """A step has its result. What builds on one that failed is never ready."""
        self._pending.discard(name)


def ranks(steps: Sequence[Step], seconds: Mapping[str, float]) -> Mapping[str, int]:
    """In which order steps are given a free core; 0 is first.

    The step goes first behind which there is most to do; steps in order where nothing is known.

    Args:
        steps: The steps that have to run, in order.
        seconds: By step name, how long it took before, as far as that is known.
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
    """Room for so many steps at the same time; fewer when memory is short, but always one.

    Args:
        count: How many.
        available: Tells how many bytes of memory are available.
    """

    def __init__(self, count: int, available: Callable[[], int] | None = None) -> None:
        self._count = count
        self._available = available or available_memory
        self._budget = self._available()
        self._turn = threading.Condition()
        self._queue: set[int] = set()
        self._needs: list[int] = []

    def enter(self, rank: int) -> None:
        """Stand in the queue: nobody of a higher rank number takes a slot before."""
        with self._turn:
            self._queue.add(rank)

    def leave(self, rank: int) -> None:
        """Do not stand in the queue any more."""
        with self._turn:
            self._queue.discard(rank)
            self._turn.notify_all()

    @contextmanager
    def taken(self, rank: int, memory: int, on_poll: Callable[[], None]) -> Iterator[None]:
        """Wait for a slot, and have it while the context lasts.

        Args:
            rank: The lowest one of those that wait is next.
            memory: Bytes of memory that are needed.
            on_poll: Called again and again during the wait; what it raises ends the wait.
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
    """Bytes of memory that programs can be given without swapping: MemAvailable of proc(5)."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _colon, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return 0
