"""What root trees and images have in common: tables and views of their contents."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from kiwinb.description.model import ImageDescription
    from kiwinb.inspect.breakdown import By
    from kiwinb.inspect.tree import Tree
    from kiwinb.notebook.browser import TreeBrowser
    from kiwinb.notebook.explorer import SizeExplorer


class Inspectable(ABC):
    """Tables and views of something that holds a tree; see :mod:`kiwinb.inspect`."""

    @abstractmethod
    def tree(self) -> Tree:
        """Open the tree in it, without mounting anything."""

    @abstractmethod
    def _described(self) -> ImageDescription:
        """The effective description that it was made from."""

    def files(self) -> pd.DataFrame:
        """Its files; see :func:`kiwinb.inspect.files.files`."""
        from kiwinb.inspect.files import files

        with self.tree() as tree:
            return files(tree)

    def packages(self) -> pd.DataFrame:
        """Its packages and why they are installed; see :mod:`kiwinb.inspect.packages`."""
        from kiwinb.inspect.packages import named_in, packages

        with self.tree() as tree:
            return packages(tree, named_in(self._described()))

    def unowned(self) -> pd.DataFrame:
        """Its files that no package owns; see :func:`kiwinb.inspect.unowned.unowned`."""
        from kiwinb.inspect.unowned import unowned

        with self.tree() as tree:
            return unowned(tree)

    def verify(self) -> pd.DataFrame:
        """Its files that packages state otherwise; see :func:`kiwinb.inspect.verify.verify`."""
        from kiwinb.inspect.verify import verify

        with self.tree() as tree:
            return verify(tree)

    def breakdown(
        self, by: By = "directory", *, depth: int = 1, compressed: bool = False
    ) -> pd.DataFrame:
        """Where its bytes are; see :func:`kiwinb.inspect.breakdown.breakdown`."""
        from kiwinb.inspect.breakdown import breakdown

        return breakdown(self, by, depth=depth, compressed=compressed)

    def browse(self) -> TreeBrowser:
        """Browse its files; see :func:`kiwinb.browse`."""
        from kiwinb.notebook.browser import browse

        return browse(self)

    def explore(self, *, by: str = "directory") -> SizeExplorer:
        """Explore its sizes; see :func:`kiwinb.explore`."""
        from kiwinb.notebook.explorer import explore

        return explore(self, by=by)
