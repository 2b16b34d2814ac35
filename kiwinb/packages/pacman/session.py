"""Download the packages of a transaction, check them, and let the host's pacman install them."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kiwinb.errors import CommandError
from kiwinb.packages.databases.directory import DirectoryFiles
from kiwinb.packages.databases.pacman import LOCAL, Pacman
from kiwinb.packages.downloads import download
from kiwinb.packages.failures import naming_origins, not_installed, not_signed
from kiwinb.packages.fetch import Wanted, fetch
from kiwinb.packages.host_session import HostSession, opened_tree
from kiwinb.packages.indexed import checks_packages
from kiwinb.packages.keys import content_of_key
from kiwinb.packages.manager import PackageRequest, ResolvedRepository
from kiwinb.packages.pacman.complaints import complaint, has_failed_script
from kiwinb.packages.pacman.config import place_indexes, write_config
from kiwinb.packages.pacman.metadata import PACMAN_DB, checked
from kiwinb.packages.pacman.resolve import Chosen
from kiwinb.packages.pool import Pool
from kiwinb.packages.signatures import is_signed_by
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


class Session(HostSession):
    """A tree in which the host's pacman works."""

    def run(self, job: Sequence[str], request: PackageRequest | None) -> None:
        """Run pacman on the tree.

        Args:
            job: What it is to do.
            request: The request; ``None`` for removing packages.

        Raises:
            PackageError: It failed, or a script of a package did.
        """
        lines, log = self.kept()
        config = write_config(self.work, self.root, request)
        database = resolve_in(self.root, DATABASE)
        words = ["pacman", "--config", str(config), "--dbpath", str(database)]
        try:
            self.tool([*words, "--noconfirm", "--noprogressbar", *job], log)
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
    with opened_tree(context, "pacman", _PACMAN, TRACES, _MOUNTED, is_new=is_new) as (work, chroot):
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
    there = {(item.name, item.version) for item in _PACMAN.packages(DirectoryFiles(session.root))}
    if missing := [item for item in chosen if (item.name, item.version) not in there]:
        raise not_installed("pacman", [f"{item.name} {item.version}" for item in missing])


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
        raise not_signed(repository.alias, wrong)
