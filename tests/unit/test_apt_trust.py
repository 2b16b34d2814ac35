"""What apt is given: nothing old, nothing changed, nothing that is not signed."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any, ClassVar

import pytest
from apt_repository import APT, Keys, Opened, index, make_package, resolved

from kiwinb.description.model import Repository
from kiwinb.errors import PackageError, RepositoryError
from kiwinb.packages import signatures
from kiwinb.packages.apt import config, stall
from kiwinb.packages.apt.metadata import apt as run
from kiwinb.packages.manager import RepositoryState, ResolvedRepository
from kiwinb.packages.mirrors import resolve
from kiwinb.packages.signatures import is_signed_by, split_signed
from kiwinb.settings import Settings
from kiwinb.steps.step import HostPaths

pytestmark = pytest.mark.needs("apt-get", "dpkg-deb", "apt-ftparchive", "gpg")

NEW = "Sun, 02 Jan 2022 00:00:00 UTC"


@pytest.fixture
def signed_repo(repo: Path, keys: Keys) -> ResolvedRepository:
    """The repository, with a signature."""
    home, sign = keys
    sign(repo)
    return resolved(repo, repository_gpgcheck=True, signing=(str(home / "right.asc"),))


def refresh(
    repository: ResolvedRepository, host: HostPaths, *, force: bool = False
) -> RepositoryState:
    return APT.refresh([repository], "x86_64", host, force=force)


def lists(host: HostPaths, pattern: str) -> list[Path]:
    return sorted((host.cache / "apt/lists").glob(f"*/*/lists/{pattern}"))


# What is kept in the cache


def rewrite_packages(host: HostPaths) -> None:
    (packages,) = lists(host, "*_Packages")
    packages.write_text(packages.read_text().replace("Version: 1.0", "Version: 6.6"))


def add_list(host: HostPaths) -> None:
    (packages,) = lists(host, "*_Packages")
    shutil.copy(packages, packages.with_name(f"x{packages.name}"))


def rewrite_index(host: HostPaths) -> None:
    (release,) = lists(host, "*InRelease")
    release.write_text(release.read_text().replace("Date:", "Origin: mine\nDate:"))


def replace_all(host: HostPaths) -> None:
    """Whoever writes to the cache can make a state that agrees with itself."""
    rewrite_packages(host)
    (packages,), (release,) = lists(host, "*_Packages"), lists(host, "*InRelease")
    text, home = release.read_text(), release.parents[2]
    sha256 = signatures.sha256_of(packages)
    old = next(line for line in text.splitlines() if line.endswith(" Packages") and len(line) > 70)
    release.write_text(text.replace(old.split()[0], sha256))
    release.parents[1].rename(home / ("0" * 64))
    (home / "current.json").write_text(json.dumps({"state": "0" * 64, "read_at": 0}))


POISONS = [rewrite_packages, add_list, rewrite_index, replace_all]


@pytest.mark.parametrize("poison", POISONS)
def test_changed_lists_are_read_anew(
    poison: Callable[[HostPaths], None],
    signed_repo: ResolvedRepository,
    host: HostPaths,
    opened: Opened,
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = refresh(signed_repo, host)
    poison(host)
    with opened(signed_repo) as apt:
        assert {name.filename for name in apt.resolve(["beta"])} == {"beta_1.0_all.deb"}
    assert "cached package lists are not what the repositories signed" in caplog.text
    assert refresh(signed_repo, host).digests == before.digests


def test_lists_that_change_after_planning_are_refused(
    signed_repo: ResolvedRepository, host: HostPaths, opened: Opened
) -> None:
    entered = opened(signed_repo)
    (packages,) = lists(host, "*_Packages")
    about = packages.stat()
    packages.write_text(packages.read_text().replace("Version: 1.0", "Version: 6.6"))
    os.utime(packages, ns=(about.st_atime_ns, about.st_mtime_ns))
    with pytest.raises(RepositoryError, match="--clear-cache"), entered:
        pass
    with opened(signed_repo) as apt:
        assert {name.filename for name in apt.resolve(["beta"])} == {"beta_1.0_all.deb"}


def test_lists_of_an_unsigned_repository_are_compared_as_well(
    repo: Path, host: HostPaths, opened: Opened
) -> None:
    for file in repo.glob("*Release"):
        file.unlink()
    entered = opened(resolved(repo))
    rewrite_packages(host)
    with pytest.raises(RepositoryError, match="cached package lists"), entered:
        pass


def test_a_changed_package_never_leaves_the_pool(
    signed_repo: ResolvedRepository, host: HostPaths, opened: Opened, repo: Path
) -> None:
    def take() -> bytes:
        with opened(signed_repo) as apt:
            apt.fetch(["beta"])
            (file,) = apt.archives.glob("beta*.deb")
            (pooled,) = (host.cache / "apt/pool").rglob("*.deb")
            assert not pooled.samefile(file)
            file.write_bytes(b"a maintainer script changes what it can reach")
            return pooled.read_bytes()

    right = (repo / "beta_1.0_all.deb").read_bytes()
    assert take() == right
    (pooled,) = (host.cache / "apt/pool").rglob("*.deb")
    pooled.write_bytes(right[:-1] + b"!")
    assert take() == right
    assert all(file.stat().st_nlink == 1 for file in (host.cache / "apt/pool").rglob("*.deb"))


# Signatures


def test_only_what_is_signed_is_read(signed_repo: ResolvedRepository, repo: Path) -> None:
    data = (repo / "InRelease").read_bytes()
    text, signature = split_signed(data)
    assert b"-----" not in text and signature.startswith(b"-----BEGIN PGP SIGNATURE")
    for broken in (b"Date: now\n" + data, data + b"Date: now\n", data[:-40], b"", text):
        with pytest.raises(ValueError):
            split_signed(broken)
    hidden = data.replace(b"Hash:", b"Date: Fri, 01 Jan 2100 00:00:00 UTC\nHash:", 1)
    with pytest.raises(ValueError, match="not signed"):
        split_signed(hidden)


def test_signatures_are_checked_as_apt_does(
    signed_repo: ResolvedRepository, repo: Path, keys: Keys, tmp_path: Path
) -> None:
    home, _sign = keys
    right, wrong = (home / "right.asc").read_bytes(), (home / "wrong.gpg").read_bytes()
    release = repo / "InRelease"
    assert is_signed_by(release, [right])
    assert is_signed_by(release, [wrong, (home / "right.gpg").read_bytes()])
    assert not is_signed_by(release, [wrong])
    assert not is_signed_by(release, [])
    detached = tmp_path / "Release.gpg"
    text, signature = split_signed(release.read_bytes())
    detached.write_bytes(signature)
    (tmp_path / "Release").write_bytes(text)
    assert is_signed_by(tmp_path / "Release", [right], detached)
    release.write_bytes(release.read_bytes().replace(b"2022", b"2023"))
    assert not is_signed_by(release, [right])


def test_a_key_counts_for_its_repository_alone(
    signed_repo: ResolvedRepository, repo: Path, keys: Keys, tmp_path: Path, host: HostPaths
) -> None:
    home, _sign = keys
    other = tmp_path / "other"
    shutil.copytree(repo, other)
    foreign = resolved(other, "other", repository_gpgcheck=True, signing=(str(home / "wrong.gpg"),))
    with pytest.raises(RepositoryError, match="was not told to trust"):
        APT.refresh([signed_repo, foreign], "x86_64", host, force=True)


# Old indexes


def test_an_older_index_is_refused(
    signed_repo: ResolvedRepository, repo: Path, keys: Keys, host: HostPaths
) -> None:
    _home, sign = keys
    old = (repo / "InRelease").read_bytes()
    index(repo, NEW)
    sign(repo)
    newer = refresh(signed_repo, host)
    (repo / "InRelease").write_bytes(old)
    with pytest.raises(RepositoryError) as caught:
        refresh(signed_repo, host, force=True)
    assert "is of 2022-01-01 00:00 UTC, but kiwinb has seen one of 2022-01-02" in str(caught.value)
    assert "--allow-outdated test" in str(caught.value)
    assert 'outdated-repositories = ["test"]' in str(caught.value)
    assert refresh(signed_repo, host) == newer
    shutil.rmtree(host.cache / "apt/lists")
    with pytest.raises(RepositoryError, match="has seen one of"):
        refresh(signed_repo, host)
    allowed = refresh(replace(signed_repo, outdated_allowed=True), host)
    assert allowed.epoch < newer.epoch
    with pytest.raises(RepositoryError, match="has seen one of"):
        refresh(signed_repo, host)


def test_an_expired_index_is_refused(
    signed_repo: ResolvedRepository, repo: Path, keys: Keys, host: HostPaths
) -> None:
    _home, sign = keys
    release = (repo / "Release").read_text()
    (repo / "Release").write_text(f"Valid-Until: {NEW}\n{release}")
    sign(repo)
    with pytest.raises(RepositoryError) as caught:
        refresh(signed_repo, host)
    assert "has expired" in str(caught.value) and "--allow-outdated test" in str(caught.value)
    refresh(replace(signed_repo, outdated_allowed=True), host)
    with pytest.raises(RepositoryError, match="has expired"):
        refresh(signed_repo, host)


def test_an_index_of_the_future_is_refused(
    signed_repo: ResolvedRepository, repo: Path, keys: Keys, host: HostPaths
) -> None:
    _home, sign = keys
    later = datetime.now(UTC) + timedelta(days=3)
    index(repo, later.strftime("%a, %d %b %Y %H:%M:%S UTC"))
    sign(repo)
    with pytest.raises(RepositoryError, match="if that is wrong, set it first"):
        refresh(signed_repo, host)


def test_the_settings_say_which_repositories_may_be_outdated(tmp_path: Path, repo: Path) -> None:
    place = Settings(tmp_path, tmp_path, outdated_repositories=("test",))
    own = resolved(repo)
    assert not own.outdated_allowed
    for alias, allowed in (("test", True), ("other", False)):
        given = Repository(path=str(repo), alias=alias, repository_gpgcheck=False)
        assert resolve(given, place, repo, "x86_64").outdated_allowed is allowed


# The host's own apt


def test_nothing_of_the_hosts_configuration_counts(
    opened: Opened, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "host.conf"
    own.write_text('Acquire::Check-Valid-Until "false";\nAcquire::AllowInsecureRepositories "1";\n')
    monkeypatch.setenv("APT_CONFIG", str(own))
    with opened(resolved(repo)) as apt, apt.config.online(apt.repositories) as online:
        for used in (apt.config, online):
            said = run(used, ["apt-config", "dump"], print).splitlines()
            assert 'Acquire::Check-Valid-Until "true";' in said
            assert 'Acquire::AllowInsecureRepositories "false";' in said
            assert not [line for line in said if "artifact" in line]


def test_proxies_are_for_downloads_alone(
    opened: Opened, repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://me:canary@192.0.2.1")
    with opened(resolved(repo)) as apt:
        assert "canary" not in str(apt.config.environment())
        with apt.config.online(apt.repositories) as online:
            assert online.environment()["http_proxy"] == "http://me:canary@192.0.2.1"


def test_what_a_killed_process_left_is_removed_at_once(
    opened: Opened, repo: Path, host: HostPaths
) -> None:
    left = host.cache / "apt/work/left/online/auth.conf"
    left.parent.mkdir(parents=True)
    left.write_text("canary")
    with opened(resolved(repo)) as apt:
        assert not left.exists()
        with opened(resolved(repo)):
            assert apt.config.file.exists()


# What a description says is no option, file or field


def test_a_name_is_neither_an_option_nor_a_file(opened: Opened, repo: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    local = repo.parent / "local.deb"
    shutil.copy(repo / "beta_1.0_all.deb", local)
    for name in (f"-oDPkg::Pre-Invoke::=touch {mark}", "--allow-unauthenticated", str(local), ""):
        with opened(resolved(repo)) as apt:
            for ask in (apt.resolve, apt.simulate, apt.fetch):
                with pytest.raises(PackageError, match="no names of packages"):
                    ask(["beta", name])
    assert not mark.exists()


def test_a_value_is_not_another_field(
    signed_repo: ResolvedRepository, host: HostPaths, repo: Path, keys: Keys
) -> None:
    (repo / "InRelease").unlink()
    text = "./\nTrusted: yes"
    for given in (
        replace(signed_repo, distribution=text),
        replace(signed_repo, urls=(text,)),
        replace(signed_repo, components=(text,)),
    ):
        with pytest.raises(RepositoryError, match="control character"):
            refresh(given, host)


# Mirrors that misbehave


class Mirror(SimpleHTTPRequestHandler):
    """Serves the repository, and does to a package what the test wants."""

    fault: ClassVar[Any] = None
    names: ClassVar[str] = "beta"
    url: ClassVar[str] = ""

    def do_GET(self) -> None:
        if self.fault is not None and self.names in self.path:
            path = Path(self.translate_path(self.path))
            type(self).fault(self, path.read_bytes() if path.is_file() else b"")
        else:
            super().do_GET()

    def answer(self, size: int, data: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        pass


over = Event()


def stalls(self: Mirror, data: bytes) -> None:
    self.answer(len(data), data[:100])
    over.wait(30)


def never_answers(self: Mirror, _data: bytes) -> None:
    over.wait(30)


def drips(self: Mirror, data: bytes) -> None:
    self.answer(len(data), b"")
    for byte in data:
        self.wfile.write(bytes([byte]))
        self.wfile.flush()
        if over.wait(0.2):
            break


def sends_half(self: Mirror, data: bytes) -> None:
    self.answer(len(data), data[: len(data) // 2])
    self.close_connection = True


def says_less(self: Mirror, data: bytes) -> None:
    self.answer(len(data) // 2, data[: len(data) // 2])


def says_more(self: Mirror, data: bytes) -> None:
    self.answer(len(data) + 100, data + bytes(100))


def sends_another(self: Mirror, data: bytes) -> None:
    self.answer(len(data), bytes(len(data)))


def is_gone(self: Mirror, _data: bytes) -> None:
    self.send_error(404)


def sends_to_a_file(self: Mirror, _data: bytes) -> None:
    self.send_response(302)
    self.send_header("Location", f"file://{self.directory}{self.path}")
    self.end_headers()


def sends_to_a_program(self: Mirror, _data: bytes) -> None:
    self.send_response(302)
    self.send_header("Location", f"copy:{self.directory}{self.path}")
    self.end_headers()


@pytest.fixture
def mirror(repo: Path) -> Iterator[type[Mirror]]:
    class Handler(Mirror):
        pass

    over.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=repo)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        Handler.url = f"http://127.0.0.1:{server.server_port}"
        yield Handler
        over.set()
        server.shutdown()


FAULTS = {
    stalls: "stalls|cannot be downloaded",
    never_answers: "stalls|cannot be downloaded",
    drips: "the mirror stalls: nothing has arrived for",
    sends_half: "cannot be downloaded|not those that the index lists",
    says_less: "of the repository test are not those that the index lists",
    says_more: "of the repository test are not those that the index lists",
    sends_another: "of the repository test are not those that the index lists",
    is_gone: "of the repository test are not on the mirror any more",
    sends_to_a_file: "forbidden",
    sends_to_a_program: "forbidden",
}


@pytest.mark.parametrize(("fault", "said"), FAULTS.items())
def test_a_mirror_that_misbehaves(
    fault: Callable[[Mirror, bytes], None],
    said: str,
    mirror: Any,
    signed_repo: ResolvedRepository,
    opened: Opened,
    host: HostPaths,
    repo: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stall, "PATIENCE", 1.5)
    monkeypatch.setattr(stall, "NOTICE", 0.5)
    repository = replace(signed_repo, urls=(mirror.url,))
    with opened(repository) as apt:
        logged: list[str] = []
        apt = replace(apt, context=replace(apt.context, log=logged.append))
        mirror.fault = fault
        with pytest.raises(RepositoryError, match=said):
            apt.fetch(["alpha"])
        if fault in (stalls, never_answers, drips):
            assert any("waiting for the mirror: nothing has arrived" in line for line in logged)
    kept = {file.read_bytes() for file in (host.cache / "apt/pool").rglob("*.deb")}
    assert kept <= {file.read_bytes() for file in repo.glob("*.deb")}
    mirror.fault = None
    with opened(repository) as apt:
        apt.fetch(["alpha"])
        for name in ("alpha_1.0_all.deb", "beta_1.0_all.deb"):
            assert (apt.archives / name).read_bytes() == (repo / name).read_bytes()


@pytest.mark.parametrize("fault", [drips, sends_half, sends_to_a_file])
def test_a_list_that_does_not_arrive(
    fault: Callable[[Mirror, bytes], None],
    mirror: Any,
    signed_repo: ResolvedRepository,
    host: HostPaths,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(stall, "PATIENCE", 1.5)
    monkeypatch.setattr(stall, "NOTICE", 0.5)
    repository = replace(signed_repo, urls=(mirror.url,))
    mirror.fault, mirror.names = fault, "Packages"
    with pytest.raises(RepositoryError):
        refresh(repository, host)
    if fault is drips:
        assert "waiting for the mirror: nothing has arrived" in caplog.text
    assert lists(host, "*") == []
    mirror.fault = None
    refresh(repository, host)


def test_a_mirror_that_changes_between_index_and_package(
    mirror: Any, signed_repo: ResolvedRepository, opened: Opened, repo: Path, keys: Keys
) -> None:
    _home, sign = keys
    repository = replace(signed_repo, urls=(mirror.url,))
    with opened(repository) as apt:
        (repo / "beta_1.0_all.deb").unlink()
        make_package(repo, "beta", "1.0", depends="gamma")
        index(repo, NEW)
        sign(repo)
        with pytest.raises(RepositoryError, match="--clear-cache"):
            apt.fetch(["alpha"])
    refresh(repository, HostPaths(apt.context.host.cache), force=True)
    with opened(repository) as apt:
        apt.fetch(["alpha"])
        assert (apt.archives / "beta_1.0_all.deb").is_file()


def test_the_patience_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs/supply.md").read_text()
    for seconds in (stall.PATIENCE, stall.NOTICE, config.TIMEOUT):
        assert f"{seconds:.0f} seconds" in text
