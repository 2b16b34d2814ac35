"""The oldest versions of host tools that can do what kiwinb asks of them.

A tool is here if a distribution that is still in use has one that is too old. All other tools have
had what kiwinb uses for longer than the oldest such distribution.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from kiwinb.sandbox.environment import tool_environment
from kiwinb.sandbox.tools import TOOLS, cannot_start, crash, search_path

_SECONDS = 10


@dataclass(frozen=True)
class Least:
    """The oldest version of a tool that suffices.

    Attributes:
        version: Its numbers.
        option: What makes the tool print its version.
        why: What older versions cannot do, after "without".
    """

    version: tuple[int, ...]
    option: str
    why: str


LEAST: Mapping[str, Least] = {
    # Debian 11 and RHEL 9 have 4.4.
    "mksquashfs": Least((4, 5), "-version", "device nodes with a fixed time"),
    # Debian 11 has 1.2.1.
    "mkfs.erofs": Least((1, 4), "-V", "the option --quiet"),
    # Ubuntu 22.04 has 5.13.
    "mkfs.xfs": Least((5, 19), "-V", "the option nrext64, without which images depend on the host"),
}
"""By name of the tool."""


@dataclass(frozen=True)
class Unfit:
    """An installed tool that kiwinb cannot use.

    Attributes:
        tool: Its name.
        what: Why, in one sentence.
        remedy: What to do about it.
    """

    tool: str
    what: str
    remedy: str


def unfit(tools: Iterable[str]) -> Iterator[Unfit]:
    """Find installed tools that are too old, or do not even start; others are left out."""
    for name in tools:
        path = shutil.which(name, path=search_path()) if name in LEAST else None
        if path is not None and (found := _unfit(name, path, LEAST[name])):
            yield found


def _unfit(name: str, path: str, least: Least) -> Unfit | None:
    try:
        done = subprocess.run(
            [name, least.option],
            executable=path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            env=tool_environment(),
            check=False,
        )
    except subprocess.TimeoutExpired:
        what = f"the tool {path} does not tell its version within {_SECONDS} s"
        return Unfit(name, what, f"Install it again: the package {TOOLS[name]}.")
    except OSError as error:
        problem = cannot_start(name, path, error)
        return Unfit(name, problem.problem, problem.remedy or "")
    if crashed := crash(name, done.returncode):
        return Unfit(name, crashed.problem, crashed.remedy or "")
    version = _version(done.stdout + done.stderr)
    if version is None or version >= least.version:
        return None
    found, needed = (".".join(map(str, numbers)) for numbers in (version, least.version))
    return Unfit(
        name,
        f"the tool {path} has version {found}, and {needed} or newer is needed: "
        f"it is without {least.why}",
        f"Install {TOOLS[name]} {needed} or newer, or build on a newer host: Debian 12 and "
        "Ubuntu 24.04 have it.",
    )


def _version(text: str) -> tuple[int, ...] | None:
    found = re.search(r"(?<![\w.])v?(\d+(?:\.\d+)+)", text)
    return tuple(map(int, found[1].split("."))) if found else None
