"""The record of the files that a build delivered: ``kiwi.result.json`` in the target directory.

As in KIWI NG, each result has an entry under its tag, with ``filename`` (the absolute path),
``use_for_bundle``, ``compress`` and ``shasum``; ``bundle_format`` has the name pattern for bundles,
if there is one. The entry ``kiwinb`` holds the other data that kiwinb needs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kiwinb.description.model import ImageDescription
from kiwinb.errors import ImageError
from kiwinb.html import block, code, escape, table
from kiwinb.paths import normalised
from kiwinb.sizes import binary
from kiwinb.typed_json import from_json
from kiwinb.visible import visible

RECORD = "kiwi.result.json"
_OURS = "kiwinb"
_BUNDLE_FORMAT = "bundle_format"
_FORMAT = 1


@dataclass(frozen=True)
class ImageFacts:
    """The identity of an image.

    Attributes:
        name: Name of the image.
        version: Version of the image.
        arch: As ``uname -m`` prints it.
        type: The ``image`` attribute of the ``<type>``.
        profiles: The selected profiles.
        bundle_format: The name pattern for bundled files, from the ``<type>``.
    """

    name: str
    version: str
    arch: str
    type: str
    profiles: tuple[str, ...] = ()
    bundle_format: str | None = None

    @classmethod
    def of(cls, image: ImageDescription) -> ImageFacts:
        """The identity of the image of a description."""
        return cls(
            image.name,
            image.version,
            image.arch,
            image.type.image,
            image.profiles,
            image.type.bundle_format,
        )

    @property
    def result_name(self) -> str:
        """The prefix of result file names."""
        return f"{self.name}.{self.arch}-{self.version}"

    def name_tags(self, bundle_id: str = "") -> dict[str, str]:
        """What the placeholders of a name pattern stand for, by their letter."""
        major, minor, patch = [*self.version.split(".", 2), "", ""][:3]
        return {
            "N": self.name,
            "P": "_".join(self.profiles),
            "A": self.arch,
            "I": bundle_id,
            "T": self.type,
            "M": major,
            "m": minor,
            "p": patch,
            "v": self.version,
        }


@dataclass(frozen=True)
class DeliveredFile:
    """A file in the target directory.

    Attributes:
        tag: KIWI NG's name for it: ``disk_image``, ``image_packages`` …
        filename: Its name.
        use_for_bundle: A bundle includes it.
        compress: A bundle compresses it.
        shasum: It has a checksum file.
        key: Key of the step that made it.
        size: In bytes.
        sha256: Of its content.
        mtime_ns: Its modification time when it was delivered, in nanoseconds since 1970-01-01 UTC.
        inode: Its inode number when it was delivered.
    """

    tag: str
    filename: str
    use_for_bundle: bool
    compress: bool
    shasum: bool
    key: str
    size: int
    sha256: str
    mtime_ns: int
    inode: int


@dataclass(frozen=True)
class UsedRepository:
    """A repository that packages of an image came from, or that the image uses itself.

    Attributes:
        alias: Its name.
        path: The source path in the description, without user name and password.
        index: SHA-256 of its index; ``None`` if only the image uses it.
        checked: Whether its signature was checked.
        outdated_allowed: Whether its index was allowed to be outdated.
        included_in_image: Whether the image uses it; if it is not ``checked``, without a check.
    """

    alias: str
    path: str
    index: str | None
    checked: bool
    outdated_allowed: bool = False
    included_in_image: bool = False


@dataclass(frozen=True, repr=False)
class BuildResult:
    """The files that a build delivered to a target directory.

    Attributes:
        directory: The target directory.
        image: The identity of the image.
        files: The delivered files.
        repositories: Where the packages came from.
    """

    directory: Path
    image: ImageFacts
    files: tuple[DeliveredFile, ...]
    repositories: tuple[UsedRepository, ...] = ()

    def __repr__(self) -> str:
        lines = [f"  {binary(file.size):>10}  {file.filename}" for file in self.files]
        if self.unchecked:
            lines.append(f"  signatures not checked: {self.unchecked}")
        return "\n".join(map(visible, (str(self.directory), *lines)))

    @property
    def unchecked(self) -> str:
        """Names of the repositories whose signatures were not checked, with commas between them."""
        return ", ".join(item.alias for item in self.repositories if not item.checked)

    def _repr_html_(self) -> str:
        return block(f"<h4>{escape(str(self.directory))}</h4>{files_table(self)}")

    def path(self, tag: str) -> Path:
        """Path of the file with a tag.

        Raises:
            ImageError: There is no such file.
        """
        for file in self.files:
            if file.tag == tag:
                return self.directory / file.filename
        raise ImageError(
            f"the build has no result {tag}",
            remedy=f"It has: {', '.join(file.tag for file in self.files)}.",
        )

    def paths(self) -> Mapping[str, Path]:
        """Path of each file by tag."""
        return {file.tag: self.directory / file.filename for file in self.files}


def files_table(result: BuildResult) -> str:
    """The files of a build as an HTML table."""
    rows = [
        (file.tag, file.filename, binary(file.size), code(file.sha256[:16]))
        for file in result.files
    ]
    return table(("Result", "File", "Size", "SHA-256"), rows, (2,))


_SHARED = ("compress", "filename", "shasum", "use_for_bundle")
_OWN = ("key", "size", "sha256", "mtime_ns", "inode")


def to_text(result: BuildResult) -> str:
    """The text of the record."""
    files = {file.tag: asdict(file) for file in result.files}
    directory = normalised(result.directory.absolute())
    data: dict[str, Any] = {
        tag: {name: file[name] for name in _SHARED}
        | {"filename": str(directory / file["filename"])}
        for tag, file in files.items()
    }
    if result.image.bundle_format:
        data[_BUNDLE_FORMAT] = {
            "pattern": result.image.bundle_format,
            "tags": result.image.name_tags(),
        }
    data[_OURS] = {
        "format": _FORMAT,
        "image": asdict(result.image),
        "files": {tag: {name: file[name] for name in _OWN} for tag, file in files.items()},
        "repositories": [asdict(item) for item in result.repositories],
    }
    return json.dumps(data, indent=4) + "\n"


def list_results(target_dir: Path) -> BuildResult:
    """Read the record of the last build in a target directory, which may have moved since.

    Raises:
        ImageError: There is no record of a build, or it is damaged.
    """
    target_dir = normalised(target_dir)
    record = target_dir / RECORD
    try:
        data = json.loads(record.read_bytes())
        ours = data.pop(_OURS)
        if ours["format"] != _FORMAT:
            raise ImageError(
                f"{record} is of another version of kiwinb", remedy="Build the image again."
            )
        facts: ImageFacts = from_json(ours["image"], ImageFacts)
        repositories: tuple[UsedRepository, ...] = from_json(
            ours.get("repositories", []), tuple[UsedRepository, ...]
        )
        data.pop(_BUNDLE_FORMAT, None)
        files = tuple(
            from_json(
                {
                    "tag": tag,
                    **{**entry, "filename": os.path.basename(entry["filename"])},  # noqa: PTH119
                    **ours["files"][tag],
                },
                DeliveredFile,
            )
            for tag, entry in data.items()
        )
    except FileNotFoundError as error:
        raise ImageError(
            f"there are no build results in {target_dir}: it has no {RECORD}",
            remedy="Name the target directory of a build.",
        ) from error
    except OSError as error:
        raise ImageError(f"{record} cannot be read: {error.strerror}") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ImageError(
            f"{record} is damaged: {error}", remedy="Build the image again."
        ) from error
    for file in files:
        if file.filename in ("", ".", ".."):
            raise ImageError(f"{record} is damaged: {file.filename!r} is not a file name")
    return BuildResult(target_dir, facts, files, repositories)
