"""No attack from inside of a step is successful, as root and rootless.

The last tests show that the suite sees it where a protection is missing.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import pytest
from attacked import Outcome, attacked, built, merged, rows, write_description
from attacks import BUILDS, BY_NAME, MISSING, NETWORK, PLACES, TABLE, Attack
from host import Host, attacked_host, give
from store_program import accounts
from traps import KINDS, Targets, describe

from kiwinb.errors import ImageError, LimitError
from kiwinb.sandbox.cage import Cage

pytestmark = [
    pytest.mark.attack,
    pytest.mark.build,
    pytest.mark.needs("apt-ftparchive", "dpkg-deb", "mke2fs", "losetup", "python3"),
]

ROWS = [pytest.param(*found, id=f"{found[0]}-{found[1].name}") for found in rows("".join(PLACES))]
ALLOWED = "address-of-host"  # with a network, what the host has to offer to others
OF_NETWORK = tuple(row.name for row in TABLE if row.kind == NETWORK and row.name != ALLOWED)
SETUID = "cp /bin/sh /srv/shell; chmod 4755 /srv/shell\n"


@dataclass(frozen=True)
class Bomb:
    """What uses up the host, and the limit that ends it.

    Attributes:
        script: A script that goes on far beyond the limit, but does no harm without one.
        limits: Limits by name.
        says: A part of the message.
    """

    script: str
    limits: Mapping[str, int]
    says: str


REPLACED = {
    "partition": 'ln -sf "$secret" "$2"',
    "directory": 'd=${2%/*}; rm -r "$d"; ln -s "${secret%/*}" "$d"',
    "disk": 'ln -sf "$secret" "$1"',
    "nothing": 'rm "$2"',
}
"""What scripts put in place of the files that they edit."""

BOMBS = {
    "processes": Bomb(
        "for i in $(seq 400); do sleep 60 & done; wait\n", {"processes": 100}, "100 processes"
    ),
    "memory": Bomb(
        "python3 -c 'import time; held = bytearray(b\"x\") * (400 << 20); time.sleep(60)'\n",
        {"memory": 200 << 20},
        "of memory",
    ),
    "time": Bomb("sleep 120\n", {"seconds": 4}, "4 seconds"),
    "disk": Bomb(
        "head -c 500000000 /dev/urandom > /srv/full; sync; sleep 60\n",
        {"disk": 200 << 20},
        "wrote more than",
    ),
    "files": Bomb(
        "mkdir /srv/many; cd /srv/many; seq 200000 | xargs touch; sleep 60\n",
        {"files": 50_000},
        "made more than 50000 files",
    ),
}
"""By the name of the limit."""


@pytest.fixture(scope="class")
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """What attacks aim at, for the account of a class."""
    account = next(item for item in accounts() if item.rootless == request.cls.rootless)
    with attacked_host(account) as host:
        yield host


@pytest.fixture(scope="class")
def outcome(host: Host) -> Outcome:
    """What came of all attacks, in the build of a container and in that of a disk."""
    found = [attacked(host, places) for places in BUILDS]
    for item in found:
        assert item.status == 0, item.output[-4000:]
    return merged(found)


class _Attacked:
    """The attacks on the builds of one account, which share a store."""

    rootless: bool

    @pytest.mark.parametrize(("place", "row"), ROWS)
    def test_is_stopped(
        self,
        outcome: Outcome,
        place: str,
        row: Attack,
        record_property: Callable[[str, object], None],
    ) -> None:
        label = f"{place}-{row.name}"
        end = "successful" if label in outcome.successful else "stopped"
        who = "rootless" if self.rootless else "root"
        record_property("attack", (who, place, row.name, end))
        assert label in outcome.ran, f"it did not run:\n{outcome.output[-4000:]}"
        assert end == "stopped", f"{row.says} in {PLACES[place]}: {outcome.said[label]}"

    def test_each_protection_is_needed_by_a_row(self) -> None:
        assert {*MISSING} == {item.name for item in fields(Cage)}

    @pytest.mark.account("both")  # some are shown with a disk, which only root can make
    @pytest.mark.parametrize("name", MISSING)
    def test_a_missing_protection_is_seen(self, host: Host, name: str) -> None:
        missing = MISSING[name]
        expected = (*missing.rows, *(() if self.rootless else missing.as_root))
        assert {*expected} <= {*BY_NAME}
        if missing.also:
            before = attacked(host, "C", without=missing.also, only=expected)
            assert before.successful == frozenset()
        found = attacked(host, "C", without=(name, *missing.also), only=expected)
        labels = {f"C-{row}" for row in expected}
        assert found.ran == labels, found.output[-4000:]
        assert found.successful == labels

    def test_a_script_with_a_network_does_not_reach_the_host(self, host: Host) -> None:
        if os.geteuid() == 0:
            Path("/dev/net/tun").chmod(0o666)  # as systemd sets it
        found = attacked(host, "C", only=OF_NETWORK, network=("config.sh",))
        assert found.ran == {f"C-{name}" for name in OF_NETWORK}, found.output[-4000:]
        assert found.successful == frozenset()

    @pytest.mark.parametrize("kind", KINDS)
    def test_nothing_is_caught_in_traps(self, host: Host, kind: str) -> None:
        targets = Targets.lay_out(host)
        count = targets.count()
        describe(host, targets, kind)
        limits = {"seconds": 30}  # programs of the tree wait at a pipe until then, but not kiwinb
        done = built(host, limits=limits, timeout=600)
        assert "traceback" not in done.output, done.output[-4000:]
        assert targets.changes() == {}
        assert targets.count() == count
        if kind == "pipe":
            assert done.status >= 0, "it was killed"
        else:  # every step is reached
            assert done.status == 0, done.output[-4000:]

    @pytest.mark.account("both")
    def test_the_store_and_the_cache_are_for_the_account_only(self, host: Host) -> None:
        write_description(host, {"config.sh": SETUID})
        done = built(host)
        assert done.status == 0, done.output[-4000:]
        host.directory.chmod(0o755)  # as that of a store which is not in a temporary directory
        look = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "ls"]
        for place in (host.directory / "store", host.directory / "store/objects", host.cache):
            found = subprocess.run([*look, place], capture_output=True, text=True)
            assert "Permission denied" in found.stderr, f"{place}: {found.stdout}"

    @pytest.mark.parametrize("name", BOMBS)
    def test_a_bomb_ends_with_a_clear_error(self, host: Host, name: str) -> None:
        bomb = BOMBS[name]
        write_description(host, {"config.sh": bomb.script})
        done = built(host, limits=bomb.limits)
        assert done.status == LimitError.exit_status, done.output[-4000:]
        assert bomb.says in done.output
        assert "traceback" not in done.output

    @pytest.mark.parametrize("name", REPLACED)
    def test_what_a_script_puts_in_place_of_a_disk_is_not_read(self, host: Host, name: str) -> None:
        secret = host.directory / "secret"
        secret.write_text(f"a canary {host.secret}")
        give(secret, host.account)
        script = f"set -e; secret={secret}; {REPLACED[name]}\n"
        write_description(host, {"edit_boot_install.sh": script}, disk=True)
        done = built(host, create=True)
        assert done.status == ImageError.exit_status, done.output[-4000:]
        assert "edit_boot_install.sh has removed or replaced a file" in done.output
        assert secret.read_text() == f"a canary {host.secret}"

    def test_a_script_cannot_kill_the_build(self, host: Host) -> None:
        write_description(
            host, {"config.sh": "kill -KILL -1; kill -STOP -1; kill -TERM 1; echo on"}
        )
        done = built(host)
        assert done.status == 0, done.output[-4000:]
        assert "config.sh on" in done.output.splitlines()

    def test_output_is_bounded(self, host: Host) -> None:
        endless = "head -c 300000000 /dev/zero | tr '\\0' x; echo"
        write_description(host, {"config.sh": endless})
        done = built(host)
        assert done.status == 0, done.output[-4000:]
        assert len(done.output) < 10_000_000


@pytest.mark.account("root")
class TestAsRoot(_Attacked):
    rootless = False


class TestRootless(_Attacked):
    rootless = True
