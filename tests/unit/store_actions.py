"""Small actions for tests of the store; here because a worker imports the module of what it runs.

Without pytest in it, that takes half the time.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from kiwinb.errors import CommandError
from kiwinb.sandbox.worker import Report
from kiwinb.steps.step import Output, StepContext


@dataclass(frozen=True)
class Write:
    """Write a file into the tree."""

    name: str
    content: str
    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    def run(self, context: StepContext) -> None:
        context.log(f"writing {self.name}")
        context.progress(0.5)
        (context.root / self.name).write_text(self.content)


@dataclass(frozen=True)
class Pack:
    """List the tree and what other steps made, in a file."""

    label: str
    output: ClassVar[Output] = "files"
    revision: ClassVar[int] = 1

    def run(self, context: StepContext) -> None:
        names = sorted(path.name for path in context.root.iterdir())
        given = [(path / "list").read_text() for path in context.inputs.values()]
        (context.root / "scratch").write_text("thrown away")
        (context.output() / "list").write_text(f"{self.label}:{','.join(names)};{''.join(given)}")


@dataclass(frozen=True)
class Fail:
    """Write something, and fail."""

    how: str
    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    def run(self, context: StepContext) -> None:
        (context.root / "half").write_text("half")
        if self.how == "command":
            raise CommandError(["tool"], 4)
        if self.how == "disk":
            raise OSError(28, "No space left on device", "file")
        raise ZeroDivisionError


@dataclass(frozen=True)
class Nap:
    """Take a while."""

    seconds: float
    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    def run(self, context: StepContext) -> None:
        (context.root / "napped").write_text(str(os.getpid()))
        time.sleep(self.seconds)


def read(root: Path, name: str, _report: Report) -> str:
    return (root / name).read_text()


def spoil(root: Path, name: str, _report: Report) -> str:
    (root / name).write_text("spoilt")
    return (root / name).read_text()


@dataclass(frozen=True)
class Shell:
    """Change the tree by commands of sh, in its root directory."""

    commands: str
    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    def run(self, context: StepContext) -> None:
        subprocess.run(["sh", "-euc", self.commands], cwd=context.root, check=True)


@dataclass(frozen=True)
class ObservedShell(Shell):
    """The same, observed."""

    observed: ClassVar[bool] = True


@dataclass(frozen=True)
class Look:
    """Read a file of the tree, and write what is in it into another one; observed."""

    name: str
    how: str = ""
    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1
    observed: ClassVar[bool] = True

    def run(self, context: StepContext) -> None:
        context.log(f"looking at {self.name}")
        context.progress(0.5)
        found = (context.root / self.name).read_text()
        if self.how == "command":
            raise CommandError(["tool"], 4)
        if self.how == "orphan" and os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        if self.how in ("die", "orphan"):
            os._exit(9)
        if self.how == "network":
            socket.socket().close()
        (context.root / "sub").mkdir(exist_ok=True)
        (context.root / "sub" / "seen").write_text(found)


@dataclass(frozen=True)
class LookFiles(Look):
    """The same, as files."""

    output: ClassVar[Output] = "files"

    def run(self, context: StepContext) -> None:
        (context.output() / "seen").write_text((context.root / self.name).read_text())


@dataclass(frozen=True)
class SetMode:
    """Give the top directory a mode."""

    mode: int
    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    def run(self, context: StepContext) -> None:
        context.root.chmod(self.mode)
