"""Checks of whether kiwinb supports the image, and of the tools of this host."""

from __future__ import annotations

from collections.abc import Iterator

from kiwinb.checks.problem import Problem, Subject
from kiwinb.checks.requirements import install_command, tools_for
from kiwinb.description.reference import usage
from kiwinb.images import IMAGE_KINDS
from kiwinb.packages import MANAGERS


def description_supported(subject: Subject) -> Iterator[Problem]:
    """Everything that changes the image has to be something that kiwinb can do.

    Whether it knows a plug-in of a name is what other checks find out.
    """
    for item in usage(subject.tree):
        if item.state == "refused" and not item.plugin:
            others = f"It can do: {', '.join(item.others)}. Otherwise b" if item.others else "B"
            yield Problem(
                f"kiwinb cannot do {item.what} yet",
                f"{others}uild this image with KIWI NG, or select another type or profile.",
                item.location,
            )


def image_type_supported(subject: Subject) -> Iterator[Problem]:
    """The image type has to be one that kiwinb supports."""
    if subject.image.type.image not in IMAGE_KINDS:
        yield Problem(
            f"images of type {subject.image.type.image} cannot be made yet",
            f"Choose one of: {', '.join(sorted(IMAGE_KINDS))}.",
            subject.type,
        )


def image_kind_refuses_nothing(subject: Subject) -> Iterator[Problem]:
    """The image kind has to support everything that the description asks for."""
    kind = IMAGE_KINDS.get(subject.image.type.image)
    for refusal in kind.refusals(subject.image) if kind else ():
        yield Problem(
            refusal.what,
            f"{refusal.remedy[:1].upper()}{refusal.remedy[1:]}.",
            subject.at(refusal.path),
        )


def package_manager_supported(subject: Subject) -> Iterator[Problem]:
    """The package manager has to be one that kiwinb supports."""
    name = subject.image.preferences.packagemanager
    if name not in MANAGERS:
        yield Problem(
            f"packages cannot be installed with {name or 'no package manager'} yet",
            f"Set <packagemanager> to one of: {', '.join(sorted(MANAGERS))}.",
            subject.at("preferences/packagemanager"),
        )


def host_tools_installed(subject: Subject) -> Iterator[Problem]:
    """Builds need tools; ``container_tool_chain_installed`` covers those of containers."""
    if subject.is_a("container"):
        return
    needed = tools_for(subject.image)
    if missing := subject.host.missing(needed):
        said = ", ".join(f"{name} (for {needed[name]})" for name in missing)
        there = subject.host.forbidden
        may_not = f"; {', '.join(there)} may not be executed" if there else ""
        again = "--reinstall " if there else ""
        yield Problem(
            f"this host lacks tools: {said}{may_not}",
            f"Install them: {install_command(missing, again=again)}",
            subject.type,
        )


def host_tools_new_enough(subject: Subject) -> Iterator[Problem]:
    """The tools that the image needs must start, and be new enough for what kiwinb asks of them."""
    for tool in subject.host.unfit:
        yield Problem(tool.what, tool.remedy, subject.type)


def host_tools_suffice(subject: Subject) -> Iterator[Problem]:
    """The tools of this host may be too old for what the description asks for."""
    for lack in subject.host.lacking:
        yield Problem(
            lack,
            "Ask for something else, or build on a host with newer tools.",
            subject.type,
        )


def foreign_architecture_runs_here(subject: Subject) -> Iterator[Problem]:
    """This host has to run programs of the root tree, natively or with an emulator."""
    error = subject.host.foreign
    if error is not None:
        yield Problem(
            error.problem,
            error.remedy or f"Build on a host with the architecture {subject.image.arch}.",
            subject.type,
        )
