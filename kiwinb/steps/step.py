"""A step: what is done, what it reads, and the content key that follows from both.

A build is a sequence of steps. Each step carries one :class:`Action`, frozen
data that says completely what is to be done, and a key, the SHA-256 over the
action and over the keys of the steps it builds on. Two steps with one key
give one result, so a result that the checkpoint store holds under that key
is taken instead of running the action again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, Protocol

from kiwinb.steps.keys import Digest, digest, keyed_fields
from kiwinb.steps.registry import Used

Output = Literal["tree", "files"]

DEFAULT_MEMORY = 256 << 20
"""Bytes of memory that a step is taken to need when its action does not say."""


@dataclass(frozen=True)
class HostPaths:
    """Places on the build host; they never change a result, so no key includes them.

    Attributes:
        cache: Directory of downloads, shared by all builds.
        mirrors: URLs by mirror alias, for example ``{"debian": ("http://…/debian",)}``.
    """

    cache: Path
    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class StepContext:
    """What an action is given when it runs, inside its own namespaces, as (mapped) root.

    Attributes:
        root: The root tree. Writable for an action whose output is ``tree``; for one whose
            output is ``files`` it may be written to as well, and what is written is thrown away.
        out: For an action whose output is ``files``: the empty directory to write to.
        inputs: The output directories of the ``files`` steps that the step needs, by step name.
        host: Places on the build host.
        log: Takes one line of output, without line end.
        progress: Takes how much is done, 0.0 to 1.0.
        rootless: Runs in a user namespace: no device nodes, no real mounts of block devices.
    """

    root: Path
    out: Path | None
    inputs: Mapping[str, Path]
    host: HostPaths
    log: Callable[[str], None]
    progress: Callable[[float], None]
    rootless: bool

    def output(self) -> Path:
        """The directory to write to, for an action whose output is ``files``."""
        assert self.out is not None, "only an action whose output is 'files' has one"
        return self.out


class Action(Protocol):
    """Frozen, picklable data that says what a step does, and the way to do it.

    An action is a frozen dataclass. All of its fields are hashed into the key, but for those
    declared with ``field(metadata=NOT_IN_KEY)``, which must not change the result. A change to
    what ``run`` makes of the same fields raises ``revision``.

    An action that needs more or less memory than :data:`DEFAULT_MEMORY` says so in a class
    attribute ``memory``, in bytes: steps that would need more together than the host has
    available do not run at the same time.
    """

    output: ClassVar[Output]
    revision: ClassVar[int]

    def run(self, context: StepContext) -> None:
        """Do it.

        Raises:
            KiwinbError: It cannot be done; nothing of it is kept.
        """
        ...


@dataclass(frozen=True)
class Step:
    """One resumable step of a build.

    Attributes:
        name: Unique in the build, for example ``overlay``.
        title: What it does, for people.
        action: The action.
        base: Name of the step whose tree this one continues or reads; ``None`` for an empty tree.
        needs: Names of the ``files`` steps whose output it reads.
        inputs: Digest of each thing the step reads, by label; says *which* input changed.
        key: Content key, 64 hexadecimal digits.
    """

    name: str
    title: str
    action: Action
    base: str | None
    needs: tuple[str, ...]
    inputs: Mapping[str, Digest]
    key: Digest

    @property
    def output(self) -> Output:
        """``tree`` for a step that leaves a root tree, ``files`` for one that leaves files."""
        return self.action.output

    @property
    def memory(self) -> int:
        """Bytes of memory that it needs, about."""
        return getattr(self.action, "memory", DEFAULT_MEMORY)

    @property
    def before(self) -> tuple[str, ...]:
        """Names of the steps whose results it reads: its base and its needs."""
        return (*(() if self.base is None else (self.base,)), *self.needs)


@dataclass(frozen=True)
class DraftStep:
    """A step before its key is known: what a planner writes down.

    Attributes:
        made_by: The plug-in that planned it; its revision is in the key.
    """

    name: str
    title: str
    action: Action
    base: str | None = None
    needs: tuple[str, ...] = ()
    made_by: Used | None = None


def seal(drafts: tuple[DraftStep, ...], before: tuple[Step, ...] = ()) -> tuple[Step, ...]:
    """Give each draft its key, over its action and the keys of the steps it builds on.

    Args:
        drafts: In the order in which they run; ``base`` and ``needs`` name earlier ones.
        before: Steps that are sealed already and may be named.
    """
    keys = {step.name: step.key for step in before}
    steps: list[Step] = []
    for draft in drafts:
        action = type(draft.action)
        inputs = digest_fields(draft.action)
        if draft.made_by is not None:
            inputs["made_by"] = digest(draft.made_by)
        key = digest(
            {
                "action": f"{action.__module__}.{action.__qualname__}",
                "revision": draft.action.revision,
                "inputs": inputs,
                "base": keys[draft.base] if draft.base is not None else None,
                "needs": {name: keys[name] for name in draft.needs},
            }
        )
        keys[draft.name] = key
        steps.append(
            Step(draft.name, draft.title, draft.action, draft.base, draft.needs, inputs, key)
        )
    return tuple(steps)


def digest_fields(action: Action) -> dict[str, Digest]:
    """The digest of each field of an action that its key includes, by field name."""
    return {name: digest(value) for name, value in keyed_fields(action)}
