"""Download the packages of a transaction, check them, and let the host's pacman install them."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kiwinb.errors import CommandError, PackageError
from kiwinb.packages.databases.directory import DirectoryFiles
from kiwinb.packages.databases.pacman import LOCAL, Pacman
from kiwinb.packages.downloads import download
from kiwinb.packages.failures import naming_origins
from kiwinb.packages.fetch import Wanted, fetch
from kiwinb.packages.indexed import checks_packages
from kiwinb.packages.keys import content_of_key
from kiwinb.packages.manager import PackageRequest, ResolvedRepository
from kiwinb.packages.mount_points import mounted_over
from kiwinb.packages.pacman.complaints import complaint, has_failed_script
from kiwinb.packages.pacman.config import place_indexes, write_config
from kiwinb.packages.pacman.metadata import PACMAN_DB, checked
from kiwinb.packages.pacman.resolve import Chosen
from kiwinb.packages.pool import Pool
from kiwinb.packages.settled import settled
from kiwinb.packages.signatures import is_signed_by
from kiwinb.packages.work import private_directory
from kiwinb.sandbox.chroot import ENVIRONMENT, Chroot
from kiwinb.sandbox.paths import resolve_in
from kiwinb.sandbox.tree_files import read_in, write_in
from kiwinb.steps.step import StepContext

DATABASE = "/var/lib/pacman"
TRACES = (
    "var/lib/pacman/db.lck",
    "var/lib/pacman/sync",
    "var/log/pacman.log",
    "var/cache/pacman/pkg/*",
)
"""Caches, locks and logs of pacman."""

_MOUNTED = ("/dev", "/proc", "/sys", "/run")
_INSTALLED_AT = re.compile(rb"^%INSTALLDATE%\n\d+$", re.MULTILINE)
_PACMAN = Pacman()


@dataclass(frozen=True)
class Session:
    """A tree in which the host's pacman works.

    Attributes:
        context: Context of the step.
        work: Private directory.
        chroot: The tree, opened.
        epoch: Time of the repositories, in seconds since 1970-01-01 UTC.
    """

    context: StepContext
    work: Path
    chroot: Chroot
    epoch: int

    @property
    def root(self) -> Path:
        """The root tree."""
        return self.context.root

    def run(self, job: Sequence[str], request: PackageRequest | None) -> None:
        """Run pacman on the tree.

        Args:
            job: What it is to do.
            request: The request; ``None`` for removing packages.

        Raises:
            PackageError: It failed, or a script of a package did.
        """
        lines: list[str] = []

        def log(line: str) -> None:
            lines.append(line)
            self.context.log(line)

        config = write_config(self.work, self.root, request)
        database = resolve_in(self.root, DATABASE)
        words = ["pacman", "--config", str(config), "--dbpath", str(database)]
        env = {**ENVIRONMENT, "TZ": "UTC0", "SOURCE_DATE_EPOCH": str(self.epoch)}
        try:
            self.chroot.run_tool(
                [*words, "--noconfirm", "--noprogressbar", *job],
                env=env,
                home=self.work / "home",
                also=[self.work],
                log=log,
            )
        except CommandError as error:
            raise complaint(lines or list(error.tail)) from error
        if has_failed_script(lines):
            raise complaint(lines)

    def settle(self) -> None:
        """Give all packages one time of installation, so that two builds have equal databases."""
        database = resolve_in(self.root, LOCAL)
        for place in sorted(database.iterdir()):
            path = f"{LOCAL}/{place.name}/desc"
            if resolve_in(self.root, path).is_file():
                text = b"%%INSTALLDATE%%\n%d" % self.epoch
                write_in(self.root, path, _INSTALLED_AT.sub(text, read_in(self.root, path)))


@contextmanager
def opened(context: StepContext, epoch: int) -> Iterator[Session]:
    """Open a tree for the host's pacman, and remove what it leaves behind.

    Args:
        context: Context of the step.
        epoch: Time of the repositories, in seconds since 1970-01-01 UTC.
    """
    local = resolve_in(context.root, LOCAL)
    is_new = not local.is_dir()
    if is_new:
        local.mkdir(0o755, parents=True)
    with (
        mounted_over(context.root, _MOUNTED, _PACMAN, is_new=is_new),
        settled(context.root, context.log, TRACES),
        private_directory(context.host.cache / "pacman/work") as work,
        Chroot(context.root, log=context.log) as chroot,
    ):
        (work / "home").mkdir(mode=0o755)
        yield Session(context, work, chroot, epoch)


def install(
    session: Session, request: PackageRequest, chosen: Sequence[Chosen], job: Sequence[str]
) -> None:
    """Download packages, check them, and install them.

    Args:
        session: The session.
        request: The request.
        chosen: The packages that the transaction installs.
        job: What pacman is to do.

    Raises:
        PackageError: A package is not signed as it has to be, or cannot be installed.
        RepositoryError: A package cannot be downloaded.
    """
    cache = session.work / "cache"
    cache.mkdir(exist_ok=True)
    pool = Pool(session.context.host.cache / "pacman/pool", ".pkg")
    for number, repository in enumerate(request.used):
        own = [item for item in chosen if item.repository == number]
        wanted = [
            Wanted(item.listed.file, cache / item.listed.file, item.listed.size, item.listed.digest)
            for item in own
        ]
        download(pool, repository, wanted, session.context.log)
        if checks_packages(PACMAN_DB, request, number):
            check_signatures(session.work, repository, own)
    session.context.progress(0.3)
    database = resolve_in(session.root, DATABASE)
    placed = place_indexes(checked(request.state), request, database)
    aliases = {item.name: request.used[item.repository].alias for item in chosen}
    with naming_origins(lambda: aliases):
        session.run(job, request)
    for file in placed:
        file.unlink(missing_ok=True)
    session.context.progress(0.9)
    _check_result(session.root, chosen)


def check_signatures(work: Path, repository: ResolvedRepository, own: Sequence[Chosen]) -> None:
    """Check packages with the signatures in the index, or else beside the packages.

    Args:
        work: Private directory; the packages are in its directory ``cache``.
        repository: The repository of the packages.
        own: The packages.

    Raises:
        PackageError: One is not signed with a key of the repository.
        RepositoryError: A signature cannot be downloaded.
    """
    keys = [content_of_key(key, repository.alias) for key in repository.keys]
    wrong = []
    for item in own:
        signature = work / f"{item.listed.file}.sig"
        if text := item.listed.one("PGPSIG"):
            try:
                signature.write_bytes(base64.b64decode(text, validate=True))
            except binascii.Error:
                wrong.append(item.listed.file)
                continue
        else:
            fetch(repository, [Wanted(signature.name, signature, optional=True)])
        if not is_signed_by(work / "cache" / item.listed.file, keys, signature):
            wrong.append(item.listed.file)
    if wrong:
        raise PackageError(
            f"packages of the repository {repository.alias} are not signed with its keys:\n"
            + "\n".join(f"  {name}" for name in wrong[:20]),
            remedy="Name the file with the key in <signing key=…/> of the repository if you trust "
            'it, or set package_gpgcheck="false" to use the packages unchecked.',
        )


def _check_result(root: Path, chosen: Sequence[Chosen]) -> None:
    there = {(item.name, item.version) for item in _PACMAN.packages(DirectoryFiles(root))}
    missing = [item for item in chosen if (item.name, item.version) not in there]
    if missing:
        names = ", ".join(f"{item.name} {item.version}" for item in missing)
        raise PackageError(
            f"pacman did not install what was resolved: {names}",
            remedy="This is a fault of kiwinb; please report it with the log of the step.",
        )
