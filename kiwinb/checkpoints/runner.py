"""Run those steps of a build whose results the store does not have."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import NoReturn

from kiwinb.checkpoints.checkpoint import Checkpoint
from kiwinb.checkpoints.drafts import Draft
from kiwinb.checkpoints.inspector import Inspector
from kiwinb.checkpoints.logs import keep_failed
from kiwinb.checkpoints.reuse import Earlier
from kiwinb.checkpoints.schedule import Graph, Slots, core_count, ranks
from kiwinb.checkpoints.space import Place, SpaceWatch, build_places, explained_space
from kiwinb.checkpoints.step_job import StepJob, run_step
from kiwinb.checkpoints.store import Store
from kiwinb.errors import KiwinbError, StoreError
from kiwinb.sandbox.worker import (
    Cancellation,
    Cancelled,
    Launcher,
    call,
    exit_on_termination,
    nonsense,
)
from kiwinb.steps.progress import Observer, State, StepEvent, ignore
from kiwinb.steps.step import HostPaths, Step, is_observed

_CANDIDATES = 5
"""How many earlier results of an action are compared with a new tree."""

_STOP_SECONDS = 40.0
"""How long an interrupted run waits for its workers to end after it has killed them."""


@dataclass(frozen=True)
class _Ended:
    """A message: a step has its result, or failed."""

    step: Step
    result: Checkpoint | BaseException


@dataclass(frozen=True)
class _Run:
    """What the threads of one run share.

    Attributes:
        store: The store.
        inspector: Tells which of its checkpoints are damaged.
        by_name: All steps.
        host: Places on the host.
        before: By step name, the most recently used checkpoint of any build.
        observed: The checkpoints whose step's reads are known, the most recently used one first.
        ranks: The rank of each step by name; the lowest goes first.
        slots: Limits how many steps run at the same time.
        places: Directories that may be full.
        cancellation: Ends all workers.
        launcher: Launches them.
        tell: Passes an event to the thread that called :func:`run_steps`.
    """

    store: Store
    inspector: Inspector
    by_name: Mapping[str, Step]
    host: HostPaths
    before: Mapping[str, Checkpoint]
    observed: Sequence[Checkpoint]
    ranks: Mapping[str, int]
    slots: Slots
    places: Sequence[Place]
    cancellation: Cancellation
    launcher: Launcher
    tell: Callable[[StepEvent | _Ended], None]


def run_steps(
    store: Store,
    steps: Sequence[Step],
    host: HostPaths,
    observer: Observer = ignore,
    *,
    targets: Sequence[str] | None = None,
    parallel: int | None = None,
) -> Mapping[str, Checkpoint]:
    """Make the results of steps and keep them in the store.

    It uses undamaged results that the store already has, and does not run steps that only these
    results need. Steps that do not depend on each other run at the same time. If a step fails, the
    steps that depend on it do not run; the others finish, and then the error is raised.

    An interrupt, an error or the death of this process leaves no partial result: the store keeps
    the results of finished steps, and the next run continues from there.

    Args:
        store: The store.
        steps: Sealed steps; each names only earlier ones.
        host: Places on the host.
        observer: Called with each event of each step, always in the calling thread.
        targets: Names of the steps whose results are wanted; by default those on which no other
            step depends.
        parallel: The maximum number of steps to run at the same time; by default the number of
            cores. With 1, the steps run in order. Fewer run if memory is short.

    Returns:
        The checkpoints by step name; always includes those of the targets.

    Raises:
        KiwinbError: A step failed; the message names it. If several failed, this is the first one
            in order, and its notes describe the others.
    """
    by_name = {step.name: step for step in steps}
    wanted = _final(steps) if targets is None else targets
    full = explained_space(build_places(store.path, host.cache))
    with exit_on_termination(), full, store.in_use():
        inspector = Inspector(store)
        names = _due(inspector, by_name, wanted)
        due = tuple(step for step in steps if step.name in names)
        found = {
            step.name: _take(store, step, observer)
            for step in steps
            if step.name not in names and store.holds(step.key)
        }
        if due:
            found |= _run_due(
                store, inspector, by_name, host, due, parallel or core_count(), observer
            )
    if store.limit is not None:
        with suppress(StoreError):  # another build uses the store and will do this
            store.gc(keep=[by_name[name].key for name in wanted], timeout=0)
    return {
        step.name: found[step.name]
        for step in steps
        if step.name in found and store.holds(step.key)
    }


def _final(steps: Sequence[Step]) -> tuple[str, ...]:
    named = {name for step in steps for name in step.before}
    return tuple(step.name for step in steps if step.name not in named)


def _modules(steps: Sequence[Step]) -> list[str]:
    """The modules of kiwinb that the workers of steps need."""
    names = {run_step.__module__, *(type(step.action).__module__ for step in steps)}
    return sorted(name for name in names if name.startswith("kiwinb."))


def _due(inspector: Inspector, by_name: Mapping[str, Step], wanted: Sequence[str]) -> set[str]:
    """Names of the steps that have to run for what is wanted."""
    due: set[str] = set()
    seen: set[str] = set()
    pending = [*wanted]
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        step = by_name[name]
        if not inspector.is_usable(step.key):
            due.add(name)
            pending += step.before
    return due


def _run_due(
    store: Store,
    inspector: Inspector,
    by_name: Mapping[str, Step],
    host: HostPaths,
    due: Sequence[Step],
    count: int,
    observer: Observer,
) -> dict[str, Checkpoint]:
    """Run the steps that are due, at most ``count`` at the same time."""
    present = store.list()
    before = {item.name: item for item in present}
    seconds = {name: item.seconds for name, item in before.items()} if count > 1 else {}
    messages: SimpleQueue[StepEvent | _Ended] = SimpleQueue()
    with Launcher(_modules(due)) as launcher:
        run = _Run(
            store,
            inspector,
            by_name,
            host,
            before,
            tuple(item for item in reversed(present) if item.reads),
            ranks(due, seconds),
            Slots(count),
            build_places(store.path, host.cache),
            Cancellation(),
            launcher,
            messages.put,
        )
        return _run_all(run, due, messages, observer)


def _run_all(
    run: _Run,
    due: Sequence[Step],
    messages: SimpleQueue[StepEvent | _Ended],
    observer: Observer,
) -> dict[str, Checkpoint]:
    """Start a thread for each step that is ready, and pass the threads' events to the observer."""
    graph = Graph(due)
    threads: dict[str, threading.Thread] = {}
    results: dict[str, Checkpoint] = {}
    failed: dict[str, BaseException] = {}
    try:
        while True:
            ready = graph.take_ready()
            for step in ready:
                run.slots.enter(run.ranks[step.name])
            for step in ready:
                threads[step.name] = threading.Thread(target=_work, args=(run, step), daemon=True)
                threads[step.name].start()
            if not threads:
                break
            message = messages.get()
            if isinstance(message, StepEvent):
                observer(message)
                continue
            name = message.step.name
            threads.pop(name).join()
            if isinstance(message.result, BaseException):
                failed[name] = message.result
            else:
                results[name] = message.result
                graph.done(name)
    except BaseException:
        run.cancellation.cancel()
        deadline = time.monotonic() + _STOP_SECONDS
        for thread in threads.values():
            thread.join(max(0.0, deadline - time.monotonic()))
        raise
    errors = [failed[step.name] for step in due if step.name in failed]
    for further in errors[1:]:
        errors[0].add_note(str(further))
    if errors:
        raise errors[0]
    return results


