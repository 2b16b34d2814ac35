"""Configure the repositories of the image's own dnf or zypper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from kiwinb.packages.failures import check_printable
from kiwinb.packages.keys import content_of_key
from kiwinb.packages.manager import ResolvedRepository
from kiwinb.sandbox.tree_files import write_in

_KEYS = "/etc/pki/rpm-gpg"


def configure(
    root: Path,
    repositories: Sequence[ResolvedRepository],
    directory: str,
    log: Callable[[str], None],
) -> None:
    """Write ``ALIAS.repo`` for repositories to configure in the image, and their keys.

    User names and passwords are not written.

    Args:
        root: The root tree.
        repositories: All repositories of the description.
        directory: Directory of the ``.repo`` files.
        log: Called with a line for each repository.

    Raises:
        RepositoryError: A value would be read as another option.
    """
    for repository in repositories:
        if not repository.included_in_image or repository.image_url is None:
            continue
        keys = []
        for number, key in enumerate(repository.keys):
            name = f"RPM-GPG-KEY-{repository.alias}{f'-{number + 1}' if number else ''}"
            write_in(root, f"{_KEYS}/{name}", content_of_key(key, repository.alias), mode=0o644)
            keys.append(f"file://{_KEYS}/{name}")
        write_in(
            root,
            f"{directory}/{repository.alias}.repo",
            _text(repository, keys),
            mode=0o644,
        )
        how = "" if repository.checked else ", which does not check signatures (gpgcheck=0)"
        log(f"configured the repository {repository.alias} in the image{how}")


def _text(repository: ResolvedRepository, keys: Sequence[str]) -> str:
    checks_packages = repository.packages_checked
    if checks_packages is None:
        checks_packages = repository.checked
    options = {
        "name": repository.alias,
        repository.sourcetype or "baseurl": repository.image_url or "",
        "enabled": "1",
        "gpgcheck": str(int(checks_packages)),
        "repo_gpgcheck": str(int(repository.index_required)),
        "gpgkey": " ".join(keys),
        "priority": "" if repository.priority is None else str(repository.priority),
    }
    check_printable(repository.alias, {f"its {name}": value for name, value in options.items()})
    lines = [f"{name}={value}\n" for name, value in options.items() if value]
    return f"[{repository_id(repository.alias)}]\n" + "".join(lines)


def repository_id(alias: str) -> str:
    """Return the name of a repository in configuration files, which allow fewer characters."""
    name = "".join(letter if letter.isalnum() or letter in "-_.:" else "_" for letter in alias)
    return "repository-main" if name == "main" else name  # [main] is not a repository
