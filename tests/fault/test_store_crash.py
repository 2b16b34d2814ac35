"""Builds that are killed at any moment leave nothing behind, and the next one goes on."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest
from fault_report import Count
from heavy_tree import heavy_steps
from store_program import Account, accounts

pytestmark = [pytest.mark.build, pytest.mark.fault]

_KILLS = 8
_ACCOUNTS = [account for account in accounts() if "sudo" not in account.switch]  # we cannot kill it

_BUILD = """
import sys
from pathlib import Path
from kiwinb.checkpoints.runner import run_steps
from kiwinb.checkpoints.store import Store
from kiwinb.steps.step import HostPaths
from heavy_tree import heavy_steps
store = Store.open(Path(sys.argv[1]))
run_steps(store, heavy_steps(), HostPaths(cache=Path("/nonexistent")),
          lambda event: print(event.step.name, event.state, flush=True))
"""

_CHECK = """
import hashlib, json, sys
from pathlib import Path
from kiwinb.checkpoints.store import Store
from kiwinb.checkpoints.treescan import to_json
from heavy_tree import heavy_steps
store = Store.open(Path(sys.argv[1]))
left = [str(path) for name in ("drafts", "trash", "mnt") for path in (store.path / name).iterdir()]
tree = to_json(store.scan(heavy_steps()[2].key))
print(json.dumps([hashlib.sha256(tree.encode()).hexdigest(), store.verify_all(), left]))
"""


def _processes(mark: str) -> list[str]:
    found = []
    for process in Path("/proc").iterdir():
        try:
            if f"KIWINB_TEST_MARK={mark}\0".encode() in (process / "environ").read_bytes():
                found.append(process.name)
        except OSError:
            continue
    return found


def _loop_devices() -> set[str]:
    return {str(path) for path in Path("/sys/block").glob("loop*/loop/backing_file")}


@pytest.mark.parametrize("account", _ACCOUNTS, ids=lambda account: account.user)
def test_killed_at_any_moment(account: Account, count: Count) -> None:
    seed = int(os.environ.get("KIWINB_TEST_SEED") or random.SystemRandom().randrange(10**6))
    print(f"KIWINB_TEST_SEED={seed}")
    dice = random.Random(seed)
    loops = _loop_devices()
    with account.directory() as directory:
        began = time.monotonic()
        account.run(_BUILD, str(directory / "whole"))
        whole = time.monotonic() - began
        expected = account.run(_CHECK, str(directory / "whole"))
        store = directory / "store"
        for kill in range(_KILLS):
            mark = f"{seed}-{kill}"
            process = account.start(_BUILD, str(store), mark=mark)
            number = dice.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
            if number != signal.SIGKILL:
                assert process.stdout is not None
                process.stdout.readline()  # from here on, it tidies up
            time.sleep(dice.uniform(0.1, max(0.2, whole / 2)))
            process.send_signal(number)
            process.communicate()
            if number != signal.SIGKILL:
                assert not any((store / "drafts").iterdir())
                assert not any((store / "trash").iterdir())
            deadline = time.monotonic() + 10
            while _processes(mark) and time.monotonic() < deadline:
                time.sleep(0.02)
            assert _processes(mark) == []
            assert str(directory) not in Path("/proc/self/mounts").read_text()
            assert _loop_devices() == loops
        account.run(_BUILD, str(store))
        assert account.run(_CHECK, str(store)) == expected
        assert expected.endswith("{}, []]\n")
    count("signal to steps of a store", _KILLS, _KILLS)


@pytest.mark.parametrize("account", _ACCOUNTS, ids=lambda account: account.user)
def test_two_builds_at_once(account: Account) -> None:
    with account.directory() as directory:
        builds = [account.start(_BUILD, str(directory / "store")) for _number in range(2)]
        states = []
        for build in builds:
            out, err = build.communicate(timeout=300)
            assert build.returncode == 0, err
            states += out.split("\n")
        for step in heavy_steps():
            assert states.count(f"{step.name} done") == 1
            assert states.count(f"{step.name} held") == 1
