"""What the last build of each image read: says which input makes a step run again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kiwinb.checkpoints.locks import locked
from kiwinb.steps.keys import Digest
from kiwinb.steps.step import Step


@dataclass(frozen=True)
class LastRun:
    """What a step of an image was when it was built last.

    Attributes:
        key: Its content key.
        inputs: Digest of each thing it read, by label.
        before: Keys of the steps it built on, by step name.
    """

    key: Digest
    inputs: Mapping[str, Digest]
    before: Mapping[str, Digest]


class History:
    """The index of last runs, by image and step; a file of the store.

    Args:
        file: The file; made when something is remembered.
        lock: Lock file that guards it.
    """

    def __init__(self, file: Path, lock: Path) -> None:
        self._file = file
        self._lock = lock

    def last(self, image: str, step: str) -> LastRun | None:
        """The last run of a step.

        Args:
            image: Result name of the image.
            step: Name of the step.
        """
        data = self._read().get(image, {}).get(step)
        return None if data is None else LastRun(**data)

    def remember(self, image: str, steps: Iterable[Step]) -> None:
        """Write down what the steps of an image are now."""
        planned = tuple(steps)
        keys = {step.name: step.key for step in planned}
        runs = {
            step.name: asdict(LastRun(step.key, dict(step.inputs), _before(step, keys)))
            for step in planned
        }
        with locked(self._lock, what="the build history"):
            data = self._read()
            data[image] = {**data.get(image, {}), **runs}
            spare = self._file.with_suffix(".new")
            spare.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n", encoding="utf-8")
            spare.replace(self._file)

    def changes(self, image: str, step: Step, steps: Iterable[Step]) -> tuple[str, ...]:
        """Why a step differs from its last run, in words; empty when it does not."""
        last = self.last(image, step.name)
        if last is None:
            return ("it was not built before",)
        if last.key == step.key:
            return ()
        before = _before(step, {planned.name: planned.key for planned in steps})
        found = [
            *_differences("input", last.inputs, step.inputs),
            *_differences("step", last.before, before),
        ]
        return tuple(found) or ("kiwinb does it another way now",)

    def _read(self) -> dict[str, dict[str, dict[str, Any]]]:
        try:
            return json.loads(self._file.read_bytes())  # type: ignore[no-any-return]
        except (FileNotFoundError, ValueError):
            return {}


def _before(step: Step, keys: Mapping[str, Digest]) -> dict[str, Digest]:
    names = (*(() if step.base is None else (step.base,)), *step.needs)
    return {name: keys[name] for name in names if name in keys}


def _differences(what: str, last: Mapping[str, Digest], now: Mapping[str, Digest]) -> Iterable[str]:
    for label in (*now, *(label for label in last if label not in now)):
        if last.get(label) != now.get(label):
            yield f"{what} {label} changed"
