"""Traps: what a step leaves in the tree at places where kiwinb itself writes or reads later.

A link leads to a file or a directory of the host that steps of kiwinb may write to, the download
cache; nothing there may change. A pipe has nobody at its other end; nothing may wait for it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from attacked import write_description
from host import Host, give

FILES = (
    *("/.kconfig", "/.profile", "/root/.profile", "/etc/hostname", "/etc/hosts", "/etc/motd"),
    *("/etc/resolv.conf", "/etc/.resolv.conf.kiwinb", "/etc/machine-id", "/etc/localtime"),
    *("/etc/timezone", "/etc/locale.conf", "/etc/default/locale", "/etc/default/keyboard"),
    *("/etc/vconsole.conf", "/etc/ssh/ssh_host_rsa_key", "/usr/sbin/policy-rc.d", "/srv/file"),
    *("/usr/sbin/policy-rc.d.kiwinb", "/var/lib/dbus/machine-id", "/var/log/dpkg.log"),
    *("/var/log/apt/history.log", "/var/cache/debconf/config.dat-old", "/etc/fstab"),
    *("/etc/apt/sources.list", "/var/lib/systemd/random-seed", "/etc/kiwinb-attack"),
)
"""Places of files."""

DIRECTORIES = (
    *("/attack", "/var/cache/apt", "/var/lib/apt/lists", "/etc/apt/sources.list.d", "/opt/tools"),
    *("/home/visitor", "/var/tmp", "/usr/local/share", "/var/lib/kiwinb", "/tmp"),
)
"""Places of directories."""

OWN = ("/image", "/image/config.sh", "/image/.kiwinb-line", "/image/.kiwinb-watch")
"""Places that a script may change while it runs."""

USERS = """\
<users><user name="visitor" password="secret" pwdformat="plain" home="/home/visitor"/></users>
"""

KINDS = ("absolute", "relative", "pipe")
"""Kinds of traps."""


@dataclass(frozen=True)
class Targets:
    """What traps lead to.

    Attributes:
        directory: A directory in the cache.
    """

    directory: Path

    @classmethod
    def lay_out(cls, host: Host) -> Targets:
        """Make files, and directories with files."""
        found = cls(host.cache / f"{host.mark}-traps")
        found.directory.mkdir(exist_ok=True)
        for place in FILES:
            (found.directory / _name(place)).write_text("untouched")
        names = ("config.sh", "post_bootstrap.sh", ".kiwinb-line", ".kiwinb-watch", "file", "x/y")
        for place in (*DIRECTORIES, *OWN):
            for name in names:
                file = found.directory / "in" / _name(place) / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text("untouched")
        for path in (found.directory, *found.directory.rglob("*")):
            give(path, host.account)
        return found

    def changes(self) -> dict[str, str]:
        """Files that are not as they were."""
        return {name: text for name, text in self._texts() if text != "untouched"}

    def count(self) -> int:
        """How many files there are."""
        return sum(1 for _ in self._texts())

    def _texts(self) -> Iterator[tuple[str, str]]:
        for path in self.directory.rglob("*"):
            if not path.is_dir():
                yield str(path), path.read_text() if path.is_file() else "not a file"


def _name(place: str) -> str:
    return place.strip("/").replace("/", "-")


def _plant(kind: str, place: str, target: Path) -> str:
    """The command that lays a trap."""
    target_ = str(target) if kind == "absolute" else "../" * 12 + str(target).lstrip("/")
    make = f"ln -s {shlex.quote(target_)}" if kind != "pipe" else "mkfifo"
    return f'mkdir -p "$(dirname {place})"; rm -rf {place}; {make} {place} || :\n'


def describe(host: Host, targets: Targets, kind: str) -> None:
    """Write a description with traps of a kind."""
    files = "".join(_plant(kind, place, targets.directory / _name(place)) for place in FILES)
    directories = "".join(
        _plant(kind, place, targets.directory / "in" / _name(place)) for place in DIRECTORIES
    )
    # Pipes in place of directories would end the build; they are no trap.
    first = files if kind == "pipe" else directories + files
    own = [OWN[0]] if kind != "pipe" else [*OWN[1:]]
    second = "".join(_plant(kind, place, targets.directory / "in" / _name(place)) for place in own)
    write_description(
        host,
        {
            "post_bootstrap.sh": first,
            "config.sh": files + second,
            "root/etc/motd": "hello\n",
            "root/srv/file": "hello\n",
            "root/home/visitor/own": "hello\n",
            "token": "hello\n",
        },
        packages='<archive name="node.tar.gz"/>'
        '<archive name="node.tar.gz" target_dir="/opt/tools"/>'
        '<file name="token" target="/etc/kiwinb-attack"/>',
        more=USERS,
    )
