"""Get the packages of a transaction into a repository of their own, and run a tool on the tree.

The repository has the chosen packages only, so the tool needs no network, no cache and no keys, and
has nothing else to choose.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from kiwinb.errors import CommandError
from kiwinb.packages.databases.directory import DirectoryFiles
from kiwinb.packages.databases.rpm import Rpm, headers_of
from kiwinb.packages.databases.rpm_header import Tag
from kiwinb.packages.downloads import download
from kiwinb.packages.failures import failure, not_installed, not_signed
from kiwinb.packages.fetch import Wanted
from kiwinb.packages.host_session import HostSession, opened_tree
from kiwinb.packages.indexed import checks_packages, directory_of, reachable
from kiwinb.packages.keys import content_of_key
from kiwinb.packages.manager import PackageRequest
from kiwinb.packages.pool import Pool
from kiwinb.packages.rpm.complaints import MARKS, has_failed_script
from kiwinb.packages.rpm.database import MOUNT_POINTS, RpmHome, settle
from kiwinb.packages.rpm.installed import version_of
from kiwinb.packages.rpm.metadata import RPM_MD, checked
from kiwinb.packages.rpm.resolve import Chosen, Resolution, Resolver
from kiwinb.steps.step import StepContext

ARCHITECTURES: Mapping[str, str] = {"ix86": "i686", "armv7l": "armv7hl", "armv6l": "armv6hl"}
"""Names of architectures in rpm, where they are other ones than ``uname -m`` prints."""

TRACES = (
    "usr/lib/sysimage/rpm/.*.lock",
    "var/lib/rpm/.*.lock",
    "var/lib/dnf/*.lock",
    "var/log/dnf*.log*",
    "var/log/hawkey.log",
    "var/log/zypp",
    "var/log/zypper.log",
    "var/cache/dnf/*",
    "var/cache/libdnf5/*",
    "var/cache/zypp/*",
    "var/lib/zypp/AnonymousUniqueId",
)
"""Caches, locks and logs of rpm, dnf and zypper."""

_MOUNTED = (*MOUNT_POINTS, "/run")
_MOST_LINES = 20
_RPM = Rpm()


def rpm_architecture(arch: str) -> str:
    """Return the name of an architecture in rpm.

    Args:
        arch: Architecture, as ``uname -m`` prints it.
    """
    return ARCHITECTURES.get(arch, arch)


class Session(HostSession):
    """A tree in which tools of the host work on packages of rpm."""

    def run(
        self, argv: Sequence[str], macros: Sequence[str] = (), *, accepted: Sequence[int] = ()
    ) -> None:
        """Run a tool of the host on the tree.

        Args:
            argv: The tool and its arguments.
            macros: Macros of rpm, such as ``%_install_langs C``.
            accepted: Exit statuses other than 0 that are no failure.

        Raises:
            PackageError: It failed, or a scriptlet of a package did.
        """
        text = RpmHome.find(self.root).macros() + "".join(f"{line}\n" for line in macros)
        (self.home / ".rpmmacros").write_text(text)
        lines, log = self.kept()
        tool = next(word for word in argv if word != "env" and "=" not in word)
        try:
            self.tool(argv, log)
        except CommandError as error:
            if error.status not in accepted:
                raise failure(tool, lines or list(error.tail), MARKS) from error
        if has_failed_script(lines):
            raise failure(tool, lines, MARKS)

    def run_inside(self, argv: Sequence[str], given: Mapping[str, Path]) -> None:
        """Run a program of the tree in it.

        Args:
            argv: The program and its arguments.
            given: Files and directories that it sees, read-only, by their paths in the tree.

        Raises:
            PackageError: It failed, or a scriptlet of a package did.
        """
        for place, path in given.items():
            self.chroot.bind(path, place)
        lines, log = self.kept()
        try:
            self.chroot.run(argv, env=self.environment, log=log)
        except CommandError as error:
            raise failure(argv[0], lines or [error.problem], MARKS) from error
        if has_failed_script(lines):
            raise failure(argv[0], lines, MARKS)

    def settle(self) -> None:
        """Write the database of rpm as the tree's own rpm wants it, equal in all builds."""
        settle(self.chroot, self.root, self.home, self.work, self.epoch)


