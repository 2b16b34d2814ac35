"""Clean-up removes what programs of the build left behind, never what belongs to the image."""

from __future__ import annotations

from pathlib import Path

import pytest
from shell_tree import Tree

from kiwinb.packages.traces import BY_PRODUCTS, Traces, without_traces
from kiwinb.prepare.cleanup import CleanUp
from kiwinb.prepare.host_keys import ensure_host_keys
from kiwinb.steps.step import HostPaths, StepContext

EPOCH = 1_700_000_000
BROUGHT = (
    "etc/machine-id",
    "etc/passwd-",
    "etc/ssh/ssh_host_ed25519_key",
    "root/.bash_history",
    "run/service/state",
    "tmp/file",
    "var/cache/apt/archives/own_1_all.deb",
    "var/cache/ldconfig/aux-cache",
    "var/lib/apt/lists/example_dists_x_InRelease",
    "var/lib/dbus/machine-id",
    "var/lib/dpkg/status-old",
    "var/lib/systemd/random-seed",
    "var/log/own.log",
    "var/tmp/directory/file",
)
"""Files that an overlay may bring, whatever they are called."""


def _make(root: Path, *names: str, text: str = "own\n") -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def _clean_up(root: Path) -> list[str]:
    lines: list[str] = []
    CleanUp(EPOCH).run(
        StepContext(
            root, None, {}, HostPaths(root), lines.append, lambda fraction: None, rootless=False
        )
    )
    return lines


def test_what_the_description_brought_stays(tmp_path: Path) -> None:
    _make(tmp_path, *BROUGHT)
    assert _clean_up(tmp_path) == []
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(str(path.relative_to(tmp_path)) for path in left) == sorted(BROUGHT)
    assert {path.read_text() for path in left} == {"own\n"}
    assert {path.stat().st_mtime for path in left} == {EPOCH}


def test_traces_are_what_is_new_or_changed(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "log").symlink_to("/var/log")
    _make(tmp_path, "var/log/kept.log", "var/log/changed.log", "var/log/directory/kept")
    (tmp_path / "var/log/link.log").symlink_to("nowhere")
    traces = Traces.look(tmp_path, ("log/*", "etc/.pwd.lock", "nowhere/*"))
    assert traces.new() == ()
    _make(tmp_path, "var/log/changed.log", text="longer text\n")
    _make(tmp_path, "var/log/directory/new", "var/log/new/file", "etc/.pwd.lock", "etc/passwd")
    (tmp_path / "var/log/new.log").symlink_to("directory")
    names = [str(path.relative_to(tmp_path)) for path in traces.new()]
    assert names == ["etc/.pwd.lock", "var/log/changed.log", "var/log/new", "var/log/new.log"]
    traces.remove_new()
    assert traces.new() == ()
    left = {path.name for path in (tmp_path / "var/log").iterdir()}
    assert left == {"kept.log", "directory", "link.log"}
    assert {path.name for path in (tmp_path / "var/log/directory").iterdir()} == {"kept", "new"}


