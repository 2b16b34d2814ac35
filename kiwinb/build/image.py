"""Images: the files that create delivered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kiwinb.build.inspectable import Inspectable
from kiwinb.description.model import ImageDescription
from kiwinb.notebook.reprs import Pairs, facts_html, facts_text
from kiwinb.results.record import BuildResult, files_table
from kiwinb.sizes import binary

if TYPE_CHECKING:
    import pandas as pd

    from kiwinb.inspect.tree import Tree


@dataclass(frozen=True, repr=False)
class Image(Inspectable):
    """An image in a target directory.

    Attributes:
        description: The effective description of the image.
        result: All files that were delivered.
    """

    description: ImageDescription
    result: BuildResult

    def __repr__(self) -> str:
        return facts_text(self._title, self._facts())

    def _repr_html_(self) -> str:
        return facts_html(self._title, self._facts(), files_table(self.result))

    @property
    def _title(self) -> str:
        return f"Image {self.result.image.result_name}"

    def _facts(self) -> Pairs:
        main, unchecked = self.result.files[0], self.result.unchecked
        return (
            ("Path", str(self.path)),
            ("Type", self.result.image.type),
            ("Size", f"{binary(main.size)} ({main.size:,} bytes)"),
            ("SHA-256", main.sha256),
            *((("Signatures not checked", unchecked),) if unchecked else ()),
        )

    @property
    def path(self) -> Path:
        """The image file itself."""
        return self.result.directory / self.result.files[0].filename

    def parts(self) -> pd.DataFrame:
        """How the bytes of a disk image are used, partition by partition.

        Raises:
            InspectError: The image is not a disk with partitions.
        """
        with self.tree() as tree:
            from kiwinb.inspect.breakdown import parts

            return parts(tree)

    def _described(self) -> ImageDescription:
        return self.description

    def tree(self) -> Tree:
        """See :meth:`Inspectable.tree`."""
        from kiwinb.inspect.formats import open_tree

        return open_tree(self.path)
