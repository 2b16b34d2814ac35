"""A root tree outside of the store, which ``prepare --root`` writes and ``create --root`` reads.

Its directory ``image`` holds the effective description, the scripts that create runs, and
``kiwinb.json`` with the other facts that create needs.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

from kiwinb.description.model import ImageDescription
from kiwinb.description.override import Overrides
from kiwinb.description.sources import SCRIPTS
from kiwinb.errors import ImageError
from kiwinb.results.record import UsedRepository
from kiwinb.sandbox.paths import resolve_in
from kiwinb.typed_json import WrongData, loads

EXPORT_FOLDER = "image"
_RECORD = "kiwinb.json"
_SECRET = ("set_repo_credentials", "add_repo_credentials")


@dataclass(frozen=True)
class ExportFacts:
    """Facts about a prepared tree that are not in its description.

    Attributes:
        arch: Target architecture.
        epoch: Time stamp for everything made from it, in seconds since 1970-01-01 UTC.
        overrides: The overrides, without credentials.
        repositories: Where the packages came from.
    """

    arch: str
    epoch: int
    overrides: Overrides = field(default_factory=Overrides)
    repositories: tuple[UsedRepository, ...] = ()


def write_export(
    root: Path, image: ImageDescription, description: str, prepared: ExportFacts
) -> None:
    """Write the directory ``image`` of a root tree.

    Args:
        root: The root tree.
        image: The effective description.
        description: The effective description as XML, without secrets.
        prepared: The other facts.
    """
    folder = root / EXPORT_FOLDER
    if folder.is_symlink():  # of the tree; what is written goes into the tree, not where it leads
        folder.unlink()
    folder.mkdir(exist_ok=True)
    config = folder / "config.xml"  # it has hashes of passwords
    config.unlink(missing_ok=True)
    config.touch(mode=0o600)
    config.write_text(description, encoding="utf-8")
    loader = image.type.bootloader
    named = (
        image.type.editbootconfig,
        image.type.editbootinstall,
        loader.grub_template if loader else None,
    )
    keys = (key for item in image.repositories for key in item.signing if "://" not in key)
    for name in (*SCRIPTS, *filter(None, named), *keys):
        source = image.directory / name
        if source.is_file() and ".." not in Path(name).parts and not Path(name).is_absolute():
            target = resolve_in(root, f"{EXPORT_FOLDER}/{name}", follow_last=False)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            shutil.copy(source, target)
    overrides = asdict(prepared.overrides.without_secrets())
    record = {
        "arch": prepared.arch,
        "epoch": prepared.epoch,
        "overrides": {name: value for name, value in overrides.items() if name not in _SECRET},
        "repositories": [asdict(item) for item in prepared.repositories],
    }
    (folder / _RECORD).unlink(missing_ok=True)
    (folder / _RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def read_export(root: Path) -> ExportFacts:
    """Read the other facts about a prepared root tree.

    Raises:
        ImageError: The directory is not a prepared root tree.
    """
    try:
        facts: ExportFacts = loads((root / EXPORT_FOLDER / _RECORD).read_bytes(), ExportFacts)
        return facts
    except (OSError, WrongData) as error:
        raise ImageError(
            f"{root} is no prepared root tree: {error}",
            remedy="Make one with `kiwinb system prepare --root`.",
        ) from None


def is_export(root: Path) -> bool:
    """Whether the directory is a prepared root tree."""
    return (root / EXPORT_FOLDER / _RECORD).is_file()
