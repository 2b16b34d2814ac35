"""User names and passwords are nowhere but where they are needed, during a build and after it.

Each place that takes a password is given one of its own. Then every byte that the build leaves
behind is searched for it, and so are the arguments of all processes while it runs.
"""

import os
import stat
import subprocess
import sys
import urllib.request
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from urllib.parse import quote

import pytest
from apt_repository import Keys, index

from kiwinb.build.appliance import Appliance
from kiwinb.description.override import Overrides
from kiwinb.packages.mirrors import host_mirrors
from kiwinb.settings import load_settings

pytestmark = [pytest.mark.build, pytest.mark.needs("apt-get", "dpkg-deb", "gpg")]

SECRETS = {
    name: f"canary-{name}/of the?build" if name == "blank" else f"canary-{name}/of+the?build"
    for name in ("url", "attribute", "settings", "option", "blank", "added", "key", "user", "proxy")
}
"""One for each place; it has characters that URLs write in another way."""

SNOOP = """\
#!/bin/sh
# Looks for passwords wherever a maintainer script can look; the word is not in this file.
# The cage hides the processes of kiwinb itself, which are in Python; tests/attack looks at that.
word="can""ary-"
{
  for process in /proc/[0-9]*; do
    case "$(readlink "$process/exe")" in
      *python*) ;;
      *) cat "$process/environ" "$process/cmdline" 2>/dev/null | tr '\\0' '\\n' | grep -a "$word" ;;
    esac
  done
  env | grep "$word"
  find / -xdev -type f -newer /etc/passwd -exec grep -la "$word" {} + 2>/dev/null
  ls "$(dirname "${APT_CONFIG:-/none/x}")" 2>/dev/null
  grep -ra "$word" /run /tmp "$(dirname "${APT_CONFIG:-/none/x}")" 2>/dev/null
} > /var/lib/snooped || true
"""

DESCRIPTION = """\
<image schemaversion="8.5" name="secrets">
  <description type="system">
    <author>A</author><contact>a@example.org</contact><specification>x</specification>
  </description>
  <preferences>
    <version>1.0.0</version><packagemanager>apt</packagemanager><type image="cpio"/>
  </preferences>
  <users><user name="tux" password="{user}" pwdformat="plain"/></users>
  <repository alias="main" distribution="bookworm" components="main" imageinclude="true">
    <source path="http://me:{url}@{place}/url/debian"/>
  </repository>
  <repository alias="attribute" username="me" password="{attribute}">
    <source path="http://{place}/attribute">
      <signing key="http://me:{key}@{place}/key/right.asc"/>
    </source>
  </repository>
  <repository alias="blank" username="me" password="{blank}" repository_gpgcheck="false">
    <source path="http://{place}/blank"/>
  </repository>
  <repository alias="settings" repository_gpgcheck="false">
    <source path="mirror:tiny"/>
  </repository>
  <packages type="bootstrap"><package name="passwd"/></packages>
  <packages type="image">
    <package name="tiny-attribute"/><package name="tiny-blank"/><package name="tiny-settings"/>
    <package name="tiny-option"/><package name="tiny-added"/>
  </packages>
</image>
"""


def forms(secret: str) -> set[bytes]:
    """How a password may be written."""
    login = f"me:{secret}".encode()
    return {
        secret.encode(),
        quote(secret, "").encode(),
        quote(secret).encode(),
        b64encode(login),
    }


FORMS: Mapping[str, set[bytes]] = {name: forms(secret) for name, secret in SECRETS.items()}


def found(data: bytes) -> set[str]:
    return {name for name, texts in FORMS.items() for text in texts if text in data}


@dataclass
class Server:
    """Serves small repositories and a distribution, each to whoever knows its password."""

    root: Path
    upstream: str
    url: str = ""
    refused: list[str] = field(default_factory=list)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        about = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name, _, rest = self.path.lstrip("/").partition("/")
                given = self.headers["Authorization"] or ""
                wanted = f"me:{SECRETS[name]}".encode()
                if b64decode(given.partition(" ")[2]) != wanted:
                    about.refused.append(self.path)
                    self.send_response(401)
                    self.end_headers()
                    return
                try:
                    data = about.read(name, rest)
                except (OSError, ValueError):
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *arguments: object) -> None:
                pass

        return Handler

    def read(self, name: str, rest: str) -> bytes:
        if name != "url":
            return (self.root / name / rest).read_bytes()
        with urllib.request.urlopen(f"{self.upstream}/{rest.partition('/')[2]}") as answer:
            data: bytes = answer.read()
            return data


@pytest.fixture
def server(tmp_path: Path, keys: Keys) -> Iterator[Server]:
    home, sign = keys
    root = tmp_path / "served"
    for name in ("attribute", "blank", "settings", "option", "added"):
        (root / name).mkdir(parents=True)
        tree = tmp_path / name
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN/control").write_text(
            f"Package: tiny-{name}\nVersion: 1\nArchitecture: all\n"
            "Maintainer: A <a@example.org>\nDescription: a test\n"
        )
        (tree / "DEBIAN/postinst").write_text(SNOOP)
        (tree / "DEBIAN/postinst").chmod(0o755)
        make: list[str | Path] = ["dpkg-deb", "--root-owner-group", "--build", tree]
        subprocess.run([*make, root / name], check=True, capture_output=True)
        index(root / name)
    sign(root / "attribute")
    (root / "key").mkdir()
    (root / "key/right.asc").write_bytes((home / "right.asc").read_bytes())
    upstream = next(item.url for item in host_mirrors() if "debian" in item.aliases)
    about = Server(root, upstream)
    with ThreadingHTTPServer(("127.0.0.1", 0), about.handler()) as served:
        Thread(target=served.serve_forever, daemon=True).start()
        about.url = f"127.0.0.1:{served.server_port}"
        yield about
        served.shutdown()


