"""Tests that cannot run are skipped, or fail where all have to run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from needs import COMPLETE

TESTS = """
import pytest

@pytest.mark.needs("sh")
def test_runs(): ...

@pytest.mark.needs("sh", "no-such-program")
def test_lacks(): ...

def test_cannot():
    pytest.skip("for a reason")

@pytest.mark.account("root")
def test_root(): ...

@pytest.mark.account("user")
def test_user(): ...
"""


@pytest.mark.parametrize("variables", [{}, {COMPLETE: "1"}, {"CI": "true"}], ids=str)
def test_what_cannot_run(tmp_path: Path, variables: dict[str, str]) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    environ = {name: value for name, value in os.environ.items() if name not in (COMPLETE, "CI")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "needs", "-p", "no:cacheprovider", "-ra", tmp_path],
        env={**environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    lacks = "needs no-such-program; see tests/apt.txt"
    assert lacks in done.stdout
    assert "for a reason" in done.stdout
    if variables:
        assert "1 failed, 2 passed, 1 skipped, 1 error" in done.stdout
        assert f"test_lacks did not run, and all tests have to: Skipped: {lacks}" in done.stdout
    else:
        assert "2 passed, 3 skipped" in done.stdout
    assert done.returncode == bool(variables)
