"""Checks of what kiwinb can make, and of the tools that this host has for it."""

from __future__ import annotations

from collections.abc import Iterator

from kiwinb.checks.problem import Problem, Subject
from kiwinb.checks.requirements import install_command, tools_for
from kiwinb.images import IMAGE_KINDS
from kiwinb.packages import MANAGERS


def image_type_supported(subject: Subject) -> Iterator[Problem]:
    """The image is one that kiwinb makes."""
    if subject.image.type.image not in IMAGE_KINDS:
        yield Problem(
            f"images of type {subject.image.type.image} cannot be made yet",
            f"Choose one of: {', '.join(sorted(IMAGE_KINDS))}.",
            subject.type,
        )


def image_kind_refuses_nothing(subject: Subject) -> Iterator[Problem]:
    """The image kind makes all that the description asks of it."""
    kind = IMAGE_KINDS.get(subject.image.type.image)
    for refusal in kind.refusals(subject.image) if kind else ():
        yield Problem(
            refusal.what,
            f"{refusal.remedy[:1].upper()}{refusal.remedy[1:]}.",
            subject.at(refusal.path),
        )


def package_manager_supported(subject: Subject) -> Iterator[Problem]:
    """The packages are ones that kiwinb installs."""
    name = subject.image.preferences.packagemanager
    if name not in MANAGERS:
        yield Problem(
            f"packages cannot be installed with {name or 'no package manager'} yet",
            f"Set <packagemanager> to one of: {', '.join(sorted(MANAGERS))}.",
            subject.at("preferences/packagemanager"),
        )


def host_tools_installed(subject: Subject) -> Iterator[Problem]:
    """This host has the tools; those of containers are container_tool_chain_installed's."""
    if subject.is_a("container"):
        return
    needed = tools_for(subject.image)
    if missing := subject.host.missing(needed):
        said = ", ".join(f"{name} (for {needed[name]})" for name in missing)
        yield Problem(
            f"this host lacks tools: {said}",
            f"Install them: {install_command(missing)}",
            subject.type,
        )


def host_tools_suffice(subject: Subject) -> Iterator[Problem]:
    """The tools that this host has are new enough for what the description asks of them."""
    for lack in subject.host.lacking:
        yield Problem(
            lack,
            "Ask for something else, or build on a host with newer tools.",
            subject.type,
        )


def foreign_architecture_runs_here(subject: Subject) -> Iterator[Problem]:
    """Programs of the root tree run on this host: it has that architecture, or emulates it."""
    error = subject.host.foreign
    if error is not None:
        yield Problem(
            error.problem,
            error.remedy or f"Build on a host that is {subject.image.arch}.",
            subject.type,
        )
