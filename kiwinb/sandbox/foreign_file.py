"""Run a tool of the host on a file of strangers: without the network, for a limited time.

The tool gets its own network, IPC, mount and process namespaces where the host allows it, and
leaves no process behind. Where it does not, as in many containers, only the time is limited; so
whoever calls this has made sure that the file names no other file and no server.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache

from kiwinb.errors import CommandError
from kiwinb.sandbox.command import run

_KILLED = 128 + 9


class TooSlowError(Exception):
    """The tool did not end in time.

    Args:
        seconds: How long it ran.
    """

    def __init__(self, seconds: int) -> None:
        super().__init__(f"it has not ended after {seconds} s")


def run_on_foreign(argv: Sequence[str | os.PathLike[str]], seconds: int) -> str:
    """Run a tool and return its standard output.

    Args:
        argv: Name of the tool and its arguments.
        seconds: After this time, it is killed.

    Raises:
        TooSlowError: It did not end in time.
        CommandError: It failed.
        HostError: It is not installed.
    """
    limit = ["timeout", "--signal=KILL", str(seconds)]
    try:
        return run([*_apart(), *limit, *argv])
    except CommandError as error:
        if error.status in (_KILLED, -9):
            raise TooSlowError(seconds) from None
        said = error.tail
        raise CommandError([os.fspath(word) for word in argv], error.status, said) from None


@cache
def _apart() -> tuple[str, ...]:
    """The command that gives another one its own namespaces; none if the host does not allow it.

    The other one is the first process of its namespace, so the kernel ends the rest with it.
    """
    user = () if os.geteuid() == 0 else ("--user", "--map-current-user")
    own = ("--net", "--ipc", "--mount", "--pid", "--fork", "--kill-child")
    command = ("unshare", *user, *own)
    try:
        run([*command, "true"])
    except CommandError:
        return ()
    return command
