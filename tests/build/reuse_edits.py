"""Random edits of a tree, each followed by a step whose reads are observed.

This module runs as a program of its own, as one user or another; a worker imports it.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from random_edits import SCRIPT, edit_tree, make_tree

from kiwinb.checkpoints.runner import run_steps
from kiwinb.checkpoints.store import Store
from kiwinb.checkpoints.treescan import compare
from kiwinb.sandbox.chroot import Chroot
from kiwinb.steps.progress import StepEvent
from kiwinb.steps.step import DraftStep, HostPaths, Output, StepContext, seal

MORE = """
busybox rm -rf /var/d1
busybox mkdir /var/d1
echo new > /var/d1/new
test -e /etc/d2/a4 && echo more >> /etc/d2/a4 || true
busybox chmod 711 /var/d2 || true
test -d /lib/d2 && busybox mv /lib/d2 /var/moved || true
busybox ln -sf /lib/d1 /etc/d0/a0 || true
"""


@dataclass(frozen=True)
class Make:
    """Make the tree."""

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    def run(self, context: StepContext) -> None:
        make_tree(context.root)
        for name in ("one", "two"):
            os.link(context.root / "lib/d1/a0", context.root / "lib" / name)


@dataclass(frozen=True)
class Edit:
    """Make random edits."""

    seed: int
    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1

    def run(self, context: StepContext) -> None:
        chance = random.Random(self.seed)
        for _number in range(self.seed and chance.choice((1, 1, 2))):
            context.log(edit_tree(context.root, chance))


@dataclass(frozen=True)
class Work:
    """Work on the tree from outside and inside."""

    output: ClassVar[Output] = "tree"
    revision: ClassVar[int] = 1
    observed: ClassVar[bool] = True

    def run(self, context: StepContext) -> None:
        root = context.root
        seen = sorted(path.name for path in (root / "var/d2").glob("a*"))
        with Chroot(root, log=context.log) as chroot:
            path = {"PATH": "/bin"}
            command = ["/bin/busybox", "sh", "-c", SCRIPT + MORE]
            chroot.run(command, env=path, check=False)
        out = root / "out"
        out.mkdir(exist_ok=True)
        (out / "seen").write_text(" ".join(seen))


@dataclass(frozen=True)
class Repeat(Work):
    """The same, never reused."""

    observed: ClassVar[bool] = False


def main(directory: Path, seeds: Iterable[int]) -> None:
    """Print how many results were reused and how many made, and each one that was wrong."""
    store = Store.open(directory, backend="overlay")
    outcomes = {"reused": 0, "done": 0, "failed": 0}
    wrong = []
    for seed in (0, *seeds):
        states: dict[str, str] = {}

        def note(event: StepEvent, states: dict[str, str] = states) -> None:
            states[event.step.name] = event.state

        steps = seal(
            (
                DraftStep("make", "Make", Make()),
                DraftStep("edit", "Edit", Edit(seed), base="make"),
                DraftStep("work", "Work", Work(), base="edit"),
                DraftStep("repeat", "Repeat", Repeat(), base="edit"),
            )
        )
        keys = {step.name: step.key for step in steps}
        host = HostPaths(cache=directory)
        run_steps(store, steps, host, note, targets=["work", "repeat"])
        outcomes[states["work"]] += 1
        if states["work"] == "reused":
            differs = compare(store.scan(keys["work"]), store.scan(keys["repeat"]))
            wrong += [f"{seed}: {line}" for line in differs]
            wrong += store.verify(keys["work"])
    json.dump({"outcomes": outcomes, "wrong": wrong}, sys.stdout)
