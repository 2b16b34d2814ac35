"""Use the host's apt on a root tree in a step."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kiwinb.errors import CommandError, PackageError, RepositoryError
from kiwinb.packages.apt.complaints import (
    explain,
    failed_transaction,
    missing_names,
    missing_packages,
)
from kiwinb.packages.apt.config import (
    SCRIPT_ENVIRONMENT,
    AptConfig,
    debian_architecture,
    stamp,
)
from kiwinb.packages.apt.held import checked_releases
from kiwinb.packages.apt.metadata import apt, list_home
from kiwinb.packages.apt.origins import origins
from kiwinb.packages.apt.pins import preferences
from kiwinb.packages.apt.stall import Watch
from kiwinb.packages.apt.transaction import Transaction
from kiwinb.packages.databases import installed
from kiwinb.packages.deb822 import paragraphs
from kiwinb.packages.failures import checked_names, naming_origins
from kiwinb.packages.manager import PackageRequest, ResolvedRepository
from kiwinb.packages.pool import Download, Pool
from kiwinb.packages.work import private_directory
from kiwinb.sandbox.chroot import Chroot
from kiwinb.sandbox.paths import anchored, resolve_in
from kiwinb.steps.step import StepContext

ARCHIVES = "/run/kiwinb/archives"
"""Directory in the tree where dpkg finds the ``.deb`` files; it does not belong to any package."""

_URI = re.compile(r"'(?P<uri>.+)' (?P<name>\S+) (?P<size>\d+) ?(?:SHA256:(?P<sha256>\w+))?")
_PLANNED = re.compile(r"(\d+) upgraded, (\d+) newly installed")
_DONE = re.compile(r"(Unpacking|Setting up) ")


@dataclass(frozen=True)
class Session:
    """The host's apt, set up for a tree and a state of the repositories.

    Attributes:
        context: Context of the step.
        config: Configuration of apt; only this session uses its directory of archives.
        epoch: Time for timestamps of maintainer scripts, in seconds since 1970-01-01 UTC.
        repositories: The repositories of the sources, in their order.
    """

    context: StepContext
    config: AptConfig
    epoch: int
    repositories: tuple[ResolvedRepository, ...]
    _pool: Pool = field(repr=False)

    @property
    def archives(self) -> Path:
        """Directory of this session's ``.deb`` files."""
        assert self.config.archives is not None
        return self.config.archives

    def resolve(self, names: Sequence[str]) -> tuple[Download, ...]:
        """List the files that are missing in the directory of archives to install packages.

        Args:
            names: Names of the packages; if empty, newer versions of the installed packages.

        Raises:
            PackageError: A name is unknown, or the packages cannot be installed together.
        """
        output = self._ask(_job(names, "--print-uris"))
        return tuple(
            Download(match["name"], int(match["size"]), match["sha256"])
            for line in output.splitlines()
            if (match := _URI.match(line))
        )

    def simulate(self, names: Sequence[str]) -> Transaction:
        """Return what :meth:`install` would do.

        Raises:
            PackageError: A name is unknown, or the packages cannot be installed together.
        """
        return Transaction.read(self._ask(_job(names, *_SIMULATE)), names)

    def simulate_purge(self, names: Sequence[str]) -> Transaction:
        """Return what :meth:`purge` would do.

        Raises:
            PackageError: A package cannot be removed.
        """
        return Transaction.read(self._ask([*_PURGE, *_SIMULATE, "--", *names]), ())

    def records(self, packages: Sequence[tuple[str, str, str]]) -> tuple[dict[str, str], ...]:
        """Return the fields of packages in the repositories, in lower case.

        Args:
            packages: Name, version and architecture of each package.
        """
        if not packages:
            return ()
        asked = [f"{name}:{arch}={version}" for name, version, arch in packages]
        found = paragraphs(apt(self.config, ["apt-cache", "show", *asked], lambda line: None))
        return tuple(reversed([*found]))  # of equal versions, the first one counts

    def tasks(self, collections: Sequence[str]) -> list[str]:
        """Return what to install for collections: ``task-NAME``, a metapackage, or ``NAME^``."""
        if not collections:
            return []
        known = frozenset(self.known_names())
        names = []
        for collection in collections:
            choices = [name for name in (f"task-{collection}", collection) if name in known]
            is_task = collection.endswith("^")
            names.append(collection if is_task else [*choices, f"{collection}^"][0])
        return names

    def _ask(self, job: Sequence[str]) -> str:
        """Run apt-get to resolve something, and return its output."""
        lines: list[str] = []
        try:
            return apt(self.config, ["apt-get", *job], lines.append)
        except CommandError as error:
            if missing_names(lines):
                raise missing_packages(lines, self.known_names()) from error
            with self._naming_origins(lines):
                raise explain(lines, self.repositories) or error from error

    def fetch(self, names: Sequence[str]) -> None:
        """Get the files that are needed to install packages into the directory of archives.

        Args:
            names: As for :meth:`resolve`.

        Raises:
            PackageError: A name is unknown, or the packages cannot be installed together.
            RepositoryError: A package cannot be downloaded.
        """
        downloads = self.resolve(names)
        missing = self._pool.take(downloads, self.archives)
        if not missing:
            return
        size = sum(download.size for download in missing) / 1e6
        self.context.log(f"downloading {len(missing)} packages ({size:.1f} MB)")
        try:
            with self.config.online(self.repositories) as online:
                watch = Watch.over(online, self.repositories, self.context.log)
                job = ["apt-get", *_job(names, "--download-only")]
                self._run(job, config=online, watch=watch)
        finally:
            self._pool.keep(missing, self.archives)
        stated = [download for download in missing if download.sha256]
        if wrong := self._pool.take(stated, self.archives):
            raise RepositoryError(
                "downloaded packages are not those that the repository lists:\n"
                + "\n".join(f"  {download.filename}" for download in wrong),
                remedy="Run again, with --clear-cache if that does not help.",
            )

    def install(self, names: Sequence[str]) -> None:
        """Install packages with dpkg in the tree.

        Args:
            names: As for :meth:`resolve`.

        Raises:
            PackageError: A name is unknown, or the packages cannot be installed.
            RepositoryError: A package cannot be downloaded.
        """
        self.fetch(names)
        count, total = 0, 1

        def follow(line: str) -> None:
            nonlocal count, total
            self.context.log(line)
            if match := _PLANNED.match(line):
                total = 2 * (int(match[1]) + int(match[2])) or 1
            elif _DONE.match(line):
                count += 1
                self.context.progress(min(1.0, count / total))

        with opened(self.context) as chroot:
            chroot.bind(self.archives, ARCHIVES)
            inside = f"Dir::Cache::archives={self.context.root}{ARCHIVES}/"
            options = ("--no-download", "-o", inside, *self._dpkg(chroot))
            self._run(["apt-get", *_job(names, *options)], follow)
        self.config.keep_states()

    def purge(self, names: Sequence[str]) -> None:
        """Purge packages, packages that depend on them, and packages that are no longer needed.

        Raises:
            PackageError: A package cannot be removed.
        """
        with opened(self.context) as chroot:
            self._run(["apt-get", *_PURGE, *self._dpkg(chroot), "--", *names])
        self.config.keep_states()

    def _dpkg(self, chroot: Chroot) -> tuple[str, str]:
        """Return the option with which apt runs the tree's dpkg in the tree."""
        entrance = self.config.work / "dpkg"
        chroot.write_entrance(entrance, "dpkg", {**SCRIPT_ENVIRONMENT, **stamp(self.epoch)})
        return "-o", f"Dir::Bin::dpkg={entrance}"

    def known_names(self) -> tuple[str, ...]:
        """Return the names of all packages in the repositories."""
        return tuple(apt(self.config, ["apt-cache", "pkgnames"], lambda line: None).split())

    def _run(
        self,
        argv: Sequence[str],
        follow: Callable[[str], None] | None = None,
        *,
        config: AptConfig | None = None,
        watch: Callable[[], None] | None = None,
    ) -> None:
        lines: list[str] = []

        def log(line: str) -> None:
            lines.append(line)
            (follow or self.context.log)(line)

        try:
            apt(config or self.config, argv, log, watch)
        except CommandError as error:
            known = explain(lines, self.repositories)
            with self._naming_origins(lines):
                raise known or failed_transaction(lines or error.tail) from error

    def _naming_origins(self, lines: Sequence[str]) -> AbstractContextManager[None]:
        return naming_origins(lambda: origins(self.config, lines, self.repositories))


