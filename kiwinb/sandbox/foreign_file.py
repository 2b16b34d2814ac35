"""Run a tool of the host on a file of strangers: in a cage, for a limited time.

The tool sees the host's programs, and of all other files only the one that is open for it. It has
no network and leaves no process behind. Where the host does not allow namespaces, as in many
containers, only the time is limited; so whoever calls this has made sure that the file names no
other file and no server.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from kiwinb.errors import CommandError, HostError
from kiwinb.sandbox.cage import Cage, command
from kiwinb.sandbox.command import execute
from kiwinb.sandbox.environment import tool_environment
from kiwinb.sandbox.host_view import host_view
from kiwinb.sandbox.seccomp import filter_program
from kiwinb.sandbox.tools import find_tool

_KILLED = 128 + 9
_OF_ROOT = ("CAP_DAC_READ_SEARCH",)
"""The file may belong to anybody."""


class TooSlowError(Exception):
    """The tool did not end in time.

    Args:
        seconds: How long it ran.
    """

    def __init__(self, seconds: int) -> None:
        super().__init__(f"it has not ended after {seconds} s")


def run_on_foreign(
    argv: Sequence[str | os.PathLike[str]],
    seconds: int,
    *,
    opened: int | None = None,
    writable: Sequence[Path] = (),
) -> str:
    """Run a tool and return its standard output.

    Args:
        argv: Name of the tool and its arguments.
        seconds: After this time, it is killed.
        opened: Descriptor of the file, which is ``/proc/self/fd/NUMBER`` for the tool.
        writable: Directories that the tool may write to.

    Raises:
        TooSlowError: It did not end in time.
        CommandError: It failed.
        HostError: It is not installed.
    """
    words = [os.fspath(word) for word in argv]
    find_tool(words[0])
    inside = ["timeout", "--signal=KILL", str(seconds), *words]
    try:
        if _allows_cages():
            return _caged(inside, opened, writable)
        return _execute(inside, opened)
    except CommandError as error:
        if error.status in (_KILLED, -9):
            raise TooSlowError(seconds) from None
        raise CommandError(words, error.status, error.tail) from None


def _caged(argv: Sequence[str], opened: int | None, writable: Sequence[Path]) -> str:
    is_root = os.geteuid() == 0
    rules = os.memfd_create("rules")
    try:
        os.write(rules, filter_program())
        os.lseek(rules, 0, os.SEEK_SET)
        capabilities = _OF_ROOT if is_root else ()
        words = command(Cage(), host_view(writable), str(rules), argv, capabilities=capabilities)
        if not is_root:
            words.insert(1, "--unshare-user")
        return _execute(words, rules, opened)
    finally:
        os.close(rules)


def _execute(argv: Sequence[str], *descriptors: int | None) -> str:
    return execute(
        argv,
        executable=None,
        log=None,
        env=tool_environment(),
        cwd=None,
        input=None,
        check=True,
        descriptors=[number for number in descriptors if number is not None],
    )


@cache
def _allows_cages() -> bool:
    try:
        _caged(["true"], None, ())
    except (CommandError, HostError):
        return False
    return True
