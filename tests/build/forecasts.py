"""Hold the forecast of packages against the tree that a build makes."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from kiwinb.build.appliance import Appliance

Versions = set[tuple[str, str, str]]
"""Name, version and architecture of packages."""


def forecast(appliance: Appliance) -> Versions:
    """The packages that the appliance is to have; each has its sizes."""
    found = appliance.forecast_packages()
    assert all(item.installed_size for item in found if not item.name.startswith("usr-is-merged"))
    assert all(item.size or item.why == "base container" for item in found)
    return {(item.name, item.version, item.arch) for item in found}


def versions(packages: pd.DataFrame) -> Versions:
    """The packages of a tree, from their table."""
    columns: Iterable[list[str]] = packages[["name", "version", "arch"]].values.tolist()
    return {(name, version, arch) for name, version, arch in columns}
