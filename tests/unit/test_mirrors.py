import hashlib
import io
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from email.message import Message
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.error import URLError

import pytest
from descriptions import document

from kiwinb.description.model import Repository
from kiwinb.description.select import select
from kiwinb.errors import RepositoryError
from kiwinb.packages import MANAGERS, keys
from kiwinb.packages.apt.host_sources import host_sources
from kiwinb.packages.keys import _StayEncrypted
from kiwinb.packages.manager import HostMirror, ResolvedRepository
from kiwinb.packages.mirrors import host_mirrors, resolve, resolve_for
from kiwinb.packages.variables import Variables
from kiwinb.settings import OBS_SERVER, Settings

DEBIAN_SOURCES = """\
# comment
Types: deb
URIs: http://m.example.org/debian/
Suites: bookworm bookworm-updates
Components: main
Signed-By: {key}

Types: deb
URIs: http://m.example.org/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://off.example.org/debian
Suites: sid
Components: main
"""

UBUNTU_LIST = """\
deb http://a.example.org/ubuntu noble main universe
deb [arch=amd64 signed-by=/k.gpg] http://s.example.org/ubuntu noble-security main
# deb http://b.example.org/ubuntu noble main
deb-src http://src.example.org/ubuntu noble main
"""
Find = Callable[..., ResolvedRepository]


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A host whose apt knows Debian and Ubuntu, with the keyring of Debian."""
    parts = tmp_path / "etc/sources.list.d"
    parts.mkdir(parents=True)
    keyrings = tmp_path / "keyrings"
    keyrings.mkdir()
    (keyrings / "debian-archive-keyring.gpg").write_bytes(b"D")
    (keyrings / "own.gpg").write_bytes(b"O")
    (parts / "debian.sources").write_text(DEBIAN_SOURCES.format(key=keyrings / "own.gpg"))
    (parts / "ubuntu.list").write_text(UBUNTU_LIST)
    return tmp_path


@pytest.fixture
def find(host: Path) -> Find:
    def find(
        path: str,
        mirrors: Mapping[str, tuple[str, ...]] | None = None,
        obs_server: str = OBS_SERVER,
        variables: Variables | None = None,
        **fields: Any,
    ) -> ResolvedRepository:
        settings = Settings(
            store=host / "store",
            cache=host / "cache",
            mirrors=mirrors or {},
            obs_server=obs_server,
        )
        return resolve(
            Repository(path=path, **fields),
            settings,
            host,
            "x86_64",
            host=host_sources(host / "etc"),
            keyrings=host / "keyrings",
            variables=variables,
        )

    return find


def test_host_sources(host: Path) -> None:
    found = [(source.url, source.aliases) for source in host_sources(host / "etc")]
    assert found == [
        ("http://m.example.org/debian", ("debian",)),
        ("http://m.example.org/debian-security", ("debian-security",)),
        ("http://a.example.org/ubuntu", ("ubuntu",)),
        ("http://s.example.org/ubuntu", ("ubuntu-security",)),
    ]


def test_host_sources_behind_a_mirror_list(tmp_path: Path) -> None:
    (tmp_path / "mirrors.txt").write_text("http://a.example.org/ubuntu/\tpriority:1\n")
    (tmp_path / "sources.list").write_text(f"deb mirror+file:{tmp_path}/mirrors.txt noble main\n")
    assert [source.url for source in host_sources(tmp_path)] == ["http://a.example.org/ubuntu"]


def test_mirror_of_the_host_with_its_key(find: Find, host: Path) -> None:
    repository = find("mirror:debian", distribution="bookworm", included_in_image=True)
    assert repository.urls == ("http://m.example.org/debian",)
    assert repository.image_url == "http://m.example.org/debian"
    assert repository.components == ("main",)
    assert repository.alias == "debian-bookworm"
    assert [key.path for key in repository.keys] == [host / "keyrings/own.gpg"]
    assert repository.keys[0].digest == hashlib.sha256(b"O").hexdigest()


def test_key_of_the_distribution(find: Find, host: Path) -> None:
    repository = find("mirror:debian-security", distribution="bookworm-security")
    assert [key.path.name for key in repository.keys] == ["debian-archive-keyring.gpg"]
    assert repository.image_url is None


def test_settings_come_before_the_host(find: Find) -> None:
    repository = find("mirror:debian/pool", mirrors={"debian": ("http://x/debian", "http://y/d")})
    assert repository.urls == ("http://x/debian/pool", "http://y/d/pool")


def test_unknown_mirror_says_how_to_set_it(find: Find) -> None:
    with pytest.raises(RepositoryError, match="mirror:kali") as caught:
        find("mirror:kali", distribution="kali-rolling")
    assert "[mirrors]" in str(caught.value)
    assert 'kali = "http' in str(caught.value)


@pytest.mark.parametrize(
    ("alias", "near"),
    [("debain", "debian"), ("own-mirrro/pool", "own-mirror"), ("ubunt", "ubuntu")],
)
def test_unknown_mirror_suggests_those_of_settings_and_host(
    find: Find, alias: str, near: str
) -> None:
    with pytest.raises(RepositoryError, match=f"Did you mean mirror:{near}\\?"):
        find(f"mirror:{alias}", mirrors={"own-mirror": ("http://x/own",)})


def test_a_mirror_that_resembles_none_gets_no_suggestion(find: Find) -> None:
    with pytest.raises(RepositoryError) as caught:
        find("mirror:zypper")
    assert "Did you mean" not in str(caught.value)


def test_no_key_is_an_error_unless_unchecked(find: Find) -> None:
    with pytest.raises(RepositoryError, match="no known key"):
        find("http://x.example.org/else", distribution="x")
    repository = find("http://x.example.org/else", distribution="x", repository_gpgcheck=False)
    assert (repository.checked, repository.keys) == (False, ())


def test_keys_of_the_description(find: Find, host: Path) -> None:
    (host / "a.asc").write_text("-----BEGIN PGP PUBLIC KEY BLOCK-----\n")
    repository = find("http://x.example.org/else", signing=("a.asc", f"file://{host}/a.asc"))
    assert [key.path for key in repository.keys] == [host / "a.asc", host / "a.asc"]
    with pytest.raises(RepositoryError, match=r"b\.asc"):
        find("http://x.example.org/else", signing=("b.asc",))
    assert (
        find("http://x.example.org/else", signing=("this://a.asc",))
        .keys[0]
        .path.samefile(host / "a.asc")
    )
    with pytest.raises(RepositoryError, match="is of an unknown kind"):
        find("http://x.example.org/else", signing=("gopher://x.example.org/key",))


@pytest.fixture
def server(host: Path) -> Iterator[str]:
    """A web server with the files of the host."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(host))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_a_key_on_a_server(
    find: Find, host: Path, server: str, caplog: pytest.LogCaptureFixture
) -> None:
    key = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n"
    (host / "a.asc").write_bytes(key)
    digest = hashlib.sha256(key).hexdigest()
    path = "http://x.example.org/else"
    (found,) = find(path, signing=(f"{server}/a.asc",)).keys
    assert (found.digest, found.path.read_bytes()) == (digest, key)
    (warning,) = caplog.messages
    assert "is not pinned" in warning
    assert warning.endswith(f"write {server}/a.asc#sha256={digest}")
    caplog.clear()
    (host / "a.asc").write_bytes(key + b"another")
    (again,) = find(path, signing=(f"{server}/a.asc#sha256={digest}",)).keys
    assert again == found, "a key is downloaded once"
    assert caplog.messages == []
    with pytest.raises(RepositoryError, match=f"has the SHA-256 digest {digest}, not the pinned"):
        find(path, signing=(f"{server}/a.asc#sha256={'0' * 64}",))
    (fresh,) = find(path, signing=(f"{server}/a.asc",)).keys
    assert fresh.digest != digest


