"""Package lists, which are read once, shared by all builds, and not changed during a build."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kiwinb.errors import CommandError, RepositoryError
from kiwinb.files import replace_file
from kiwinb.packages.apt.complaints import unreadable
from kiwinb.packages.apt.config import AptConfig
from kiwinb.packages.apt.logins import source_name
from kiwinb.packages.apt.sources import key_suffix, read_key, stanza
from kiwinb.packages.deb822 import paragraphs
from kiwinb.packages.manager import RepositoryState, ResolvedRepository
from kiwinb.sandbox.command import execute
from kiwinb.sandbox.limits import Watch
from kiwinb.sandbox.tools import find_tool
from kiwinb.steps.keys import Digest, digest

_KEPT_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Lists:
    """The cached lists of a set of repositories.

    Attributes:
        home: Directory of the set, with its sources, its keys, and one directory for each state.
    """

    home: Path

    @property
    def sources(self) -> Path:
        """Directory of the ``.sources`` files, one for each repository, in their order."""
        return self.home / "sources"

    @property
    def current(self) -> Path:
        """The file that records the state that was read last."""
        return self.home / "current.json"


def refresh(
    repositories: Sequence[ResolvedRepository], architecture: str, cache: Path, *, force: bool
) -> RepositoryState:
    """Read the package lists of repositories, or reuse lists that were read before.

    Args:
        repositories: All repositories of the description.
        architecture: Architecture of the packages, in Debian's terms.
        cache: Directory for downloads.
        force: Whether to read the lists again in any case.

    Raises:
        RepositoryError: A repository cannot be reached, its signature is not valid, or packages
            are not installed from any repository.
    """
    used = [repository for repository in repositories if repository.used_for_build]
    if not used:
        raise RepositoryError(
            "there is no repository to install packages from",
            remedy='The description has no repository, or all have imageonly="true".',
        )
    lists = Lists(cache / "apt/lists" / _identity(used, architecture))
    if not force and (state := _read_state(lists)):
        return state
    lists.home.mkdir(parents=True, exist_ok=True)
    with _locked(lists.home / "lock"):
        if not force and (state := _read_state(lists)):
            return state
        _write_sources(lists, used, architecture)
        state = _fetch(lists, used, architecture)
        _remove_old(lists, state.metadata)
        return state


def list_home(state: RepositoryState) -> Lists:
    """Return the set of repositories to which a state belongs."""
    return Lists(state.metadata.parent)


def release_files(state: RepositoryState) -> tuple[Path | None, ...]:
    """Return the signed index of each used repository, in order; ``None`` if it has none."""
    names = json.loads((state.metadata / "releases.json").read_text())
    return tuple(name and state.metadata / "lists" / name for name in names)


def _identity(repositories: Sequence[ResolvedRepository], architecture: str) -> Digest:
    return digest(
        [
            architecture,
            *(
                {"repository": repository, "urls": repository.urls, "user": repository.username}
                for repository in repositories
            ),
        ]
    )


def _write_sources(
    lists: Lists, repositories: Sequence[ResolvedRepository], architecture: str
) -> None:
    for directory in (lists.sources, lists.home / "keys", lists.home / "mirrors"):
        directory.mkdir(exist_ok=True)
        directory.chmod(0o700)  # the URL of a mirror may have a password
    for number, repository in enumerate(repositories):
        keyrings = []
        for key in repository.keys if repository.checked else ():
            data = read_key(key, repository.alias)
            keyring = lists.home / "keys" / f"{key.digest}.{key_suffix(data)}"
            _write_once(keyring, data)
            keyrings.append(keyring)
        urls = [_fetched_url(url) for url in repository.urls]
        if len(urls) > 1:
            mirrors = lists.home / "mirrors" / f"{number}.txt"
            _write_once(mirrors, "".join(f"{url}\n" for url in urls).encode())
            urls = [f"mirror+file:{mirrors}"]
        text = stanza(repository, urls, keyrings, architecture=architecture)
        _write_once(lists.sources / source_name(number), text.encode())


def _fetched_url(url: str) -> str:
    """Use ``copy:`` in place of ``file:``, whose packages apt would leave outside the tree."""
    return "copy:" + url.removeprefix("file:") if url.startswith("file:") else url


def _write_once(file: Path, data: bytes) -> None:
    """Write a file only if it changes, because apt compares the times of files."""
    if not file.exists() or file.read_bytes() != data:
        replace_file(file, data)


def _fetch(
    lists: Lists, repositories: Sequence[ResolvedRepository], architecture: str
) -> RepositoryState:
    with tempfile.TemporaryDirectory(dir=lists.home, prefix=".new-") as work:
        config = AptConfig(
            work=Path(work),
            lists=Path(work, "state/lists"),
            sources=lists.sources,
            architecture=architecture,
        )
        config.write(repositories=repositories)
        _apt_get_update(config)
        for file in config.lists.iterdir():
            if file.is_symlink():
                _copy_in_place(file)
        shutil.rmtree(config.lists / "partial", ignore_errors=True)
        indexes = _find_indexes(config, repositories)
        digests = tuple(
            (repository.alias, indexes[number].digest)
            for number, repository in enumerate(repositories)
        )
        names = [indexes[number].release for number in range(len(repositories))]
        (config.lists.parent / "releases.json").write_text(json.dumps(names))
        state = lists.home / digest(digests)
        if not state.exists():
            config.lists.parent.rename(state)
    _build_source_cache(lists, state, architecture)
    read_at = time.time()
    epoch = max(index.date for index in indexes.values())
    record = {"state": state.name, "digests": digests, "epoch": epoch, "read_at": read_at}
    replace_file(lists.current, json.dumps(record))
    return RepositoryState(digests, epoch, state, read_at)


def _apt_get_update(config: AptConfig) -> None:
    lines: list[str] = []
    try:
        apt(config, ["apt-get", "update"], lines.append)
    except CommandError as error:
        raise unreadable(lines) from error


def apt(
    config: AptConfig,
    argv: Sequence[str],
    log: Callable[[str], None],
) -> str:
    """Run a command of apt with a configuration, and with the configuration's environment.

    Args:
        config: The configuration.
        argv: The command.
        log: Called with each line of output.

    Returns:
        The output.

    Raises:
        CommandError: The command failed.
        LimitError: The maintainer scripts exceeded one of the limits of this build.
    """
    with Watch() as watch:
        return execute(
            argv,
            executable=find_tool(argv[0]),
            log=log,
            env=config.environment(),
            cwd=config.work,
            input=None,
            check=True,
            started=watch.follow,
        )


def _copy_in_place(link: Path) -> None:
    content = link.read_bytes()
    link.unlink()
    link.write_bytes(content)


@dataclass(frozen=True)
class _Index:
    digest: Digest
    date: int
    release: str | None = None


def _find_indexes(
    config: AptConfig, repositories: Sequence[ResolvedRepository]
) -> Mapping[int, _Index]:
    """Find the index of each repository, by number of the repository."""
    line_format = "$(SOURCESENTRY)\t$(METAKEY)\t$(FILENAME)"
    output = apt(
        config, ["apt-get", "indextargets", "--format", line_format, "Created-By: Packages"], _quiet
    )
    packages: dict[int, list[Path]] = {}
    releases: dict[int, Path] = {}
    for line in output.splitlines():
        entry, key, filename = line.split("\t")
        number = int(Path(entry.rpartition(":")[0]).stem)
        packages.setdefault(number, []).append(Path(filename))
        for name in ("InRelease", "Release"):
            release = Path(filename.removesuffix(key.replace("/", "_")) + name)
            if release.is_file():
                releases.setdefault(number, release)
                break
    found = {}
    for number, repository in enumerate(repositories):
        files = [file for file in packages.get(number, ()) if file.is_file()]
        if number in releases:
            found[number] = _index_of_release(releases[number])
        elif files:
            content = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(files)))
            date = max(int(file.stat().st_mtime) for file in files)
            found[number] = _Index(content.hexdigest(), date)
        else:
            raise RepositoryError(
                f"the repository {repository.alias} has no package index for "
                f"{config.architecture} in {repository.distribution}",
                remedy="Check its distribution and components. A plain directory of packages "
                "needs an index: apt-ftparchive packages . > Packages",
            )
    return found


def _quiet(_line: str) -> None:
    pass


def _index_of_release(file: Path) -> _Index:
    from email.utils import parsedate_to_datetime  # not needed if the index is cached

    data = file.read_bytes()
    for fields in paragraphs(data.decode("utf-8", "replace")):
        if "date" in fields:
            date = int(parsedate_to_datetime(fields["date"]).timestamp())
            return _Index(hashlib.sha256(data).hexdigest(), date, file.name)
    return _Index(hashlib.sha256(data).hexdigest(), int(file.stat().st_mtime), file.name)


def _build_source_cache(lists: Lists, state: Path, architecture: str) -> None:
    with tempfile.TemporaryDirectory(dir=lists.home, prefix=".new-") as work:
        config = AptConfig(
            work=Path(work),
            lists=state / "lists",
            sources=lists.sources,
            architecture=architecture,
            source_cache=state / "srcpkgcache.bin",
        )
        config.write()
        apt(config, ["apt-cache", "gencaches"], _quiet)


def _read_state(lists: Lists) -> RepositoryState | None:
    try:
        record = json.loads(lists.current.read_text())
    except (FileNotFoundError, ValueError):
        return None
    state = lists.home / record["state"]
    if not (state / "lists").is_dir():
        return None
    os.utime(state)
    digests = tuple((alias, value) for alias, value in record["digests"])
    return RepositoryState(digests, record["epoch"], state, record["read_at"])


def _remove_old(lists: Lists, current: Path) -> None:
    """Remove states that are too old to be in use, and leftovers of interrupted builds."""
    before = time.time() - _KEPT_SECONDS
    for directory in lists.home.iterdir():
        is_state = (directory / "lists").is_dir() or directory.name.startswith(".new-")
        if is_state and directory != current and directory.stat().st_mtime < before:
            shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
