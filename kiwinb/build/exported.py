"""A root tree outside of the store: what ``prepare --root`` leaves and ``create --root`` takes.

The directory ``image`` in it holds the effective description, the scripts that create runs, and
``kiwinb.json``: what else has to be known to go on.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from kiwinb.description.model import ImageDescription
from kiwinb.description.override import Overrides
from kiwinb.description.sources import SCRIPTS
from kiwinb.errors import ImageError, StoreError
from kiwinb.steps.keys import Digest
from kiwinb.steps.step import DraftStep, Output, Step, StepContext

EXPORT_FOLDER = "image"
_RECORD = "kiwinb.json"
_SECRET = ("set_repo_credentials", "add_repo_credentials")


@dataclass(frozen=True)
class ExportFacts:
    """What the description does not say of a prepared tree.

    Attributes:
        arch: Target architecture.
        epoch: Time of what is made from it, in seconds since 1970-01-01 UTC.
        overrides: What the command line said over the description, without credentials.
    """

    arch: str
    epoch: int
    overrides: Overrides = field(default_factory=Overrides)


@dataclass(frozen=True)
class Imported:
    """The tree was taken from a directory; there is no way to make it but that."""

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    key: Digest

    def run(self, context: StepContext) -> None:
        """Say that it is gone.

        Raises:
            StoreError: Always.
        """
        raise StoreError("the imported root tree is not in the store", remedy="Run again.")


@dataclass(frozen=True)
class LeaveOutDescription:
    """Remove the directory ``image``, which is no part of the image."""

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    def run(self, context: StepContext) -> None:
        """Remove it."""
        shutil.rmtree(context.root / EXPORT_FOLDER)


def write_export(
    root: Path, image: ImageDescription, description: str, prepared: ExportFacts
) -> None:
    """Write the directory ``image`` of a root tree.

    Args:
        root: The root tree.
        image: The effective description.
        description: The same as XML.
        prepared: What else has to be known.
    """
    folder = root / EXPORT_FOLDER
    folder.mkdir(exist_ok=True)
    (folder / "config.xml").write_text(description, encoding="utf-8")
    loader = image.type.bootloader
    named = (
        image.type.editbootconfig,
        image.type.editbootinstall,
        loader.grub_template if loader else None,
    )
    keys = (key for item in image.repositories for key in item.signing if "://" not in key)
    for name in (*SCRIPTS, *filter(None, named), *keys):
        source = image.directory / name
        if source.is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / name)
    overrides = {k: v for k, v in asdict(prepared.overrides).items() if k not in _SECRET}
    record = {"arch": prepared.arch, "epoch": prepared.epoch, "overrides": overrides}
    (folder / _RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def read_export(root: Path) -> ExportFacts:
    """Read it back.

    Raises:
        ImageError: The directory is no prepared root tree.
    """
    try:
        record = json.loads((root / EXPORT_FOLDER / _RECORD).read_text(encoding="utf-8"))
        overrides: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in record["overrides"].items()
        }
        return ExportFacts(record["arch"], record["epoch"], Overrides(**overrides))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ImageError(
            f"{root} is no prepared root tree: {error}",
            remedy="Make one with `kiwinb system prepare --root`.",
        ) from None


def is_export(root: Path) -> bool:
    """Whether the directory is a prepared root tree."""
    return (root / EXPORT_FOLDER / _RECORD).is_file()


def imported(key: Digest) -> Step:
    """The step that stands for a tree which the store took from a directory."""
    return Step("import", "Take the root tree", Imported(key), None, (), {"tree": key}, key)


def leave_out_description(taken: Step) -> DraftStep:
    """The step that follows :func:`imported`."""
    return DraftStep("tree", "Leave out the description", LeaveOutDescription(), base=taken.name)
