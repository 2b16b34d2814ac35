"""Sessions: a description on this host, with the code that plans and runs its steps.

:class:`~kiwinb.build.appliance.Appliance` opens a session and passes it to the root tree that it
prepares. This is all that the two share.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path

from lxml import etree

from kiwinb import checks
from kiwinb.bootloader.host import HostFiles, find_host_files
from kiwinb.build.plan import BuildPlan, package_changes, plan_build
from kiwinb.checkpoints.checkpoint import Checkpoint
from kiwinb.checkpoints.history import BuildIdentity
from kiwinb.checkpoints.runner import run_steps
from kiwinb.checkpoints.space import build_places, explained_space
from kiwinb.checkpoints.store import Store, open_store
from kiwinb.checks.trust import risks
from kiwinb.clock import check_clock, clock_hint, in_words
from kiwinb.description.document import Document, read
from kiwinb.description.located import located
from kiwinb.description.model import ImageDescription
from kiwinb.description.override import Overrides, apply
from kiwinb.description.reference import undeclared, warnings
from kiwinb.description.secrets import without_secrets
from kiwinb.description.select import reduced, select
from kiwinb.description.show import to_xml
from kiwinb.description.sources import SCRIPTS, Sources, read_sources
from kiwinb.errors import CheckError, KiwinbError
from kiwinb.images import IMAGE_KINDS
from kiwinb.images.container.derived import BASE_TREE, find_base_container
from kiwinb.images.inputs import EVERY_SCRIPT, BuildInputs
from kiwinb.notebook.forecast import Forecast
from kiwinb.notebook.frontend import in_notebook
from kiwinb.notebook.reprs import Explanation, Steps
from kiwinb.packages import MANAGERS
from kiwinb.packages.manager import (
    PackageManager,
    RepositoryState,
    ResolvedRepository,
)
from kiwinb.packages.mirrors import resolve_for
from kiwinb.paths import normalised
from kiwinb.results.record import UsedRepository
from kiwinb.sandbox.tools import find_tool
from kiwinb.settings import Settings, load_settings
from kiwinb.steps.forecast import StepForecast
from kiwinb.steps.keys import digest
from kiwinb.steps.progress import Observer, ignore
from kiwinb.steps.recorded import recorded
from kiwinb.steps.step import HostPaths, Step

log = logging.getLogger(__name__)

STALE = 7 * 24 * 3600
"""Age in seconds from which kiwinb warns that repository metadata is old."""


def _told_once() -> Callable[[str], None]:
    return cache(lambda text: log.warning("%s", text))


@dataclass(frozen=True)
class Planned:
    """A plan, and its time stamp.

    Attributes:
        plan: The steps, and the files that they deliver.
        epoch: Time stamp for everything that the build makes, in seconds since 1970-01-01 UTC.
        repositories: Where the packages come from.
    """

    plan: BuildPlan
    epoch: int
    repositories: tuple[UsedRepository, ...] = ()


@dataclass(frozen=True, eq=False)
class BuildSession:
    """Everything that is known about a build before it runs; immutable.

    Attributes:
        document: The description as read.
        overrides: Changes to the description.
        description: The effective description: the selected parts of the document, with the
            overrides.
        settings: Settings of this host.
        observer: Gets the events of each step; by default, notebooks show a live panel.
        given: The plan, if it exists already; otherwise it is made when needed.
        preparing: Whether to prepare a root tree, not only to create an image from one.
        warn: Logs each warning once.
    """

    document: Document
    overrides: Overrides
    description: ImageDescription
    settings: Settings
    observer: Observer | None = None
    given: Planned | None = None
    preparing: bool = True
    warn: Callable[[str], None] = field(default_factory=_told_once, repr=False)

    @cached_property
    def store(self) -> Store:
        """The checkpoint store."""
        return open_store(self.settings)

    @property
    def host(self) -> HostPaths:
        """Places on this host that steps use."""
        return HostPaths(self.settings.cache, self.settings.mirrors, self.settings.limits)

    @property
    def network(self) -> tuple[str, ...]:
        """Names of the scripts that reach the network.

        Raises:
            KiwinbError: One of them is not the name of a script.
            HostError: The host lacks the program that connects them.
        """
        names = tuple(dict.fromkeys((*self.settings.network, *self.overrides.network)))
        for name in names:
            if name not in (*SCRIPTS, EVERY_SCRIPT):
                raise KiwinbError(
                    f"network: no script has the name {name}",
                    remedy=f"Name one of {', '.join(SCRIPTS)}, or {EVERY_SCRIPT}.",
                )
        if names:
            find_tool("slirp4netns")
        return names

    @cached_property
    def planned(self) -> Planned:
        """The plan; reads the metadata of the repositories if no build on this host has done so.

        Raises:
            CheckError: kiwinb does not know the package manager of the description.
            KiwinbError: A repository or a file of the description cannot be read.
        """
        return self.given or self._plan(refresh=False)

    @property
    def identity(self) -> BuildIdentity:
        """The identity that distinguishes this build from others of the same name."""
        image = self.description
        return BuildIdentity(
            image.directory.absolute(),
            image.name,
            image.profiles,
            image.type.image,
            image.arch,
            digest(self.overrides.without_secrets()),
        )

    @property
    def steps(self) -> Steps:
        """All steps of prepare and create, in order."""
        return Steps(self.planned.plan.steps)

    def refreshed(self) -> BuildSession:
        """The same session, planned with the current metadata of the repositories."""
        return replace(self, given=self._plan(refresh=True))

    def check(self, target_dir: str | os.PathLike[str] | None = None) -> None:
        """Run the checks; see :meth:`kiwinb.build.appliance.Appliance.check`."""
        tree = self._effective()
        for kind in tree.iterfind("preferences/type"):
            for name, value in self.description.type.attributes.items():
                kind.set(name, value)  # including the overrides
        found = (*undeclared(self.document.tree), *warnings(tree), *risks(self.description))
        for warning in found:
            self.warn(warning)
        target = None if target_dir is None else normalised(target_dir)
        checks.check(
            self.document, self.description, self.settings, target, preparing=self.preparing
        )

    def effective(self) -> str:
        """The description as XML, reduced to the selected image, without secrets."""
        return to_xml(without_secrets(self._effective()))

    def _effective(self) -> etree._ElementTree:
        return reduced(self.document, self.description)

    def forecast_packages(self) -> Forecast:
        """See :meth:`kiwinb.build.appliance.Appliance.forecast_packages`."""
        image = self.description
        manager = MANAGERS.find(image.preferences.packagemanager)
        repositories, state = self._repositories(manager, refresh=False)
        base = find_base_container(image, self.settings.cache)
        inputs = BuildInputs(Sources(), state.epoch, repositories, state, base)
        changes = package_changes(image, inputs)
        if base is None:
            return Forecast(manager.forecast(changes, self.host))
        from kiwinb.inspect.formats import open_tree  # imports numpy

        unpacked = self.run([BASE_TREE])[BASE_TREE]
        with open_tree((self.store, unpacked.key)) as tree:
            return Forecast(manager.forecast(changes, self.host, tree))

    def explain(self) -> Explanation:
        """For each step, whether it will run, and which inputs changed since its last run."""
        history, steps = self.store.history, self.steps
        held = {step.key for step in steps if self.store.holds(step.key)}
        observed = {item.action_key for item in self.store.list() if item.reads}
        return Explanation(
            StepForecast(
                step,
                step.key in held,
                history.changes(self.identity, step, steps, held=step.key in held),
                self._note(step, held=step.key in held, observed=step.action_key in observed),
            )
            for step in steps
        )

    def _note(self, step: Step, *, held: bool, observed: bool) -> str:
        """Why a step did not run, or may not have to."""
        if held:
            reused = self.store.get(step.key).reused
            return "not run: nothing that it read has changed" if reused else ""
        return "runs only if anything that it read has changed" if observed else ""

    def run(self, targets: Sequence[str]) -> Mapping[str, Checkpoint]:
        """Run the named steps and those that they need, as far as they have to run.

        Raises:
            KiwinbError: A step failed; the results of the steps before it are kept.
        """
        try:
            with self.watched(targets) as observer:
                return run_steps(
                    self.store,
                    self.steps,
                    self.host,
                    observer,
                    targets=targets,
                    parallel=self.settings.parallel_steps,
                )
        finally:
            held = [step for step in self.steps if self.store.holds(step.key)]
            self.store.history.remember(self.identity, held)

    @contextmanager
    def watched(self, targets: Sequence[str]) -> Iterator[Observer]:
        """The observer of a run, which also tells the program that runs this notebook, if any."""
        with self._shown(targets) as observer, recorded(self.description.name, observer) as both:
            yield both

    def _shown(self, targets: Sequence[str]) -> AbstractContextManager[Observer]:
        """The given observer, or else the panel of a notebook."""
        if self.observer is not None:
            return nullcontext(self.observer)
        if not in_notebook():
            return nullcontext(ignore)
        from kiwinb.notebook.panel import watch  # the command line needs no widgets

        return watch(self.description.name, self.steps, targets, self.store)

    def host_files(self) -> tuple[tuple[str, HostFiles], ...]:
        """The files of this host that may get into the image, in their current state."""
        kind = IMAGE_KINDS.find(self.description.type.image)
        return find_host_files(kind.host_directories(self.description), self.settings.cache)

    def _plan(self, *, refresh: bool) -> Planned:
        image = self.description
        name = image.preferences.packagemanager or ""
        if name not in MANAGERS:
            raise CheckError(
                f"packages cannot be installed with {name or 'no package manager'} yet",
                remedy=f"Set <packagemanager> to one of: {', '.join(sorted(MANAGERS))}.",
            )
        repositories, state = self._repositories(MANAGERS[name], refresh=refresh)
        check_clock(state.epoch, "the metadata of the repositories")
        age = time.time() - state.read_at
        if age < -STALE:
            log.warning(
                "The metadata of the repositories was read at %s, which is still to come, so how "
                "old it is cannot be told. %s",
                *(in_words(state.read_at), clock_hint()),
            )
        if age > STALE:
            log.warning(
                "The metadata of the repositories is %d days old; refresh to see newer packages.",
                age // 86400,
            )
        sources = read_sources(image, self.settings.cache)
        base = find_base_container(image, self.settings.cache)
        host_files = self.host_files()
        inputs = BuildInputs(
            sources, state.epoch, repositories, state, base, host_files, network=self.network
        )
        plan = plan_build(image, inputs)
        return Planned(plan, state.epoch, tuple(_used(repositories, state)))

    def _repositories(
        self, manager: PackageManager, *, refresh: bool
    ) -> tuple[tuple[ResolvedRepository, ...], RepositoryState]:
        image = self.description
        found = tuple(
            resolve_for(image, item, self.settings, image.directory) for item in image.repositories
        )
        with explained_space(build_places(self.settings.store, self.settings.cache)):
            return found, manager.refresh(found, image.arch, self.host, force=refresh)


def _used(
    repositories: Sequence[ResolvedRepository], state: RepositoryState
) -> Iterator[UsedRepository]:
    indexes = iter(state.digests)
    for item in repositories:
        yield UsedRepository(
            item.alias,
            item.path,
            next(indexes)[1] if item.used_for_build else None,
            item.checked,
            item.outdated_allowed,
            item.included_in_image,
        )


def open_session(
    path: str | os.PathLike[str],
    *,
    profiles: Sequence[str] = (),
    type: str | None = None,
    arch: str | None = None,
    kiwi_file: str | None = None,
    overrides: Overrides | None = None,
    settings: Settings | None = None,
    observer: Observer | None = None,
) -> BuildSession:
    """Read a description; arguments as for :class:`kiwinb.build.appliance.Appliance`.

    Raises:
        DescriptionError: The description cannot be read or is not valid.
    """
    settings = settings or load_settings()
    overrides = located(overrides or Overrides(), Path.cwd())
    document = read(normalised(path), kiwi_file=kiwi_file)
    selected = select(document, profiles=profiles, type=type, arch=arch)
    return BuildSession(document, overrides, apply(selected, overrides), settings, observer)
