"""Checks of the repositories."""

from __future__ import annotations

from collections.abc import Iterator

from kiwinb.checks.problem import Problem, Subject
from kiwinb.packages import MANAGERS
from kiwinb.packages.mirrors import is_list, refused_list

_PUBLIC = ("http", "https", "ftp", "mirror", "obs")
"""Schemes of places that the running image may reach."""


def repositories_configured(subject: Subject) -> Iterator[Problem]:
    """Packages are installed from repositories."""
    if not any(item.used_for_build for item in subject.image.repositories):
        why = "all are for the image itself" if subject.image.repositories else "there are none"
        yield Problem(
            f"the image has no repository to install packages from: {why}",
            "Add a <repository>, or give --add-repo.",
            subject.at("repository"),
        )


def image_include_repos_publicly_resolvable(subject: Subject) -> Iterator[Problem]:
    """A repository that is configured in the image must not be on the build host."""
    for item in subject.image.repositories:
        scheme, colon, _ = item.path.partition(":")
        if item.included_in_image and (scheme if colon else "") not in _PUBLIC:
            yield Problem(
                f"the repository {item.alias or item.path} is to be in the image, "
                f"but {item.path} is a place on this host",
                "Name a place on the network, or remove imageinclude and imageonly.",
                subject.at("repository/source", path=item.path),
            )


def lists_of_mirrors_supported(subject: Subject) -> Iterator[Problem]:
    """A source that is a list of mirrors has to be one that the package manager can read."""
    manager = MANAGERS.get(subject.image.preferences.packagemanager or "")
    for item in subject.image.repositories:
        if manager and is_list(item) and "sourcetype" not in manager.honours:
            yield Problem(
                *refused_list(item, manager.name),
                subject.at("repository", alias=item.alias, sourcetype=item.sourcetype),
            )
