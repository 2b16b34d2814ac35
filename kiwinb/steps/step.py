"""A step: an action, its inputs, and the content key that follows from both.

A build is a sequence of steps. Each step has an :class:`Action`, frozen data that completely
describes what to do, and a key: the SHA-256 of the action and of the keys of the steps that it
builds on. Steps with the same key have the same result. So if the checkpoint store holds a result
under that key, the build uses it instead of running the action again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, Protocol

from kiwinb.limits import Limits
from kiwinb.steps.keys import Digest, digest, keyed_fields
from kiwinb.steps.registry import Used

Output = Literal["tree", "files"]

DEFAULT_MEMORY = 256 << 20
"""Bytes of memory that a step needs if its action does not say."""


@dataclass(frozen=True)
class HostPaths:
    """Places and limits on the build host. They never change a result, so no key covers them.

    Attributes:
        cache: The download cache, which all builds share.
        mirrors: URLs by mirror alias, for example ``{"debian": ("http://…/debian",)}``.
        limits: How much of the host the programs of a step may use.
    """

    cache: Path
    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class StepContext:
    """The environment of a running action, which runs as (mapped) root in its own namespaces.

    Attributes:
        root: The root tree. It is writable; if the output of the action is ``files``, changes to
            the tree are discarded.
        out: The empty directory to write to, if the output of the action is ``files``.
        inputs: The output directories of the ``files`` steps that the step needs, by step name.
        host: Places on the build host.
        log: Called with each line of output, without the line end.
        progress: Called with how much is done, 0.0 to 1.0.
        rootless: Whether the action runs in a user namespace, in which it can neither make device
            nodes nor mount block devices.
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
    """Frozen, picklable data that says what a step does, and the method that does it.

    An action is a frozen dataclass. The key covers all its fields except those declared with
    ``field(metadata=NOT_IN_KEY)``, which must not change the result. Raise ``revision`` when
    ``run`` makes a different result from the same fields.

    If the result of an action depends only on its fields and on what it reads of the tree, its
    class sets the attribute ``observed`` to true. kiwinb then records what the action reads, and
    reuses the result for a later tree that is the same in all of these places. If the result can
    also depend on modification times, the class sets ``reads_mtimes`` to true, too.

    An action that needs more or less memory than :data:`DEFAULT_MEMORY` has a class attribute
    ``memory``, in bytes. Steps that together need more memory than the host has available do not
    run at the same time.
    """

    output: ClassVar[Output]
    revision: ClassVar[int]

    def run(self, context: StepContext) -> None:
        """Run the action.

        Raises:
            KiwinbError: The action failed; its output is discarded.
        """
        ...


def is_observed(action: Action) -> bool:
    """Whether what the action reads is recorded, to reuse its result with other trees."""
    return bool(getattr(action, "observed", False))


def reads_mtimes(action: Action) -> bool:
    """Whether modification times of what the action reads may change its result."""
    return bool(getattr(action, "reads_mtimes", False))


@dataclass(frozen=True)
class Step:
    """One resumable step of a build.

    Attributes:
        name: Name that is unique in the build, for example ``overlay``.
        title: What the step does, for people to read.
        action: The action.
        base: Name of the step whose tree this one continues or reads; ``None`` for an empty tree.
        needs: Names of the ``files`` steps whose output it reads.
        inputs: Digest of each input, by label; they show *which* input changed.
        key: Content key, 64 hexadecimal digits.
        action_key: Digest of everything that the key covers except the base; equal for steps
            that do the same with different trees.
    """

    name: str
    title: str
    action: Action
    base: str | None
    needs: tuple[str, ...]
    inputs: Mapping[str, Digest]
    key: Digest
    action_key: Digest

    @property
    def output(self) -> Output:
        """``tree`` if the step makes a root tree, ``files`` if it makes files."""
        return self.action.output

    @property
    def memory(self) -> int:
        """The approximate number of bytes of memory that it needs."""
        return getattr(self.action, "memory", DEFAULT_MEMORY)

    @property
    def before(self) -> tuple[str, ...]:
        """Names of the steps whose results it reads: its base and its needs."""
        return (*(() if self.base is None else (self.base,)), *self.needs)


@dataclass(frozen=True)
class DraftStep:
    """A step that has no key yet; planners return these.

    Attributes:
        made_by: The plug-in that planned it; the key covers its revision.
    """

    name: str
    title: str
    action: Action
    base: str | None = None
    needs: tuple[str, ...] = ()
    made_by: Used | None = None


def seal(drafts: tuple[DraftStep, ...], before: tuple[Step, ...] = ()) -> tuple[Step, ...]:
    """Give each draft its key, made from its action and the keys of the steps that it builds on.

    Args:
        drafts: In the order in which they run; ``base`` and ``needs`` name earlier ones.
        before: Sealed steps that the drafts may name.
    """
    keys = {step.name: step.key for step in before}
    steps: list[Step] = []
    for draft in drafts:
        action = type(draft.action)
        inputs = digest_fields(draft.action)
        if draft.made_by is not None:
            inputs["plug-in"] = digest(draft.made_by)  # no field of an action is called so
        covered = {
            "action": f"{action.__module__}.{action.__qualname__}",
            "revision": draft.action.revision,
            "inputs": inputs,
            "needs": {name: keys[name] for name in draft.needs},
        }
        base = None if draft.base is None else keys[draft.base]
        key = digest({**covered, "base": base})
        keys[draft.name] = key
        named = (draft.name, draft.title, draft.action, draft.base, draft.needs)
        steps.append(Step(*named, inputs, key, digest(covered)))
    return tuple(steps)


def digest_fields(action: Action) -> dict[str, Digest]:
    """The digest of each field of an action that its key covers, by field name."""
    return {name: digest(value) for name, value in keyed_fields(action)}
