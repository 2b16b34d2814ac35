"""What package managers print when they fail becomes one error, the same for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager

import pytest

from kiwinb.errors import PackageError
from kiwinb.packages.apt.complaints import failed_transaction
from kiwinb.packages.failures import CLASH, DAMAGED, SCRIPT, Kind, failure, naming_origins
from kiwinb.packages.pacman.complaints import complaint
from kiwinb.packages.rpm.complaints import MARKS, has_failed_script

NOISE = [f"progress {number}" for number in range(50)]

SAID = [
    (
        "rpm",
        CLASH,
        "  file /usr/share/x conflicts between attempted installs of app-1.0-1.noarch and "
        "other-1.0-1.noarch",
    ),
    (
        "rpm",
        CLASH,
        "  file /usr/share/x from install of app-1.0-1.noarch conflicts with file from package "
        "other-1.0-1.noarch",
    ),
    ("rpm", CLASH, "Detected 1 file conflict:"),
    (
        "rpm",
        DAMAGED,
        "  package app-1.0-1.noarch does not verify: Payload SHA256 ALT digest: BAD (…)",
    ),
    ("rpm", DAMAGED, "error: unpacking of archive failed: cpio: read failed - Inappropriate ioctl"),
    ("rpm", SCRIPT, "warning: %post(app-1.0-1.noarch) scriptlet failed, exit status 1"),
    ("rpm", SCRIPT, "error: %prein(app-1.0-1.noarch) scriptlet failed, signal 9"),
    ("rpm", SCRIPT, "warning: %transfiletriggerin(app-1-1.noarch) scriptlet failed, exit status 1"),
    ("rpm", SCRIPT, 'error: lua script failed: [string "%post(app-1.0-1.noarch)"]:1: no'),
    ("dpkg", CLASH, " trying to overwrite '/usr/share/x', which is also in package other 1.0-1"),
    (
        "dpkg",
        DAMAGED,
        "dpkg-deb (subprocess): decompressing archive 'app.deb' (size=4624) member 'data.tar': "
        "lzma error: compressed data is corrupt",
    ),
    ("dpkg", DAMAGED, "dpkg-deb: error: 'app.deb' is not a Debian format archive"),
    (
        "dpkg",
        SCRIPT,
        " installed app package post-installation script subprocess returned error exit status 3",
    ),
    (
        "dpkg",
        SCRIPT,
        " new app package pre-installation script subprocess was killed by signal (Killed)",
    ),
    ("pacman", CLASH, "app: /usr/share/x exists in filesystem (owned by other)"),
    ("pacman", CLASH, "/usr/share/x exists in both 'app' and 'other'"),
    ("pacman", DAMAGED, "error: could not open file app.pkg.tar.zst: Truncated input file"),
    ("pacman", SCRIPT, "error: command failed to execute correctly"),
]


def _error(tool: str, lines: Iterable[str]) -> PackageError:
    said = list(lines)
    if tool == "rpm":
        return failure("dnf", said, MARKS)
    return failed_transaction(said) if tool == "dpkg" else complaint(said)


@pytest.mark.parametrize(("tool", "kind", "line"), SAID)
def test_a_failure_is_found_in_a_long_output(tool: str, kind: Kind, line: str) -> None:
    error = _error(tool, [*NOISE, line, *NOISE])
    assert error.problem.startswith(f"{kind.problem}:\n")
    assert error.remedy == kind.remedy
    assert f"  | {line}" in error.problem
    assert error.problem.count("\n") < 8
    if tool == "rpm":
        assert has_failed_script([*NOISE, line]) == (kind is SCRIPT)


def _naming(origins: Mapping[str, str]) -> AbstractContextManager[None]:
    return naming_origins(lambda: origins)


def test_repositories_of_packages_are_named() -> None:
    lines = ["file /usr/share/mawk conflicts between installs of app-1.0-1.noarch and app-data-2"]
    origins = {"app": "own", "app-data": "other", "mawk": "own", "data": "own"}
    with pytest.raises(PackageError) as caught, _naming(origins):
        raise _error("rpm", lines)
    said = caught.value.problem.splitlines()
    assert said[2:] == ["  app is of the repository own", "  app-data is of the repository other"]
    assert caught.value.remedy == CLASH.remedy
    failed = ["installing app...", "error: command failed to execute correctly"]
    with pytest.raises(PackageError, match="app is of the repository own"), _naming(origins):
        raise _error("pacman", failed)


@pytest.mark.parametrize("tool", ["rpm", "dpkg", "pacman"])
def test_what_is_not_understood_is_quoted(tool: str) -> None:
    error = _error(tool, [*NOISE, "", "it just failed"])
    assert "  | it just failed" in error.problem and "progress 9\n" not in error.problem
    assert error.remedy
    assert not has_failed_script(NOISE)
