"""Small repositories that are made here, and sessions of apt on them."""

import shutil
import subprocess
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from kiwinb.description.model import Repository
from kiwinb.packages import MANAGERS
from kiwinb.packages.apt.session import Session, session
from kiwinb.packages.manager import PackageRequest, ResolvedRepository
from kiwinb.packages.mirrors import resolve
from kiwinb.packages.pool import Download
from kiwinb.settings import Settings
from kiwinb.steps.step import HostPaths, StepContext

APT = MANAGERS["apt"]
Opened = Callable[..., AbstractContextManager[Session]]
Keys = tuple[Path, Callable[[Path], None]]  # where they are, and what signs with the first


def make_package(
    directory: Path,
    name: str,
    version: str = "1.0",
    depends: str = "",
    tasks: str = "",
    arch: str = "all",
    **more: str,
) -> None:
    tree = directory / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    extra = f"Depends: {depends}\n" if depends else ""
    extra += f"Recommends: {tasks}\n" if tasks else ""
    extra += "".join(f"{field.capitalize()}: {value}\n" for field, value in more.items())
    (tree / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: {arch}\n"
        f"Maintainer: A <a@example.org>\n{extra}Description: a test\n"
    )
    file = directory / f"{name}_{version}_{arch}.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "--build", tree, file], check=True, capture_output=True
    )
    shutil.rmtree(tree)


def index(directory: Path, date: str = "Sat, 01 Jan 2022 00:00:00 UTC", **release: str) -> None:
    run = partial(subprocess.run, cwd=directory, check=True, capture_output=True, text=True)
    packages = run(["apt-ftparchive", "packages", "."]).stdout
    (directory / "Packages").write_text(packages)
    for file in directory.glob("*Release"):
        file.unlink()
    options = [f"-oAPT::FTPArchive::Release::{name}={value}" for name, value in release.items()]
    text = run(["apt-ftparchive", *options, "release", "."]).stdout
    lines = [line for line in text.splitlines() if not line.startswith("Date:")]
    (directory / "Release").write_text("\n".join([f"Date: {date}", *lines]) + "\n")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    directory = tmp_path / "repo"
    directory.mkdir()
    make_package(directory, "alpha", depends="beta (>= 1)", tasks="gamma")
    make_package(directory, "beta")
    make_package(directory, "gamma")
    make_package(directory, "task-small", depends="beta")
    make_package(directory, "broken", depends="beta (>= 9)")
    index(directory)
    return directory


@pytest.fixture
def host(tmp_path: Path) -> HostPaths:
    return HostPaths(tmp_path / "cache")


def resolved(directory: Path, alias: str = "test", **fields: Any) -> ResolvedRepository:
    settings = Settings(store=directory / "store", cache=directory / "cache")
    fields.setdefault("repository_gpgcheck", False)
    repository = Repository(path=str(directory), alias=alias, **fields)
    return replace(resolve(repository, settings, directory, "x86_64"), architectures=("amd64",))


@pytest.fixture
def opened(tmp_path: Path, host: HostPaths) -> Opened:
    """Open a session on an empty tree."""

    def opened(
        *repositories: ResolvedRepository, **options: Any
    ) -> AbstractContextManager[Session]:
        root = tmp_path / "root"
        (root / "var/lib/dpkg").mkdir(parents=True, exist_ok=True)
        (root / "var/lib/dpkg/status").touch()
        lines: list[str] = []
        context = StepContext(
            root=root,
            out=None,
            inputs={},
            host=host,
            log=lines.append,
            progress=lambda fraction: None,
            rootless=True,
        )
        state = APT.refresh(repositories, "x86_64", host, force=False)
        return session(context, PackageRequest("x86_64", repositories, state, **options))

    return opened


def names(downloads: Iterable[Download]) -> list[str]:
    return sorted(download.filename.partition("_")[0] for download in downloads)


@dataclass
class Server:
    """A web server that asks for a user name and a password.

    Attributes:
        url: Its URL.
        login: The user name and the password, with a colon between them.
    """

    url: str = ""
    login: str = "me:secret"


@pytest.fixture
def server(repo: Path) -> Iterator[Server]:
    """The repository behind HTTP that asks for a password."""
    about = Server()

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = b64encode(about.login.encode()).decode()
            if self.headers["Authorization"] == f"Basic {wanted}":
                super().do_GET()
            else:
                self.send_error(401)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=repo)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        about.url = f"http://127.0.0.1:{server.server_port}"
        yield about
        server.shutdown()


@pytest.fixture
def served(repo: Path, server: Server) -> ResolvedRepository:
    """The repository behind HTTP, with the right password."""
    return replace(resolved(repo), urls=(server.url,), username="me", password="secret")


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keys]:
    """Two keys, and a function that signs a repository with the first."""
    home = tmp_path_factory.mktemp("gnupg")
    home.chmod(0o700)
    gpg: list[str | Path] = ["gpg", "--batch", "--quiet", "--homedir", home, "--passphrase", ""]
    for name in ("right", "wrong"):
        make = ["--quick-gen-key", name, "ed25519", "sign", "never"]
        subprocess.run([*gpg, *make], check=True, capture_output=True)
    subprocess.run([*gpg, "-o", home / "right.asc", "--armor", "--export", "right"], check=True)
    subprocess.run([*gpg, "-o", home / "right.gpg", "--export", "right"], check=True)
    subprocess.run([*gpg, "-o", home / "wrong.gpg", "--export", "wrong"], check=True)

    def sign(directory: Path) -> None:
        (directory / "InRelease").unlink(missing_ok=True)
        out: list[str | Path] = [
            "-u",
            "right",
            "--clearsign",
            "-o",
            directory / "InRelease",
            directory / "Release",
        ]
        subprocess.run([*gpg, *out], check=True, capture_output=True)

    yield home, sign
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)
