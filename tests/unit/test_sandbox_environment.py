"""Variables of the host reach neither workers nor tools, except for those that they need."""

from __future__ import annotations

import os

import pytest
from click.testing import CliRunner

from kiwinb.cli import app
from kiwinb.sandbox.command import run
from kiwinb.sandbox.environment import NAMED_VARIABLE, tool_environment, worker_environment
from kiwinb.sandbox.streams import reading_through
from kiwinb.sandbox.worker import Report, call

ODD = {
    "TAR_OPTIONS": "--exclude=etc",
    "XZ_DEFAULTS": "--check=none",
    "SOURCE_DATE_EPOCH": "1",
    "LD_LIBRARY_PATH": "/nonexistent",
    "BASH_ENV": "/nonexistent",
    "PERL5OPT": "-MNoSuchModule",
    "LC_CTYPE": "tr_TR.UTF-8",
    "TZ": "Asia/Kathmandu",
}


@pytest.fixture(autouse=True)
def odd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAMED_VARIABLE, raising=False)
    for name, value in ODD.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("https_proxy", "http://proxy.example.org")
    monkeypatch.setenv("TMPDIR", os.environ.get("TMPDIR", "/tmp"))


def _seen(_argument: None, _report: Report) -> str:
    return "".join(f"{name}={value}\n" for name, value in os.environ.items())


def _variables(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def _passed_on(seen: dict[str, str]) -> set[str]:
    return {name for name, value in ODD.items() if seen.get(name) == value}


def test_tools() -> None:
    seen = _variables(run(["env"], env={"OWN": "1"}))
    assert {*seen} == {"PATH", "LC_ALL", "TZ", "HOME", "TMPDIR", "OWN"}
    assert (seen["TZ"], seen["LC_ALL"]) == ("UTC0", "C.UTF-8")
    assert seen["HOME"] != os.environ.get("HOME")


def test_tools_that_write_into_a_pipe() -> None:
    with reading_through(["env"]) as stream:
        assert not _passed_on(_variables(stream.read().decode()))


def test_workers() -> None:
    seen = _variables(call(_seen, None))
    assert not _passed_on(seen)
    assert seen["TZ"] == "UTC0"
    assert seen["https_proxy"] == "http://proxy.example.org"
    assert seen["TMPDIR"] == os.environ["TMPDIR"]


def test_the_user_names_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAMED", "")
    monkeypatch.setenv(NAMED_VARIABLE, "")
    words = ["--setenv", "NAMED=one", "--setenv", "TAR_OPTIONS=-v", "doctor", "--help"]
    assert CliRunner().invoke(app, words).exit_code == 0
    for found in (tool_environment(), worker_environment()):
        assert (found["NAMED"], found["TAR_OPTIONS"]) == ("one", "-v")
        assert "XZ_DEFAULTS" not in found
