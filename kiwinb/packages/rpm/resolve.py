"""Resolve packages of rpm with libsolv, which dnf and zypper resolve with, too.

The result has each package with its file in a repository, so that kiwinb can download and check it
before the package manager runs, and can say before a build what a tree will have.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import solv

from kiwinb.errors import PackageError
from kiwinb.packages.databases.rpm_header import Header
from kiwinb.packages.failures import naming_origins
from kiwinb.packages.indexed import directory_of
from kiwinb.packages.manager import ResolvedRepository
from kiwinb.packages.rpm.installed import add_installed, add_noted
from kiwinb.packages.signatures import is_strong
from kiwinb.spelling import with_near
from kiwinb.steps.keys import Digest

_USUAL_PRIORITY = 99
"""Priority of a repository for which the description gives none, as in dnf and zypper."""

_NAMES = (
    solv.Selection.SELECTION_NAME
    | solv.Selection.SELECTION_PROVIDES
    | solv.Selection.SELECTION_GLOB
    | solv.Selection.SELECTION_CANON
    | solv.Selection.SELECTION_DOTARCH
    | solv.Selection.SELECTION_REL
)
_MOST_PROBLEMS = 20


@dataclass(frozen=True)
class Want:
    """Something to install.

    Attributes:
        text: A package name, perhaps with a version or an architecture, a glob, a path, or a
            provided name.
        provided: A version with which ``text`` is provided, as in ``pattern() = base``; empty for
            a package.
        optional: Whether it is left out if no repository has it, or if it cannot be installed.
        shown: What errors call it.
    """

    text: str
    provided: str = ""
    optional: bool = False
    shown: str = ""


@dataclass(frozen=True)
class Chosen:
    """A package of a repository that is to be installed.

    Attributes:
        name: Name.
        version: ``epoch:version-release``; without the epoch if that is 0.
        arch: Architecture.
        repository: Number of its repository.
        path: Path of its file in the repository.
        size: Size of the file in bytes.
        digest: Digest of the file; ``None`` if the repository states none that can be trusted.
        installed_size: Installed size in bytes, as the package states.
        named: Whether something that is wanted names it.
    """

    name: str
    version: str
    arch: str
    repository: int
    path: str
    size: int
    digest: Digest | None
    installed_size: int
    named: bool = False

    @property
    def file(self) -> str:
        """Name of its file in a directory of packages of all repositories."""
        return f"{self.name}-{self.version.replace(':', '%3a')}.{self.arch}.rpm"


@dataclass(frozen=True)
class Resolution:
    """What has to be done to get what was asked for.

    Attributes:
        new: Packages to install, sorted by name.
        removed: Names of installed packages that go away, sorted, without those that are upgraded.
        named: Names of packages that something wanted names, installed ones among them.
    """

    new: tuple[Chosen, ...]
    removed: tuple[str, ...]
    named: frozenset[str] = frozenset()


class Resolver:
    """The packages of some repositories, and those that a tree has.

    Args:
        state: Directory of the state of the repositories.
        repositories: The repositories, in the order of the state.
        arch: Architecture of the packages, in the terms of rpm.
        installed: The headers of the packages that the tree has.
    """

    def __init__(
        self,
        state: Path,
        repositories: Sequence[ResolvedRepository],
        arch: str,
        installed: Iterable[Header] = (),
    ) -> None:
        self._pool = solv.Pool()
        self._pool.setarch(arch)
        self._state = state
        self._number: dict[int, int] = {}
        for number, repository in enumerate(repositories):
            repo = self._pool.add_repo(repository.alias)
            priority = repository.priority
            repo.priority = -(_USUAL_PRIORITY if priority is None else priority)
            repo.add_rpmmd(self._opened(number, "primary"), None)
            self._number[repo.id] = number
        self._whole = False
        self._pool.installed = add_installed(self._pool, installed)
        self._prepare()

    def _opened(self, number: int, kind: str) -> Any:
        return solv.xfopen(str(directory_of(self._state, number) / kind))

    def _prepare(self) -> None:
        self._pool.addfileprovides()
        self._pool.createwhatprovides()

    def _add_file_lists(self) -> None:
        """Read the lists of all files, which few packages are chosen by."""
        self._whole = True
        for repo in self._pool.repos:
            number = self._number.get(repo.id)
            if number is not None and (directory_of(self._state, number) / "filelists").exists():
                flags = solv.Repo.REPO_LOCALPOOL | solv.Repo.REPO_EXTEND_SOLVABLES
                repo.add_rpmmd(self._opened(number, "filelists"), "FL", flags)
        self._prepare()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all packages in the repositories."""
        return tuple({solvable.name for solvable in self._pool.solvables})

    def install(
        self,
        wants: Sequence[Want],
        *,
        ignore: Sequence[str] = (),
        recommended: bool = False,
        upgrade: bool = False,
    ) -> Resolution:
        """Find out what to do to have what is wanted.

        Args:
            wants: What to install.
            ignore: Names of packages that must not be installed.
            recommended: Whether to install recommended packages, too.
            upgrade: Whether to upgrade all installed packages.

        Raises:
            PackageError: No repository has it, or it cannot be installed.
        """
        jobs = list(self._jobs(wants))
        for name in ignore:
            how = solv.Job.SOLVER_LOCK | solv.Job.SOLVER_SOLVABLE_NAME
            if not self._is_installed(name):
                jobs.append(self._pool.Job(how, self._pool.str2id(name)))
        if upgrade:
            jobs.append(self._pool.Job(solv.Job.SOLVER_UPDATE | solv.Job.SOLVER_SOLVABLE_ALL, 0))
        return self._solve(jobs, recommended=recommended)

    def remove(self, names: Sequence[str], *, kept: Iterable[str] = ()) -> Resolution:
        """Find out what goes away if packages are removed: what needs them, or only they need.

        Nothing is installed in their stead, as no package manager does that here.

        Args:
            names: The packages.
            kept: Names of packages that stay even if nothing needs them any more.

        Raises:
            PackageError: They cannot be removed.
        """
        how = solv.Job.SOLVER_ERASE | solv.Job.SOLVER_SOLVABLE_NAME | solv.Job.SOLVER_CLEANDEPS
        jobs = [self._pool.Job(how, self._pool.str2id(name)) for name in names]
        how = solv.Job.SOLVER_USERINSTALLED | solv.Job.SOLVER_SOLVABLE_NAME
        jobs += [self._pool.Job(how, self._pool.str2id(name)) for name in sorted({*kept})]
        available = [item.id for item in self._pool.solvables if not item.isinstalled()]
        self._pool.set_disabled_list(available)
        try:
            return self._solve(jobs, uninstall=True)
        finally:
            self._pool.set_disabled_list([])

    def note(self, resolution: Resolution) -> None:
        """Continue as if a resolution had been carried out."""
        add_noted(self._pool, resolution.removed, [self._solvable(item) for item in resolution.new])
        self._prepare()

    def _solvable(self, chosen: Chosen) -> Any:
        return next(
            solvable
            for solvable in self._pool.whatmatchesdep(
                solv.SOLVABLE_PROVIDES, self._pool.Dep(chosen.name)
            )
            if self._number.get(solvable.repo.id) == chosen.repository
            and (solvable.name, solvable.evr, solvable.arch)
            == (chosen.name, chosen.version, chosen.arch)
        )

    def _is_installed(self, name: str) -> bool:
        found = self._pool.select(name, solv.Selection.SELECTION_NAME)
        return any(solvable.isinstalled() for solvable in found.solvables())

    def _jobs(self, wants: Sequence[Want]) -> Iterator[Any]:
        missing = []
        for want in wants:
            jobs = self._jobs_of(want)
            if not jobs and not self._whole and want.text.startswith("/"):
                self._add_file_lists()
                jobs = self._jobs_of(want)
            yield from jobs
            if not jobs and not want.optional:
                missing.append(want)
        if missing:
            raise self._missing(missing)

    def _jobs_of(self, want: Want) -> list[Any]:
        how = solv.Job.SOLVER_INSTALL | (solv.Job.SOLVER_WEAK if want.optional else 0)
        if want.provided:
            dependency = self._pool.Dep(want.text).Rel(solv.REL_EQ, self._pool.Dep(want.provided))
            if not self._pool.whatprovides(dependency):
                return []
            return [self._pool.Job(how | solv.Job.SOLVER_SOLVABLE_PROVIDES, dependency.id)]
        is_path = want.text.startswith("/")
        flags = _NAMES | (solv.Selection.SELECTION_FILELIST if is_path else 0)
        selection = self._pool.select(want.text, flags)
        return [] if selection.isempty() else list(selection.jobs(how))

    def _solve(
        self, jobs: Sequence[Any], *, recommended: bool = False, uninstall: bool = False
    ) -> Resolution:
        solver = self._pool.Solver()
        solver.set_flag(solv.Solver.SOLVER_FLAG_IGNORE_RECOMMENDED, not recommended)
        solver.set_flag(solv.Solver.SOLVER_FLAG_ALLOW_VENDORCHANGE, 1)
        solver.set_flag(solv.Solver.SOLVER_FLAG_BEST_OBEY_POLICY, 1)
        solver.set_flag(solv.Solver.SOLVER_FLAG_YUM_OBSOLETES, 1)
        solver.set_flag(solv.Solver.SOLVER_FLAG_ALLOW_UNINSTALL, uninstall)
        problems = solver.solve(list(jobs))
        if problems and not self._whole:
            said = [*_said(problems)]
            if any("/" in line for line in said):
                self._add_file_lists()
                return self._solve(jobs, recommended=recommended, uninstall=uninstall)
        if problems:
            with naming_origins(self._origins):
                raise _conflict(problems)
        return self._resolution(solver.transaction(), jobs)

    def _origins(self) -> Mapping[str, str]:
        return {
            solvable.name: solvable.repo.name
            for solvable in self._pool.solvables
            if solvable.repo.id in self._number
        }

    def _resolution(self, transaction: Any, jobs: Sequence[Any]) -> Resolution:
        install = solv.Job.SOLVER_INSTALL
        wanted = [
            solvable
            for job in jobs
            if job.how & solv.Job.SOLVER_JOBMASK == install
            for solvable in job.solvables()
        ]
        named = {solvable.id for solvable in wanted}
        new = [self._chosen(item, item.id in named) for item in transaction.newsolvables()]
        there = {item.name for item in new}
        gone = {
            solvable.name
            for solvable in (self._pool.installed.solvables if self._pool.installed else ())
            if transaction.steptype(solvable, solv.Transaction.SOLVER_TRANSACTION_SHOW_OBSOLETES)
            in (
                solv.Transaction.SOLVER_TRANSACTION_ERASE,
                solv.Transaction.SOLVER_TRANSACTION_OBSOLETED,
            )
        }
        ordered = sorted(new, key=lambda item: (item.name, item.version, item.arch))
        old = {solvable.name for solvable in wanted if solvable.isinstalled()}
        return Resolution(
            tuple(ordered),
            tuple(sorted(gone - there)),
            frozenset(old | {item.name for item in new if item.named}),
        )

    def _chosen(self, solvable: Any, named: bool) -> Chosen:
        path, _media = solvable.lookup_location()
        checksum = solvable.lookup_checksum(solv.SOLVABLE_CHECKSUM)
        digest = checksum.hex() if checksum else ""
        return Chosen(
            solvable.name,
            solvable.evr,
            solvable.arch,
            self._number[solvable.repo.id],
            path,
            solvable.lookup_num(solv.SOLVABLE_DOWNLOADSIZE),
            digest if is_strong(digest) else None,
            solvable.lookup_num(solv.SOLVABLE_INSTALLSIZE),
            named,
        )

    def _missing(self, wants: Sequence[Want]) -> PackageError:
        known = self.names
        said = [with_near(want.text, known, want.shown) for want in wants]
        return PackageError(
            "the repositories have no installable package of these names:\n" + "\n".join(said),
            remedy="Correct the names, or add the repository that has them.",
        )


def _said(problems: Sequence[Any]) -> Iterator[str]:
    seen: Mapping[str, None] = dict.fromkeys(
        rule.info().problemstr() for problem in problems for rule in problem.findallproblemrules()
    )
    yield from seen


def _conflict(problems: Sequence[Any]) -> PackageError:
    lines = [*_said(problems)]
    more = [f"  and {len(lines) - _MOST_PROBLEMS} more"] if len(lines) > _MOST_PROBLEMS else []
    shown = [f"  {line}" for line in lines[:_MOST_PROBLEMS]]
    return PackageError(
        "the packages cannot be installed together:\n" + "\n".join([*shown, *more]),
        remedy="Drop one of them, or add the repository that has what is missing.",
    )