@contextmanager
def opened(context: StepContext, epoch: int) -> Iterator[Session]:
    """Open a tree for tools of the host, and remove what they leave behind.

    Args:
        context: Context of the step.
        epoch: Time of the repositories, in seconds since 1970-01-01 UTC.
    """
    RpmHome.find(context.root).check()
    is_new = not RpmHome.exists(context.root)
    with opened_tree(context, "rpm", _RPM, TRACES, _MOUNTED, is_new=is_new) as (work, chroot):
        session = Session(context, work, chroot, epoch)
        if is_new:
            session.run(["rpmdb", "--root", str(context.root), "--initdb"])
        yield session


def resolver(root: Path | None, request: PackageRequest) -> Resolver:
    """Make a resolver for a request.

    Args:
        root: The tree; ``None`` for an empty one.
        request: The request.
    """
    state = checked(request.state)
    headers = headers_of(DirectoryFiles(root)).values() if root is not None else ()
    return Resolver(state, request.used, rpm_architecture(request.arch), headers)


def stage(
    session: Session, request: PackageRequest, chosen: Sequence[Chosen]
) -> Mapping[str, Path]:
    """Download packages, check them, and make a repository of those of each repository.

    If groups are asked for, a repository that has groups gets one, too, even without packages.

    Args:
        session: The session.
        request: The request.
        chosen: The packages.

    Returns:
        The directory of each new repository, by the alias of the one that has its packages.

    Raises:
        PackageError: The signature of a package is not that of its repository.
        RepositoryError: A package cannot be downloaded.
    """
    made = {}
    for number, repository in enumerate(request.used):
        own = [item for item in chosen if item.repository == number]
        has_groups = _groups(request, number).exists() and request.collections
        if not own and not has_groups:
            continue
        directory = session.work / f"repositories/{number:03}"
        directory.mkdir(parents=True)
        _download(session, request, number, own, directory)
        if own and checks_packages(RPM_MD, request, number):
            _check_signatures(session, request, number, own, directory)
        _index(session, request, number, directory)
        made[repository.alias] = directory
    return made


def _groups(request: PackageRequest, number: int) -> Path:
    """The file with the groups of a repository, which may be absent."""
    return directory_of(request.state.metadata, number) / "group"


def _download(
    session: Session,
    request: PackageRequest,
    number: int,
    own: Sequence[Chosen],
    directory: Path,
) -> None:
    pool = Pool(session.context.host.cache / "rpm/pool", ".rpm")
    wanted = [Wanted(item.path, directory / item.file, item.size, item.digest) for item in own]
    download(pool, reachable(request, number), wanted, session.context.log)


def _check_signatures(
    session: Session,
    request: PackageRequest,
    number: int,
    own: Sequence[Chosen],
    directory: Path,
) -> None:
    """Check the signatures of packages with a database of keys of its own; see rpmkeys(8)."""
    repository = request.used[number]
    database = session.work / f"keys-{number}"
    database.mkdir()
    files = []
    for place, key in enumerate(repository.keys):
        file = database.with_name(f"{database.name}-{place}.asc")
        file.write_bytes(content_of_key(key, repository.alias))
        files.append(str(file))
    (session.home / ".rpmmacros").write_text("%_pkgverify_level all\n")
    rpmkeys = ["rpmkeys", "--dbpath", str(database)]
    if files:
        session.tool([*rpmkeys, "--import", *files])
    lines: list[str] = []
    try:
        names = [str(directory / item.file) for item in own]
        session.tool([*rpmkeys, "--checksig", *names], lines.append)
    except CommandError as error:
        wrong = [line.rpartition("/")[2] for line in lines if "NOT OK" in line]
        raise not_signed(repository.alias, wrong or error.tail) from error


def _index(session: Session, request: PackageRequest, number: int, directory: Path) -> None:
    """Make the metadata of the new repository, with the groups of the original one."""
    groups = _groups(request, number)
    words = ["createrepo_c", "--quiet", "--set-timestamp-to-revision"]
    words += ["--revision", str(session.epoch)]
    if groups.exists():
        shutil.copyfile(groups, directory / "comps.xml")
        words += ["--groupfile", "comps.xml"]
    session.tool([*words, str(directory)], lambda line: None)


def check_result(root: Path, resolution: Resolution, tool: str) -> None:
    """Make sure that a tool has installed what was resolved.

    Raises:
        PackageError: It has not.
    """
    headers = headers_of(DirectoryFiles(root)).values()
    there = {(header.text(Tag.NAME), version_of(header)) for header in headers}
    missing = [item for item in resolution.new if (item.name, item.version) not in there]
    if missing:
        raise not_installed(tool, [f"{item.name}-{item.version}" for item in missing])