_SIMULATE = ("--simulate", "--option", "quiet=0")  # tells what it chooses for virtual packages
_PURGE = ("purge", "--auto-remove")
_UNFIT = re.compile(r"^[-/.~]")


def _job(names: Sequence[str], *options: str) -> list[str]:
    """What apt-get is to do; names cannot be taken for options or for files of the host.

    Raises:
        PackageError: A name is no name of a package.
    """
    checked_names(names, _UNFIT, "apt-ftparchive packages . > Packages")
    return ["install", *options, "--", *names] if names else ["dist-upgrade", *options]


def _pool(context: StepContext) -> Pool:
    return Pool(context.host.cache / "apt/pool", ".deb")


@contextmanager
def session(context: StepContext, request: PackageRequest) -> Iterator[Session]:
    """Set apt up for a step, and remove its files afterwards.

    Args:
        context: Context of the step.
        request: The request; its package names are not used.
    """
    used, state = request.used, request.state
    with private_directory(context.host.cache / "apt/work") as work:
        config = AptConfig(
            work=work,
            lists=state.metadata / "lists",
            sources=list_home(state).sources,
            architecture=debian_architecture(request.arch),
            root=context.root,
            source_cache=state.metadata / "srcpkgcache.bin",
            archives=work / "archives",
            recommends=request.recommended,
        )
        config.write(preferences=preferences(used, checked_releases(state), request.ignore))
        yield Session(context, config, state.epoch, used, _pool(context))


