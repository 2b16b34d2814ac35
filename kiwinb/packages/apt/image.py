"""Configure the image's own apt."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kiwinb.packages.apt.sources import stanza
from kiwinb.packages.keys import content_of_key, key_suffix
from kiwinb.packages.manager import ResolvedRepository
from kiwinb.sandbox.paths import resolve_in
from kiwinb.sandbox.tree_files import read_in, write_in
from kiwinb.steps.keys import Digest

_KEYRINGS = "/etc/apt/keyrings"
_BROUGHT = "/usr/share/keyrings"


def configure(
    root: Path, repositories: Sequence[ResolvedRepository], log: Callable[[str], None]
) -> None:
    """Write ``/etc/apt/sources.list.d/ALIAS.sources`` for repositories to configure in the image.

    If a package of the image contains a key, the source refers to that file, so that the key is
    updated with the package. Other keys are written to ``/etc/apt/keyrings``. User names and
    passwords are not written.
    """
    brought = _keyrings_of_packages(root)
    for repository in repositories:
        if not repository.included_in_image or repository.image_url is None:
            continue
        keyrings = []
        for number, key in enumerate(repository.keys if repository.checked else ()):
            if key.digest in brought:
                keyrings.append(brought[key.digest])
                continue
            data = content_of_key(key, repository.alias)
            name = f"{repository.alias}{f'-{number + 1}' if number else ''}.{key_suffix(data)}"
            keyrings.append(Path(_KEYRINGS, name))
            write_in(root, f"{_KEYRINGS}/{name}", data, mode=0o644)
        text = stanza(repository, [repository.image_url], keyrings)
        place = f"/etc/apt/sources.list.d/{repository.alias}.sources"
        write_in(root, place, text, mode=0o644)
        how = "" if repository.checked else ", which does not check its signature (Trusted: yes)"
        log(f"configured the repository {repository.alias} in the image{how}")


def _keyrings_of_packages(root: Path) -> Mapping[Digest, Path]:
    directory = resolve_in(root, _BROUGHT)
    files = sorted(directory.iterdir(), reverse=True) if directory.is_dir() else []
    return {
        hashlib.sha256(read_in(root, f"{_BROUGHT}/{file.name}")).hexdigest(): Path(
            _BROUGHT, file.name
        )
        for file in files
        if file.is_file() and not file.is_symlink()
    }
