"""Facts about distributions, one frozen record for each, all registered here.

The root tree, or the description before there is a tree, identifies the distribution. kiwinb never
treats an unknown distribution as a known one.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kiwinb.distributions.alpine import ALPINE
from kiwinb.distributions.arch import ARCH
from kiwinb.distributions.debian import DEBIAN, UBUNTU
from kiwinb.distributions.distribution import Distribution, Packages
from kiwinb.distributions.redhat import REDHAT
from kiwinb.distributions.suse import SUSE
from kiwinb.errors import ImageError
from kiwinb.sandbox.paths import resolve_in
from kiwinb.sandbox.tree_files import read_text_in
from kiwinb.steps.registry import Registry, Used
from kiwinb.visible import visible

DISTRIBUTIONS: Registry[Distribution] = Registry(
    "distribution", (DEBIAN, UBUNTU, REDHAT, SUSE, ARCH, ALPINE), error=ImageError
)
"""All known distributions, by name."""

_RELEASE_FILES = ("/etc/os-release", "/usr/lib/os-release")


def named(name: str) -> Distribution:
    """Find the distribution that a description names, by its name or an alias.

    Raises:
        ImageError: There is no distribution of that name.
    """
    for distribution in DISTRIBUTIONS.values():
        if name in distribution.aliases:
            return distribution
    return DISTRIBUTIONS.find(name)


def release_text(root: Path) -> str:
    """Read os-release(5) of a root tree; empty if the tree does not have it."""
    for name in _RELEASE_FILES:
        if resolve_in(root, name).is_file():
            return read_text_in(root, name, errors="replace")
    return ""


def release(root: Path) -> Mapping[str, str]:
    """Return the variables in os-release(5) of a root tree."""
    return _assignments(release_text(root))


def release_id(root: Path, distribution: Distribution) -> str:
    """Return the ``ID`` in os-release(5) of a root tree, which names files of bootloaders.

    Args:
        root: The root tree.
        distribution: Its distribution, whose name counts if the tree does not have an ``ID``.

    Raises:
        ImageError: It is none that os-release(5) allows.
    """
    said = release(root).get("ID", distribution.name)
    if not re.fullmatch(r"[a-z0-9_-][a-z0-9._-]*", said):
        raise ImageError(
            f"the ID in os-release of the root tree is not valid: {visible(said)}",
            remedy="It has lower-case letters, digits, dots, dashes and underscores only.",
        )
    return said


def find_in_tree(root: Path, among: Sequence[Used] = ()) -> Distribution:
    """Find the distribution of a root tree.

    Args:
        root: The root tree.
        among: The distributions to choose from, as :func:`used_with` returns them; all if empty.

    Raises:
        ImageError: The tree does not say its distribution, kiwinb does not know it, or it is none
            of those to choose from.
    """
    candidates = [DISTRIBUTIONS.get_used(used) for used in among] or [*DISTRIBUTIONS.values()]
    said = release(root)
    names = (said.get("ID", ""), *said.get("ID_LIKE", "").split())
    if found := _of_any_id(names, candidates):
        return found
    if other := _of_any_id(names, [*DISTRIBUTIONS.values()]):
        raise ImageError(
            f"the root tree is of the distribution {other.name}, "
            "which the package manager of the description does not install",
            remedy=f"Set <packagemanager> to one of: {', '.join(other.managers)}.",
        )
    file = _RELEASE_FILES[0]
    raise ImageError(
        f"the root tree has a distribution that kiwinb does not know: {names[0]} (in {file})"
        if names[0]
        else f"the root tree does not say which distribution it is: {file} has no ID",
        remedy="Set its ID or ID_LIKE to one of: "
        + ", ".join(id for item in DISTRIBUTIONS.values() for id in item.ids)
        + ".",
    )


def _of_any_id(names: Sequence[str], candidates: Sequence[Distribution]) -> Distribution | None:
    """Return the distribution with the first name that is an ID of any of the candidates."""
    return next((item for name in names for item in candidates if name in item.ids), None)


def package_remedy(root: Path, name: Callable[[Packages], str]) -> str:
    """Return a remedy that names the package to add to a tree.

    Args:
        root: The root tree.
        name: Function that picks the package name from a distribution's packages.
    """
    try:
        return f"Add the package {name(find_in_tree(root).packages)}."
    except ImageError:
        return "Add the package that contains it."


def used_with(manager: str | None) -> tuple[Used, ...]:
    """Return references to the distributions that a tree may be of, for the steps that ask it.

    Args:
        manager: The package manager that fills the tree.

    Returns:
        The distributions that the package manager installs; all, if no distribution names it.
    """
    names = DISTRIBUTIONS.where(lambda item: manager in item.managers)
    return tuple(DISTRIBUTIONS.use(name) for name in names or DISTRIBUTIONS)


def of_mirror(alias: str) -> Distribution | None:
    """Return the distribution on a mirror with this alias; ``None`` if it is not known."""
    return next((item for item in DISTRIBUTIONS.values() if alias in item.mirrors), None)


def _assignments(text: str) -> dict[str, str]:
    found = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            try:
                found[name.strip()] = "".join(shlex.split(value))
            except ValueError:
                continue
    return found
