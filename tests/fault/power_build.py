"""Two builds that share trees and deliver into one directory; on a disk that loses its power.

python -c PROGRAM STORE OUT MARK    builds; writes to the file MARK what it has reported
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from heavy_tree import WriteMany

from kiwinb.checkpoints.history import BuildIdentity
from kiwinb.checkpoints.runner import run_steps
from kiwinb.checkpoints.store import Store
from kiwinb.checkpoints.treescan import to_json
from kiwinb.description.model import BuildType, ImageDescription, Preferences
from kiwinb.errors import ImageError
from kiwinb.images.kind import ResultFile
from kiwinb.results.deliver import StepFiles, deliver
from kiwinb.results.record import list_results
from kiwinb.results.transaction import sha256_of
from kiwinb.sandbox.command import run
from kiwinb.steps.progress import StepEvent
from kiwinb.steps.step import DraftStep, HostPaths, Output, Step, StepContext, seal

_HERE = str(Path(__file__).parent)
PROGRAM = (
    f"import sys; sys.path.append({_HERE!r}); import power_build; power_build.main(sys.argv[1:])"
)
"""What ``python -c`` runs."""

BUILDS = ("first", "second")

_FILES = 40

_IMAGE = ImageDescription(
    name="power",
    directory=Path("/nowhere"),
    file=Path("/nowhere/config.xml"),
    arch="x86_64",
    type=BuildType("tbz"),
    preferences=Preferences(version="1.0.0"),
)
_RESULT = ResultFile("root_archive", "pack", "tree.tar")


@dataclass(frozen=True)
class PackNamed:
    """Pack the tree under a name, into the same bytes each time."""

    name: str
    output: ClassVar[Output] = "files"
    revision: ClassVar[int] = 1

    def run(self, context: StepContext) -> None:
        fixed = ("--sort=name", "--mtime=@0", f"--transform=s,^,{self.name}/,")
        run(["tar", *fixed, "-cf", context.output() / _RESULT.filename, "-C", context.root, "."])


def steps(name: str) -> tuple[Step, ...]:
    """The steps of a build."""
    return seal(
        (
            DraftStep("one", "One", WriteMany(1, _FILES)),
            DraftStep("two", "Two", WriteMany(2, _FILES), base="one"),
            DraftStep("pack", "Pack", PackNamed(name), base="two"),
        )
    )


def build(store: Store, name: str, out: Path, tell: Callable[[str], None]) -> None:
    """Run a build, deliver its result, and tell what is done."""
    planned = steps(name)

    def observe(event: StepEvent) -> None:
        if event.state in ("done", "held"):
            tell(f"{event.state} {name} {event.step.name}")

    made = run_steps(store, planned, HostPaths(cache=Path("/nonexistent")), observe)["pack"]
    store.history.remember(BuildIdentity(Path("/nowhere"), name), planned)
    files = StepFiles(made.key, store.files(made), made.files, is_new=made.key in store.made)
    tell(f"delivering {name}")
    deliver(_IMAGE, (_RESULT,), {"pack": files}, out)
    tell(f"delivered {name}")


def claimed(out: Path) -> dict[str, str]:
    """What the record in a directory says, if there is one: the file, and whether it is that."""
    try:
        found = list_results(out).files
    except ImageError as error:
        return {} if "there are no build results" in str(error) else {"record": str(error)}
    said = {}
    for file in found:
        path = out / file.filename
        whole = path.is_file() and sha256_of(path) == file.sha256
        said[file.key if whole else file.filename] = "whole" if whole else "not what it was"
    return said


def check(store: Path, out: Path) -> dict[str, Any]:
    """Look at what there is after the power failed, go on, and look again."""
    said: list[str] = []
    before = claimed(out)
    opened = Store.open(store)
    history = opened.history.problems()
    for name in BUILDS:
        build(opened, name, out, said.append)
    keys = {name: [step.key for step in steps(name)] for name in BUILDS}
    trees = [to_json(opened.scan(key)) for key in keys["second"][:2]]
    return {
        "before": before,
        "history": list(history),
        "said": said,
        "trees": [hashlib.sha256(tree.encode()).hexdigest() for tree in trees],
        "images": [sha256_of(opened.object(keys[name][2]) / "data/tree.tar") for name in BUILDS],
        "damage": dict(opened.verify_all()),
        "after": claimed(out),
    }


def main(arguments: Sequence[str]) -> None:
    """Run both builds."""
    store, out, mark = map(Path, arguments)
    with mark.open("w", buffering=1) as file:
        opened = Store.open(store)
        for name in BUILDS:
            build(opened, name, out, lambda word: print(word, file=file, flush=True))