@contextmanager
def local_session(context: StepContext) -> Iterator[Session]:
    """Set apt up without repositories, to remove packages.

    Raises:
        PackageError: The tree has no dpkg.
    """
    with private_directory(context.host.cache / "apt/work") as work:
        (work / "sources").mkdir()
        config = AptConfig(
            work=work,
            lists=work / "lists",
            sources=work / "sources",
            architecture=tree_architecture(context.root),
            root=context.root,
        )
        config.write()
        yield Session(context, config, 0, (), _pool(context))


def tree_architecture(root: Path) -> str:
    """Return the architecture of a tree's dpkg, in Debian's terms.

    Raises:
        PackageError: The tree has no dpkg.
    """
    own = next((package.arch for package in installed(root) if package.name == "dpkg"), None)
    if own is None:
        raise PackageError("the root tree has no package dpkg, so its architecture is not known")
    return own


@contextmanager
def opened(context: StepContext) -> Iterator[Chroot]:
    """Open the tree to run maintainer scripts, and keep them from starting services."""
    with (
        Chroot(context.root, log=context.log) as chroot,
        no_services(context.root),
    ):
        yield chroot


def dpkg(chroot: Chroot, arguments: Sequence[str], epoch: int = 0) -> None:
    """Run the tree's dpkg in the tree.

    Args:
        chroot: The tree, from :func:`opened`.
        arguments: Arguments of dpkg.
        epoch: Time for timestamps of maintainer scripts, in seconds since 1970-01-01 UTC.

    Raises:
        CommandError: dpkg failed.
    """
    env = {**SCRIPT_ENVIRONMENT, **stamp(epoch)}
    chroot.run(["dpkg", *arguments], env=env, keep_output=False)


@contextmanager
def no_services(root: Path) -> Iterator[None]:
    """Keep ``invoke-rc.d`` from starting services, with a temporary policy in the tree."""
    place = resolve_in(root, "/usr/sbin")
    place.mkdir(parents=True, exist_ok=True)
    with anchored(place) as directory:
        policy, aside = directory / "policy-rc.d", directory / "policy-rc.d.kiwinb"
        if os.path.lexists(policy):
            policy.rename(aside)
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        try:
            yield
        finally:
            policy.unlink(missing_ok=True)
            if os.path.lexists(aside):
                aside.rename(policy)
