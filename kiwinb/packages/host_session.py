"""Package managers of the host at work on a tree, from outside of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kiwinb.packages.databases.database import PackageDatabase
from kiwinb.packages.mount_points import mounted_over
from kiwinb.packages.settled import settled
from kiwinb.packages.work import private_directory
from kiwinb.sandbox.chroot import ENVIRONMENT, Chroot
from kiwinb.steps.step import StepContext


@dataclass(frozen=True)
class HostSession:
    """A tree in which tools of the host work; see :func:`opened_tree`.

    Attributes:
        context: Context of the step.
        work: Private directory.
        chroot: The tree, opened.
        epoch: Time of the repositories, in seconds since 1970-01-01 UTC.
    """

    context: StepContext
    work: Path
    chroot: Chroot
    epoch: int

    @property
    def root(self) -> Path:
        """The root tree."""
        return self.context.root

    @property
    def home(self) -> Path:
        """The home directory of the tools."""
        return self.work / "home"

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment of tools and of scripts of packages."""
        return {**ENVIRONMENT, "TZ": "UTC0", "SOURCE_DATE_EPOCH": str(self.epoch)}

    def tool(self, argv: Sequence[str], log: Callable[[str], None] | None = None) -> str:
        """Run a tool of the host on the tree, and return its standard output.

        Args:
            argv: The tool and its arguments.
            log: Called with each line of output; by default, as that of the step.

        Raises:
            CommandError: It failed.
        """
        return self.chroot.run_tool(
            argv, env=self.environment, home=self.home, also=[self.work], log=log
        )

    def kept(self) -> tuple[list[str], Callable[[str], None]]:
        """Return a list, and a log of the step that also keeps its lines in it."""
        lines: list[str] = []

        def log(line: str) -> None:
            lines.append(line)
            self.context.log(line)

        return lines, log


@contextmanager
def opened_tree(
    context: StepContext,
    name: str,
    database: PackageDatabase,
    traces: Sequence[str],
    mounted: Sequence[str],
    *,
    is_new: bool,
) -> Iterator[tuple[Path, Chroot]]:
    """Open a tree for tools of the host, and remove what they leave behind.

    Args:
        context: Context of the step.
        name: Directory of the package manager in the cache.
        database: Kind of the tree's package database.
        traces: Files that the package manager leaves behind; see :mod:`kiwinb.packages.traces`.
        mounted: Directories that have the kernel's file systems meanwhile.
        is_new: Whether the tree has no packages yet.

    Yields:
        A private directory, with a home directory for the tools, and the tree.
    """
    with (
        mounted_over(context.root, mounted, database, is_new=is_new),
        settled(context.root, context.log, traces),
        private_directory(context.host.cache / name / "work") as work,
        Chroot(context.root, log=context.log) as chroot,
    ):
        (work / "home").mkdir(mode=0o755)
        yield work, chroot
