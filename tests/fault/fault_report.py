"""Print what came of the faults, one line a kind, after the tests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import pytest

Count = Callable[[str, int, int], None]
"""Counts faults of a kind: how often one was tried, and how often the build survived it.

A build survives if it goes on afterwards with what it held before, and gives the same result. A
test that counts a fault as survived has looked at both.
"""


@pytest.fixture
def count(record_property: Callable[[str, object], None]) -> Count:
    """Count faults for the table that is printed after the tests."""

    def count_faults(kind: str, tried: int, survived: int) -> None:
        record_property("fault", (kind, tried, survived))

    return count_faults


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tabulate the property ``fault`` of all tests."""
    sums: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for reports in terminalreporter.stats.values():
        for report in reports:
            for key, value in getattr(report, "user_properties", ()):
                if key == "fault" and report.when == "call":
                    kind, tried, survived = value
                    sums[kind][0] += tried
                    sums[kind][1] += survived
    if not sums:
        return
    terminalreporter.section("faults: expected is that nothing is lost")
    terminalreporter.write_line(f"{'fault':48} {'tried':>7} {'survived':>9} {'lost':>5}")
    for kind, (tried, survived) in sorted(sums.items()):
        terminalreporter.write_line(f"{kind:48} {tried:7} {survived:9} {tried - survived:5}")
    tried, survived = (sum(found) for found in zip(*sums.values(), strict=True))
    terminalreporter.write_line(f"{'all':48} {tried:7} {survived:9} {tried - survived:5}")