def _work(run: _Run, step: Step) -> None:
    """Make one step in a thread of its own."""
    result: Checkpoint | BaseException
    try:
        result = _make(run, step)
    except BaseException as error:
        result = error
    run.slots.leave(run.ranks[step.name])
    run.tell(_Ended(step, result))


def _take(store: Store, step: Step, observer: Observer) -> Checkpoint:
    checkpoint = store.get(step.key)
    store.touch(step.key)
    observer(StepEvent(step, "held", seconds=checkpoint.seconds))
    return checkpoint


def _make(run: _Run, step: Step) -> Checkpoint:
    store, rank, check = run.store, run.ranks[step.name], run.cancellation.check

    def wait(holder: str) -> None:
        run.slots.leave(rank)  # others need not wait for it
        run.tell(StepEvent(step, "running", line=f"waiting for {holder}, which runs this step"))

    with store.making(step.key, step.name, wait, check):
        if run.inspector.is_usable(step.key):  # another build has made it
            return _take(store, step, run.tell)
        with run.slots.taken(rank, step.memory, check):
            began = time.monotonic()
            run.tell(StepEvent(step, "running", seconds=0.0))
            try:
                checkpoint = _run_action(run, step, began)
            except Cancelled:
                raise
            except Exception as error:
                seconds = time.monotonic() - began
                run.tell(StepEvent(step, "failed", seconds=seconds, error=error))
                raise
            state: State = "reused" if checkpoint.reused else "done"
            run.tell(StepEvent(step, state, seconds=checkpoint.seconds))
            return checkpoint


