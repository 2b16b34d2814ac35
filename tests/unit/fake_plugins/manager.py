"""A package manager whose packages are lines in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kiwinb.errors import PackageError
from kiwinb.packages import MANAGERS
from kiwinb.packages.databases.database import Package, TreeFiles
from kiwinb.packages.manager import (
    AvailablePackage,
    HostMirror,
    PackageChanges,
    PackageRequest,
    RepositoryState,
    ResolvedRepository,
)
from kiwinb.packages.variables import Variables
from kiwinb.steps.step import HostPaths, StepContext

DATABASE = "var/lib/fakepkg"
TREE = {
    "etc/os-release": "ID=fakeos\n",
    "boot/fake-kernel-6.1": "a kernel\n",
    "usr/lib/modules/6.1/modules.dep": "",
    "usr/bin/fake-initrd": "",
}


class FakeManager:
    """See :class:`kiwinb.packages.manager.PackageManager`."""

    name = "fakepkg"
    revision = 1
    tools = ("fakepkg-unpack",)
    splits_versions = False
    traces = ()
    honours = frozenset({"package"})

    def host_mirrors(self) -> tuple[HostMirror, ...]:
        return ()

    def url_variables(self, arch: str, release_version: str | None) -> Variables:
        return {}

    def refresh(
        self,
        repositories: Sequence[ResolvedRepository],
        arch: str,
        host: HostPaths,
        *,
        force: bool,
    ) -> RepositoryState:
        digests = tuple((item.alias, "1" * 64) for item in repositories)
        return RepositoryState(digests, 1_700_000_000, host.cache, 4e9)

    def bootstrap(self, context: StepContext, request: PackageRequest) -> None:
        for name, text in TREE.items():
            path = context.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.install(context, request)

    def install(self, context: StepContext, request: PackageRequest) -> None:
        if "missing" in request.packages:
            raise PackageError("there is no package missing")
        database = context.root / DATABASE
        database.parent.mkdir(parents=True, exist_ok=True)
        with database.open("a") as file:
            file.writelines(f"{name}\n" for name in request.wanted)

    def upgrade(self, context: StepContext, request: PackageRequest) -> None:
        pass

    def forecast(
        self, changes: PackageChanges, host: HostPaths, base: TreeFiles | None = None
    ) -> tuple[AvailablePackage, ...]:
        arch = changes.install.arch
        return tuple(AvailablePackage(name, "1", arch, 1) for name in changes.named)

    def remove(self, context: StepContext, packages: Sequence[str], *, force: bool) -> None:
        database = context.root / DATABASE
        kept = [name for name in database.read_text().split() if name not in packages]
        database.write_text("".join(f"{name}\n" for name in kept))

    def configure_image(
        self, context: StepContext, repositories: Sequence[ResolvedRepository]
    ) -> None:
        pass

    def installed(self, root: Path) -> tuple[Package, ...]:
        names = (root / DATABASE).read_text().split()
        return tuple(Package(name, "1", "noarch", name, 1) for name in sorted(names))

    def changes(self, root: Path) -> str:
        return ""

    def verify(self, context: StepContext) -> str:
        return ""


MANAGERS.register(FakeManager())
