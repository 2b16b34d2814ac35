"""A plug-in of pytest: what a test needs of the machine, and what happens where that is missing.

``@pytest.mark.needs("xorriso", …)`` names the programs that a test runs. Where one is missing, the
test is skipped, and fails where all tests have to run: in ``tests/run`` and in CI. There any skip
is a failure, but for that of ``@pytest.mark.account(…)``, which says who can run the test.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from functools import cache

import pytest

from kiwinb.sandbox.tools import search_path

COMPLETE = "KIWINB_TESTS_COMPLETE"
"""The variable that says that all tests have to run."""

_OTHER_ACCOUNT = pytest.StashKey[bool]()


def complete() -> bool:
    """Whether a test that cannot run is to fail."""
    return os.environ.get(COMPLETE) == "1" or os.environ.get("CI") == "true"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "needs(*programs): the programs that the test runs; it is skipped where one is missing, "
        "and fails in tests/run",
    )
    config.addinivalue_line(
        "markers",
        "account(who): who can run the test: root, user (not root), or both (one who can become "
        "the other)",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    root = os.geteuid() == 0
    for mark in item.iter_markers("account"):
        (who,) = mark.args
        if who not in ("root", "user", "both"):
            raise pytest.UsageError(f"account({who!r}): it is root, user or both")
        # As root, a user with subordinate ids can be had: tests/run makes one.
        item.stash[_OTHER_ACCOUNT] = not root or who == "user"
        if root if who == "user" else not root and who == "root":
            pytest.skip(f"not for {'root' if root else 'users other than root'}")
        if who == "both" and _number_of_accounts() < 2:
            pytest.skip("needs root and a user with subordinate ids")
        item.stash[_OTHER_ACCOUNT] = False
    programs = [name for mark in item.iter_markers("needs") for name in mark.args]
    missing = sorted({name for name in programs if not shutil.which(name, path=search_path())})
    if missing:
        pytest.skip(f"needs {', '.join(missing)}; see tests/apt.txt")


@cache
def _number_of_accounts() -> int:
    from store_program import accounts  # of the tests that build

    return len(accounts())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    expected = item.stash.get(_OTHER_ACCOUNT, False) or hasattr(report, "wasxfail")
    if report.skipped and complete() and not expected:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} did not run, and all tests have to: {reason}"
    return report
