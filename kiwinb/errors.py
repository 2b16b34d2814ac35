"""The errors that kiwinb raises, each with its exit status.

Every error is one clear message: what is wrong, where (file, line, column, element), and what to
do about it. The command line prints the message and exits with ``error.exit_status``; no other
part of kiwinb ends the process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from kiwinb.visible import visible


@dataclass(frozen=True)
class Location:
    """A place in a file of an image description.

    Attributes:
        file: The file, as the user named it.
        line: Line, counted from 1; ``None`` if the error is about the whole file.
        column: Column, counted from 1; ``None`` when unknown.
        element: Name of the XML element, for example ``type``.
    """

    file: Path
    line: int | None = None
    column: int | None = None
    element: str | None = None

    def __str__(self) -> str:
        text = visible(str(self.file))
        if self.line is not None:
            text += f":{self.line}"
            if self.column is not None:
                text += f":{self.column}"
        if self.element is not None:
            text += f": <{visible(self.element)}>"
        return text


_PRINTED = "  | "
"""Prefix of the lines in a message that a command printed."""


class KiwinbError(Exception):
    """Base of all errors that a user can cause or fix.

    A message quotes names and texts of other people, so it is escaped (:mod:`kiwinb.visible`).

    Args:
        problem: One sentence: what is wrong.
        remedy: What to do about it.
        location: The place in the description, if the error is about the description.

    Attributes:
        log_file: File with the whole log of the failed step.
        is_output_shown: The user sees the output of the failed step next to the error.
    """

    exit_status: ClassVar[int] = 1
    log_file: Path | None = None
    is_output_shown: bool = False

    def __init__(
        self, problem: str, *, remedy: str | None = None, location: Location | None = None
    ) -> None:
        super().__init__(problem, remedy, location)
        self.problem = visible(problem, lines=True)
        self.remedy = remedy and visible(remedy, lines=True)
        self.location = location

    def __str__(self) -> str:
        text = f"{self.location}: {self.problem}" if self.location else self.problem
        if self.remedy:
            text += f"\n  {self.remedy}"
        return f"{text}\n  Its whole log: {self.log_file}" if self.log_file else text

    @property
    def summary(self) -> str:
        """The message without the lines that a command printed."""
        lines = str(self).splitlines()
        return "\n".join(line for line in lines if not line.startswith(_PRINTED))

    @property
    def message(self) -> str:
        """The message, without the output of the failed step if the user sees that anyway."""
        return self.summary if self.is_output_shown else str(self)

    def _render_traceback_(self) -> list[str]:
        """Let IPython show the message instead of a traceback."""
        return f"{type(self).__name__}: {self.message}".splitlines()

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), dict(self.__dict__), self.args)


def _rebuild(kind: type[KiwinbError], state: dict[str, object], args: tuple[object, ...]) -> object:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class DescriptionError(KiwinbError):
    """kiwinb cannot read the image description, or the description is invalid."""

    exit_status = 3


class DescriptionErrors(DescriptionError):
    """Several errors in one description, reported together."""

    def __init__(self, errors: Sequence[DescriptionError]) -> None:
        super().__init__("\n".join(str(error) for error in errors))
        self.errors = tuple(errors)


class CheckError(KiwinbError):
    """A runtime check found that this host cannot build this description."""

    exit_status = 4


class RepositoryError(KiwinbError):
    """kiwinb cannot resolve, reach or trust a repository."""

    exit_status = 5


class PackageError(KiwinbError):
    """The package manager could not install, remove or find packages."""

    exit_status = 6


class CommandError(KiwinbError):
    """A command failed, in the root tree or on the host.

    Args:
        argv: The command and its arguments.
        status: Its exit status; negative if a signal ended the command.
        tail: The last lines that it printed.
    """

    exit_status = 7

    def __init__(
        self,
        argv: Sequence[str],
        status: int,
        tail: Sequence[str] = (),
        *,
        problem: str | None = None,
        remedy: str | None = None,
        location: Location | None = None,
    ) -> None:
        what = problem or f"{argv[0]} failed"
        said = "".join(f"\n{_PRINTED}{line}" for line in tail)
        super().__init__(
            f"{what} (exit status {status}): {' '.join(argv)}{said}",
            remedy=remedy,
            location=location,
        )
        self.argv = tuple(argv)
        self.status = status
        self.tail = tuple(tail)


class HostError(KiwinbError):
    """The build host lacks a tool, a privilege or a kernel feature."""

    exit_status = 8


class CrashError(HostError):
    """A tool of the host crashed or was killed, which says nothing about what it was to do."""


class StoreError(KiwinbError):
    """The checkpoint store is locked, damaged or full."""

    exit_status = 9


class ImageError(KiwinbError):
    """kiwinb cannot make the image that the description asks for from this root tree."""

    exit_status = 10


class BootError(KiwinbError):
    """An image did not boot as expected."""

    exit_status = 11


class NotebookError(KiwinbError):
    """A recipe notebook failed."""

    exit_status = 12


class ParameterError(NotebookError):
    """A value for a parameter of a recipe is wrong, or the recipe has no such parameter."""

    exit_status = 2


class InspectError(KiwinbError):
    """kiwinb cannot read a root tree, an image, or a file in one."""

    exit_status = 13


class ExpectationError(NotebookError):
    """A recipe ran, but one of its expectations does not hold."""

    exit_status = 14


class NotebookTimeout(NotebookError):
    """A recipe or one of its cells exceeded its time limit."""

    exit_status = 15


class MatrixError(KiwinbError):
    """kiwinb cannot read a build matrix, or cells of it failed."""

    exit_status = 16


class SpaceError(KiwinbError):
    """The file system of the store, the cache, a target or a temporary directory is full."""

    exit_status = 17


class LimitError(KiwinbError):
    """A program of a step used more of the host than its limits allow, and was ended."""

    exit_status = 18
