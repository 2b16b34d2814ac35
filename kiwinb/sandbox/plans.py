"""The tables of system calls, prepared for the loop of the supervisor."""

from __future__ import annotations

from dataclasses import dataclass

from kiwinb.sandbox.notify import FIRST_ARGUMENT
from kiwinb.sandbox.syscalls import CALLS, UNOBSERVED, Call

_SPECIAL = ("open2", "execute", "chroot", "symlink", "mount")


@dataclass(frozen=True)
class Plan:
    """A system call, prepared for the loop.

    Attributes:
        path: Index of the path in a notification.
        directory: Index of the directory; 0 for none.
        flags: Index of the flags; 0 for none.
        mask: Flags that matter.
        what: Word for :func:`kiwinb.sandbox.syscalls.meaning`.
    """

    path: int
    directory: int
    flags: int
    mask: int
    what: str


def plans(arch: int, column: int) -> tuple[dict[int, Plan], dict[int, Call | str]]:
    """Return the simple calls for the loop, and all others, by number and architecture."""
    fast: dict[int, Plan] = {}
    slow: dict[int, Call | str] = {}
    for call in CALLS:
        number = (call.x86_64, call.generic)[column]
        if number is None:
            continue
        key = number | arch << 32
        (place, *more), what = call.paths, call.what[0]
        if more or what in _SPECIAL or what.startswith("socket"):
            slow[key] = call
        else:
            fast[key] = Plan(
                FIRST_ARGUMENT + place.argument,
                0 if place.directory is None else FIRST_ARGUMENT + place.directory,
                0 if call.flags is None else FIRST_ARGUMENT + call.flags,
                call.mask,
                what,
            )
    for reason, pairs in UNOBSERVED.items():
        slow.update((pair[column] | arch << 32, reason) for pair in pairs)
    return fast, slow
