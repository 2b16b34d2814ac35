"""A root tree: what prepare leaves, and create makes an image of."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kiwinb.build.exported import ExportFacts, is_export, write_export
from kiwinb.build.image import Image
from kiwinb.build.inspectable import Inspectable
from kiwinb.description.model import ImageDescription
from kiwinb.notebook import reprs
from kiwinb.results.artefacts import record_image
from kiwinb.results.deliver import StepFiles, deliver
from kiwinb.steps.step import Step

if TYPE_CHECKING:
    from kiwinb.build.appliance import Appliance
    from kiwinb.inspect.tree import Tree


@dataclass(frozen=True, repr=False)
class RootTree(Inspectable):
    """A root tree in the checkpoint store.

    Attributes:
        appliance: What it was made from.
        step: The step that left it.
    """

    appliance: Appliance
    step: Step

    def __repr__(self) -> str:
        return reprs.facts_text(self._title, reprs.root_facts(self))

    def _repr_html_(self) -> str:
        return reprs.facts_html(self._title, reprs.root_facts(self))

    @property
    def _title(self) -> str:
        return f"Root tree of {self.appliance.description.name}"

    def tree(self) -> Tree:
        """See :meth:`Inspectable.tree`."""
        from kiwinb.inspect.formats.checkpoint import CheckpointTree

        appliance = self.appliance
        name = f"{appliance.description.name} after {self.step.name}"
        return CheckpointTree(appliance.store, self.step.key, name)

    def _described(self) -> ImageDescription:
        return self.appliance.description

    def export(self, directory: str | os.PathLike[str], *, replace: bool = False) -> Path:
        """Write it to a directory, as KIWI NG's ``--root`` has it.

        The directory ``image`` in it says what :func:`open_root` needs to go on from there.

        Args:
            directory: Not there yet, or empty.
            replace: It may hold a root tree that was written before; that is removed first.

        Raises:
            StoreError: There is something else at that place.
        """
        path = Path(directory).absolute()
        appliance = self.appliance
        if replace and is_export(path):
            appliance.store.remove_exported(path)
        appliance.store.export_tree(self.step.key, path)
        write_export(
            path,
            appliance.description,
            appliance.effective(),
            ExportFacts(appliance.description.arch, appliance.epoch, appliance.overrides),
        )
        return path

    def create(self, target_dir: str | os.PathLike[str] = "out") -> Image:
        """Make the image from the tree, and deliver it with all result files.

        Args:
            target_dir: Directory of the result files; made when it is not there.

        Raises:
            KiwinbError: A step failed, or the results cannot be delivered.
        """
        appliance = self.appliance
        appliance.check(target_dir)
        results = appliance.plan.results
        found = appliance._run(sorted({result.step for result in results}))
        outputs = {
            name: StepFiles(item.key, appliance.store.files(item), item.files)
            for name, item in found.items()
            if item.output == "files"
        }
        result = deliver(appliance.description, results, outputs, Path(target_dir).absolute())
        image = Image(appliance.description, result)
        record_image(image.path)
        return image