def _run_action(run: _Run, step: Step, began: float) -> Checkpoint:
    store, by_name = run.store, run.by_name

    def tell(line: str | None = None, fraction: float | None = None) -> None:
        seconds = time.monotonic() - began
        run.tell(StepEvent(step, "running", line=line, fraction=fraction, seconds=seconds))

    last = run.before.get(step.name)
    base = None if step.base is None else by_name[step.base].key
    needs = {name: by_name[name].key for name in step.needs}
    try:
        with store.draft(
            key=step.key,
            name=step.name,
            title=step.title,
            output=step.output,
            base=base,
            needs=needs,
            inputs=step.inputs,
            action_key=step.action_key,
        ) as draft:
            job = StepJob(
                action=step.action,
                tree=store.tree(base),
                draft=draft,
                inputs={name: store.files(store.get(key)) for name, key in needs.items()},
                host=run.host,
                rootless=store.rootless,
                needed=None if last is None else last.bytes,
                earlier=_earlier(run, step),
            )
            try:
                call(
                    run_step,
                    job,
                    on_log=lambda line: tell(line=line),
                    on_progress=lambda fraction: tell(fraction=fraction),
                    privilege=store.privilege,
                    cancellation=run.cancellation,
                    launcher=run.launcher,
                )
                made = _published(store, draft)
            except Exception as error:
                _explain(run, step, error, draft.directory)
            run.inspector.trust(step.key)
            return made
    except OSError as error:  # of the draft itself
        _explain(run, step, error, None)


def _published(store: Store, draft: Draft) -> Checkpoint:
    """The result that the worker of a step says it has made."""
    try:
        return store.publish(draft)
    except (ValueError, FileNotFoundError) as error:
        raise nonsense(f"the step is done, but its result is not complete: {error}") from None


def _earlier(run: _Run, step: Step) -> tuple[Earlier, ...]:
    """The undamaged results of the same action with other trees that may be reused."""
    store, inspector = run.store, run.inspector
    if not is_observed(step.action) or not store.can_lay_over(step.output):
        return ()
    same = [item for item in run.observed if item.action_key == step.action_key]
    found = []
    for item in islice((item for item in same if inspector.is_sound(item.key)), _CANDIDATES):
        is_known = item.base is not None and inspector.has_manifests(item.base)
        base = store.get(item.base) if item.base is not None and is_known else None
        found.append(store.earlier(item, base))
    return tuple(found)


def _explain(run: _Run, step: Step, error: Exception, directory: Path | None) -> NoReturn:
    """Raise the error of a step with the step, the cause and the log in its message."""
    if isinstance(error, Cancelled):
        raise error
    full = SpaceWatch(run.places).explain(error)
    log = None
    if directory is not None:
        log = keep_failed(directory, run.store.failed_logs, step.name, step.key)
    named = _name_step(full or error, step)
    if isinstance(named, KiwinbError):
        named.log_file = log
    if named is error:
        raise named
    raise named from error


def _name_step(error: Exception, step: Step) -> Exception:
    if isinstance(error, KiwinbError):
        error.problem = f"step {step.name}: {error.problem}"
        return error
    if isinstance(error, OSError):
        return KiwinbError(f"step {step.name}: {error}")
    error.add_note(f"In step {step.name}.")
    return error
