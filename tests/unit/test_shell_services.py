"""Services, with the real systemctl."""

from __future__ import annotations

import pytest
from shell_tree import Tree

from kiwinb.errors import CommandError

UNIT = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"
WANTS = "/etc/systemd/system/multi-user.target.wants"


@pytest.fixture
def units(tree: Tree) -> Tree:
    directory = "/usr/lib/systemd/system"
    tree.write(f"{directory}/a.service", UNIT)
    tree.write(f"{directory}/b.timer", "[Install]\nWantedBy=timers.target\n")
    tree.write(f"{directory}/srv.mount", UNIT)
    tree.write(f"{directory}/many@.service", UNIT)
    for name in ("multi-user", "graphical", "shutdown"):
        tree.write(f"{directory}/{name}.target", "[Unit]\n")
    tree.write("/etc/init.d/old", "#!/bin/sh\n", 0o755)
    tree.write("/etc/init.d/README", "")
    return tree


def test_enable_and_disable(units: Tree) -> None:
    units.sh("baseInsertService a; baseService b.timer on; suseInsertService many@one")
    assert units.files(WANTS) == {"a.service", "many@one.service"}
    assert units.has("/etc/systemd/system/timers.target.wants/b.timer")
    units.sh("baseRemoveService a; suseRemoveService many@one; baseService b.timer off")
    assert not units.has(WANTS) or not units.files(WANTS)
    units.sh("suseService a on; baseSystemdCall srv enable; baseSystemdCall a.service mask")
    assert units.files(WANTS) == {"a.service", "srv.mount"}
    assert units.has("/etc/systemd/system/a.service")


def test_other_name_of_a_service(units: Tree) -> None:
    alias = units.root / "etc/systemd/system/other.service"
    alias.parent.mkdir(parents=True, exist_ok=True)
    alias.symlink_to("/usr/lib/systemd/system/a.service")
    units.sh("baseInsertService other")
    assert units.files(WANTS) == {"a.service"}


def test_what_is_not_there_is_passed_over(units: Tree) -> None:
    assert units.sh("baseInsertService none; baseService none off") == [
        "baseSystemdCall: there is no service none in the tree: not done: systemctl enable",
        "baseSystemdCall: there is no service none in the tree: not done: systemctl disable",
    ]


def test_neither_on_nor_off(units: Tree) -> None:
    with pytest.raises(CommandError, match="'maybe' is neither on nor off"):
        units.sh("baseService a maybe")


def test_finding_them(units: Tree) -> None:
    assert units.sh(
        "for i in a srv b.timer b many@x many@x.service; do"
        ' echo "$i: $(baseSystemdServiceInstalled "$i")"; done\n'
        'for i in old README none; do echo "$i: $(baseSysVServiceInstalled "$i")"; done'
    ) == [
        "a: /usr/lib/systemd/system/a.service",
        "srv: /usr/lib/systemd/system/srv.mount",
        "b.timer: /usr/lib/systemd/system/b.timer",
        "b: ",
        "many@x: /usr/lib/systemd/system/many@.service",
        "many@x.service: /usr/lib/systemd/system/many@.service",
        "old: old",
        "README: ",
        "none: ",
    ]


@pytest.mark.parametrize(
    ("level", "target"),
    [("1", "multi-user"), ("3", "multi-user"), ("5", "graphical"), ("shutdown.target", "shutdown")],
)
def test_default_target(units: Tree, level: str, target: str) -> None:
    assert units.sh(f"baseSetRunlevel {level}; systemctl get-default") == [f"{target}.target"]


@pytest.mark.parametrize("level", ["7", "", "no-such.target"])
def test_no_such_target(units: Tree, level: str) -> None:
    with pytest.raises(CommandError, match="baseSetRunlevel"):
        units.sh(f"baseSetRunlevel '{level}'")
