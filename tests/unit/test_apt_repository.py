"""apt on small repositories that are made here: lists, signatures, resolving and downloads."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest
from apt_repository import (
    APT,
    Keys,
    Opened,
    Server,
    index,
    make_package,
    names,
    resolved,
)
from hypothesis import HealthCheck, example, given
from hypothesis import settings as settings_of_test
from hypothesis import strategies as st

from kiwinb.errors import PackageError, RepositoryError
from kiwinb.packages.apt.complaints import unreadable
from kiwinb.packages.apt.logins import auth_conf
from kiwinb.packages.manager import ResolvedRepository
from kiwinb.steps.keys import digest
from kiwinb.steps.step import HostPaths, StepContext

pytestmark = pytest.mark.needs("apt-get", "dpkg-deb", "apt-ftparchive")


def test_state_changes_with_the_repository_only(repo: Path, host: HostPaths) -> None:
    first = APT.refresh([resolved(repo)], "x86_64", host, force=True)
    assert first.epoch == int(datetime(2022, 1, 1, tzinfo=UTC).timestamp())
    again = APT.refresh([resolved(repo)], "x86_64", host, force=True)
    assert digest(again) == digest(first)
    assert again.metadata == first.metadata
    make_package(repo, "delta")
    index(repo, "Sun, 02 Jan 2022 00:00:00 UTC")
    unforced = APT.refresh([resolved(repo)], "x86_64", host, force=False)
    assert digest(unforced) == digest(first)
    third = APT.refresh([resolved(repo)], "x86_64", host, force=True)
    assert digest(third) != digest(first)
    assert third.epoch == first.epoch + 24 * 3600
    assert (first.metadata / "lists").is_dir()


def test_lists_of_a_running_build_stay(repo: Path, host: HostPaths, opened: Opened) -> None:
    with opened(resolved(repo)) as apt:
        make_package(repo, "delta")
        index(repo, "Sun, 02 Jan 2022 00:00:00 UTC")
        APT.refresh([resolved(repo)], "x86_64", host, force=True)
        assert "delta" not in apt.known_names()
        assert names(apt.resolve(["beta"])) == ["beta"]


@pytest.mark.proves("package manager", "apt", "package", "patternType", "ignore")
def test_dependencies_recommends_and_ignore(repo: Path, opened: Opened) -> None:
    with opened(resolved(repo)) as apt:
        assert names(apt.resolve(["alpha"])) == ["alpha", "beta"]
    with opened(resolved(repo), recommended=True) as apt:
        assert names(apt.resolve(["alpha"])) == ["alpha", "beta", "gamma"]
    with opened(resolved(repo), recommended=True, ignore=["gamma", "unknown"]) as apt:
        assert names(apt.resolve(["alpha"])) == ["alpha", "beta"]
    with opened(resolved(repo), ignore=["beta"]) as apt, pytest.raises(PackageError, match="beta"):
        apt.resolve(["alpha"])


def test_all_missing_names_are_told_with_near_ones(repo: Path, opened: Opened) -> None:
    with opened(resolved(repo)) as apt, pytest.raises(PackageError) as caught:
        apt.resolve(["alpha", "gama", "nothing-like-it", "g.mma"])
    text = str(caught.value)
    assert "gama (near: gamma)" in text
    assert "nothing-like-it\n" in text
    assert "g.mma" in text
    assert "alpha" not in text.partition("\n")[0]


def test_a_virtual_package_lists_its_providers(repo: Path, opened: Opened) -> None:
    make_package(repo, "zeta", provides="mail-server (= 2)")
    make_package(repo, "eta", provides="mail-server, only-one")
    make_package(repo, "eta", "2.0", provides="mail-server, only-one")
    make_package(repo, "heir", replaces="old", conflicts="old")
    make_package(repo, "needy", depends="old")
    index(repo)
    with opened(resolved(repo)) as apt:
        with pytest.raises(PackageError) as caught:
            apt.resolve(["mail-server", "gama", "old"])
        text = str(caught.value)
        assert "  mail-server (choose one of: eta, zeta)\n" in text
        assert "  old (choose one of: heir)\n" in text
        assert "  gama (near: gamma)\n" in text
        assert "Name one of the packages that provide or replace a name" in text
        assert names(apt.resolve(["only-one"])) == ["eta"]


def test_conflicts_are_told(repo: Path, opened: Opened) -> None:
    with opened(resolved(repo)) as apt, pytest.raises(PackageError) as caught:
        apt.resolve(["broken"])
    assert "broken : Depends: beta (>= 9)" in str(caught.value)
    assert "Reading package lists" not in str(caught.value)


def test_pool_serves_and_heals(repo: Path, opened: Opened, host: HostPaths) -> None:
    with opened(resolved(repo)) as apt:
        apt.fetch(["alpha"])
        assert len(list(apt.archives.glob("*.deb"))) == 2
    pooled = sorted((host.cache / "apt/pool").rglob("*.deb"))
    assert len(pooled) == 2
    size = pooled[0].stat().st_size
    pooled[0].write_bytes(bytes(size))
    with opened(resolved(repo)) as apt:
        apt.fetch(["alpha"])
        for file in apt.archives.glob("*.deb"):
            assert file.read_bytes() == (repo / file.name).read_bytes()
    assert any(pooled[0].read_bytes())
    assert list((host.cache / "apt/work").iterdir()) == []


def test_pool_needs_no_repository(repo: Path, opened: Opened) -> None:
    with opened(resolved(repo)) as apt:
        apt.fetch(["alpha"])
    for file in repo.glob("*.deb"):
        file.unlink()
    with opened(resolved(repo)) as apt:
        apt.fetch(["alpha"])
        assert len(list(apt.archives.glob("*.deb"))) == 2


PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
LETTERS = st.text(
    st.one_of(
        st.characters(min_codepoint=0x20, max_codepoint=0x7E), st.sampled_from("äß€漢🔑\u00a0")
    )
)


@settings_of_test(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example(user=PRINTABLE.replace(":", ""), password=PRINTABLE)
@example(user="a b", password="")
@example(user="#machine", password=" login\tpassword ")
@example(user="%41", password="%zz%20+")
@given(user=LETTERS.filter(lambda text: text and ":" not in text), password=LETTERS)
def test_any_user_name_and_password(
    user: str, password: str, host: HostPaths, server: Server, served: ResolvedRepository
) -> None:
    server.login = f"{user}:{password}"
    named = replace(served, username=user, password=password)
    APT.refresh([named], "x86_64", host, force=True)
    with pytest.raises(RepositoryError, match="401") as caught:
        APT.refresh([replace(named, password=password + "?")], "x86_64", host, force=True)
    for secret in {password, quote(password, "")}:
        assert len(secret) < 6 or secret not in str(caught.value)


def test_each_place_gets_its_own_login(served: ResolvedRepository, server: Server) -> None:
    """The first entry whose place a URL begins with counts, and words cannot be empty."""
    logins = {"/deb": "1", "/debian": "2", "/deb/sub/": "3", "/token": "", "": "4"}
    repositories = [
        replace(served, urls=(f"{server.url}{path}",), username=f"u{password}", password=password)
        for path, password in logins.items()
    ]
    lines = auth_conf([*repositories, replace(repositories[0], username="later")]).splitlines()
    assert [line for line in lines if server.url in line] == [
        f"machine {server.url}{place} login u{number} password {number}"
        for place, number in (("/deb/sub/", 3), ("/debian/", 2), ("/deb/", 1), ("/", 4))
    ]


@pytest.mark.parametrize("password", [PRINTABLE, PRINTABLE.replace(" ", "")])
def test_passwords_stay_out_of_logs_errors_and_the_cache(
    password: str,
    repo: Path,
    host: HostPaths,
    opened: Opened,
    server: Server,
    served: ResolvedRepository,
) -> None:
    server.login = f"me:{password}"
    named = replace(served, password=password)
    logged: list[str] = []
    with opened(named) as apt:
        apt = replace(apt, context=replace(apt.context, log=logged.append))
        with apt.config.online(apt.repositories) as online:
            private = [path for path in apt.config.work.rglob("*") if _has_secret(path, password)]
            assert len(private) == 1 and private[0].is_relative_to(online.work)
            assert private[0].stat().st_mode & 0o777 == 0o600
        assert not online.work.exists()
        apt.fetch(["alpha"])
        (repo / "gamma_1.0_all.deb").unlink()
        with pytest.raises(RepositoryError, match="404") as caught:
            apt.fetch(["gamma"])
        said = "\n".join([str(caught.value), *logged])
        assert "alpha" in said
        assert not any(secret in said for secret in (password, quote(password, "")))
    assert any(path.is_file() for path in host.cache.rglob("*"))
    assert [path for path in host.cache.rglob("*") if _has_secret(path, password)] == []
    assert password not in repr(named)


def _has_secret(path: Path, password: str) -> bool:
    content = path.read_bytes() if path.is_file() else b""
    return password.encode() in content or quote(password, "").encode() in content


def test_a_password_with_blanks_belongs_to_one_url(
    host: HostPaths, server: Server, served: ResolvedRepository
) -> None:
    server.login = "me:se cret"
    two = replace(served, urls=(server.url, server.url + "/more"), password="se cret")
    with pytest.raises(RepositoryError, match="several URLs") as caught:
        APT.refresh([two], "x86_64", host, force=True)
    assert "se cret" not in str(caught.value)


def test_package_that_is_gone_from_the_mirror(
    repo: Path, opened: Opened, served: ResolvedRepository
) -> None:
    with opened(served) as apt:
        (repo / "beta_1.0_all.deb").unlink()
        with pytest.raises(RepositoryError) as caught:
            apt.fetch(["alpha"])
    assert "404" in str(caught.value)
    assert "--clear-cache" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_wrong_password(host: HostPaths, served: ResolvedRepository) -> None:
    with pytest.raises(RepositoryError, match="401"):
        APT.refresh([replace(served, password="guessed")], "x86_64", host, force=True)


@pytest.mark.proves("package manager", "apt", "priority")
def test_priorities(tmp_path: Path, repo: Path, opened: Opened) -> None:
    newer = tmp_path / "newer"
    newer.mkdir()
    make_package(newer, "beta", version="2.0")
    index(newer, Label="Newer", Codename="newer")
    index(repo, Label="Older", Codename="older")
    old, new = resolved(repo), resolved(newer, "newer")
    with opened(old, new) as apt:
        assert [download.filename for download in apt.resolve(["beta"])] == ["beta_2.0_all.deb"]
    first = replace(old, priority=1)
    with opened(first, replace(new, priority=2)) as apt:
        assert [download.filename for download in apt.resolve(["beta"])] == ["beta_1.0_all.deb"]


def test_several_urls_of_one_mirror(tmp_path: Path, repo: Path, opened: Opened) -> None:
    repository = resolved(repo)
    repository = replace(repository, urls=(f"file://{tmp_path}/none", *repository.urls))
    with opened(repository) as apt:
        assert names(apt.resolve(["beta"])) == ["beta"]


def test_unreachable_repository(tmp_path: Path, repo: Path, host: HostPaths) -> None:
    repository = replace(resolved(repo), urls=(f"file://{tmp_path}/none",))
    with pytest.raises(RepositoryError):
        APT.refresh([repository], "x86_64", host, force=True)


@pytest.mark.parametrize(
    ("warning", "key"),
    [
        (
            "W: GPG error: copy:/repo ./ InRelease: The following signatures couldn't be verified "
            "because the public key is not available: NO_PUBKEY CEB1B9B97B6B2950",
            "CEB1B9B97B6B2950",
        ),
        (
            "W: OpenPGP signature verification failed: copy:/repo ./ InRelease: Sub-process "
            "/usr/bin/sqv returned an error code (1), error message is: Missing key "
            "74A342F9DA43B41158E9900DAD311363A56C95AB, which is needed to verify signature.",
            "74A342F9DA43B41158E9900DAD311363A56C95AB",
        ),
    ],
    ids=["gpgv", "sqv"],
)
def test_an_unknown_key_is_named(warning: str, key: str) -> None:
    refused = "E: The repository 'copy:/repo ./ InRelease' is not signed."
    error = unreadable(["Err:1 copy:/repo ./ InRelease", warning, refused])
    assert f"is signed with the key {key}, which" in str(error)
    assert warning in str(error) and refused in str(error)
    assert "<signing key=" in str(error)
    assert "<signing" not in str(unreadable(["Err:1 copy:/repo ./ InRelease", refused]))


def test_the_reason_for_a_failed_download_is_told() -> None:
    failed = "E: Failed to fetch copy:/repo/Packages  404  Not Found"
    reason = "  Error writing to file - write (28: No space left on device) [IP: 192.0.2.1 80]"
    error = unreadable(["Get:1 copy:/repo", "Err:1 copy:/repo Packages", reason, "Ign:2 x", failed])
    assert reason.strip() in str(error) and failed in str(error) and "Ign:2" not in str(error)


@pytest.mark.parametrize(
    ("place", "aliases"),
    [
        ("copy:/repo ./ InRelease", "repository near"),
        ("copy:/repository-2 ./ InRelease", "repositories near, far, both"),
        ("http://192.0.2.1/debian bookworm InRelease", "repository far"),
        ("http://192.0.2.1/debian/pool/a.deb  404  Not Found", "repository far"),
        ("mirror+file:/cache/mirrors/2.txt ./ InRelease", "repository both"),
        ("http://192.0.2.3/debian ./ InRelease", "repository both"),
    ],
)
def test_the_repository_that_fails_is_named(place: str, aliases: str) -> None:
    found = tuple(
        ResolvedRepository(alias, "path", urls)
        for alias, urls in {
            "near": ("file:///repo",),
            "far": ("http://192.0.2.1/debian/",),
            "both": ("http://192.0.2.2/debian", "http://192.0.2.3/debian"),
        }.items()
    )
    lines = ["Get:1 http://192.0.2.1/debian bookworm InRelease", f"Err:2 {place}"]
    assert str(unreadable(lines, found)).startswith(f"the {aliases} cannot be read:")


@pytest.mark.needs("gpg")
@pytest.mark.proves("package manager", "apt", "repository_gpgcheck")
def test_signatures(repo: Path, host: HostPaths, keys: Keys, tmp_path: Path) -> None:
    home, sign = keys
    sign(repo)
    shutil.copy(home / "right.asc", tmp_path / "key.with.any.name")
    for key in (tmp_path / "key.with.any.name", home / "right.gpg"):
        good = resolved(repo, repository_gpgcheck=True, signing=(str(key),))
        state = APT.refresh([good], "x86_64", host, force=True)
        assert dict(state.digests).keys() == {"test"}
    bad = resolved(repo, repository_gpgcheck=True, signing=(str(home / "wrong.gpg"),))
    with pytest.raises(RepositoryError, match=r"signed with the key [0-9A-F]{16,40}, which"):
        APT.refresh([bad], "x86_64", host, force=True)
    (repo / "InRelease").unlink()
    with pytest.raises(RepositoryError, match="not signed"):
        APT.refresh([good], "x86_64", host, force=True)


@pytest.mark.needs("gpg")
@pytest.mark.proves("package manager", "apt", "components", "distribution")
def test_configuration_of_the_image(tmp_path: Path, repo: Path, keys: Keys) -> None:
    home, _sign = keys
    signed = resolved(
        repo,
        repository_gpgcheck=True,
        signing=(str(home / "right.asc"), str(home / "wrong.gpg")),
        included_in_image=True,
        distribution="suite",
        components=("main", "extra"),
    )
    unchecked = resolved(repo, "unchecked", included_in_image=True)
    root = tmp_path / "image"
    (root / "usr/share/keyrings").mkdir(parents=True)
    shutil.copy(home / "wrong.gpg", root / "usr/share/keyrings/brought.gpg")
    context = StepContext(root, None, {}, HostPaths(tmp_path), print, print, True)
    APT.configure_image(context, [signed, unchecked, resolved(repo, "build-only")])
    directory = root / "etc/apt/sources.list.d"
    assert (directory / "test.sources").read_text() == (
        f"Types: deb\nURIs: file://{repo}\nSuites: suite\nComponents: main extra\n"
        "Architectures: amd64\n"
        "Signed-By: /etc/apt/keyrings/test.asc /usr/share/keyrings/brought.gpg\n"
    )
    assert (root / "etc/apt/keyrings/test.asc").read_bytes() == (home / "right.asc").read_bytes()
    assert "Trusted: yes" in (directory / "unchecked.sources").read_text()
    assert not (directory / "build-only.sources").exists()
