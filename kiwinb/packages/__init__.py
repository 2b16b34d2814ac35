"""Packages: one module per package manager, registered here."""

from __future__ import annotations

from collections.abc import Mapping

from kiwinb.packages.apt import Apt
from kiwinb.packages.manager import PackageManager

MANAGERS: Mapping[str, PackageManager] = {"apt": Apt()}
"""Package managers by what ``<packagemanager>`` calls them."""
