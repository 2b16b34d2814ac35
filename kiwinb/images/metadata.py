"""The files beside an image that list its packages, their changes, and their verification."""

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
    """Format a line of the ``.packages`` file, as KIWI NG documents it.

    The line is ``name|epoch|version|release|arch|disturl|license``, with ``None`` for each value
    that the package manager does not know.

    Args:
        package: The package.
        split: Whether to split the version ``epoch:version-release`` into its three fields, as
            for RPM. Otherwise the whole version is in the version field, as for dpkg.
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
        manager: The package manager whose database is in the tree.
        name: Start of the file names.
    """

    output: ClassVar[Output] = "files"
    revision: ClassVar[int] = 2

    manager: Used
    name: str

    def run(self, context: StepContext) -> None:
        """Write the files to the output directory."""
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
    """Plan the step ``metadata``, which is the same for every image kind.

    Args:
        image: The effective description.
        tree: Name of the step whose result is the prepared root tree.
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
