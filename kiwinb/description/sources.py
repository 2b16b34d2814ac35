"""The files of a description directory that a build reads, with their digests."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kiwinb.checkpoints.private import make_private_cache
from kiwinb.description.fingerprint import FingerprintCache, fingerprint
from kiwinb.description.inside import checked_file, checked_name
from kiwinb.description.model import ImageDescription
from kiwinb.errors import DescriptionError, Location
from kiwinb.steps.keys import Source

EDIT_CONFIG = "edit_boot_config.sh"
"""Name of the script that ``editbootconfig`` refers to, whatever its file is called."""

EDIT_INSTALL = "edit_boot_install.sh"
"""Name of the script that ``editbootinstall`` refers to, whatever its file is called."""

SCRIPTS = (
    "post_bootstrap.sh",
    "config.sh",
    "config-overlay.sh",
    "config-host-overlay.sh",
    "images.sh",
    "pre_disk_sync.sh",
    "disk.sh",
    EDIT_CONFIG,
    EDIT_INSTALL,
)
"""Names of the scripts that a description may have."""

_ARCHIVES = tuple(f"root.tar{ending}" for ending in ("", ".gz", ".xz", ".zst", ".bz2"))


@dataclass(frozen=True)
class Sources:
    """The files that a description directory gives to a build.

    Attributes:
        overlays: Directories and archives to lay over the tree, in this order: ``root/``, or
            ``root.tar.*`` if there is no such directory, then a directory for each selected
            profile, in the order of the profiles.
        scripts: The existing scripts by name, including those that the type's attributes name.
        files: The archives, files and certificates that the description names, by that name.
    """

    overlays: tuple[Source, ...] = ()
    scripts: Mapping[str, Source] = field(default_factory=dict)
    files: Mapping[str, Source] = field(default_factory=dict)


def read_sources(image: ImageDescription, cache_dir: Path) -> Sources:
    """Find and digest the files of a description.

    Args:
        image: The effective description.
        cache_dir: Directory for the cache of digests.

    Raises:
        DescriptionError: A file that the description names does not exist, cannot be read, or is
            not part of the description.
    """
    directory = image.directory
    make_private_cache(cache_dir)
    with FingerprintCache(cache_dir / "fingerprints.sqlite") as cache:

        def source(path: Path) -> Source:
            resolved = checked_file(path, directory, may_be_directory=True).absolute()
            return Source(fingerprint(resolved, cache, owners=path.name in _ARCHIVES), resolved)

        common = ("root",) if os.path.lexists(directory / "root") else _ARCHIVES
        overlays = [directory / name for name in (*common, *image.profiles)]
        return Sources(
            overlays=tuple(source(path) for path in overlays if os.path.lexists(path)),
            scripts=_scripts(image, cache),
            files={name: source(_named(image, name)) for name in _names(image)},
        )


def read_scripts(image: ImageDescription, cache_dir: Path) -> dict[str, Source]:
    """The scripts of a description, by name; arguments and errors as for :func:`read_sources`."""
    make_private_cache(cache_dir)
    with FingerprintCache(cache_dir / "fingerprints.sqlite") as cache:
        return _scripts(image, cache)


def _scripts(image: ImageDescription, cache: FingerprintCache) -> dict[str, Source]:
    paths = {name: image.directory / name for name in SCRIPTS}
    found = {name: path for name, path in paths.items() if os.path.lexists(path)}
    for name, said in (
        (EDIT_CONFIG, image.type.editbootconfig),
        (EDIT_INSTALL, image.type.editbootinstall),
    ):
        found.pop(name, None)
        if said is not None:
            found[name] = _named(image, said)
    checked = {name: checked_file(path, image.directory) for name, path in found.items()}
    return {
        name: Source(fingerprint(path.absolute(), cache), path.absolute())
        for name, path in checked.items()
    }


def _names(image: ImageDescription) -> Iterable[str]:
    for packages in (image.packages.bootstrap, image.packages.image):
        yield from (archive.name for archive in packages.archives)
        yield from (file.name for file in packages.files)
    for certificates in image.certificates:
        yield from certificates.names


def _named(image: ImageDescription, name: str) -> Path:
    path = image.directory / checked_name(name, image.file)
    if not os.path.lexists(path):
        raise DescriptionError(
            f"the description names the file {name}, which is not there",
            remedy=f"Put it into {image.directory}, or remove it from the description.",
            location=Location(image.file),
        )
    return path
