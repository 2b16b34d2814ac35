"""The job of a worker that makes the result of one step."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kiwinb.checkpoints import logs, reuse
from kiwinb.checkpoints.backend import make_place
from kiwinb.checkpoints.drafts import Draft, commit
from kiwinb.checkpoints.space import build_places, explained_space
from kiwinb.checkpoints.trees import BACKENDS, TreeRef
from kiwinb.sandbox.limits import limited
from kiwinb.sandbox.observation import Observation
from kiwinb.sandbox.observed import run_observed
from kiwinb.sandbox.others import end_other_processes
from kiwinb.sandbox.shield import shield_host
from kiwinb.sandbox.worker import Report
from kiwinb.steps.step import Action, HostPaths, StepContext, is_observed, reads_mtimes

Log = Callable[[str], None]
Progress = Callable[[float], None]


@dataclass(frozen=True)
class StepJob:
    """What a worker needs to make the result of a step.

    Attributes:
        action: The action of the step.
        tree: The tree that the action continues or reads.
        draft: The draft for the result.
        inputs: The output directories of the ``files`` steps that the action reads, by step name.
        host: Places on the host.
        rootless: Whether the worker runs in a user namespace.
        needed: Approximate size of the result in bytes; ``None`` if it is not known.
        earlier: Results of the same action with other trees, the most promising one first.
    """

    action: Action
    tree: TreeRef
    draft: Draft
    inputs: Mapping[str, Path]
    host: HostPaths
    rootless: bool
    needed: int | None = None
    earlier: tuple[reuse.Earlier, ...] = ()


def run_step(job: StepJob, report: Report) -> None:
    """Commit the result of a step: an earlier one if it is right for the tree, else a new one.

    It returns nothing, because programs of the tree could forge that; the result is in the store.

    Raises:
        SpaceError: The store, the download cache or the temporary directory is full.
        Exception: The action raised it.
    """
    began = time.monotonic()
    store = job.tree.mnt.parent
    shield_host((store, job.host.cache, *_temporary_directories()))
    with (
        limited(job.host.limits, store),
        explained_space(build_places(store, job.host.cache), needed=job.needed) as watch,
    ):
        with logs.recorded(report.log, job.draft.directory) as log:

            def take(line: str) -> None:
                watch.see(line)
                log(line)

            mtimes = reads_mtimes(job.action)
            found = reuse.find(job.tree, job.earlier, mtimes=mtimes, log=log)
            made = None if found is None else reuse.take_over(found, job.tree, job.draft, log)
            if made is None:
                _make(job, take, report.progress)
        if made is None:
            commit(job.draft, time.monotonic() - began)


def _temporary_directories() -> tuple[Path, ...]:
    """The directory that the user names, and the one that tools use if they are not told it."""
    return tuple(dict.fromkeys((Path("/tmp"), Path(tempfile.gettempdir()))))


def _make(job: StepJob, log: Log, progress: Progress) -> None:
    """Run the action, and leave its result in the draft."""
    backend = BACKENDS[job.tree.backend]
    place = make_place(job.tree.mnt)
    directory = job.draft.directory
    out: Path | None = None
    if job.draft.output == "files":
        out = directory / "data"
        out.mkdir(0o755)
        shown = backend.scratch(job.tree.layers, directory, place)
    else:
        shown = backend.work(job.tree.layers, directory, place)
    observation: Observation | None = None
    with shown as root:

        def act(log: Log, progress: Progress) -> None:
            host, rootless = job.host, job.rootless
            job.action.run(StepContext(root, out, job.inputs, host, log, progress, rootless))

        if job.tree.layers and is_observed(job.action):
            observation = run_observed(act, log, progress, root).inside(root)
        else:
            act(log, progress)
            end_other_processes()
    for name in ("scratch", "work"):
        with suppress(FileNotFoundError):
            shutil.rmtree(directory / name)
    if observation is not None:
        reuse.keep_reads(job.tree, job.draft, observation, log)
