"""The clock of the host is wrong: nothing is removed for it, and errors name it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from kiwinb.checkpoints.logs import remove_old
from kiwinb.checkpoints.used import tick
from kiwinb.clock import check_clock, clock_hint, in_words
from kiwinb.errors import HostError
from kiwinb.packages import states
from kiwinb.packages.apt.complaints import unreadable

YEAR = 365 * 24 * 3600.0


def test_each_use_is_later_than_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, right = tmp_path / "used", time.time_ns()
    times = []
    for years in (0, 30, -20, 0, 0, 31):
        now = right + years * int(YEAR) * 10**9
        monkeypatch.setattr(time, "time_ns", lambda: now)  # noqa: B023
        times.append(tick(file))
    assert times == sorted(set(times))
    seconds = [when / 1e9 for when in times]
    assert seconds == sorted(set(seconds))
    assert times[1] - right == 30 * YEAR * 10**9
    assert times[-1] - right == 31 * YEAR * 10**9


@pytest.mark.parametrize("years", [20, -20])
def test_a_jump_does_not_remove_the_latest_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, years: int
) -> None:
    now = time.time()
    for number in range(12):
        file = tmp_path / f"failed-{number:02}.log"
        file.write_text("why")
        os.utime(file, (now + number, now + number))
    remove_old(tmp_path)
    assert len([*tmp_path.iterdir()]) == 12
    monkeypatch.setattr(time, "time", lambda: now + years * YEAR)
    remove_old(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir())[0] == "failed-02.log"
    remove_old(tmp_path, every=True)
    assert [*tmp_path.iterdir()] == []


def test_a_jump_does_not_remove_lists_that_a_build_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    for number, name in enumerate(("old", "used", "current", ".new-left")):
        (tmp_path / name / "lists").mkdir(parents=True)
        os.utime(tmp_path / name, (now + number, now + number))
    states.remove_old(tmp_path, tmp_path / "current", lambda path: (path / "lists").is_dir())
    assert len([*tmp_path.iterdir()]) == 4
    monkeypatch.setattr(time, "time", lambda: now + YEAR)
    states.remove_old(tmp_path, tmp_path / "current", lambda path: (path / "lists").is_dir())
    assert {path.name for path in tmp_path.iterdir()} == {"used", "current"}


def test_a_clock_that_is_behind_is_told() -> None:
    check_clock(time.time() + 3600, "it")
    check_clock(time.time() - YEAR, "it")
    with pytest.raises(HostError, match=r"it says .* but it was made at 20") as caught:
        check_clock(time.time() + YEAR, "it")
    assert "Set the clock" in str(caught.value)


def test_times_in_words() -> None:
    assert in_words(0) == "1970-01-01 00:00 UTC"
    assert in_words(1e300).endswith("s after 1970")
    assert in_words(time.time())[:10] in clock_hint()


@pytest.mark.parametrize(
    "line",
    [
        "W: GPG error: x: The following signatures were invalid: EXPKEYSIG 6ED0E7B82643E131",
        "E: Failed to fetch https://x  certificate verification failed. (certificate expired)",
        "E: Release file for x is expired (invalid since 300d 1h). Updates will not be applied.",
        "E: Release file for x is not valid yet (invalid for another 9d). Updates will wait.",
        "  Certificate verification failed: NOT trusted. The certificate is not yet activated.",
    ],
)
def test_what_a_clock_may_cause_names_the_clock(line: str) -> None:
    assert clock_hint() in str(unreadable([line]))
