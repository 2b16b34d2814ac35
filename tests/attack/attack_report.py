"""Print what came of the attacks, one line a row, after the tests."""

from __future__ import annotations

from collections import defaultdict

import pytest
from attacks import BY_NAME, PLACES

ACCOUNTS = ("root", "rootless")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tabulate the property ``attack`` of all tests: the account, the place, the name, the end."""
    ends: defaultdict[str, dict[tuple[str, str], str]] = defaultdict(dict)
    for reports in terminalreporter.stats.values():
        for report in reports:
            for key, value in getattr(report, "user_properties", ()):
                if key == "attack" and report.when == "call":
                    account, place, name, end = value
                    ends[name][account, place] = end
    if not ends:
        return
    columns = [(account, place) for account in ACCOUNTS for place in PLACES]
    terminalreporter.section("attacks: expected is that all are stopped")
    heads = "  ".join(f"{account} {place}".ljust(10) for account, place in columns)
    terminalreporter.write_line(f"{'attack':32} {heads}")
    for name in (name for name in BY_NAME if name in ends):
        found = "  ".join(ends[name].get(column, "-").ljust(10) for column in columns)
        terminalreporter.write_line(f"{name:32} {found}")
    for account in ACCOUNTS:
        all_ends = [
            end for row in ends.values() for (who, _place), end in row.items() if who == account
        ]
        successful = sum(end != "stopped" for end in all_ends)
        terminalreporter.write_line(f"{account}: {successful} of {len(all_ends)} are successful")
