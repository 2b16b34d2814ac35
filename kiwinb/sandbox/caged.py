"""Run programs in a cage, and watch what they use; see :mod:`kiwinb.sandbox.cage`."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType

from kiwinb.errors import CommandError
from kiwinb.sandbox.cage import Cage, View, command
from kiwinb.sandbox.command import Log, execute
from kiwinb.sandbox.inner import InnerNamespace, make_inner_namespace
from kiwinb.sandbox.limits import Guard, limit_this_process
from kiwinb.sandbox.namespaces import CLONE_NEWNET, CLONE_NEWUSER, join
from kiwinb.sandbox.network import connected
from kiwinb.sandbox.seccomp import filter_program

CAGE = Cage()

_NOT_FOUND = re.compile(r"bwrap: execvp .*: No such file or directory")


class OpenCage:
    """A cage that is open for programs; a context manager for use in a worker.

    Each program has a namespace of processes of its own, and what it leaves running is killed.

    Args:
        network: Whether the programs reach the network outside of this host.
        namespace: Makes the user namespace of the programs.
        cage: What keeps the programs in.
    """

    def __init__(
        self,
        *,
        network: bool = False,
        namespace: Callable[[], InnerNamespace] = make_inner_namespace,
        cage: Cage = CAGE,
    ) -> None:
        self._network = network
        self._namespace = namespace
        self._cage = cage
        self._leave = ExitStack()
        self._inner: InnerNamespace | None = None
        self._rules = -1

    def __enter__(self) -> OpenCage:
        with ExitStack() as stack:
            self._inner = stack.enter_context(closing(self._namespace()))
            if self._network:
                stack.enter_context(connected(self._inner))
            self._rules = os.memfd_create("rules")
            stack.callback(os.close, self._rules)
            os.write(self._rules, filter_program())
            self._leave = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave.close()

    def run(
        self,
        view: View,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        log: Log | None = None,
        input: str | bytes | None = None,
        cwd: str = "/",
        check: bool = True,
        keep_output: bool = True,
    ) -> str:
        """Run a program as root of the cage, and return its standard output.

        Args:
            view: The files that it sees.
            argv: The program and its arguments.
            env: The complete environment of the program.
            log: Called with each line of output.
            input: Standard input; empty by default.
            cwd: Working directory of the program.
            check: Whether to raise an error if the exit status is not 0.
            keep_output: Whether to return standard output; otherwise, the result is empty.

        Raises:
            CommandError: The program failed, or does not exist (status 127).
            HostError: bubblewrap crashed or was killed.
            LimitError: The program exceeded one of the limits of this build.
        """
        os.lseek(self._rules, 0, os.SEEK_SET)
        try:
            with Guard() as guard:
                return execute(
                    command(
                        self._cage, view, str(self._rules), argv, cwd=cwd, network=self._network
                    ),
                    executable=None,
                    outer="bwrap",
                    log=log,
                    env=env,
                    cwd=None,
                    input=input,
                    check=check,
                    enter=self._enter,
                    descriptors=(self._rules,),
                    started=guard.follow,
                    keep_output=keep_output,
                    shown=argv,
                )
        except CommandError as error:
            if error.tail and _NOT_FOUND.fullmatch(error.tail[-1]):
                problem = f"{argv[0]} does not exist here, or its interpreter does not"
                raise CommandError(argv, 127, problem=problem) from None
            raise

    def _enter(self) -> None:
        """Prepare a new process that is going to execute bubblewrap."""
        inner = self._opened()
        limit_this_process()
        if self._network:
            join(inner.network, CLONE_NEWNET)
        if self._cage.user_namespace:
            join(inner.user, CLONE_NEWUSER)
        os.setgroups([0])
        os.umask(0o022)

    def write_entrance(
        self, file: Path, view: View, program: str, env: Mapping[str, str], outside: Path
    ) -> None:
        """Write a script that runs a program in the cage, for programs that are not in it.

        The script works while the cage is open.

        Args:
            file: The script.
            view: The files that the program sees.
            program: The program.
            env: The complete environment of the program.
            outside: A directory that is left out where arguments begin with it.
        """
        own = f"/proc/{os.getpid()}/fd"
        words = command(self._cage, view, "$rules", [program])
        quoted = [word if word == "$rules" else shlex.quote(word) for word in words]
        given = [shlex.quote(f"{name}={value}") for name, value in env.items()]
        enter = f"nsenter --user={own}/{self._opened().user}"
        file.write_text(
            "#!/bin/bash\n"
            f"outside={shlex.quote(str(outside))}\n"
            "ulimit -c 0\n"
            f"exec {{rules}}<{own}/{self._rules}\n"
            f'exec {enter} env -i {" ".join([*given, *quoted])} "${{@#"$outside"}}"\n',
            errors="surrogateescape",  # paths of the host need not be text
        )
        file.chmod(0o700)

    def _opened(self) -> InnerNamespace:
        assert self._inner is not None, "the cage is not open"
        return self._inner
