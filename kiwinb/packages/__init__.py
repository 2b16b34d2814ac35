"""Package managers, one Python package for each, all registered here."""

from __future__ import annotations

from kiwinb.errors import PackageError
from kiwinb.packages.apt import Apt
from kiwinb.packages.dnf.dnf4 import Dnf4
from kiwinb.packages.dnf.dnf5 import Dnf5
from kiwinb.packages.dnf.microdnf import Microdnf
from kiwinb.packages.manager import PackageManager
from kiwinb.packages.pacman import PacmanManager
from kiwinb.packages.zypper import Zypper
from kiwinb.steps.registry import Registry

MANAGERS: Registry[PackageManager] = Registry(
    "package manager",
    (Apt(), Dnf4(), Dnf5(), Microdnf(), PacmanManager(), Zypper()),
    error=PackageError,
)
"""Package managers, by the value of ``<packagemanager>``."""
