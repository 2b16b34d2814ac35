"""How appliances, their steps, root trees and images look in a notebook and at a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kiwinb.errors import KiwinbError
from kiwinb.notebook.html import Markup, block, escape, facts, table
from kiwinb.results.record import BuildResult
from kiwinb.sizes import binary
from kiwinb.steps.step import Step

if TYPE_CHECKING:
    from kiwinb.build.appliance import Appliance, StepForecast
    from kiwinb.build.image import Image
    from kiwinb.build.root_tree import RootTree


class Steps(tuple[Step, ...]):
    """Steps in the order in which they run."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "\n".join(f"{step.name:<16} {step.key[:12]}  {step.title}" for step in self)

    def _repr_html_(self) -> str:
        rows = [
            (_code(step.name), step.title, step.output, step.base or "", _code(step.key[:12]))
            for step in self
        ]
        return block(table(("Step", "What it does", "Leaves", "Goes on from", "Key"), rows))


class Explanation(tuple["StepForecast", ...]):
    """For each step, whether it will run, and why."""

    __slots__ = ()

    def __repr__(self) -> str:
        lines = [
            f"  {_plan(item):<7} {item.step.name:<16} {'; '.join(item.changed)}".rstrip()
            for item in self
        ]
        return "\n".join([self._summary, *lines])

    def _repr_html_(self) -> str:
        rows = [
            (
                Markup(f'<span class="state {"held" if item.held else "waiting"}">'
                       f"{_plan(item)}</span>"),
                _code(item.step.name),
                item.step.title,
                "; ".join(item.changed),
            )
            for item in self
        ]  # fmt: skip
        heads = ("State", "Step", "What it does", "What changed since it ran last")
        return block(f"<h4>{self._summary}</h4>{table(heads, rows)}")

    @property
    def _summary(self) -> str:
        held = sum(item.held for item in self)
        return f"{held} of {len(self)} steps are held"


def _plan(item: StepForecast) -> str:
    return "held" if item.held else "to run"


Pairs = Sequence[tuple[str, str]]


def appliance_facts(appliance: Appliance) -> Pairs:
    """What is what of an appliance; asks no repository and opens no store."""
    image = appliance.description
    return (
        ("Image", f"{image.name} {image.version}"),
        ("Type", image.type.image),
        ("Architecture", image.arch),
        ("Profiles", ", ".join(image.profiles) or "none"),
        ("Package manager", image.preferences.packagemanager or "none"),
        ("Description", str(appliance.document.file)),
        ("Checkpoints", str(appliance.settings.store)),
    )


def root_facts(root: RootTree) -> Pairs:
    """What is what of a root tree in the store."""
    step = root.step
    pairs = [("After the step", f"{step.name}: {step.title}"), ("Key", step.key)]
    try:
        checkpoint = root.appliance.store.get(step.key)
    except KiwinbError:
        return (*pairs, ("Checkpoint", "is not in the store any more; prepare it again"))
    return (
        *pairs,
        ("Made", f"{checkpoint.created}, in {checkpoint.seconds:.1f} s"),
        ("Checkpoint", f"{binary(checkpoint.bytes)} on top of what it builds on"),
    )


def image_facts(image: Image) -> Pairs:
    """What is what of an image."""
    main = image.result.files[0]
    return (
        ("Path", str(image.path)),
        ("Type", image.result.image.type),
        ("Size", f"{binary(main.size)} ({main.size:,} bytes)"),
        ("SHA-256", main.sha256),
    )


def image_html(title: str, image: Image) -> str:
    """An image with its result files, as an output of a notebook."""
    return block(facts(title, image_facts(image)) + _files(image.result))


def results_html(result: BuildResult) -> str:
    """All files of a build, as an output of a notebook."""
    return block(f"<h4>{escape(str(result.directory))}</h4>{_files(result)}")


def _files(result: BuildResult) -> str:
    rows = [
        (file.tag, file.filename, binary(file.size), _code(file.sha256[:16]))
        for file in result.files
    ]
    return table(("Result", "File", "Size", "SHA-256"), rows, (2,))


def results_text(result: BuildResult) -> str:
    """All files of a build, as text."""
    lines = [f"  {binary(file.size):>10}  {file.filename}" for file in result.files]
    return "\n".join([str(result.directory), *lines])


def facts_html(title: str, pairs: Pairs) -> str:
    """Facts as an output of a notebook."""
    return block(facts(title, pairs))


def facts_text(title: str, pairs: Pairs) -> str:
    """Facts as text."""
    return "\n".join([title, *(f"  {name}: {value}" for name, value in pairs)])


def _code(text: str) -> Markup:
    return Markup(f"<code>{escape(text)}</code>")
