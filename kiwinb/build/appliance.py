"""The Python interface: an appliance, of which a root tree is prepared and an image created.

::

    from kiwinb import Appliance

    appliance = Appliance("debian-server", type="oem")
    root = appliance.prepare()
    image = root.create("out")
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lxml import etree

from kiwinb import checks
from kiwinb.bootloader.host import HostFiles, find_host_files
from kiwinb.build.exported import EXPORT_FOLDER, imported, leave_out_description, read_export
from kiwinb.build.image import Image
from kiwinb.build.plan import BuildPlan, forecast_request, plan_build, plan_create
from kiwinb.build.root_tree import RootTree
from kiwinb.checkpoints.checkpoint import Checkpoint
from kiwinb.checkpoints.history import BuildIdentity
from kiwinb.checkpoints.runner import run_steps
from kiwinb.checkpoints.store import Store, open_store
from kiwinb.description.document import Document, read
from kiwinb.description.model import ImageDescription
from kiwinb.description.override import Overrides, apply
from kiwinb.description.reference import warnings
from kiwinb.description.select import effective, select
from kiwinb.description.show import to_xml
from kiwinb.description.sources import Sources, read_scripts, read_sources
from kiwinb.errors import CheckError, ImageError
from kiwinb.images import IMAGE_KINDS
from kiwinb.images.container.derived import find_base_container, plan_import
from kiwinb.images.inputs import BuildInputs
from kiwinb.notebook import reprs
from kiwinb.notebook.frontend import in_notebook
from kiwinb.packages import MANAGERS
from kiwinb.packages.manager import (
    AvailablePackage,
    PackageManager,
    RepositoryState,
    ResolvedRepository,
)
from kiwinb.packages.mirrors import resolve
from kiwinb.settings import Settings, load_settings
from kiwinb.steps.keys import digest
from kiwinb.steps.progress import Observer, ignore
from kiwinb.steps.step import HostPaths, Step, seal

log = logging.getLogger(__name__)

STALE = 7 * 24 * 3600
"""Age in seconds from which repository metadata is called old in a warning."""


@dataclass(frozen=True)
class StepForecast:
    """Whether a step will run, and why.

    Attributes:
        step: The step.
        held: Its result is in the store.
        changed: The inputs that changed since it ran last; empty when it never ran.
    """

    step: Step
    held: bool
    changed: tuple[str, ...]


class Appliance:
    """An image description, opened to be built.

    Args:
        path: The description directory, or the description file in it.
        profiles: Profiles to select; the description's own defaults when empty.
        type: Image type to build; the description's primary one when ``None``.
        arch: Target architecture as ``uname -m`` prints it; the host's when ``None``.
        kiwi_file: Name of the description file, when there are several.
        overrides: What is to be different from the description.
        settings: Settings of this host; the user's own when ``None``.
        observer: Told what happens to each step; in a notebook, a live panel when ``None``.

    Raises:
        DescriptionError: The description cannot be read or is not valid.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        profiles: Sequence[str] = (),
        type: str | None = None,
        arch: str | None = None,
        kiwi_file: str | None = None,
        overrides: Overrides | None = None,
        settings: Settings | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.settings = settings or load_settings()
        self.document: Document = read(Path(path), kiwi_file=kiwi_file)
        self.overrides = overrides or Overrides()
        selected = select(self.document, profiles=profiles, type=type, arch=arch)
        self.description: ImageDescription = apply(selected, self.overrides)
        self.observer = observer
        self.epoch = 0
        self.preparing = True
        self._warned = False

    def __repr__(self) -> str:
        return reprs.facts_text("Appliance", reprs.appliance_facts(self))

    def _repr_html_(self) -> str:
        return reprs.facts_html("Appliance", reprs.appliance_facts(self))

    @cached_property
    def store(self) -> Store:
        """The checkpoint store."""
        return open_store(self.settings)

    @property
    def host(self) -> HostPaths:
        """Places on this host that steps use."""
        return HostPaths(self.settings.cache, self.settings.mirrors)

    @cached_property
    def plan(self) -> BuildPlan:
        """The steps of the build and what it delivers.

        Reads the metadata of the repositories when no build of this host did before; see
        :meth:`refresh`.
        """
        return self._plan(refresh=False)

    @property
    def steps(self) -> reprs.Steps:
        """All steps of prepare and create, in order."""
        return reprs.Steps(self.plan.steps)

    def refresh(self) -> None:
        """Read the metadata of the repositories anew, so that newer packages are seen."""
        self.plan = self._plan(refresh=True)

    def check(self, target_dir: str | os.PathLike[str] | None = None) -> None:
        """Run the checks of the description and of this host; every build does so first.

        What the description says and kiwinb does not use is logged as warnings, once.

        Args:
            target_dir: Directory that the build is to write to, if that is known.

        Raises:
            CheckErrors: It cannot be built, or not here; says all that was found.
        """
        if not self._warned:
            self._warned = True
            tree = self._effective()
            for kind in tree.iterfind("preferences/type"):
                for name, value in self.description.type.attributes.items():
                    kind.set(name, value)  # what overrides say, too
            for warning in warnings(tree):
                log.warning("%s", warning)
        checks.check(
            self.document,
            self.description,
            self.settings,
            target_dir,
            preparing=self.preparing,
        )

    def effective(self) -> str:
        """The description as XML, with nothing but what the selected image is made of."""
        return to_xml(self._effective())

    def _effective(self) -> etree._ElementTree:
        image = self.description
        return effective(
            self.document, profiles=image.profiles, type=image.type.image, arch=image.arch
        )

    def forecast_packages(self) -> tuple[AvailablePackage, ...]:
        """The packages that the image gets, dependencies included, before anything is installed.

        Raises:
            CheckErrors: It cannot be built here.
            PackageError: A package is not there, or they do not go together.
        """
        self.check()
        image = self.description
        manager = MANAGERS.find(image.preferences.packagemanager)
        repositories, state = self._repositories(manager, refresh=False)
        inputs = BuildInputs(Sources(), state.epoch, repositories, state)
        return manager.forecast(forecast_request(image, inputs), self.host)

    def explain(self) -> reprs.Explanation:
        """For each step, whether it will run, and which of its inputs changed since it last did."""
        history, steps = self.store.history, self.steps
        return reprs.Explanation(
            StepForecast(
                step,
                self.store.holds(step.key),
                history.changes(self._identity, step, steps, held=self.store.holds(step.key)),
            )
            for step in steps
        )

    def run_until(self, name: str) -> RootTree:
        """Run the steps up to and including the one of that name, and take its tree.

        Raises:
            ImageError: No step that leaves a tree has that name.
            KiwinbError: A step failed.
        """
        self.check()
        names = [step.name for step in self.steps if step.output == "tree"]
        if name not in names:
            raise ImageError(f"no step '{name}'", remedy=f"Its steps are: {', '.join(names)}.")
        last = next(step for step in self.steps if step.name == name)
        self._run([name])
        return RootTree(self, last)

    def prepare(self) -> RootTree:
        """Turn the description into an unpacked root tree; only what has to run runs.

        Raises:
            CheckErrors: It cannot be built here.
            KiwinbError: A step failed; what ran before it is kept.
        """
        self.check()
        return self.run_until(self.plan.prepare[-1].name)

    def build(self, target_dir: str | os.PathLike[str] = "out") -> Image:
        """Prepare and create in one go; see :meth:`prepare` and :meth:`RootTree.create`."""
        self.check(target_dir)
        return RootTree(self, self.plan.prepare[-1]).create(target_dir)

    def _run(self, targets: Sequence[str]) -> Mapping[str, Checkpoint]:
        try:
            with self._watched(targets) as observer:
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
            self.store.history.remember(self._identity, held)

    @property
    def _identity(self) -> BuildIdentity:
        image = self.description
        return BuildIdentity(
            image.directory.absolute(),
            image.name,
            image.profiles,
            image.type.image,
            image.arch,
            digest(self.overrides),
        )

    def _watched(self, targets: Sequence[str]) -> AbstractContextManager[Observer]:
        if self.observer is not None:
            return nullcontext(self.observer)
        if not in_notebook():
            return nullcontext(ignore)
        from kiwinb.notebook.panel import watch  # the command line needs no widgets

        return watch(self.description.name, self.steps, targets, self.store)

    def _plan(self, *, refresh: bool) -> BuildPlan:
        image = self.description
        name = image.preferences.packagemanager or ""
        if name not in MANAGERS:
            raise CheckError(
                f"packages cannot be installed with {name or 'no package manager'} yet",
                remedy=f"Set <packagemanager> to one of: {', '.join(sorted(MANAGERS))}.",
            )
        repositories, state = self._repositories(MANAGERS[name], refresh=refresh)
        age = time.time() - state.read_at
        if age > STALE:
            log.warning(
                "The metadata of the repositories is %d days old; refresh to see newer packages.",
                age // 86400,
            )
        sources = read_sources(image, self.settings.cache)
        self.epoch = state.epoch
        base = find_base_container(image, self.settings.cache)
        return plan_build(
            image, BuildInputs(sources, state.epoch, repositories, state, base, self._host_files())
        )

    def _host_files(self) -> tuple[tuple[str, HostFiles], ...]:
        kind = IMAGE_KINDS.find(self.description.type.image)
        return find_host_files(kind.host_directories(self.description), self.settings.cache)

    def _repositories(
        self, manager: PackageManager, *, refresh: bool
    ) -> tuple[tuple[ResolvedRepository, ...], RepositoryState]:
        image = self.description
        found = tuple(
            resolve(item, self.settings, image.directory, image.arch) for item in image.repositories
        )
        return found, manager.refresh(found, image.arch, self.host, force=refresh)