def test_what_is_left_behind_is_not_removed_after_a_failure(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no"), without_traces(tmp_path, BY_PRODUCTS):
        _make(tmp_path, "etc/passwd-")
        raise OSError("no")
    assert (tmp_path / "etc/passwd-").exists()


def test_a_script_leaves_what_it_makes_and_its_tools_leave_nothing(tree: Tree) -> None:
    _make(tree.root, "etc/group-")
    names = " ".join(BROUGHT)
    lines = tree.script(
        f"for name in {names} etc/shadow- var/cache/other; do\n"
        '  mkdir -p "/${name%/*}"; echo own >"/$name"\ndone\n'
    )
    kept = [name for name in BROUGHT if (tree.root / name).exists()]
    gone = {"etc/passwd-", "var/cache/ldconfig/aux-cache", "run/service/state", "tmp/file"}
    assert {*BROUGHT} - {*kept} == gone
    assert (tree.root / "etc/group-").exists()
    assert not (tree.root / "etc/shadow-").exists()
    assert any("all machines of this image share it" in line for line in lines)


SSHD = ("usr/lib/systemd/systemd", "usr/sbin/sshd", "usr/bin/ssh-keygen")
UNITS = "usr/lib/systemd/system"
ADDED = "etc/systemd/system"
OWN = f"{ADDED}/kiwinb-ssh-host-keys.service"


@pytest.mark.parametrize(
    ("unit", "needed"),
    [
        ("", True),
        ("[Service]\nExecStart=/usr/bin/true ssh\n", True),
        ("[Unit]\nConditionFirstBoot=yes\n[Service]\nExecStart=ssh-keygen -A\n", True),
        ("[Service]\nExecStart=/usr/bin/ssh-keygen -A\n", False),
        ("[Service]\nExecStart=/usr/libexec/openssh/sshd-keygen %i\n", False),
        ("[Service]\nExecStartPre=/usr/sbin/sshd-gen-keys-start\n", False),
    ],
)
def test_machines_make_their_host_keys_if_nothing_else_does(
    unit: str, needed: bool, tmp_path: Path
) -> None:
    _make(tmp_path, *SSHD)
    _make(tmp_path, f"{UNITS}/own.service", text=unit)
    lines = _clean_up(tmp_path)
    assert (tmp_path / OWN).is_file() == needed == bool(lines)
    wanted = tmp_path / ADDED / "multi-user.target.wants/kiwinb-ssh-host-keys.service"
    assert wanted.is_file() == needed
    _clean_up(tmp_path)  # a tree that has the unit already
    assert (tmp_path / OWN).is_file() == needed


MAKES = "[Service]\nExecStart=/usr/bin/ssh-keygen -A\n"


def test_links_of_units_stay_in_the_tree(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    _make(root, *SSHD)
    _make(outside, "keygen.service", text=MAKES)
    _make(outside, "victim")
    _make(root, f"{ADDED}/other.service")
    (root / ADDED / "link.service").symlink_to(outside / "keygen.service")
    (root / ADDED / "multi-user.target.wants").symlink_to(outside)
    ensure_host_keys(root, lambda line: None)
    assert (root / OWN).is_file(), "the unit outside of the tree does not count"
    assert sorted(path.name for path in outside.iterdir()) == ["keygen.service", "victim"]
    assert (root / str(outside)[1:] / "kiwinb-ssh-host-keys.service").is_symlink()


def test_a_masked_unit_makes_no_keys(tmp_path: Path) -> None:
    _make(tmp_path, *SSHD)
    _make(tmp_path, f"{UNITS}/sshd-keygen.service", text=MAKES)
    _make(tmp_path, f"{ADDED}/other.service")
    (tmp_path / ADDED / "sshd-keygen.service").symlink_to("/dev/null")
    ensure_host_keys(tmp_path, lambda line: None)
    assert (tmp_path / OWN).is_file()
    (tmp_path / OWN).unlink()
    (tmp_path / OWN).symlink_to("/dev/null")
    ensure_host_keys(tmp_path, lambda line: pytest.fail(line))
    assert (tmp_path / OWN).readlink() == Path("/dev/null")


def test_traces_that_two_patterns_find(tmp_path: Path) -> None:
    _make(tmp_path, "var/other")
    (tmp_path / "var/tmp").symlink_to("/run/x")
    with without_traces(tmp_path, ("run/*", "var/tmp/*")):
        _make(tmp_path, "run/x/file")
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize("missing", [*SSHD, "keys"])
def test_machines_make_no_host_keys_if_there_are_some_or_no_sshd(
    missing: str, tmp_path: Path
) -> None:
    _make(tmp_path, *(name for name in SSHD if name != missing), f"{UNITS}/own.service", text="")
    if missing == "keys":
        _make(tmp_path, "etc/ssh/ssh_host_ed25519_key")
    ensure_host_keys(tmp_path, lambda line: pytest.fail(line))
    assert not (tmp_path / OWN).exists()
