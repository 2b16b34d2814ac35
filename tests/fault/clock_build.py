"""What runs while the clock is wrong.

The function :func:`main` takes one of these commands:

``steps STORE NAME [FILE]``
    Run steps, and print what came of it.
``gc STORE LIMIT``
    Print the names of the checkpoints that are removed.
``plan DIRECTORY``
    Print the keys of the steps of an appliance, or why there are none.

With FILE, the clock jumps by years each few milliseconds while the steps run.
"""

from __future__ import annotations

import hashlib
import json
import random
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from heavy_tree import WriteMany
from small_build import settings

from kiwinb.build.appliance import Appliance
from kiwinb.checkpoints.runner import run_steps
from kiwinb.checkpoints.store import Store
from kiwinb.checkpoints.treescan import to_json
from kiwinb.errors import KiwinbError
from kiwinb.files import replace_file
from kiwinb.steps.progress import StepEvent
from kiwinb.steps.step import DraftStep, HostPaths, StepContext, seal

_YEAR = 365 * 24 * 3600
_OFFSETS = (0, 30 * _YEAR, -20 * _YEAR, 3600, -3600, 7 * _YEAR, -1)


@dataclass(frozen=True)
class WriteAndTell(WriteMany):
    """Write many files, and tell now and then what the clock says."""

    revision: ClassVar[int] = 1

    def run(self, context: StepContext) -> None:
        for _part in range(10):
            context.log(f"{time.time() // 86400:.0f}")
            time.sleep(0.02)
        super().run(context)


def _jump(file: Path, ended: threading.Event) -> None:
    dice = random.Random(1)
    while not ended.wait(0.005):
        replace_file(file, str(dice.choice(_OFFSETS)))


def run(store: Path, name: str, file: Path | None = None) -> dict[str, object]:
    """Run two steps, and tell what they made, how long they say it took, and what it took."""
    steps = seal(
        (
            DraftStep(f"{name}-one", "One", WriteAndTell(1, 100 + ord(name[-1]))),
            DraftStep(f"{name}-two", "Two", WriteAndTell(2, 100), base=f"{name}-one"),
        )
    )
    events: list[StepEvent] = []
    opened = Store.open(store)
    ended = threading.Event()
    if file is not None:
        threading.Thread(target=_jump, args=(file, ended), daemon=True).start()
    began = time.monotonic()
    made = run_steps(opened, steps, HostPaths(cache=Path("/nonexistent")), events.append)
    taken = time.monotonic() - began
    ended.set()
    tree = to_json(opened.scan(steps[-1].key))
    return {
        "states": [event.state for event in events if event.state != "running"],
        "seconds": [event.seconds for event in events if event.seconds is not None],
        "made": [checkpoint.seconds for checkpoint in made.values()],
        "taken": taken,
        "days": [int(day) for item in made.values() for day in opened.log(item).split()],
        "keys": [step.key for step in steps],
        "tree": hashlib.sha256(tree.encode()).hexdigest(),
        "damage": dict(opened.verify_all()),
    }


def _plan(directory: Path) -> dict[str, object]:
    appliance = Appliance(directory / "description", settings=settings(directory))
    try:
        return {"keys": [step.key for step in appliance.steps]}
    except KiwinbError as error:
        return {"error": str(error)}


def main(command: str, directory: str, *words: str) -> None:
    """Do what a command says."""
    found: object
    place = Path(directory)
    if command == "steps":
        found = run(place, words[0], *map(Path, words[1:]))
    elif command == "gc":
        found = [checkpoint.name for checkpoint in Store.open(place).gc(int(words[0]))]
    else:
        found = _plan(place)
    print(json.dumps(found))
