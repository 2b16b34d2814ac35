"""Distributions: what is true of each, as one frozen record; registered here.

A distribution is found from the root tree, and from the description before there is one. Nothing
takes a tree that it does not know for one that it does.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

from kiwinb.distributions.alpine import ALPINE
from kiwinb.distributions.arch import ARCH
from kiwinb.distributions.debian import DEBIAN, UBUNTU
from kiwinb.distributions.distribution import Distribution, Packages
from kiwinb.distributions.redhat import REDHAT
from kiwinb.distributions.suse import SUSE
from kiwinb.errors import ImageError
from kiwinb.sandbox.paths import resolve_in
from kiwinb.steps.registry import Registry

DISTRIBUTIONS: Registry[Distribution] = Registry(
    "distribution", (DEBIAN, UBUNTU, REDHAT, SUSE, ARCH, ALPINE), error=ImageError
)
"""All distributions that are known, by name."""

_RELEASE_FILES = ("/etc/os-release", "/usr/lib/os-release")


def named(name: str) -> Distribution:
    """The distribution that a description names, by its name or an alias.

    Raises:
        ImageError: None is called so.
    """
    for distribution in DISTRIBUTIONS.values():
        if name in distribution.aliases:
            return distribution
    return DISTRIBUTIONS.find(name)


def release_text(root: Path) -> str:
    """The text of os-release(5) in a root tree; empty when the tree has none."""
    for name in _RELEASE_FILES:
        file = resolve_in(root, name)
        if file.is_file():
            return file.read_text(encoding="utf-8", errors="replace")
    return ""


def release(root: Path) -> Mapping[str, str]:
    """What os-release(5) of a root tree assigns."""
    return _assignments(release_text(root))


def find_in_tree(root: Path) -> Distribution:
    """The distribution that a root tree is of.

    Raises:
        ImageError: The tree does not say, or it is one that kiwinb does not know.
    """
    said = release(root)
    names = (said.get("ID", ""), *said.get("ID_LIKE", "").split())
    for name in names:
        for distribution in DISTRIBUTIONS.values():
            if name in distribution.ids:
                return distribution
    file = _RELEASE_FILES[0]
    raise ImageError(
        f"the root tree is of a distribution that kiwinb does not know: {names[0]} (in {file})"
        if names[0]
        else f"the root tree does not say which distribution it is of: {file} has no ID",
        remedy="Let its ID or ID_LIKE name one of: "
        + ", ".join(id for item in DISTRIBUTIONS.values() for id in item.ids)
        + ".",
    )


def package_remedy(root: Path, name: Callable[[Packages], str]) -> str:
    """The remedy for a tree that lacks something: the package that brings it.

    Args:
        root: The root tree.
        name: Takes the package's name from a distribution's packages.
    """
    try:
        return f"Add the package {name(find_in_tree(root).packages)}."
    except ImageError:
        return "Add the package that has it."


def of_manager(manager: str | None) -> tuple[Distribution, ...]:
    """The distributions that a package manager installs: what is known before there is a tree."""
    return tuple(item for item in DISTRIBUTIONS.values() if manager in item.managers)


def of_mirror(alias: str) -> Distribution | None:
    """The distribution that a mirror of this alias holds."""
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