@pytest.mark.parametrize("pin", ["sha256=abc", "sha-256=" + "0" * 64, "md5=1"])
def test_a_pin_that_is_none(find: Find, host: Path, server: str, pin: str) -> None:
    (host / "a.asc").write_bytes(b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n")
    with pytest.raises(RepositoryError, match="is no SHA-256 digest"):
        find("http://x.example.org/else", signing=(f"{server}/a.asc#{pin}",))
    digest = hashlib.sha256((host / "a.asc").read_bytes()).hexdigest().upper()
    assert find("http://x.example.org/else", signing=(f"{server}/a.asc#sha256={digest}",)).keys


def test_a_password_of_a_key_stays_out_of_messages(find: Find, server: str) -> None:
    address = server.replace("http://", "http://me:secret@")
    with pytest.raises(RepositoryError, match="cannot be downloaded") as caught:
        find("http://x.example.org/else", signing=(f"{address}/none.asc",))
    assert "secret" not in str(caught.value)


def test_a_redirect_from_https_stays_encrypted() -> None:
    request = urllib.request.Request("https://a.example.org/key")
    follow = partial(_StayEncrypted().redirect_request, request, io.BytesIO(), 302, "", Message())
    assert follow("https://b.example.org/key") is not None
    with pytest.raises(URLError, match=r"redirected to http://b\.example\.org/key, which is not"):
        follow("http://b.example.org/key")


class _Elsewhere(BaseHTTPRequestHandler):
    """Redirects to a file of this host, or sends a byte now and then."""

    place: ClassVar[Path]

    def do_GET(self) -> None:
        if self.path == "/drips":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            for _ in range(20):
                self.wfile.write(b"-")
                time.sleep(0.1)
            return
        self.send_response(302)
        self.send_header("Location", self.place.as_uri())
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


def test_a_key_that_does_not_arrive(
    find: Find, host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = host / "a.asc"
    key.write_bytes(b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n")
    handler = type("Handler", (_Elsewhere,), {"place": key})
    monkeypatch.setattr(keys, "_TIMEOUT", 0.5)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        for name, reason in (("away", "not allowed"), ("drips", "did not send it within")):
            address = f"http://127.0.0.1:{running.server_port}/{name}"
            with pytest.raises(RepositoryError, match=reason):
                find("http://x.example.org/else", signing=(address,))
        running.shutdown()


def test_logins_in_urls_of_the_settings_are_kept_apart(find: Find) -> None:
    mirrors = {"own": ("http://me:canary@x.example.org/own", "http://y.example.org/own")}
    found = find("mirror:own/r", mirrors=mirrors, repository_gpgcheck=False)
    assert found.urls == ("http://x.example.org/own/r", "http://y.example.org/own/r")
    assert found.logins == (("http://x.example.org/own/r", "me", "canary"),)
    assert "canary" not in repr(found)
    named = replace(found, username="you", password="else")
    assert named.logins == (*found.logins, ("http://y.example.org/own/r", "you", "else"))


@pytest.mark.parametrize("signing", [(), ("https://[x/key.asc",)])
def test_what_is_no_url(find: Find, signing: tuple[str, ...]) -> None:
    path = "http://x.example.org/else" if signing else "https://[x/debian"
    with pytest.raises(RepositoryError):
        find(path, signing=signing, repository_gpgcheck=bool(signing))


def test_what_is_no_key_on_a_server(find: Find, host: Path, server: str) -> None:
    (host / "page.html").write_text("<html>Not here</html>")
    (host / "large.asc").write_bytes(b"\x99" + bytes(1 << 20))
    for name, reason in {
        "page.html": "not an OpenPGP key",
        "large.asc": "not an OpenPGP key",
        "none.asc": "cannot be downloaded",
    }.items():
        with pytest.raises(RepositoryError, match=reason):
            find("http://x.example.org/else", signing=(f"{server}/{name}",))
    with pytest.raises(RepositoryError, match="cannot be downloaded"):
        find("http://x.example.org/else", signing=("http://127.0.0.1:9/a.asc",))


def test_key_inside_of_a_host_source(find: Find, host: Path) -> None:
    text = "Types: deb\nURIs: http://i.example.org/inline\nSuites: x\nSigned-By:\n"
    text += (
        " -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQ==\n -----END PGP PUBLIC KEY BLOCK-----\n"
    )
    (host / "etc/sources.list.d/inline.sources").write_text(text)
    (key,) = find("mirror:inline", distribution="x").keys
    assert key.path.read_text() == (
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQ==\n-----END PGP PUBLIC KEY BLOCK-----\n"
    )


@pytest.mark.parametrize(
    "path", ["this:repo", "this://repo", "repo", "dir://{}/repo", "file:{}/repo"]
)
def test_directories(find: Find, host: Path, path: str) -> None:
    (host / "repo").mkdir()
    repository = find(path.format(host), repository_gpgcheck=False)
    assert repository.urls == (f"file://{host}/repo",)
    assert (repository.distribution, repository.components) == ("./", ())


def test_missing_directory(find: Find) -> None:
    with pytest.raises(RepositoryError, match="does not exist"):
        find("this:none", repository_gpgcheck=False)


def test_build_service(find: Find) -> None:
    default = find("obs://A:B/Debian_12", repository_gpgcheck=False)
    assert default.urls == (f"{OBS_SERVER}/A:/B/Debian_12",)
    with pytest.raises(RepositoryError, match="on a worker of the Open Build Service"):
        find("obsrepositories:/", repository_gpgcheck=False)
    repository = find(
        "obs://A:B/Debian_12", obs_server="https://o.example.org/", repository_gpgcheck=False
    )
    assert repository.urls == ("https://o.example.org/A:/B/Debian_12",)


def test_password_in_a_url_stays_out_of_the_image(find: Find) -> None:
    repository = find(
        "https://me:secret@x.example.org/r", repository_gpgcheck=False, included_in_image=True
    )
    assert repository.image_url == "https://x.example.org/r"
    assert repository.urls == ("https://x.example.org/r",)
    assert (repository.username, repository.password) == ("me", "secret")
    assert "secret" not in f"{repository!r} {repository.alias} {repository.path}"
    with pytest.raises(RepositoryError) as caught:
        find("https://me:secret@x.example.org/r")  # no key is known
    assert "secret" not in str(caught.value)


def test_unknown_kind_of_path(find: Find) -> None:
    with pytest.raises(RepositoryError, match="mirror:"):
        find("gopher:x", repository_gpgcheck=False)


@pytest.mark.needs("xorriso")
def test_iso_image_is_unpacked_once(find: Find, host: Path) -> None:
    (host / "disc/pool").mkdir(parents=True)
    (host / "disc/pool/Packages").write_text("Package: a\n")
    make: list[str | Path] = [
        "xorriso",
        "-as",
        "mkisofs",
        "-quiet",
        "-R",
        "-o",
        host / "d.iso",
        host / "disc",
    ]
    subprocess.run(make, check=True, capture_output=True)
    repository = find(f"iso://{host}/d.iso?pool", repository_gpgcheck=False)
    unpacked = Path(repository.urls[0].removeprefix("file://"))
    assert unpacked.is_relative_to(host / "cache")
    assert (unpacked / "Packages").read_text() == "Package: a\n"
    (unpacked / "mark").touch()
    assert find("iso:d.iso?pool", repository_gpgcheck=False).urls == repository.urls
    assert (unpacked / "mark").exists()
    with pytest.raises(RepositoryError, match="does not exist"):
        find("iso:none.iso", repository_gpgcheck=False)


def test_the_distribution_of_a_mirror_names_its_keyring(find: Find, host: Path) -> None:
    (host / "keyrings/ubuntu-archive-keyring.gpg").write_bytes(b"U")
    (host / "keyrings/other-archive-keyring.gpg").write_bytes(b"?")
    mirrors = dict.fromkeys(("ubuntu-ports", "other"), ("http://x.example.org/x",))
    repository = find("mirror:ubuntu-ports", mirrors=mirrors)
    assert [key.path.name for key in repository.keys] == ["ubuntu-archive-keyring.gpg"]
    with pytest.raises(RepositoryError, match="no known key"):
        find("mirror:other", mirrors=mirrors)


def test_all_package_managers_are_asked_for_mirrors(monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = HostMirror("http://x.example.org/fedora", ("fedora",))
    for manager in MANAGERS.values():
        monkeypatch.setattr(type(manager), "host_mirrors", lambda _self: (mirror,))
    assert host_mirrors() == (mirror,) * len(MANAGERS)


LIST = "https://a.example.org/list?repo=f-$releasever&arch=%arch&path=/"


@pytest.mark.parametrize("kind", ["metalink", "mirrorlist"])
def test_a_list_of_mirrors(kind: str, find: Find) -> None:
    more = {"sourcetype": kind, "repository_gpgcheck": False, "included_in_image": True}
    known = {"releasever": "43"}
    found = find(LIST, variables=known, **more)
    assert found.urls == ("https://a.example.org/list?repo=f-43&arch=x86_64&path=/",)
    assert found.image_url == "https://a.example.org/list?repo=f-$releasever&arch=x86_64&path=/"
    assert (found.sourcetype, found.path) == (kind, LIST)
    assert found.variables == ((("releasever", "43"),) if kind == "mirrorlist" else ())
    assert find(LIST, **more).urls[0].startswith("https://a.example.org/list?repo=f-$releasever&")
    mirrors = {"own": ("http://me:$word@b.example.org/own", "http://c.example.org")}
    own = find("mirror:own/list?r=$releasever", mirrors=mirrors, variables=known, **more)
    assert own.urls == ("http://b.example.org/own/list?r=43", "http://c.example.org/list?r=43")
    assert own.logins == (("http://b.example.org/own/list?r=43", "me", "$word"),)


def test_a_list_of_mirrors_on_this_host(find: Find, host: Path) -> None:
    more = {"sourcetype": "mirrorlist", "repository_gpgcheck": False}
    (host / "lists").mkdir()
    (host / "lists/a b").write_text("http://a.example.org\n")
    for path in ("lists/a b", "this:lists/a b", f"file://{host}/lists/a%20b", "dir:lists/a b"):
        assert find(path, **more).urls == ((host / "lists/a b").as_uri(),)
    for path in ("lists", "none", "this:none", "file:///none"):
        with pytest.raises(RepositoryError, match=r"the list of mirrors .* does not exist"):
            find(path, **more)
    for path in ("iso:a.iso", "obs:a/b", "rsync://a.example.org/list"):
        with pytest.raises(RepositoryError, match="cannot be a list of mirrors"):
            find(path, **more)


def test_baseurl_is_the_default(find: Find) -> None:
    path = "https://a.example.org/x"
    plain = find(path, repository_gpgcheck=False)
    assert find(path, repository_gpgcheck=False, sourcetype="baseurl") == plain


def test_variables_of_a_repository(find: Find) -> None:
    more = {"repository_gpgcheck": False, "included_in_image": True}
    path = "https://a.example.org/$releasever/${basearch}/$arch-$other/$"
    for manager in ("dnf4", "zypper"):
        variables = MANAGERS[manager].url_variables("armv7l", "43")
        found = find(path, variables=variables, **more)
        assert found.urls == ("https://a.example.org/43/armhfp/armv7hl-$other/$",)
        assert found.image_url == found.path == path
        with pytest.raises(RepositoryError, match=r"depends on \$releasever") as caught:
            find(path, variables=MANAGERS[manager].url_variables("x86_64", None), **more)
        assert "<release-version>" in str(caught.value)
        unknown = MANAGERS[manager].url_variables("x86_64", None)
        assert find(path, variables=unknown, used_for_build=False, **more).urls == (path,)
        assert find("https://a.example.org/$basearch", variables=variables, **more).urls
    for manager in ("apt", "pacman"):
        variables = MANAGERS[manager].url_variables("x86_64", "43")
        assert find(path, variables=variables, **more).urls == (path,)


@pytest.mark.parametrize(("manager", "reads"), [("dnf4", True), ("apt", False), ("pacman", False)])
def test_a_manager_that_cannot_read_lists(manager: str, reads: bool, tmp_path: Path) -> None:
    image = select(
        document(
            tmp_path,
            preferences="<preferences><version>1.0.0</version><release-version>43"
            f'</release-version><packagemanager>{manager}</packagemanager><type image="cpio"/>'
            "</preferences>",
            repository='<repository sourcetype="metalink" repository_gpgcheck="false">'
            '<source path="https://a.example.org/m?f-$releasever-$basearch"/></repository>',
        ),
        arch="x86_64",
    )
    (repository,) = image.repositories
    settings = Settings(store=tmp_path, cache=tmp_path)
    if reads:
        found = resolve_for(image, repository, settings, tmp_path)
        assert found.urls == ("https://a.example.org/m?f-43-x86_64",)
    else:
        with pytest.raises(RepositoryError, match=f"cannot read with {manager}") as caught:
            resolve_for(image, repository, settings, tmp_path)
        assert "Name a mirror itself" in str(caught.value)
