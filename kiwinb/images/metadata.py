"""The files beside an image: what packages are in it, their changes, and their verification."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from kiwinb.description.model import ImageDescription
from kiwinb.images.kind import ImagePlan, ResultFile
from kiwinb.packages import MANAGERS
from kiwinb.packages.databases.database import Package
from kiwinb.steps.registry import Used
from kiwinb.steps.step import DraftStep, Output, StepContext

METADATA = "metadata"
"""Name of the step."""


def package_line(package: Package, *, split: bool) -> str:
    """A line of the ``.packages`` file, as KIWI NG documents it.

    It is ``name|epoch|version|release|arch|disturl|license``, with ``None`` for what the
    package manager does not know.

    Args:
        package: The package.
        split: The version is ``epoch:version-release``, in fields of their own (RPM). Otherwise
            it is one field (dpkg).
    """
    epoch, version, release = "", package.version, ""
    if split:
        head, colon, rest = version.rpartition(":")
        epoch = head if colon else ""
        version, _, release = rest.partition("-")
    fields = (package.name, epoch, version, release, package.arch, "", package.license)
    return "|".join(field or "None" for field in fields)


@dataclass(frozen=True)
class WriteMetadata:
    """Write the ``.packages``, ``.changes`` and ``.verified`` files of a tree.

    Attributes:
        manager: The package manager whose database the tree has.
        name: What the file names start with.
    """

    output: ClassVar[Output] = "files"
    revision: ClassVar[int] = 1

    manager: Used
    name: str

    def run(self, context: StepContext) -> None:
        """Write them to the output directory."""
        manager = MANAGERS.get_used(self.manager)
        split = manager.splits_versions
        lines = sorted(
            package_line(package, split=split) for package in manager.installed(context.root)
        )
        texts = {
            "packages": "".join(f"{line}\n" for line in lines),
            "changes": manager.changes(context.root),
            "verified": manager.verify(context),
        }
        for suffix, text in texts.items():
            path = context.output() / f"{self.name}.{suffix}"
            path.write_text(text, encoding="utf-8", errors="surrogateescape")


def plan_metadata(image: ImageDescription, tree: str) -> ImagePlan:
    """Plan the step ``metadata``, which every image kind shares.

    Args:
        image: The effective description.
        tree: Name of the step that leaves the prepared root tree.
    """
    name = image.result_name
    action = WriteMetadata(MANAGERS.use(image.preferences.packagemanager), name)
    return ImagePlan(
        (DraftStep(METADATA, "List and verify the packages", action, base=tree),),
        (
            ResultFile("image_packages", METADATA, f"{name}.packages", shasum=False),
            ResultFile("image_changes", METADATA, f"{name}.changes", compress=True, shasum=False),
            ResultFile("image_verified", METADATA, f"{name}.verified", shasum=False),
        ),
    )
