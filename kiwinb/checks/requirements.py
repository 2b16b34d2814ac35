"""Which tools of the host the build of a description calls; its plug-ins say so."""

from __future__ import annotations

from collections.abc import Iterable

from kiwinb.description.model import ImageDescription
from kiwinb.images import IMAGE_KINDS
from kiwinb.packages import MANAGERS
from kiwinb.sandbox.tools import TOOLS

ALWAYS = ("cp",)
"""Tools that all builds call."""


def tools_for(image: ImageDescription) -> dict[str, str]:
    """What each host tool is needed for, by its name.

    Tools that a build takes from the root tree are not in it, nor those that it can do without.
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
    """The Debian packages that hold the tools, sorted; a tool of no known package is left out."""
    return tuple(sorted({TOOLS[name] for name in tools if name in TOOLS}))


def install_command(tools: Iterable[str]) -> str:
    """The command that installs the tools on Debian and Ubuntu."""
    return f"sudo apt-get install {' '.join(packages_of(tools))}"
