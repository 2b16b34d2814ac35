"""Find the Debian packages of a set with all that they depend on, and download them."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from made_packages import relations
from made_table import CUT

from kiwinb.description.model import Repository
from kiwinb.packages import MANAGERS
from kiwinb.packages.apt.metadata import apt
from kiwinb.packages.apt.session import Session, session
from kiwinb.packages.deb822 import paragraphs
from kiwinb.packages.manager import PackageRequest
from kiwinb.packages.mirrors import resolve
from kiwinb.packages.pool import Download, Pool
from kiwinb.settings import load_settings
from kiwinb.steps.step import HostPaths, StepContext

_DEPENDS = ("pre-depends", "depends")


@dataclass(frozen=True)
class Deb:
    """A Debian package.

    Attributes:
        fields: The fields of its control file and of the package list, in lower case.
        suite: The suite that it comes from.
    """

    fields: Mapping[str, str]
    suite: str

    @property
    def name(self) -> str:
        """Its name."""
        return self.fields["package"]

    @property
    def identity(self) -> str:
        """Its name, its version and the digest of its file."""
        return f"{self.name} {self.fields['version']} {self.fields['sha256']}"

    @property
    def download(self) -> Download:
        """Its file."""
        name = Path(self.fields["filename"]).name
        return Download(name, int(self.fields["size"]), self.fields["sha256"])


def closure(names: Sequence[str], suite: str) -> tuple[Deb, ...]:
    """Find packages of a suite, and the packages that they depend on, sorted by name."""
    with _opened(suite) as apt_session:
        found: dict[str, Deb] = {}
        provided: set[str] = set()
        missing = [*names]
        while missing:
            for deb in _show(apt_session, missing, suite):
                found[deb.name] = deb
                own = relations(deb.fields.get("provides", ""))
                provided |= {deb.name, *(group[0].name for group in own)}
            missing = sorted({*_needed(found.values(), provided)})
    return tuple(found[name] for name in sorted(found))


def _needed(debs: Iterable[Deb], provided: set[str]) -> Iterator[str]:
    for deb in debs:
        for name in _DEPENDS:
            for group in relations(deb.fields.get(name, "")):
                names = [relation.name for relation in group if relation.name not in CUT]
                if names and not provided & {*names}:
                    yield names[0]


def _show(apt_session: Session, names: Sequence[str], suite: str) -> Iterator[Deb]:
    argv = ["apt-cache", "show", "--no-all-versions", *names]
    for fields in paragraphs(apt(apt_session.config, argv, lambda line: None)):
        yield Deb(fields, suite)


@contextmanager
def downloaded(debs: Sequence[Deb]) -> Iterator[Mapping[str, Path]]:
    """Download packages of one suite, or take them from the cache; their files, by name."""
    (suite,) = {deb.suite for deb in debs}
    with _opened(suite) as apt_session:
        work = apt_session.config.work / "downloads"
        work.mkdir()
        pool = Pool(apt_session.context.host.cache / "apt/pool", ".deb")
        if missing := pool.take([deb.download for deb in debs], work):
            wanted = [
                f"{deb.name}={deb.fields['version']}" for deb in debs if deb.download in missing
            ]
            with apt_session.config.online(apt_session.repositories) as online:
                for name in wanted:  # apt-get writes to its working directory
                    apt(online, ["apt-get", "download", name], lambda line: None)
                for download in missing:
                    (found,) = online.work.glob(_glob(download.filename))
                    found.rename(work / download.filename)
            pool.keep(missing, work)
            assert not pool.take(missing, work), "a download is not what the list says"
        yield {deb.name: work / deb.download.filename for deb in debs}


def _glob(filename: str) -> str:
    """Match the file that apt-get writes, whose name has the epoch where the mirror's has none."""
    name, _version, arch = filename.rsplit("_", 2)
    return f"{name}_*_{arch}"


@contextmanager
def _opened(suite: str) -> Iterator[Session]:
    """Open a session of apt on an empty tree, with a suite as its only repository."""
    assert platform.machine() == "x86_64", "the distributions are made for x86_64 only"
    # A mirror that is not updated any more serves as well.
    settings = replace(load_settings(), outdated_repositories=("debian",))
    manager, host = MANAGERS["apt"], HostPaths(settings.cache)
    described = Repository(path="mirror:debian", alias="debian", distribution=suite)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        repositories = (resolve(described, settings, root, "x86_64"),)
        state = manager.refresh(repositories, "x86_64", host, force=False)
        (root / "var/lib/dpkg").mkdir(parents=True)
        (root / "var/lib/dpkg/status").touch()
        context = StepContext(
            root=root,
            out=None,
            inputs={},
            host=host,
            log=lambda line: None,
            progress=lambda fraction: None,
            rootless=False,
        )
        with session(context, PackageRequest("x86_64", repositories, state)) as opened:
            yield opened