@dataclass
class Watcher:
    """Looks at all processes of the host while a build runs."""

    ended: Event = field(default_factory=Event)
    seen: set[tuple[str, str]] = field(default_factory=set)
    looked: int = 0

    def run(self) -> None:
        while not self.ended.wait(0.02):
            self.looked += 1
            for process in Path("/proc").iterdir():
                if process.name.isdecimal():
                    with suppress(OSError):
                        self.look(process)

    def look(self, process: Path) -> None:
        argv = (process / "cmdline").read_bytes()
        in_tree = os.readlink(process / "root") != "/"  # noqa: PTH115
        shown = argv + ((process / "environ").read_bytes() if in_tree else b"")
        self.seen |= {(name, str(argv[:60])) for name in found(shown)}


def searched(directory: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below a directory, and what is compressed in it."""
    for place, _names, files in os.walk(directory):
        for name in files:
            path = Path(place, name)
            if stat.S_ISREG(path.lstat().st_mode):
                data = path.read_bytes()
                yield str(path), data
                with suppress(zlib.error):
                    yield f"{path} (decompressed)", zlib.decompress(data)
            yield str(path), os.fsencode(path)


@pytest.mark.account("root")
def test_passwords_are_nowhere(tmp_path: Path, server: Server) -> None:
    description = tmp_path / "description"
    description.mkdir()
    quoted = {name: quote(secret, "") for name, secret in SECRETS.items()}
    written = {**SECRETS, "url": quoted["url"], "key": quoted["key"], "place": server.url}
    (description / "config.xml").write_text(DESCRIPTION.format(**written))
    config, left = tmp_path / "config.toml", tmp_path / "left"
    config.write_text(
        f'store = "{left}/store"\ncache = "{left}/cache"\n'
        f'[mirrors]\ntiny = "http://me:{quoted["settings"]}@{server.url}/settings"\n'
    )
    credentials = tmp_path / "credentials"
    credentials.write_text(f"me:{SECRETS['option']}\n")
    options = [
        *("--description", str(description)),
        *("--add-repo", f"http://{server.url}/option,apt-deb,option,,,,,,./,false"),
        *("--add-repo-credentials", str(credentials)),
        *("--add-repo", f"http://me:{quoted['added']}@{server.url}/added,,added,,,,,,./,false"),
    ]
    env = {
        **os.environ,
        "KIWINB_CONFIG": str(config),
        "http_proxy": f"http://me:{SECRETS['proxy']}@192.0.2.1:1",
        "no_proxy": "127.0.0.1",
    }
    env = {name: text for name, text in env.items() if name not in ("KIWINB_STORE", "KIWINB_CACHE")}

    def kiwinb(*arguments: str) -> tuple[int, str]:
        argv = [sys.executable, "-m", "kiwinb", *arguments, *options]
        done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
        assert found(f"{done.stdout}{done.stderr}".encode()) == set()
        return done.returncode, f"{done.stdout}{done.stderr}"

    watcher = Watcher()
    thread = Thread(target=watcher.run)
    thread.start()
    status, said = kiwinb("--debug", "system", "prepare", "--root", str(left / "tree"))
    watcher.ended.set()
    thread.join()
    assert status == 0, said
    for name in ("blank", "settings", "option", "added"):
        assert f"the signature of the repository {name} is not checked" in said
    assert "the plain password of the user tux" in said
    assert watcher.looked > 50
    # Before Python runs, nothing can hide what was given on the command line.
    assert {name for name, _argv in watcher.seen} <= {"added"}
    for name in ("attribute", "blank", "settings", "option", "added"):
        assert (left / f"tree/var/lib/dpkg/info/tiny-{name}.list").is_file()
    assert (left / "tree/var/lib/snooped").read_text() == ""
    status, said = kiwinb("system", "build", "--target-dir", str(left / "out"))
    assert status == 0, said
    leaks = {(place, name) for place, data in searched(left) for name in found(data)}
    assert leaks == set()


def test_what_is_shown_has_no_passwords(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIWINB_CONFIG", str(tmp_path / "config.toml"))
    quoted = {name: quote(secret, "") for name, secret in SECRETS.items()}
    (tmp_path / "config.toml").write_text(
        f'store = "{tmp_path}/store"\ncache = "{tmp_path}/cache"\n'
        f'[mirrors]\ntiny = "http://me:{quoted["settings"]}@{server.url}/settings"\n'
    )
    written = {**SECRETS, "url": quoted["url"], "key": quoted["key"], "place": server.url}
    (tmp_path / "config.xml").write_text(DESCRIPTION.format(**written))
    overrides = Overrides(
        add_repo=(f"http://me:{quoted['added']}@{server.url}/added,,added,,,,,,./,false",),
        add_repo_credentials=(f"me:{SECRETS['option']}",),
        signing_key=(f"http://me:{quoted['key']}@{server.url}/key/right.asc",),
    )
    appliance = Appliance(tmp_path, overrides=overrides)
    shown = (
        repr(appliance),
        appliance._repr_html_(),
        appliance.effective(),
        repr(appliance.description),
        repr(appliance.overrides),
        repr(load_settings()),
        repr(appliance.session),
        repr(appliance.session.identity),
    )
    assert found("\n".join(shown).encode()) == set()
