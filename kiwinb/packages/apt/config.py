"""Configure apt independently of the host.

Nothing of the host's apt configuration counts, because it may switch checks off. Only a
configuration for downloads has user names, passwords and proxies; it is gone before programs of a
tree run.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from kiwinb.errors import HostError, PackageError
from kiwinb.packages.apt.logins import auth_conf, with_logins, write_secret
from kiwinb.packages.databases.dpkg import EXTENDED_STATES
from kiwinb.packages.databases.dpkg_status import STATUS
from kiwinb.packages.manager import ResolvedRepository
from kiwinb.sandbox.chroot import ENVIRONMENT
from kiwinb.sandbox.environment import PROXIES
from kiwinb.sandbox.paths import resolve_in
from kiwinb.sandbox.tree_files import read_text_in, write_in
from kiwinb.visible import visible

TIMEOUT = 20
"""Seconds after which apt gives a connection up on which nothing arrives. It tries once more."""


@dataclass(frozen=True)
class AptConfig:
    """Configuration of a run of apt.

    Attributes:
        work: Private directory of the run.
        lists: Directory of package lists.
        sources: Directory of ``.sources`` files.
        architecture: Architecture in Debian's terms.
        root: The tree to install into; ``None`` if there is none yet.
        source_cache: File that caches the lists, shared by runs with the same lists.
        archives: Directory for ``.deb`` files.
        recommends: Whether to install recommended packages, too.
        downloads: Whether apt may download.
    """

    work: Path
    lists: Path
    sources: Path
    architecture: str
    root: Path | None = None
    source_cache: Path | None = None
    archives: Path | None = None
    recommends: bool = False
    downloads: bool = False

    @property
    def file(self) -> Path:
        """The file that ``APT_CONFIG`` names."""
        return self.work / "apt.conf"

    @contextmanager
    def online(self, repositories: Sequence[ResolvedRepository]) -> Iterator[AptConfig]:
        """A configuration with which apt may download; all of its files are removed at the end.

        Args:
            repositories: The repositories of the sources, in their order.

        Raises:
            RepositoryError: apt cannot be told the user name or password of a repository.
        """
        work = self.work / "online"
        work.mkdir(mode=0o700)
        try:
            archives = self.archives or self.work / "archives"
            online = replace(self, work=work, archives=archives, downloads=True)
            write_secret(work / "auth.conf", auth_conf(repositories))
            online = replace(online, sources=with_logins(self.sources, repositories, work / "own"))
            preferences = self.work / "preferences"
            online.write(preferences=preferences.read_text() if preferences.exists() else "")
            yield online
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def write(self, *, preferences: str = "") -> None:
        """Write the configuration and the files that it refers to.

        Args:
            preferences: Text of apt_preferences(5).

        Raises:
            HostError: The path of the cache has a quote or the end of a line, for which the
                configuration has no escape.
        """
        if strange := {'"', "\n"} & {*str(self.lists), *str(self.work), *str(self.sources)}:
            raise HostError(
                f"apt cannot use the download cache, whose path has {min(strange)!a}: "
                f"{visible(str(self.work))}",
                remedy="Name another directory: the setting `cache`, or KIWINB_CACHE.",
            )
        archives = self.archives or self.work / "archives"
        for directory in (self.lists / "partial", archives / "partial"):
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(0o700)  # as apt wants it, also where it cannot change it
        if self.root is None:
            self.status.touch()
        else:
            self._states.write_text(
                read_text_in(self.root, EXTENDED_STATES), errors="surrogateescape"
            )
        (self.work / "preferences").write_text(preferences)
        values = {
            **self._paths(archives),
            "Dir::Etc::sourceparts": f"{self.sources}/",
            **_FIXED,
            "APT::Architecture": self.architecture,
            "APT::Architectures": self.architecture,
            "APT::Install-Recommends": str(self.recommends).lower(),
        }
        lines = [f'{name} "{value}";\n' for name, value in values.items()]
        lines += [f'DPkg::Options:: "{option}";\n' for option in DPKG_OPTIONS]
        self.file.write_text("".join(lines), errors="surrogateescape")

    @property
    def _states(self) -> Path:
        return self.work / "extended_states"

    def keep_states(self) -> None:
        """Write to the tree which packages apt has installed for others only.

        apt itself writes to a copy, since a maintainer script could lead it out of the tree.
        """
        if self.root is not None and (states := self._states.read_bytes()):
            write_in(self.root, EXTENDED_STATES, states)

    @property
    def status(self) -> Path:
        """The list of installed packages.

        apt is told on its command line, because the configuration has no way to write a quote or
        the end of a line, and the path of a tree may have them.
        """
        return self.work / "status" if self.root is None else resolve_in(self.root, STATUS)

    def _paths(self, archives: Path) -> dict[str, str | Path]:
        """The places of the other files that apt reads and writes; none is on the host."""
        return {
            "Dir": f"{self.work}/",
            "Dir::Etc::main": "/dev/null",
            "Dir::Etc::parts": "/dev/null",
            "Dir::Etc::sourcelist": "/dev/null",
            "Dir::Etc::preferences": self.work / "preferences",
            "Dir::Etc::preferencesparts": "/dev/null",
            "Dir::Etc::trusted": "/dev/null",
            "Dir::Etc::trustedparts": "/dev/null",
            "Dir::Etc::netrc": self.work / "auth.conf" if self.downloads else "/dev/null",
            "Dir::Etc::netrcparts": "/dev/null",
            "Dir::State::lists": f"{self.lists}/",
            "Dir::State::extended_states": self._states,
            "Dir::Cache::archives": f"{archives}/",
            "Dir::Cache::srcpkgcache": self.source_cache or "",
            "Dir::Cache::pkgcache": "",
            "Dir::Log::History": "/dev/null",
            "Dir::Log::Terminal": "/dev/null",
            "Dir::Log::Planner": "/dev/null",
        }

    def environment(self) -> Mapping[str, str]:
        """Return the complete environment of a run of apt."""
        passed = {
            name: value
            for name, value in os.environ.items()
            if self.downloads and name.lower() in PROXIES
        }
        return {**passed, **SCRIPT_ENVIRONMENT, "APT_CONFIG": str(self.file)}


_FIXED: Mapping[str, str] = {
    "APT::Sandbox::User": "root",
    "APT::Install-Suggests": "false",
    "APT::Immediate-Configure": "false",
    "APT::Get::Assume-Yes": "true",
    "APT::Cmd::Pattern-Only": "true",
    "APT::Update::Error-Mode": "any",
    "Acquire::Languages": "none",
    "Acquire::PDiffs": "false",
    "Acquire::ForceHash": "SHA256",
    "Acquire::AllowReleaseInfoChange": "true",
    "Acquire::AllowInsecureRepositories": "false",
    "Acquire::AllowWeakRepositories": "false",
    "Acquire::AllowDowngradeToInsecureRepositories": "false",
    "Acquire::Check-Valid-Until": "true",
    "Acquire::Check-Date": "true",
    "Acquire::Retries": "1",
    "Acquire::http::Timeout": str(TIMEOUT),
    "Acquire::https::Timeout": str(TIMEOUT),
    "Acquire::ftp::Timeout": str(TIMEOUT),
    "Debug::NoLocking": "true",
    "DPkg::Use-Pty": "false",
    "DPkg::Install::Recursive::Minimum": "100000",
    "Dpkg::Progress-Fancy": "false",
    "pkgCacheGen::ForceEssential": ",",
    "quiet": "1",
}
"""Settings that are the same for every run of apt."""

DPKG_OPTIONS = (
    "--force-unsafe-io",
    "--force-confdef",
    "--force-confold",
    "--log=/dev/null",
)

SCRIPT_ENVIRONMENT: Mapping[str, str] = {
    **ENVIRONMENT,
    "TZ": "UTC0",
    "DEBIAN_FRONTEND": "noninteractive",
    "DEBCONF_NONINTERACTIVE_SEEN": "true",
    "DEBCONF_NOWARNINGS": "yes",
    "INITRD": "No",
}
"""Environment of maintainer scripts. ``INITRD`` keeps them from building initrds, which a later
step does."""


def stamp(epoch: int) -> Mapping[str, str]:
    """Return the variable that sets the time which tools use for timestamps."""
    return {"SOURCE_DATE_EPOCH": str(epoch)}


ARCHITECTURES: Mapping[str, str] = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "armhf",
    "armv6l": "armel",
    "i386": "i386",
    "i486": "i386",
    "i586": "i386",
    "i686": "i386",
    "ix86": "i386",
    "loongarch64": "loong64",
    "mips64": "mips64el",
    "ppc64le": "ppc64el",
    "riscv64": "riscv64",
    "s390x": "s390x",
}
"""Debian's names of architectures, by the output of ``uname -m``."""


def debian_architecture(arch: str) -> str:
    """Return Debian's name of an architecture.

    Args:
        arch: Architecture, as ``uname -m`` prints it.

    Raises:
        PackageError: Debian does not have this architecture.
    """
    if arch not in ARCHITECTURES:
        raise PackageError(
            f"Debian has no architecture {arch}",
            remedy=f"Name another target architecture: {', '.join(ARCHITECTURES)}.",
        )
    return ARCHITECTURES[arch]
