"""What the last build of each image read, to tell which input makes a step run again."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kiwinb.checkpoints.locks import locked
from kiwinb.files import is_draft_of, read_regular, replace_file
from kiwinb.steps.keys import Digest, digest
from kiwinb.steps.step import Step
from kiwinb.typed_json import WrongData, dumps, loads

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BuildIdentity:
    """The identity of a build; the history compares builds with the same identity.

    Attributes:
        description: The description directory.
        name: Name of the image.
        profiles: The selected profiles.
        type: The image type.
        arch: The target architecture, as ``uname -m`` prints it.
        overrides: Digest of the overrides.
    """

    description: Path
    name: str
    profiles: tuple[str, ...] = ()
    type: str = ""
    arch: str = ""
    overrides: Digest = ""

    @property
    def key(self) -> Digest:
        """The key of the build in the history."""
        return digest(self)


@dataclass(frozen=True)
class LastRun:
    """What a step was when its image was last built.

    Attributes:
        key: Its content key.
        inputs: Digest of each input, by label.
        before: Keys of the steps that it built on, by step name.
    """

    key: Digest
    inputs: Mapping[str, Digest]
    before: Mapping[str, Digest]


_Builds = dict[str, dict[str, LastRun]]

HISTORY = "history.json"
"""Name of the file in the store."""

_BUILDS = 500
"""How many builds the history remembers."""


class History:
    """The index of the last runs by build and step, in a file of the store.

    Args:
        file: The file; it is created when there is something to remember.
        lock: Lock file that guards it.
    """

    def __init__(self, file: Path, lock: Path) -> None:
        self._file = file
        self._lock = lock

    def last(self, build: BuildIdentity, step: str) -> LastRun | None:
        """The last run of a step.

        Args:
            build: Which build.
            step: Name of the step.
        """
        return self._read().get(build.key, {}).get(step)

    def remember(self, build: BuildIdentity, steps: Iterable[Step]) -> None:
        """Record the current steps of a build.

        If it cannot write the file, it logs this; the history does not change any result.
        """
        planned = tuple(steps)
        keys = {step.name: step.key for step in planned}
        runs = {
            step.name: LastRun(step.key, dict(step.inputs), _before(step, keys)) for step in planned
        }
        try:
            with locked(self._lock, what="the build history"):
                data = self._read()
                if [*data][-1:] == [build.key] and data[build.key] == data[build.key] | runs:
                    return
                data[build.key] = {**data.pop(build.key, {}), **runs}  # the latest is the last
                for old in [*data][:-_BUILDS]:
                    del data[old]
                replace_file(self._file, dumps(data) + "\n", durable=True)
        except OSError as error:
            log.warning("What was built is not remembered: %s", error)

    def clean(self) -> None:
        """Remove what an interrupted :meth:`remember` left behind."""
        if self._drafts():
            with locked(self._lock, what="the build history"):
                for draft in self._drafts():
                    draft.unlink()

    def _drafts(self) -> list[Path]:
        directory = self._file.parent
        return [file for file in directory.iterdir() if is_draft_of(file.name, self._file.name)]

    def changes(
        self, build: BuildIdentity, step: Step, steps: Iterable[Step], *, held: bool = False
    ) -> tuple[str, ...]:
        """Why a step differs from its last run, in words.

        Args:
            build: Which build.
            step: The step.
            steps: All steps of the build.
            held: The store holds its result, so it does not run, and there are no reasons.

        Returns:
            The reasons; empty when there are none.
        """
        if held:
            return ()
        last = self.last(build, step.name)
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

    def problems(self) -> tuple[str, ...]:
        """What is wrong with the file; the next build writes a new one."""
        try:
            self._read_strictly()
        except FileNotFoundError:
            return ()
        except (OSError, WrongData) as error:
            return (f"{error}; the next build writes a new one",)
        return ()

    def _read(self) -> _Builds:
        try:
            return self._read_strictly()
        except FileNotFoundError:
            return {}
        except (OSError, WrongData) as error:
            log.warning("The history is damaged, so changes cannot be explained: %s", error)
            return {}

    def _read_strictly(self) -> _Builds:
        builds: _Builds = loads(read_regular(self._file), _Builds)
        return builds


def _before(step: Step, keys: Mapping[str, Digest]) -> dict[str, Digest]:
    names = (*(() if step.base is None else (step.base,)), *step.needs)
    return {name: keys[name] for name in names if name in keys}


def _differences(what: str, last: Mapping[str, Digest], now: Mapping[str, Digest]) -> Iterable[str]:
    for label in (*now, *(label for label in last if label not in now)):
        if last.get(label) != now.get(label):
            yield f"{what} {label} changed"
