"""Package lists, which are read once, shared by all builds, and not changed during a build."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kiwinb.errors import CommandError, RepositoryError
from kiwinb.files import replace_file
from kiwinb.packages.apt.complaints import unreadable
from kiwinb.packages.apt.config import AptConfig
from kiwinb.packages.apt.held import (
    Held,
    Part,
    check_lists,
    check_signatures,
    check_unless_untouched,
    note_checked,
)
from kiwinb.packages.apt.logins import source_name
from kiwinb.packages.apt.signed import quoted
from kiwinb.packages.apt.sources import mirror_list, stanza
from kiwinb.packages.apt.stall import Watch
from kiwinb.packages.keys import content_of_key, key_suffix
from kiwinb.packages.manager import RepositoryState, ResolvedRepository
from kiwinb.packages.states import (
    check_name,
    identity,
    locked,
    refuse_older,
    remember,
    remove_old,
    touch,
    used_of,
)
from kiwinb.sandbox.command import execute
from kiwinb.sandbox.limits import Guard
from kiwinb.sandbox.tools import find_tool
from kiwinb.steps.keys import Digest, digest

_log = logging.getLogger(__name__)

_SEEN = "apt/seen"


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
    used = used_of(repositories)
    lists = Lists(cache / "apt/lists" / identity(used, architecture))
    if not force and (state := _read_state(lists, used, cache)):
        return state
    lists.home.mkdir(parents=True, exist_ok=True)
    with locked(lists.home / "lock"):
        if not force and (state := _read_state(lists, used, cache)):
            return state
        _write_sources(lists, used, architecture)
        state = _fetch(lists, used, architecture, cache)
        remove_old(lists.home, state.metadata, lambda path: (path / "lists").is_dir())
        return state


def list_home(state: RepositoryState) -> Lists:
    """Return the set of repositories to which a state belongs."""
    return Lists(state.metadata.parent)


def _write_sources(
    lists: Lists, repositories: Sequence[ResolvedRepository], architecture: str
) -> None:
    for directory in (lists.sources, lists.home / "keys", lists.home / "mirrors"):
        directory.mkdir(exist_ok=True)
        directory.chmod(0o700)
    for number, repository in enumerate(repositories):
        keyrings = []
        for key in repository.keys if repository.checked else ():
            data = content_of_key(key, repository.alias)
            keyring = lists.home / "keys" / f"{key.digest}.{key_suffix(data)}"
            _write_once(keyring, data)
            keyrings.append(keyring)
        urls = [_fetched_url(url) for url in repository.urls]
        if len(urls) > 1:
            mirrors = lists.home / mirror_list(number)
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
    lists: Lists, repositories: Sequence[ResolvedRepository], architecture: str, cache: Path
) -> RepositoryState:
    with tempfile.TemporaryDirectory(dir=lists.home, prefix=".new-") as work:
        config = AptConfig(
            work=Path(work),
            lists=Path(work, "state/lists"),
            sources=lists.sources,
            architecture=architecture,
        )
        config.write()
        _apt_get_update(config, repositories)
        for file in config.lists.iterdir():
            if file.is_symlink():
                _copy_in_place(file)
        shutil.rmtree(config.lists / "partial", ignore_errors=True)
        held = Held(config.lists.parent, _find_parts(config, repositories))
        held.write()
        check_signatures(held, repositories)
        refuse_older(repositories, _dates(held), cache / _SEEN)
        digests = _digests(held, repositories)
        state = lists.home / digest(digests)
        if _is_whole(state, digests):
            shutil.rmtree(held.home)
        else:
            check_lists(held.home, digests)
            shutil.rmtree(state, ignore_errors=True)
            held.home.rename(state)
            note_checked(state)
    held = Held.read(state)
    remember(repositories, _dates(held), cache / _SEEN)
    _build_source_cache(lists, state, architecture)
    read_at = time.time()
    replace_file(lists.current, json.dumps({"state": state.name, "read_at": read_at}))
    return RepositoryState(digests, _epoch(held), state, read_at)


def _digests(
    held: Held, repositories: Sequence[ResolvedRepository]
) -> tuple[tuple[str, Digest], ...]:
    return tuple((item.alias, held.digest(number)) for number, item in enumerate(repositories))


def _epoch(held: Held) -> int:
    return max(_dates(held))


def _dates(held: Held) -> list[int]:
    return [held.date(number) for number in range(len(held.parts))]


def _is_whole(state: Path, digests: Sequence[tuple[str, Digest]]) -> bool:
    try:
        check_unless_untouched(state, digests)
    except RepositoryError:
        return False
    return True


def _apt_get_update(config: AptConfig, repositories: Sequence[ResolvedRepository]) -> None:
    lines: list[str] = []
    try:
        with config.online(repositories) as online:
            watch = Watch.over(online, repositories, _log.warning)
            apt(online, ["apt-get", "update"], lines.append, watch=watch)
    except CommandError as error:
        raise unreadable(lines, repositories) from error


def apt(
    config: AptConfig,
    argv: Sequence[str],
    log: Callable[[str], None],
    watch: Callable[[], None] | None = None,
) -> str:
    """Run a command of apt with a configuration, and with the configuration's environment.

    Args:
        config: The configuration.
        argv: The command.
        log: Called with each line of output.
        watch: Called every second while it runs; an error that it raises ends the command.

    Returns:
        The output.

    Raises:
        CommandError: The command failed.
        LimitError: The maintainer scripts exceeded one of the limits of this build.
    """
    words = [argv[0], "-o", f"Dir::State::status={config.status}", *argv[1:]]
    with Guard() as guard:
        return execute(
            words,
            executable=find_tool(argv[0]),
            shown=argv,
            log=log,
            env=config.environment(),
            cwd=config.work,
            input=None,
            check=True,
            started=guard.follow,
            watch=watch,
        )


def _copy_in_place(link: Path) -> None:
    content = link.read_bytes()
    link.unlink()
    link.write_bytes(content)


def _find_parts(config: AptConfig, repositories: Sequence[ResolvedRepository]) -> tuple[Part, ...]:
    """Find the lists of each repository.

    Raises:
        RepositoryError: A repository has no package list.
    """
    line_format = "$(SOURCESENTRY)\t$(METAKEY)\t$(FILENAME)"
    output = apt(
        config, ["apt-get", "indextargets", "--format", line_format, "Created-By: Packages"], _quiet
    )
    packages: dict[int, list[Path]] = {}
    releases: dict[int, str] = {}
    for line in output.splitlines():
        entry, key, filename = line.split("\t")
        number = int(Path(entry.rpartition(":")[0]).stem)
        packages.setdefault(number, []).append(Path(filename))
        for name in ("InRelease", "Release"):
            release = Path(filename.removesuffix(quoted(key)) + name)
            if release.is_file():
                releases.setdefault(number, release.name)
                break
    parts = []
    for number, repository in enumerate(repositories):
        files = tuple(file.name for file in packages.get(number, ()) if file.is_file())
        if number not in releases and not files:
            raise RepositoryError(
                f"the repository {repository.alias} has no package index for "
                f"{config.architecture} in {repository.distribution}",
                remedy="Check its distribution and components. A plain directory of packages "
                "needs an index: apt-ftparchive packages . > Packages",
            )
        parts.append(Part(releases.get(number), files))
    return tuple(parts)


def _quiet(_line: str) -> None:
    pass


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


def _read_state(
    lists: Lists, repositories: Sequence[ResolvedRepository], cache: Path
) -> RepositoryState | None:
    """The state that was read last; ``None`` if there is none, or if it is not to be trusted."""
    try:
        record = json.loads(lists.current.read_text())
        state, read_at = lists.home / Path(record["state"]).name, float(record["read_at"])
        held = Held.read(state)
        digests = _digests(held, repositories)
        epoch = _epoch(held)
    except (OSError, ValueError, TypeError, KeyError, IndexError):
        return None
    try:
        check_signatures(held, repositories)
        check_name(state, digests)
        refuse_older(repositories, _dates(held), cache / _SEEN)
        check_unless_untouched(state, digests)
    except RepositoryError as error:
        _log.warning("%s. kiwinb reads them anew.", error.problem)
        return None
    touch(state)
    return RepositoryState(digests, epoch, state, read_at)
