"""Find out which programs of the host a build needs, by asking the plug-ins that it uses."""

from __future__ import annotations

from collections.abc import Iterable

from kiwinb.description.model import ImageDescription
from kiwinb.images import IMAGE_KINDS
from kiwinb.packages import MANAGERS
from kiwinb.sandbox.tools import TOOLS

ALWAYS = ("bwrap", "cp")
"""Programs that all builds call."""


def tools_for(image: ImageDescription) -> dict[str, str]:
    """Return the programs of the host that a build needs, with their purposes.

    Programs of the root tree and optional programs are not included.
    """
    needed = dict.fromkeys(ALWAYS, "root trees")
    manager = image.preferences.packagemanager or ""
    if manager in MANAGERS:
        needed |= dict.fromkeys(MANAGERS[manager].tools, "root trees")
    for repository in image.repositories:
        if repository.path.startswith("iso:"):
            needed["xorriso"] = f"the repository {repository.path}"
    if image.type.image in IMAGE_KINDS:
        needed |= IMAGE_KINDS[image.type.image].tools(image)
    return needed


def packages_of(tools: Iterable[str]) -> tuple[str, ...]:
    """Return the Debian packages with the tools, sorted; tools of unknown packages are ignored."""
    return tuple(sorted({TOOLS[name] for name in tools if name in TOOLS}))


def without_package(tools: Iterable[str]) -> tuple[str, ...]:
    """Return the tools, sorted, whose Debian package kiwinb does not know."""
    return tuple(sorted({*tools} - TOOLS.keys()))


def install_command(tools: Iterable[str], *, again: str = "") -> str:
    """Return how to install tools on Debian and Ubuntu: a command, and what it does not cover.

    Args:
        tools: The tools.
        again: The option that installs packages again, with a space behind it; empty for none.
    """
    names = tuple(tools)
    packages, others = packages_of(names), without_package(names)
    parts = [f"sudo apt-get install {again}{' '.join(packages)}"] if packages else []
    if others:
        parts.append(f"the packages that bring {', '.join(others)}")
    return "; and ".join(parts)
