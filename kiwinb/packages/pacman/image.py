"""Configure the repositories of the image's own pacman."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from kiwinb.packages.failures import check_printable
from kiwinb.packages.keys import content_of_key, key_suffix
from kiwinb.packages.manager import ResolvedRepository
from kiwinb.packages.pacman.metadata import repository_name
from kiwinb.sandbox.tree_files import read_text_in, write_in

_FILE = "/etc/pacman.conf"
_KEYS = "/etc/pacman.d/keys"


def configure(
    root: Path, repositories: Sequence[ResolvedRepository], log: Callable[[str], None]
) -> None:
    """Append a section to ``pacman.conf`` for each repository to configure, and write their keys.

    A section of the same name is there already if a package brings it; then it stays alone. User
    names and passwords are not written. The keys are for ``pacman-key --add``.

    Args:
        root: The root tree.
        repositories: All repositories of the description.
        log: Called with a line for each repository.

    Raises:
        RepositoryError: A value would be read as another option.
    """
    for repository in repositories:
        if not repository.included_in_image or repository.image_url is None:
            continue
        check_printable(repository.alias, {"its URL": repository.image_url})
        name = repository_name(repository)
        for number, key in enumerate(repository.keys):
            content = content_of_key(key, repository.alias)
            file = f"{name}{f'-{number + 1}' if number else ''}.{key_suffix(content)}"
            write_in(root, f"{_KEYS}/{file}", content, mode=0o644)
        text = read_text_in(root, _FILE)
        if f"[{name}]" in text.splitlines():
            log(f"the image has the repository {name} in {_FILE} already")
            continue
        gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
        section = f"[{name}]\nSigLevel = {_level(repository)}\nServer = {repository.image_url}\n"
        write_in(root, _FILE, f"{text}{gap}{section}", mode=0o644)
        log(f"configured the repository {repository.alias} in the image")


def _level(repository: ResolvedRepository) -> str:
    if not repository.checked and not repository.packages_checked:
        return "Never"
    packages = "PackageNever" if repository.packages_checked is False else "PackageRequired"
    database = "DatabaseRequired" if repository.index_required else "DatabaseOptional"
    return f"{packages} {database}"
