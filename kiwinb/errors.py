"""The errors kiwinb raises, and the exit status the command line gives each.

Every error is one clear message: what is wrong, where (file, line, column,
element) and what to do about it. The command line prints ``str(error)`` and
exits with ``error.exit_status``; nothing else of kiwinb ends a process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar


@dataclass(frozen=True)
class Location:
    """A place in a file of an image description.

    Attributes:
        file: The file, as the user named it.
        line: Line, counted from 1; ``None`` when the whole file is meant.
        column: Column, counted from 1; ``None`` when unknown.
        element: The XML element concerned, for example ``type``.
    """

    file: Path
    line: int | None = None
    column: int | None = None
    element: str | None = None

    def __str__(self) -> str:
        text = str(self.file)
        if self.line is not None:
            text += f":{self.line}"
            if self.column is not None:
                text += f":{self.column}"
        if self.element is not None:
            text += f": <{self.element}>"
        return text


_PRINTED = "  | "
"""How the lines that a command printed begin in a message."""


class KiwinbError(Exception):
    """Base of all errors that a user can cause or cure.

    Args:
        problem: One sentence: what is wrong.
        remedy: What to do about it.
        location: Where in the description, if it is about the description.

    Attributes:
        log_file: File with all that the failed step printed.
        is_output_shown: Whoever sees the error sees the output of the failed step beside it.
    """

    exit_status: ClassVar[int] = 1
    log_file: Path | None = None
    is_output_shown: bool = False

    def __init__(
        self, problem: str, *, remedy: str | None = None, location: Location | None = None
    ) -> None:
        super().__init__(problem, remedy, location)
        self.problem = problem
        self.remedy = remedy
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
        """The message for somebody who sees the output of the failed step, or does not."""
        return self.summary if self.is_output_shown else str(self)

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback: the message says it all."""
        return f"{type(self).__name__}: {self.message}".splitlines()

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), dict(self.__dict__), self.args)


def _rebuild(kind: type[KiwinbError], state: dict[str, object], args: tuple[object, ...]) -> object:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class DescriptionError(KiwinbError):
    """The image description cannot be read, or does not hold against the schema."""

    exit_status = 3


class DescriptionErrors(DescriptionError):
    """Several things are wrong with one description; all are reported at once."""

    def __init__(self, errors: Sequence[DescriptionError]) -> None:
        super().__init__("\n".join(str(error) for error in errors))
        self.errors = tuple(errors)


class CheckError(KiwinbError):
    """Runtime checks say that this description cannot be built on this host."""

    exit_status = 4


class RepositoryError(KiwinbError):
    """A repository cannot be resolved, reached or trusted."""

    exit_status = 5


class PackageError(KiwinbError):
    """The package manager could not install, remove or find packages."""

    exit_status = 6


class CommandError(KiwinbError):
    """A command failed, in the root tree or on the host.

    Args:
        argv: The command and its arguments.
        status: Its exit status (negative: the signal that ended it).
        tail: The last lines it printed.
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
    """The build host lacks something: a tool, a right, a kernel feature."""

    exit_status = 8


class StoreError(KiwinbError):
    """The checkpoint store is locked, damaged or full."""

    exit_status = 9


class ImageError(KiwinbError):
    """The image cannot be made from this root tree as the description asks."""

    exit_status = 10


class BootError(KiwinbError):
    """An image did not boot as expected."""

    exit_status = 11


class NotebookError(KiwinbError):
    """A recipe notebook failed."""

    exit_status = 12


class InspectError(KiwinbError):
    """A root tree, an image or a file in it cannot be read."""

    exit_status = 13


class ExpectationError(NotebookError):
    """A recipe ran, and something that it expects does not hold."""

    exit_status = 14


class NotebookTimeout(NotebookError):
    """A recipe, or a cell of it, took longer than it may."""

    exit_status = 15


class MatrixError(KiwinbError):
    """A build matrix cannot be read, or cells of it failed."""

    exit_status = 16


class SpaceError(KiwinbError):
    """A file system is full: that of the store, the cache, a target or a temporary directory."""

    exit_status = 17
