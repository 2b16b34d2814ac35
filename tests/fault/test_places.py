"""Stores on file systems and at paths of all kinds: the same result, or one error at once."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from fault_report import Count
from made_places import SLOW, SUITABLE, UNSUITABLE, directory_of, made_place, through_fuse
from small_build import write_description
from store_program import Account, accounts

pytestmark = [pytest.mark.build, pytest.mark.fault, pytest.mark.account("root")]

_BUILD = """
import sys
from pathlib import Path
from kiwinb.checkpoints.store import Store
from small_build import digests
place = Path(sys.argv[1])
print(digests(place, None, create=True), end="")
print(Store.open(place / "store").verify_all())
"""
_COMMAND = """
import os, sys
os.environ["KIWINB_STORE"] = sys.argv[1]
sys.argv = ["kiwinb", *sys.argv[2:]]
from kiwinb.cli import main
main()
"""
_WITHOUT_LOCKS = """
import ctypes, errno
library = ctypes.CDLL("libseccomp.so.2")
library.seccomp_init.restype = ctypes.c_void_p
allow, refuse = 0x7FFF0000, 0x00050000 | errno.ENOLCK
rules = ctypes.c_void_p(library.seccomp_init(allow))
assert rules and not library.seccomp_rule_add(
    rules, refuse, library.seccomp_syscall_resolve_name(b"flock"), 0
)
assert not library.seccomp_load(rules)
"""
_OBJECTS = 9
"""So many checkpoints a build has before it is done, at least."""

_PAIRS = [(kind, account) for kind in SUITABLE for account in (0, 1)]
_SOAK = [(number // 2 + number) % 2 == 1 or kind in SLOW for number, (kind, _) in enumerate(_PAIRS)]
"""Each kind is tried by root or by a user in the normal run, and by the other one in the soak."""


def _account(number: int) -> Account:
    found = accounts()
    if number >= len(found):
        pytest.skip("needs a user with subordinate ids")
    return found[number]


@pytest.fixture
def directory(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A directory of the account that the test names."""
    with directory_of(_account(request.getfixturevalue("account")).user) as made:
        yield made


@cache
def _expected(account: Account) -> str:
    with directory_of(account.user) as made:
        write_description(made)
        return account.run(_BUILD, str(made))


def _objects(place: Path) -> int:
    objects = place / "store" / "objects"
    return len(list(objects.iterdir())) if objects.exists() else 0


def _until_held(process: subprocess.Popen[str], place: Path, number: int) -> None:
    """Wait until a build holds so many checkpoints."""
    deadline = time.monotonic() + 240
    while _objects(place) < number:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.needs("bindfs", "fuse-overlayfs", "mkfs.xfs", "mkfs.btrfs")
@pytest.mark.parametrize(
    ("kind", "account"),
    [
        pytest.param(*pair, marks=pytest.mark.soak if soak else ())
        for pair, soak in zip(_PAIRS, _SOAK, strict=True)
    ],
)
@pytest.mark.timeout(900)
def test_the_same_result_after_a_kill(
    kind: str, account: int, directory: Path, count: Count
) -> None:
    builder = _account(account)
    expected = _expected(builder)
    assert expected.endswith("{}\n")
    dice = random.Random(os.environ.get("KIWINB_TEST_SEED") or kind)
    with made_place(SUITABLE[kind], directory, builder.user) as place:
        write_description(place)
        process = builder.start(_BUILD, str(place))
        _until_held(process, place, dice.randrange(1, _OBJECTS))
        time.sleep(dice.uniform(0, 0.2))
        process.kill()
        process.communicate()
        held = _objects(place)
        assert held
        assert builder.run(_BUILD, str(place), timeout=600) == expected
        assert _objects(place) > held
    count("SIGKILL with the store on all kinds of places", 1, 1)


def _refused(
    account: Account, description: Path, store: Path, what: str, *, before: str = ""
) -> None:
    """A build with this store ends at its beginning, with one error that names the store."""
    out = description.parent / "out"
    build = ("system", "build", "--description", str(description), "--target-dir", str(out))
    process = account.start(before + _COMMAND, str(store), *build)
    _out, err = process.communicate(timeout=300)
    said = [line for line in err.splitlines() if "plain password" not in line]
    assert process.returncode == 9, err
    assert what in err and str(store) in err
    assert "Traceback" not in err
    assert said[0].startswith("kiwinb: ") and len(said) == 2, err
    assert any(word in said[1] for word in ("KIWINB_STORE", "Choose", "local Linux")), err
    assert not out.exists() or not any(out.iterdir())
    assert not any((store / "objects").glob("*"))


