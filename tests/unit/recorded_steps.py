"""Steps that a cell of a recipe says it runs, and what the cell does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from kiwinb.steps.step import DraftStep, Output, Step, StepContext, seal


@dataclass(frozen=True)
class Nothing:
    name: str
    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    def run(self, context: StepContext) -> None:
        raise NotImplementedError


STEPS: tuple[Step, ...] = seal(
    (
        DraftStep("tree", "Make a tree", Nothing("tree")),
        DraftStep("initrd", "Make the initrd", Nothing("initrd"), base="tree"),
    )
)

_BUILD = """\
import time
from recorded_steps import STEPS
from kiwinb.steps.progress import StepEvent, ignore
from kiwinb.steps.recorded import recorded

with recorded("server", ignore) as observe:
    observe(StepEvent(STEPS[0], "held", seconds=3.0))
    observe(StepEvent(STEPS[1], "running"))
    time.sleep(0.3)
    observe(StepEvent(STEPS[1], "running", line="one line of dracut", fraction=0.25))
    time.sleep({seconds})
    observe(StepEvent(STEPS[1], "done", seconds=1.25))
"""


def build(seconds: float = 0.0) -> str:
    """The source of a cell that does as if it ran steps for some seconds."""
    return _BUILD.format(seconds=seconds)
