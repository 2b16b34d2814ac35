"""Steps that do not build on each other run at the same time, with the same results."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from kiwinb.checkpoints.runner import run_steps
from kiwinb.checkpoints.schedule import Graph, Slots, ranks
from kiwinb.checkpoints.store import Store
from kiwinb.errors import CommandError, KiwinbError
from kiwinb.steps.progress import StepEvent
from kiwinb.steps.step import DraftStep, HostPaths, Output, Step, StepContext, seal

HOST = HostPaths(cache=Path("/nonexistent"))


@dataclass(frozen=True)
class Make:
    """Write a file with what the step sees, after a while; or fail."""

    name: str
    seconds: float = 0.0
    fails: bool = False
    output: ClassVar[Output] = "files"
    revision: ClassVar[int] = 1

    def run(self, context: StepContext) -> None:
        time.sleep(self.seconds)
        if self.fails:
            raise CommandError([self.name], 4)
        seen = sorted(path.name for path in context.root.iterdir())
        given = [(path / "made").read_text() for path in context.inputs.values()]
        (context.output() / "made").write_text(f"{self.name} {seen} {given}\n" * 1000)


@dataclass(frozen=True)
class Grow:
    """Write a file into the tree."""

    name: str
    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    def run(self, context: StepContext) -> None:
        context.log(f"growing {self.name}")
        (context.root / self.name).write_text(self.name)


def _plan(*extra: DraftStep) -> tuple[Step, ...]:
    return seal(
        (
            DraftStep("tree", "Tree", Grow("a")),
            DraftStep("further", "Further", Grow("b"), base="tree"),
            *(DraftStep(f"part-{n}", "Part", Make(f"{n}", 0.1), base="tree") for n in range(4)),
            DraftStep("image", "Image", Make("i"), base="further", needs=("part-0", "part-3")),
            *extra,
        )
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "store")
    yield opened
    for name in ("drafts", "trash", "mnt"):
        assert not any((opened.path / name).iterdir())
    opened.remove([checkpoint.key for checkpoint in opened.list()])


def _order(events: list[StepEvent], state: str) -> list[str]:
    return [e.step.name for e in events if (e.state, e.line, e.fraction) == (state, None, None)]


def test_results_are_those_of_one_after_another(tmp_path: Path) -> None:
    found: list[dict[str, object]] = []
    for parallel in (1, 4):
        store = Store.open(tmp_path / f"store-{parallel}")
        events: list[StepEvent] = []
        made = run_steps(store, _plan(), HOST, events.append, parallel=parallel)
        assert list(made) == [step.name for step in _plan()]
        facts: dict[str, object] = {name: (item.key, item.bytes) for name, item in made.items()}
        files = [(store.files(item) / "made") for item in made.values() if item.output == "files"]
        found.append(facts | {str(n): file.read_bytes() for n, file in enumerate(files)})
        assert store.verify_all() == {}
        if parallel == 1:
            expected = [(s.name, state) for s in _plan() for state in ("running", "done")]
            told = [e for e in events if e.line is None]
            assert [(e.step.name, e.state) for e in told] == expected
        store.remove([item.key for item in made.values()])
    assert found[0] == found[1]


def test_independent_steps_run_at_the_same_time(store: Store) -> None:
    events: list[StepEvent] = []
    threads = set()

    def observe(event: StepEvent) -> None:
        events.append(event)
        threads.add(threading.current_thread())

    steps = seal(tuple(DraftStep(f"nap-{n}", "Nap", Make(f"{n}", 1.0)) for n in range(3)))
    run_steps(store, steps, HOST, observe, parallel=3)
    assert [event.state for event in events[:3]] == ["running"] * 3
    assert threads == {threading.current_thread()}


def test_a_failure_stops_only_what_builds_on_it(store: Store) -> None:
    steps = seal(
        (
            DraftStep("late", "Late", Make("late", 0.5, fails=True)),
            DraftStep("early", "Early", Make("early", fails=True)),
            DraftStep("good", "Good", Make("good", 0.7)),
            DraftStep("behind-late", "Never", Make("never"), needs=("late", "good")),
            DraftStep("behind-good", "Well", Make("well"), needs=("good",)),
        )
    )
    events: list[StepEvent] = []
    with pytest.raises(CommandError, match="step late: late failed") as caught:
        run_steps(store, steps, HOST, events.append, parallel=3)
    assert any("step early: early failed" in note for note in caught.value.__notes__)
    assert sorted(_order(events, "failed")) == ["early", "late"]
    assert _order(events, "done") == ["good", "behind-good"]
    assert "behind-late" not in {event.step.name for event in events}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_at_once(store: Store, number: signal.Signals) -> None:
    naps = (DraftStep(f"nap-{n}", "Nap", Make(f"{n}", 600.0)) for n in range(3))
    steps = seal((DraftStep("tree", "Tree", Grow("a")), *naps))
    started = []

    def stop(event: StepEvent) -> None:
        if event.state == "running" and event.step.name != "tree":
            started.append(event)
            if len(started) == 3:
                os.kill(os.getpid(), number)

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else SystemExit):
        run_steps(store, steps, HOST, stop, parallel=3)
    assert time.monotonic() - began < 300
    assert [checkpoint.name for checkpoint in store.list()] == ["tree"]


def test_an_observer_that_fails_stops_the_run(store: Store) -> None:
    def fail(event: StepEvent) -> None:
        if event.state == "running":
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_steps(store, _plan(), HOST, fail, parallel=2)


def test_the_step_of_another_build_blocks_no_other_step(store: Store) -> None:
    steps = seal(tuple(DraftStep(f"s-{n}", "Step", Make(f"{n}")) for n in range(2)))
    held, free = threading.Event(), threading.Event()

    def hold() -> None:
        with store.making(steps[0].key, "s-0"):
            held.set()
            free.wait(60)

    other = threading.Thread(target=hold)
    other.start()
    held.wait()
    events: list[StepEvent] = []

    def observe(event: StepEvent) -> None:
        events.append(event)
        if (event.step.name, event.state) == ("s-1", "done"):
            free.set()

    run_steps(store, steps, HOST, observe, parallel=1)
    other.join()
    assert _order(events, "done") == ["s-1", "s-0"]
    assert any("waiting for process" in (event.line or "") for event in events)


def test_the_longest_way_goes_first() -> None:
    steps = _plan(DraftStep("check", "Check", Make("c"), base="further"))
    assert [*ranks(steps, {})] == [step.name for step in steps]
    known = {"tree": 1.0, "part-3": 9.0, "part-1": 3.0, "image": 2.0}
    assert [*ranks(steps, known)] == (
        ["tree", "part-3", "further", "part-0", "part-1", "image", "part-2", "check"]
    )


def test_steps_become_ready_behind_those_they_build_on() -> None:
    graph = Graph(_plan()[1:])  # the first one is held
    assert [step.name for step in graph.take_ready()] == [
        "further",
        *(f"part-{n}" for n in range(4)),
    ]
    for name in ("further", "part-0"):
        graph.done(name)
        assert graph.take_ready() == ()
    graph.done("part-3")
    assert [step.name for step in graph.take_ready()] == ["image"]
    assert graph.take_ready() == ()


def test_memory_limits_what_runs_together() -> None:
    slots = Slots(4, lambda: 100)
    entered, leave = [], threading.Event()

    def work(rank: int, memory: int) -> None:
        with slots.taken(rank, memory, lambda: None):
            entered.append(rank)
            leave.wait(10)

    threads = [
        threading.Thread(target=work, args=(rank, memory))
        for rank, memory in enumerate((1000, 60, 60))
    ]
    for thread in threads:
        slots.enter(threads.index(thread))
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    assert entered == [0]  # alone it may take more than there is
    leave.set()
    for thread in threads:
        thread.join()
    assert entered == [0, 1, 2]


def test_a_slot_is_free_again_after_an_error() -> None:
    slots = Slots(1)
    with pytest.raises(KiwinbError), slots.taken(0, 0, lambda: None):
        raise KiwinbError("x")
    with slots.taken(1, 0, lambda: None):
        pass