@pytest.mark.needs("bindfs", "mkfs.ntfs", "ntfs-3g")
@pytest.mark.parametrize("account", [0, 1], ids=["root", "user"])
@pytest.mark.parametrize("kind", UNSUITABLE)
@pytest.mark.timeout(300)
def test_what_cannot_work_is_refused_at_the_beginning(
    kind: str, account: int, directory: Path, count: Count
) -> None:
    builder = _account(account)
    write_description(directory)
    making, what = UNSUITABLE[kind]
    with made_place(making, directory / "place", builder.user) as place:
        _refused(builder, directory / "description", place / "store", what)
    count("places that do not suit are refused", 1, 1)


@pytest.mark.parametrize("account", [0, 1], ids=["root", "user"])
def test_a_place_without_locks_is_refused(account: int, directory: Path, count: Count) -> None:
    builder = _account(account)
    write_description(directory)
    store = directory / "store"
    _refused(builder, directory / "description", store, "has no file locks", before=_WITHOUT_LOCKS)
    count("places that do not suit are refused", 1, 1)


def _listed(account: Account, store: Path) -> tuple[int, str]:
    """Exit status of a list of the checkpoints, and what it complains of."""
    process = account.start(_COMMAND, str(store), "checkpoints", "list")
    _out, err = process.communicate()
    assert "Traceback" not in err
    return process.returncode, err


@pytest.mark.parametrize("account", [0], ids=["root"])
@pytest.mark.timeout(600)
def test_a_store_that_becomes_read_only_or_is_moved(
    account: int, directory: Path, tmp_path: Path, count: Count
) -> None:
    builder = _account(account)
    expected = _expected(builder)
    with made_place(SUITABLE["tmpfs"], directory, builder.user) as place:
        write_description(place)
        assert builder.run(_BUILD, str(place)) == expected
        held = _objects(place)
        for options in ("remount,ro", "remount,rw"):
            subprocess.run(["mount", "-o", options, place], check=True)
            status, err = _listed(builder, place / "store")
            if options == "remount,ro":
                assert status == 9 and "is mounted read-only" in err
        assert status == 0, err
        assert builder.run(_BUILD, str(place)) == expected and _objects(place) == held
        with made_place(SUITABLE["overlayfs"], tmp_path, builder.user) as other:
            shutil.copytree(place / "store", other / "store", symlinks=True)
            status, err = _listed(builder, other / "store")
            assert status == 9, err
            assert f"the store {other}/store keeps trees as layers" in err
        assert _objects(place) == held
    count("store becomes read-only, or is moved", 2, 2)


@pytest.mark.needs("fuse-overlayfs")
@pytest.mark.parametrize(
    "account", [0, pytest.param(1, marks=pytest.mark.soak)], ids=["root", "user"]
)
@pytest.mark.timeout(900)
def test_the_file_system_goes_away(account: int, directory: Path, count: Count) -> None:
    """The daemon behind a store on FUSE is killed in the middle of a build."""
    builder = _account(account)
    expected = _expected(builder)
    place = through_fuse(directory)
    try:
        shutil.chown(place, builder.user)
        write_description(place)
        process = builder.start(_BUILD, str(place))
        _until_held(process, place, 4)
        (daemon,) = _daemons(place)
        os.kill(daemon, signal.SIGKILL)
        _out, err = process.communicate(timeout=300)
        assert process.returncode == 1
        assert "Error" in err.splitlines()[-1] or "not connected" in err, err
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)
    through_fuse(directory)
    try:
        held = _objects(place)
        assert held >= 4
        assert builder.run(_BUILD, str(place), timeout=600) == expected
        assert _objects(place) > held
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)
    count("the file system of the store goes away", 1, 1)


def _daemons(place: Path) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0] == b"fuse-overlayfs" and os.fsencode(place) in words:
            found.append(int(process.name))
    return found
