"""Lay files of the description over the root tree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import ClassVar

from kiwinb.description.model import Archive, OverlayFile
from kiwinb.errors import DescriptionError, Location
from kiwinb.prepare.lay_over import lay_archive, lay_directory
from kiwinb.sandbox.chroot import Chroot
from kiwinb.sandbox.paths import resolve_in
from kiwinb.steps.keys import Source
from kiwinb.steps.step import Output, StepContext


@dataclass(frozen=True)
class ImportOverlay:
    """Lay overlay directories and archives over the tree.

    What comes from a directory belongs to root; an archive keeps its owners.

    Attributes:
        overlays: In the order in which they are laid over.
    """

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    overlays: tuple[Source, ...]

    def run(self, context: StepContext) -> None:
        """Lay them over."""
        for overlay in self.overlays:
            context.log(f"laying {overlay.path.name} over the tree")
            if overlay.path.is_dir():
                lay_directory(context.root, overlay.path)
            else:
                lay_archive(context.root, overlay.path)


@dataclass(frozen=True)
class UnpackArchives:
    """Unpack the archives that ``<archive>`` elements name.

    Attributes:
        archives: Each with its source.
    """

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    archives: tuple[tuple[Archive, Source], ...]

    def run(self, context: StepContext) -> None:
        """Unpack them."""
        for archive, source in self.archives:
            context.log(f"unpacking {archive.name}")
            lay_archive(context.root, source.path, archive.target_dir or "/")


@dataclass(frozen=True)
class PlaceFiles:
    """Place the single files that ``<file>`` elements name.

    Attributes:
        files: Each with its source.
    """

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    files: tuple[tuple[OverlayFile, Source], ...]

    def run(self, context: StepContext) -> None:
        """Place them, and give them owner and permissions as said."""
        with Chroot(context.root, log=context.log) as chroot:
            for file, source in self.files:
                target = PurePosixPath("/", file.target or file.name)
                parent = resolve_in(context.root, str(target.parent))
                parent.mkdir(parents=True, exist_ok=True)
                path = parent / target.name
                if path.is_dir() and not path.is_symlink():
                    raise DescriptionError(
                        f"{target} cannot be placed: the tree has a directory there",
                        remedy="Name the file itself as its target.",
                        location=Location(source.path),
                    )
                path.unlink(missing_ok=True)
                path.write_bytes(source.path.read_bytes())
                path.chmod(source.path.stat().st_mode & 0o7777)
                inside = "/" + str(path.relative_to(context.root))
                if file.owner:
                    chroot.run(["chown", "--", file.owner, inside])
                if file.permissions:
                    chroot.run(["chmod", "--", file.permissions, inside])
