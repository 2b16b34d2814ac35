"""Copy files of the description into the root tree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import ClassVar

from kiwinb.description.model import Archive, OverlayFile
from kiwinb.errors import DescriptionError, Location
from kiwinb.prepare.lay_over import lay_archive, lay_directory
from kiwinb.sandbox.chroot import Chroot
from kiwinb.sandbox.holes import copy_file
from kiwinb.sandbox.paths import resolve_in
from kiwinb.steps.keys import Source
from kiwinb.steps.step import Output, StepContext


@dataclass(frozen=True)
class ImportOverlay:
    """Copy overlay directories and archives into the tree.

    Files from directories belong to root; files from archives keep their owners. Directories that
    the tree has already keep owner and permissions; see :mod:`kiwinb.prepare.lay_over`.

    Attributes:
        overlays: The overlays, in the order in which they are copied.
    """

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 4

    overlays: tuple[Source, ...]

    def run(self, context: StepContext) -> None:
        """Copy the overlays.

        Raises:
            DescriptionError: A file cannot be placed, or an archive cannot be unpacked.
        """
        for overlay in self.overlays:
            context.log(f"copying {overlay.path.name} into the tree")
            if overlay.path.is_dir():
                lay_directory(context.root, overlay.path)
            else:
                lay_archive(context.root, overlay.path)


@dataclass(frozen=True)
class UnpackArchives:
    """Unpack the archives that ``<archive>`` elements name.

    Attributes:
        archives: The archives, each with its source.
    """

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 4

    archives: tuple[tuple[Archive, Source], ...]

    def run(self, context: StepContext) -> None:
        """Unpack the archives.

        Raises:
            DescriptionError: An archive cannot be unpacked.
        """
        for archive, source in self.archives:
            context.log(f"unpacking {archive.name}")
            lay_archive(context.root, source.path, archive.target_dir or "/")


@dataclass(frozen=True)
class PlaceFiles:
    """Place the files that ``<file>`` elements name.

    Attributes:
        files: The files, each with its source.
    """

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 2

    files: tuple[tuple[OverlayFile, Source], ...]

    def run(self, context: StepContext) -> None:
        """Place the files, and set their owners and permissions.

        Raises:
            DescriptionError: The target of a file is a directory of the tree.
            CommandError: ``chown`` or ``chmod`` failed.
        """
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
                copy_file(source.path, path)
                path.chmod(source.path.stat().st_mode & 0o7777)
                inside = "/" + str(path.relative_to(context.root))
                if file.owner:
                    chroot.run(["chown", "--", file.owner, inside])
                if file.permissions:
                    chroot.run(["chmod", "--", file.permissions, inside])
