"""Root trees: prepare makes them, and create makes images from them."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kiwinb.build.image import Image
from kiwinb.build.imported import imported, leave_out_description
from kiwinb.build.inspectable import Inspectable
from kiwinb.build.plan import plan_create
from kiwinb.build.session import BuildSession, Planned, open_session
from kiwinb.checkpoints.checkpoint import DamagedCheckpointError
from kiwinb.description.model import ImageDescription
from kiwinb.description.override import Overrides
from kiwinb.description.sources import Sources, read_scripts
from kiwinb.errors import KiwinbError
from kiwinb.images.container.derived import find_base_container, plan_import
from kiwinb.images.inputs import BuildInputs
from kiwinb.notebook.reprs import Pairs, facts_html, facts_text
from kiwinb.paths import normalised
from kiwinb.results.artefacts import record_image
from kiwinb.results.deliver import StepFiles, deliver
from kiwinb.results.exported import (
    EXPORT_FOLDER,
    ExportFacts,
    is_export,
    read_export,
    write_export,
)
from kiwinb.results.record import BuildResult
from kiwinb.settings import Settings
from kiwinb.sizes import binary
from kiwinb.steps.progress import Observer
from kiwinb.steps.step import Step, seal

if TYPE_CHECKING:
    from kiwinb.inspect.tree import Tree

log = logging.getLogger(__name__)


@dataclass(frozen=True, repr=False)
class RootTree(Inspectable):
    """A root tree in the checkpoint store.

    Attributes:
        session: Plans and runs its steps.
        step: The step that made it.
    """

    session: BuildSession
    step: Step

    def __repr__(self) -> str:
        return facts_text(self._title, self._facts())

    def _repr_html_(self) -> str:
        return facts_html(self._title, self._facts())

    @property
    def description(self) -> ImageDescription:
        """The effective description that it was made from."""
        return self.session.description

    @property
    def _title(self) -> str:
        return f"Root tree of {self.description.name}"

    def _facts(self) -> Pairs:
        step = self.step
        pairs = (("After the step", f"{step.name}: {step.title}"), ("Key", step.key))
        try:
            checkpoint = self.session.store.get(step.key)
        except KiwinbError:
            return (*pairs, ("Checkpoint", "is not in the store any more; prepare it again"))
        return (
            *pairs,
            ("Made", f"{checkpoint.created}, in {checkpoint.seconds:.1f} s"),
            ("Checkpoint", f"{binary(checkpoint.bytes)} on top of what it builds on"),
        )

    def _described(self) -> ImageDescription:
        return self.description

    def tree(self) -> Tree:
        """See :meth:`Inspectable.tree`."""
        from kiwinb.inspect.formats.checkpoint import CheckpointTree

        name = f"{self.description.name} after {self.step.name}"
        return CheckpointTree(self.session.store, self.step.key, name)

    def export(self, directory: str | os.PathLike[str], *, replace: bool = False) -> Path:
        """Write the tree to a directory, in the layout of KIWI NG's ``--root``.

        Its directory ``image`` holds what :func:`open_root` needs to continue from there.

        Args:
            directory: A path that does not exist yet, or an empty directory.
            replace: Replace a root tree that was written there before.

        Raises:
            StoreError: The directory holds something else.
        """
        path = normalised(directory).absolute()
        session = self.session
        if replace and is_export(path):
            session.store.remove_exported(path)
        session.store.export_tree(self.step.key, path)
        planned = session.planned
        facts = ExportFacts(
            session.description.arch, planned.epoch, session.overrides, planned.repositories
        )
        write_export(path, session.description, session.effective(), facts)
        return path

    def create(self, target_dir: str | os.PathLike[str] = "out") -> Image:
        """Create the image from the tree, and deliver it with all result files.

        Args:
            target_dir: Directory for the result files; it is created if necessary.

        Raises:
            KiwinbError: A step failed, or the results cannot be delivered.
        """
        target = normalised(target_dir).absolute()
        session = self.session
        session.check(target)
        try:
            delivered = self._deliver(target)
        except DamagedCheckpointError as error:
            log.warning("%s. It is made again.", error.problem[:1].upper() + error.problem[1:])
            session.store.break_seal(error.key)
            delivered = self._deliver(target)
        image = Image(session.description, delivered)
        record_image(image.path)
        return image

    def _deliver(self, target: Path) -> BuildResult:
        session = self.session
        results = session.planned.plan.results
        found = session.run(sorted({result.step for result in results}))
        store = session.store
        outputs = {
            name: StepFiles(item.key, store.files(item), item.files, item.key in store.made)
            for name, item in found.items()
            if item.output == "files"
        }
        repositories = session.planned.repositories
        return deliver(session.description, results, outputs, target, repositories)


def open_root(
    directory: str | os.PathLike[str],
    *,
    overrides: Overrides | None = None,
    settings: Settings | None = None,
    observer: Observer | None = None,
) -> RootTree:
    """Open a root tree that :meth:`RootTree.export` wrote, to create an image from it.

    The image contains any changes that were made in the directory since.

    Args:
        directory: The root directory.
        overrides: Replace the overrides that it was prepared with.
        settings: Settings of this host; by default those of the user.
        observer: Gets the events of each step; by default, notebooks show a live panel.

    Raises:
        ImageError: The directory is not a prepared root tree.
        StoreError: The store cannot import the tree.
    """
    root = normalised(directory).absolute()
    prepared = read_export(root)
    session = open_session(
        root / EXPORT_FOLDER,
        arch=prepared.arch,
        overrides=overrides or prepared.overrides,
        settings=settings,
        observer=observer,
    )
    taken = imported(session.store.import_tree(root))
    scripts = read_scripts(session.description, session.settings.cache)
    base = find_base_container(session.description, session.settings.cache)
    first = seal((plan_import(base),)) if base else ()
    steps = (*first, taken, *seal((leave_out_description(taken),), before=(taken,)))
    inputs = BuildInputs(
        Sources(scripts=scripts),
        prepared.epoch,
        host_files=session.host_files(),
        network=session.network,
    )
    plan = plan_create(session.description, inputs, steps)
    planned = Planned(plan, prepared.epoch, prepared.repositories)
    return RootTree(replace(session, given=planned, preparing=False), steps[-1])
