"""Show the packages that an image will contain."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING

from kiwinb.html import block, table
from kiwinb.packages.manager import AvailablePackage
from kiwinb.sizes import binary
from kiwinb.visible import visible

if TYPE_CHECKING:
    import pandas as pd

_HEADS = ("Package", "Version", "Architecture", "Download", "Installed", "Why")


class Forecast(tuple[AvailablePackage, ...]):
    """The packages that an image will contain, sorted by name."""

    __slots__ = ()

    def table(self) -> pd.DataFrame:
        """Return a table with a column for each attribute of a package; sizes are in bytes."""
        from kiwinb.inspect.table import Table

        columns = [field.name for field in fields(AvailablePackage)]
        return Table([asdict(item) for item in self], columns=columns)

    @property
    def size(self) -> int:
        """Size of all package files in bytes."""
        return sum(item.size for item in self)

    @property
    def installed_size(self) -> int:
        """Installed size of all packages in bytes, as the packages state."""
        return sum(item.installed_size for item in self)

    @property
    def summary(self) -> str:
        """The number of packages and their sizes, in one line."""
        return (
            f"{len(self)} packages: {binary(self.size)} to download, "
            f"{binary(self.installed_size)} installed"
        )

    def __repr__(self) -> str:
        lines = [
            f"  {item.name} {item.version} ({item.arch}): {binary(item.size)}, "
            f"{binary(item.installed_size)} installed, {item.why}"
            for item in self
        ]
        return "\n".join(map(visible, (self.summary, *lines)))

    def _repr_html_(self) -> str:
        rows = [
            (
                *(item.name, item.version, item.arch),
                *(binary(item.size), binary(item.installed_size), item.why),
            )
            for item in self
        ]
        return block(f"<h4>{self.summary}</h4>{table(_HEADS, rows, numbers=(3, 4))}")
