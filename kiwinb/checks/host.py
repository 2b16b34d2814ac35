"""Facts about the build host for the checks, as frozen data."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kiwinb.checks.requirements import tools_for
from kiwinb.description.model import ImageDescription
from kiwinb.distributions import find_in_tree
from kiwinb.errors import HostError, ImageError, KiwinbError
from kiwinb.images import IMAGE_KINDS
from kiwinb.sandbox.caged import OpenCage
from kiwinb.sandbox.chroot import ENVIRONMENT
from kiwinb.sandbox.foreign import missing_emulator, try_architecture
from kiwinb.sandbox.host_view import host_view
from kiwinb.sandbox.mount_table import filesystem_of
from kiwinb.sandbox.tool_versions import Unfit, unfit
from kiwinb.sandbox.tools import TOOLS, not_executable, search_path
from kiwinb.sandbox.worker import Report, call
from kiwinb.settings import Settings

_OTHER_TOOLS = ("cryptsetup", "implantisomd5", "tagmedia")


@dataclass(frozen=True)
class HostFacts:
    """Facts about the build host.

    Attributes:
        tools: Names of installed tools, of those that kiwinb may call.
        target: Target directory of the results or the root tree, if known.
        target_filesystem: Type of its file system, such as ``ext4``; ``None`` if unknown.
        shared: Directories that all builds of this user share: downloads and checkpoints.
        tagmedia: Version of ``tagmedia``; ``None`` if it is unknown or not needed.
        luks_options: Options of ``cryptsetup``, with their dashes; ``None`` if they are unknown or
            not needed.
        lacking: What the installed tools cannot do for the image, one sentence each.
        unfit: Installed tools that the image needs, and that are too old or do not start.
        forbidden: Paths of tools that the image needs, and that may not be executed.
        foreign: Why programs for the image's architecture do not run on this host; ``None`` if they
            run.
    """

    tools: frozenset[str] = frozenset()
    target: Path | None = None
    target_filesystem: str | None = None
    shared: tuple[Path, ...] = ()
    tagmedia: tuple[int, ...] | None = None
    luks_options: frozenset[str] | None = None
    lacking: tuple[str, ...] = ()
    unfit: tuple[Unfit, ...] = ()
    forbidden: tuple[str, ...] = ()
    foreign: HostError | None = None

    def missing(self, tools: Iterable[str]) -> tuple[str, ...]:
        """Return the tools that are not installed."""
        return tuple(name for name in tools if name not in self.tools)


def why_no_cage() -> KiwinbError | None:
    """Run a program in a cage; return why that is impossible on this host, or ``None``."""
    try:
        call(_run_in_cage, None)
    except KiwinbError as error:
        return error
    return None


def _run_in_cage(_argument: None, _report: Report) -> None:
    with OpenCage() as cage:
        cage.run(host_view(()), ["true"], env=ENVIRONMENT)


def gather(
    image: ImageDescription, settings: Settings, target: str | os.PathLike[str] | None = None
) -> HostFacts:
    """Gather facts about this host.

    Args:
        image: The effective description; facts that it does not need are not gathered.
        settings: The user's settings.
        target: Target directory of the results or the root tree; it need not exist.
    """
    path = search_path()
    needed = tools_for(image)
    names = (*TOOLS, *_OTHER_TOOLS, *needed)
    tools = frozenset(name for name in names if shutil.which(name, path=path))
    place = Path(target).absolute() if target is not None else None
    media = "tagmedia" in tools and image.type.attributes.get("mediacheck") == "true"
    luks = "cryptsetup" in tools and image.type.luksformat
    kind = IMAGE_KINDS.get(image.type.image)
    old = tuple(unfit(needed))
    asked = kind is not None and not old and tools.issuperset(kind.tools(image))
    return HostFacts(
        tools=tools,
        target=place,
        target_filesystem=filesystem_of(place) if place is not None else None,
        shared=(settings.cache.absolute(), settings.store.absolute()),
        tagmedia=_version(_said("tagmedia", "--version")) if media else None,
        luks_options=_options(_said("cryptsetup", "--help")) if luks else None,
        lacking=tuple(kind.lacks(image)) if kind is not None and asked else (),
        unfit=old,
        forbidden=tuple(filter(None, map(not_executable, needed))),
        foreign=why_foreign(image.arch),
    )


def why_foreign(arch: str) -> HostError | None:
    """Find out why programs for an architecture do not run in root trees on this host.

    Args:
        arch: Architecture, as ``uname -m`` prints it.

    Returns:
        An error whose remedy names the package with the emulator for this host's distribution;
        ``None`` if the programs run.
    """
    error = try_architecture(arch)
    if error is not None and (emulator := missing_emulator(arch)) is not None:
        with suppress(ImageError):  # an unknown distribution
            name = find_in_tree(Path("/")).packages.emulator
            machine = emulator.machine
            package = name.format(name=machine.emulator, family=machine.family)
            return HostError(error.problem, remedy=f"Install the package {package}.")
    return error


def _said(*argv: str) -> str:
    try:
        done = subprocess.run(
            argv,
            executable=shutil.which(argv[0], path=search_path()),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr


def _version(text: str) -> tuple[int, ...] | None:
    found = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(map(int, found[0].split("."))) if found else None


def _options(text: str) -> frozenset[str] | None:
    return frozenset(re.findall(r"(?<![\w-])--?[A-Za-z][\w-]*", text)) or None