def open_root(
    directory: str | os.PathLike[str],
    *,
    overrides: Overrides | None = None,
    settings: Settings | None = None,
    observer: Observer | None = None,
) -> RootTree:
    """Open a root tree that :meth:`RootTree.export` wrote, to create an image from it.

    What was changed in the directory since is in the image.

    Args:
        directory: The root directory.
        overrides: In place of those it was prepared with.
        settings: Settings of this host; the user's own when ``None``.
        observer: Told what happens to each step; in a notebook, a live panel when ``None``.

    Raises:
        ImageError: It is no prepared root tree.
        StoreError: It cannot be taken into the store.
    """
    root = Path(directory).absolute()
    prepared = read_export(root)
    appliance = Appliance(
        root / EXPORT_FOLDER,
        arch=prepared.arch,
        overrides=overrides or prepared.overrides,
        settings=settings,
        observer=observer,
    )
    taken = imported(appliance.store.import_tree(root))
    scripts = read_scripts(appliance.description, appliance.settings.cache)
    base = find_base_container(appliance.description, appliance.settings.cache)
    first = seal((plan_import(base),)) if base else ()
    steps = (*first, taken, *seal((leave_out_description(taken),), before=(taken,)))
    appliance.epoch = prepared.epoch
    appliance.preparing = False
    appliance.plan = plan_create(
        appliance.description,
        BuildInputs(Sources(scripts=scripts), prepared.epoch, host_files=appliance._host_files()),
        steps,
    )
    return RootTree(appliance, steps[-1])
