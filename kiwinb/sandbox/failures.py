"""Errors as data: what a worker tells about an error, and the error that its caller makes of it."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterable
from dataclasses import dataclass

from kiwinb import errors
from kiwinb.errors import CommandError, DescriptionErrors, KiwinbError, Location

_NOTE = "In the worker:\n"
_LONGEST_TEXT = 128 << 10
_MOST_ITEMS = 1_000


@dataclass(frozen=True)
class Failure:
    """An error as data.

    Attributes:
        name: Name of its class: one of :mod:`kiwinb.errors`, ``OSError`` or ``MemoryError``;
            ``RuntimeError`` stands for all others.
        problem: What is wrong.
        remedy: What to do about it.
        location: The place in the description.
        argv: The command and its arguments, of a :class:`~kiwinb.errors.CommandError`.
        status: Its exit status.
        tail: The last lines that it printed.
        number: Error number of an ``OSError``.
        files: File names of an ``OSError``.
        notes: Notes on the error.
        parts: The errors of a :class:`~kiwinb.errors.DescriptionErrors`.
    """

    name: str
    problem: str
    remedy: str | None = None
    location: Location | None = None
    argv: tuple[str, ...] = ()
    status: int = 0
    tail: tuple[str, ...] = ()
    number: int | None = None
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    parts: tuple[Failure, ...] = ()


def failure_of(error: BaseException) -> Failure:
    """Return what a worker tells about an error."""
    notes = _cut_all(getattr(error, "__notes__", ()))
    if isinstance(error, KiwinbError):
        return _known(error, notes)
    if not any(note.startswith(_NOTE) for note in notes):
        notes += (_NOTE + _cut("".join(traceback.format_exception(error))),)
    if isinstance(error, OSError):
        files = (error.filename, error.filename2)
        return Failure(
            "OSError",
            _cut((error.errno and error.strerror) or str(error)),
            number=error.errno,
            files=_cut_all(os.fsdecode(x) for x in files if isinstance(x, str | bytes)),
            notes=notes,
        )
    name = type(error).__name__
    if name in _PLAIN:
        return Failure(name, _cut(str(error)), notes=notes)
    said = f": {error}" if str(error) else ""
    return Failure("RuntimeError", _cut(f"{name}{said}"), notes=notes)


def error_of(failure: Failure) -> Exception:
    """Return the error for the caller of a worker."""
    error = _error_of(failure)
    for note in failure.notes:
        error.add_note(note)
    return error


_PLAIN = {"MemoryError": MemoryError, "RuntimeError": RuntimeError}
_KNOWN = {
    name: item
    for name, item in vars(errors).items()
    if isinstance(item, type) and issubclass(item, KiwinbError)
}


def _known(error: KiwinbError, notes: tuple[str, ...]) -> Failure:
    command = error if isinstance(error, CommandError) else None
    parts = error.errors if isinstance(error, DescriptionErrors) else ()
    return Failure(
        next(kind.__name__ for kind in type(error).__mro__ if kind in _KNOWN.values()),
        _cut(error.problem),
        None if error.remedy is None else _cut(error.remedy),
        error.location,
        argv=_cut_all(command.argv) if command else (),
        status=command.status if command else 0,
        tail=_cut_all(command.tail) if command else (),
        notes=notes,
        parts=tuple(failure_of(part) for part in parts[:_MOST_ITEMS]),
    )


def _error_of(failure: Failure) -> Exception:
    kind = _KNOWN.get(failure.name)
    if kind is None:
        plain = _PLAIN.get(failure.name, RuntimeError)
        return _os_error(failure) if failure.name == "OSError" else plain(failure.problem)
    error = kind.__new__(kind)
    KiwinbError.__init__(error, failure.problem, remedy=failure.remedy, location=failure.location)
    if isinstance(error, CommandError):
        error.argv, error.status, error.tail = failure.argv, failure.status, failure.tail
    if isinstance(error, DescriptionErrors):
        found = map(error_of, failure.parts)
        error.errors = tuple(part for part in found if isinstance(part, errors.DescriptionError))
    return error


def _os_error(failure: Failure) -> OSError:
    if failure.number is None:
        return OSError(failure.problem)
    first, second, *_ = (*failure.files, None, None)
    return OSError(failure.number, failure.problem, first, None, second)


def _cut(text: str) -> str:
    left = len(text) - _LONGEST_TEXT
    return text if left <= 0 else f"{text[:_LONGEST_TEXT]} [and {left:,} characters more]"


def _cut_all(texts: Iterable[object]) -> tuple[str, ...]:
    """Shorten texts, so that they have the length of one text at most."""
    found: list[str] = []
    room = _LONGEST_TEXT
    for text in map(str, texts):
        if len(found) == _MOST_ITEMS or room <= 0:
            break
        found.append(_cut(text)[:room])
        room -= len(text)
    return tuple(found)
