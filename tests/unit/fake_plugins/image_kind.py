"""An image kind that is a list of the files of the tree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from kiwinb.description.model import ImageDescription
from kiwinb.images import IMAGE_KINDS
from kiwinb.images.inputs import BuildInputs
from kiwinb.images.kind import Form, ImagePlan, Plain, ResultFile
from kiwinb.steps.step import DraftStep, Output, StepContext


@dataclass(frozen=True)
class ListFiles:
    """List the files of the tree."""

    output: ClassVar[Output] = "files"
    revision: ClassVar[int] = 1

    filename: str
    title: str | None

    def run(self, context: StepContext) -> None:
        files = (path for path in context.root.rglob("*") if path.is_file())
        names = sorted(str(path.relative_to(context.root)) for path in files)
        text = "".join(f"{line}\n" for line in (f"# {self.title}", *names))
        (context.output() / self.filename).write_text(text)


@dataclass(frozen=True)
class FakeKind(Plain):
    """See :class:`kiwinb.images.kind.ImageKind`."""

    name: str = "fakelist"
    revision: int = 1
    form: Form = "archive"
    boots: bool = False
    honours: frozenset[str] = frozenset({"volid"})

    def tools(self, image: ImageDescription) -> Mapping[str, str]:
        return {"fakelist-make": "lists of files"}

    def plan(self, image: ImageDescription, inputs: BuildInputs, tree: str) -> ImagePlan:
        filename = f"{image.result_name}.list"
        action = ListFiles(filename, image.type.volid)
        return ImagePlan(
            (DraftStep("list", "List the files", action, base=tree),),
            (ResultFile("file_list", "list", filename),),
        )


IMAGE_KINDS.register(FakeKind())
