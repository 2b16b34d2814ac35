"""Checks of containers and of Windows app packages."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kiwinb.checks.problem import Problem, Subject
from kiwinb.checks.requirements import install_command, tools_for

_IDENTITY = re.compile(r"[A-Za-z0-9.-]{3,50}")
_APPLICATION = re.compile(r"[A-Za-z][A-Za-z0-9]*(\.[A-Za-z][A-Za-z0-9]*)*")
_LAUNCHER = re.compile(r"[^<>:\"|?*]+\.exe", re.IGNORECASE)


def container_tool_chain_installed(subject: Subject) -> Iterator[Problem]:
    """Writing containers needs tools of this host that compress them."""
    if not subject.is_a("container"):
        return
    if missing := subject.host.missing(tools_for(subject.image)):
        yield Problem(
            f"this host lacks tools that a container needs: {', '.join(missing)}",
            f"Install them: {install_command(missing)}",
            subject.type,
        )


def appx_naming_conventions_valid(subject: Subject) -> Iterator[Problem]:
    """Windows accepts only certain names in the manifest of an application.

    Source of the rules: the attributes ``Identity/@Name``, ``Application/@Id`` and
    ``Application/@Executable`` in Microsoft's app package manifest schema.
    """
    if subject.image.type.image != "appx":
        return
    config = subject.image.type.containerconfig
    history = config.history if config else None
    place = "preferences/type/containerconfig"
    rules = (
        ("name", config and config.name, _IDENTITY, place, "3 to 50 letters, digits, . and -"),
        (
            *("application_id", history and history.application_id, _APPLICATION),
            *(f"{place}/history", "words of letters and digits, with dots between them"),
        ),
        (
            *("launcher", history and history.launcher, _LAUNCHER),
            *(f"{place}/history", "the name of an .exe file"),
        ),
    )
    for name, value, pattern, path, expected in rules:
        if value and not pattern.fullmatch(value):
            yield Problem(
                f'{name}="{value}" is not a name that Windows accepts',
                f"It has to be {expected}.",
                subject.at(path),
            )
