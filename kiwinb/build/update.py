"""Change the packages of an exported root tree."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kiwinb.build.imported import imported
from kiwinb.build.session import open_session
from kiwinb.checkpoints.runner import run_steps
from kiwinb.checkpoints.store import Store
from kiwinb.checks.trust import risks
from kiwinb.errors import RepositoryError
from kiwinb.packages import MANAGERS
from kiwinb.packages.manager import PackageRequest
from kiwinb.packages.mirrors import resolve_for
from kiwinb.paths import normalised
from kiwinb.prepare.packages import (
    DeletePackages,
    InstallPackages,
    UpgradePackages,
)
from kiwinb.results.exported import EXPORT_FOLDER, read_export
from kiwinb.settings import Settings, load_settings
from kiwinb.steps.keys import Digest
from kiwinb.steps.progress import Observer, ignore
from kiwinb.steps.recorded import recorded
from kiwinb.steps.registry import Used
from kiwinb.steps.step import DraftStep, seal


@dataclass(frozen=True)
class Change:
    """Changes to the packages of a root tree.

    Attributes:
        add: Packages to install.
        delete: Packages to remove, including those that depend on them.
    """

    add: tuple[str, ...] = ()
    delete: tuple[str, ...] = ()


def update_root(
    directory: str | os.PathLike[str],
    *,
    add: Sequence[str] = (),
    delete: Sequence[str] = (),
    settings: Settings | None = None,
    observer: Observer = ignore,
) -> Path:
    """Install and remove packages in a root tree, or upgrade all its packages.

    The packages come from the repositories in the description of the tree; their metadata is read
    again. The directory is replaced at the end, or stays unchanged if anything fails.

    Args:
        directory: A root tree that :meth:`kiwinb.build.root_tree.RootTree.export` wrote.
        add: Packages to install.
        delete: Packages to remove. Without packages to add or remove, all packages are upgraded.
        settings: Settings of this host; by default those of the user.
        observer: Gets the events of each step.

    Returns:
        The directory.

    Raises:
        ImageError: The directory is not a prepared root tree.
        KiwinbError: A step failed.
    """
    root = normalised(directory).absolute()
    prepared = read_export(root)
    settings = settings or load_settings()
    session = open_session(
        root / EXPORT_FOLDER, arch=prepared.arch, overrides=prepared.overrides, settings=settings
    )
    image = session.description
    manager = MANAGERS.use(image.preferences.packagemanager)
    repositories = tuple(
        resolve_for(image, item, settings, root / EXPORT_FOLDER) for item in image.repositories
    )
    if not any(item.used_for_build for item in repositories):
        raise RepositoryError("the description of the root tree has no repository to update from")
    for warning in risks(image):
        session.warn(warning)
    state = MANAGERS.get_used(manager).refresh(repositories, image.arch, session.host, force=True)
    request = PackageRequest(image.arch, repositories, state)
    store = session.store
    taken = imported(store.import_tree(root))
    drafts = _drafts(manager, request, Change(tuple(add), tuple(delete)))
    steps = (taken, *seal(tuple(drafts), before=(taken,)))
    parallel = session.settings.parallel_steps
    with recorded(image.name, observer) as watching:
        run_steps(store, steps, session.host, watching, targets=[steps[-1].name], parallel=parallel)
    _replace(store, steps[-1].key, root)
    return root


def _replace(store: Store, key: Digest, root: Path) -> None:
    """Replace a directory with a tree of the store, or leave it unchanged on failure."""
    aside = f".{root.name}.{secrets.token_hex(4)}"
    fresh, old = root.with_name(f"{aside}.new"), root.with_name(f"{aside}.old")
    try:
        store.export_tree(key, fresh)
        root.rename(old)
        try:
            fresh.rename(root)
        except BaseException:
            old.rename(root)
            raise
    finally:
        for left in (fresh, old):
            if left.exists():
                store.remove_exported(left)


def _drafts(manager: Used, request: PackageRequest, change: Change) -> Iterator[DraftStep]:
    """The steps, each of which continues the tree of the previous one."""
    base = "import"
    if change.add:
        action = InstallPackages(manager, replace(request, packages=change.add))
        yield DraftStep("add", "Install packages", action, base=base)
        base = "add"
    if change.delete:
        remove = DeletePackages(manager, change.delete, force=False)
        yield DraftStep("delete", "Remove packages", remove, base=base)
    if not (change.add or change.delete):
        upgrade = UpgradePackages(manager, request)
        yield DraftStep("upgrade", "Bring all packages up to date", upgrade, base=base)
