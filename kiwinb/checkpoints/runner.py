"""Run the steps of a build: only those whose result the store does not hold."""

from __future__ import annotations

import errno
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from kiwinb.checkpoints import jobs
from kiwinb.checkpoints.checkpoint import Checkpoint
from kiwinb.checkpoints.store import Store
from kiwinb.errors import KiwinbError, StoreError
from kiwinb.sandbox.worker import call, exit_on_termination
from kiwinb.steps.progress import Observer, StepEvent, ignore
from kiwinb.steps.step import HostPaths, Step


def run_steps(
    store: Store,
    steps: Sequence[Step],
    host: HostPaths,
    observer: Observer = ignore,
    *,
    targets: Sequence[str] | None = None,
) -> Mapping[str, Checkpoint]:
    """Make the results of steps, in order, and keep them in the store.

    What the store holds is taken; a step that only such results would need does not run either.
    An interrupt, an error or the death of this process leaves nothing half done: the results
    of the steps before are kept, the next run goes on behind them.

    Args:
        store: The store.
        steps: Sealed steps; each names only earlier ones.
        host: Places on the host.
        observer: Told what happens to each step.
        targets: Names of the steps whose results are wanted; by default those that no other step
            names.

    Returns:
        By step name, the checkpoints that are there now; those of the targets always are.

    Raises:
        KiwinbError: A step failed; the message names it.
    """
    by_name = {step.name: step for step in steps}
    wanted = _final(steps) if targets is None else targets
    found: dict[str, Checkpoint] = {}
    with exit_on_termination(), store.in_use():
        due = _due(store, by_name, wanted)
        for step in steps:
            if step.name in due:
                found[step.name] = _make(store, step, by_name, host, observer)
            elif store.holds(step.key):
                found[step.name] = _take(store, step, observer)
    if store.limit is not None:
        with suppress(StoreError):  # another build uses the store: that one will see to it
            store.gc(keep=[by_name[name].key for name in wanted], timeout=0)
    return {name: item for name, item in found.items() if store.holds(item.key)}


def due_steps(
    store: Store, steps: Sequence[Step], targets: Sequence[str] | None = None
) -> tuple[Step, ...]:
    """The steps that :func:`run_steps` would run now, in order."""
    by_name = {step.name: step for step in steps}
    due = _due(store, by_name, _final(steps) if targets is None else targets)
    return tuple(step for step in steps if step.name in due)


def _final(steps: Sequence[Step]) -> tuple[str, ...]:
    named = {name for step in steps for name in (step.base, *step.needs)}
    return tuple(step.name for step in steps if step.name not in named)


def _due(store: Store, by_name: Mapping[str, Step], wanted: Sequence[str]) -> set[str]:
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
        if not store.holds(step.key):
            due.add(name)
            pending += [*(() if step.base is None else (step.base,)), *step.needs]
    return due


def _take(store: Store, step: Step, observer: Observer) -> Checkpoint:
    checkpoint = store.get(step.key)
    store.touch(step.key)
    observer(StepEvent(step, "held", seconds=checkpoint.seconds))
    return checkpoint


def _make(
    store: Store, step: Step, by_name: Mapping[str, Step], host: HostPaths, observer: Observer
) -> Checkpoint:
    began = time.monotonic()

    def tell(line: str | None = None, fraction: float | None = None) -> None:
        seconds = time.monotonic() - began
        observer(StepEvent(step, "running", line=line, fraction=fraction, seconds=seconds))

    def wait(holder: str) -> None:
        tell(f"waiting for {holder}, which runs this step")

    with store.making(step.key, step.name, wait):
        if store.holds(step.key):  # another build has made it
            return _take(store, step, observer)
        tell()
        try:
            base = None if step.base is None else by_name[step.base].key
            needs = {name: by_name[name].key for name in step.needs}
            with store.draft(
                key=step.key,
                name=step.name,
                title=step.title,
                output=step.output,
                base=base,
                needs=needs,
                inputs=step.inputs,
            ) as draft:
                job = jobs.StepJob(
                    action=step.action,
                    tree=store.tree(base),
                    draft=draft,
                    inputs={name: store.files(store.get(key)) for name, key in needs.items()},
                    host=host,
                    rootless=store.rootless,
                )
                checkpoint = call(
                    jobs.run_step,
                    job,
                    on_log=lambda line: tell(line=line),
                    on_progress=lambda fraction: tell(fraction=fraction),
                    privilege=store.privilege,
                )
        except Exception as error:
            seconds = time.monotonic() - began
            named = _name_step(error, step)
            observer(StepEvent(step, "failed", seconds=seconds, error=named))
            if named is error:
                raise
            raise named from error
    observer(StepEvent(step, "done", seconds=checkpoint.seconds))
    return checkpoint


def _name_step(error: Exception, step: Step) -> Exception:
    if isinstance(error, KiwinbError):
        error.problem = f"step {step.name}: {error.problem}"
        return error
    if isinstance(error, OSError):
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = "Make room on the disk, or give the checkpoint store a smaller limit."
            return StoreError(f"step {step.name}: {error}", remedy=remedy)
        return KiwinbError(f"step {step.name}: {error}")
    error.add_note(f"In step {step.name}.")
    return error
