"""The power fails at any flush of the disk: what was reported as done is there afterwards."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import power_failures
import pytest
from fault_report import Count
from power_failures import KINDS, Failures

from kiwinb.typed_json import from_json

pytestmark = [pytest.mark.build, pytest.mark.fault, pytest.mark.account("root")]

_FLUSHES = 2
"""So many flushes of each file system are tried in the normal run; all with ``soak``."""

_ALL = 10**6


def _lose_power(directory: Path, name: str, count: Count, most: int, again: int) -> Failures:
    seed = int(os.environ.get("KIWINB_TEST_SEED") or random.SystemRandom().randrange(10**6))
    print(f"KIWINB_TEST_SEED={seed}")
    alone = ("unshare", "--mount", "--propagation", "private")
    words = (sys.executable, power_failures.__file__, directory, name, seed, most, again)
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [*alone, *map(str, words)],
        stdout=subprocess.PIPE,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    found: Failures = from_json(json.loads(done.stdout), Failures)
    print(f"{name}: the build made {found.flushes} flushes; {found.tried} failures were tried")
    assert found.lost == {}, json.dumps(dict(found.lost), indent=2)
    count(f"power failure at a flush of {name}", found.tried, found.tried - len(found.lost))
    return found


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.timeout(600)
def test_at_some_flushes(tmp_path: Path, name: str, count: Count) -> None:
    found = _lose_power(tmp_path, name, count, _FLUSHES, 1)
    assert found.tried == 2 * _FLUSHES


@pytest.mark.soak
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.timeout(7200)
def test_at_each_flush(tmp_path: Path, name: str, count: Count) -> None:
    found = _lose_power(tmp_path, name, count, _ALL, 2)
    assert found.tried > 3 * 10
