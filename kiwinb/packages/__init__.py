"""Package managers, one Python package for each, all registered here."""

from __future__ import annotations

from kiwinb.errors import PackageError
from kiwinb.packages.apt import Apt
from kiwinb.packages.manager import PackageManager
from kiwinb.steps.registry import Registry

MANAGERS: Registry[PackageManager] = Registry("package manager", (Apt(),), error=PackageError)
"""Package managers, by the value of ``<packagemanager>``."""
