"""Steps with many files, for builds that are killed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import ClassVar

from kiwinb.sandbox.command import run
from kiwinb.steps.step import DraftStep, Output, Step, StepContext, seal

_FILES = 400


@dataclass(frozen=True)
class WriteMany:
    """Write, link, change and remove many files, with children at work.

    Attributes:
        number: Number of the step; it changes what the step before has written.
        files: How many files to write.
    """

    number: int
    files: int = _FILES
    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    def run(self, context: StepContext) -> None:
        own = context.root / f"of-{self.number}"
        own.mkdir()
        for index in range(self.files):
            path = own / f"{index}"
            path.write_text(f"{self.number} {index}\n" * 50)
            os.chown(path, index, index)
            if index % 10 == 0:
                os.link(path, own / f"{index}-linked")
        run(["cp", "-a", own, context.root / f"copy-{self.number}"])
        before = context.root / f"of-{self.number - 1}"
        if before.exists():
            for index in range(0, self.files, 4):
                (before / f"{index}").open("a").write("changed\n")
                (before / f"{index + 1}").unlink()
            run(["rm", "-r", context.root / f"copy-{self.number - 1}"])


@dataclass(frozen=True)
class Pack:
    """Pack the tree."""

    output: ClassVar[Output] = "files"
    revision: ClassVar[int] = 1

    def run(self, context: StepContext) -> None:
        run(["tar", "-cf", context.output() / "tree.tar", "-C", context.root, "."])


def heavy_steps() -> tuple[Step, ...]:
    return seal(
        (
            DraftStep("one", "One", WriteMany(1)),
            DraftStep("two", "Two", WriteMany(2), base="one"),
            DraftStep("three", "Three", WriteMany(3), base="two"),
            DraftStep("pack", "Pack", Pack(), base="three"),
        )
    )
