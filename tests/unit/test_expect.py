import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from inspect_trees import Deb, Item, MemoryTree, database

from kiwinb import expect
from kiwinb.errors import BootError, ExpectationError, InspectError

PASSWD = b"root:x:0:0::/:\nwww:x:33:33::/:\n"


@pytest.fixture
def tree() -> MemoryTree:
    return MemoryTree(
        {
            "/etc/passwd": PASSWD,
            "/etc/motd": Item(b"Welcome to it\n", mode=0o644, uid=33),
            "/bin": "usr/bin",
            "/usr/bin/app": Item(b"x", mode=0o4755),
            "/srv/mine": b"x" * 10,
            **database(
                Deb("app", "1:9.2-1", "Section: contrib/x11\n", files=["/usr/bin/app"], size=2048),
                Deb("base", fields="Section: admin\n"),
            ),
        }
    )


@dataclass
class ImageFile:
    path: Path


@pytest.fixture
def image(tmp_path: Path) -> ImageFile:
    made = ImageFile(tmp_path / "image.raw")
    made.path.write_bytes(b"x" * 5000)
    return made


def fails(match: str) -> pytest.RaisesExc[ExpectationError]:
    return pytest.raises(ExpectationError, match=match)


def test_size_of_an_image(image: ImageFile) -> None:
    outcome = expect.size(image, at_most="5 KiB")
    assert outcome.measured == "4.9 KiB (5000 bytes)"
    expect.size(image.path, at_most=5000, at_least=5000)
    with fails(r"size of image.raw: 4.9 KiB \(5000 bytes\); expected: at most 4.9 KiB \(4999"):
        expect.size(image, at_most=4999)
    with fails("at least"):
        expect.size(image, at_least="1M")
    with pytest.raises(InspectError, match="'many' is not a size"):
        expect.size(image, at_most="many")
    with pytest.raises(InspectError, match="no bound"):
        expect.size(image)


def test_size_of_a_tree_is_what_du_counts(tree: MemoryTree) -> None:
    usage = sum(-(-len(item.content) // 4096) * 4096 for item in tree.items.values())
    expect.size(tree, at_most=usage, at_least=usage)
    with fails("size of memory"):
        expect.size(tree, at_most=usage - 1)


def test_packages(tree: MemoryTree) -> None:
    expect.package(tree, "app")
    expect.package(tree, "app", at_least="1:9.2~rc1")
    expect.package(tree, "app", version="1:9.2-1")
    with fails(r"version 1:9.2-1; expected: installed, version 1:10 or later"):
        expect.package(tree, "app", at_least="1:10")
    with fails("not installed"):
        expect.package(tree, "ap")
    with fails("version 1:9.2-1; expected: installed, version 2"):
        expect.package(tree, "app", version="2")


def test_packages_that_are_there_only_in_part() -> None:
    status = Deb("app").paragraph().replace("ok installed", "ok half-configured")
    tree = MemoryTree({"/var/lib/dpkg/status": status.encode()})
    with fails("package app: version 1.0-1, only half-configured; expected: installed"):
        expect.package(tree, "app")
    with fails("package app: 1 .*: app; expected: none"):
        expect.no_package(tree, "app")


def test_no_packages(tree: MemoryTree) -> None:
    expect.no_package(tree, "vim")
    expect.no_package(tree, section="games")
    expect.no_package(tree, "app", section="admin")
    with fails(r"packages of section x11: 1 \(2.0 MiB\): app; expected: none"):
        expect.no_package(tree, section="x11")
    with fails(r"2 \(2.0 MiB\): app, base"):
        expect.no_package(tree, "*a*")
    with pytest.raises(InspectError, match="no package is named"):
        expect.no_package(tree)


def test_files(tree: MemoryTree) -> None:
    expect.file(tree, "/etc/motd", contains="Welcome", mode=0o644, owner="www")
    expect.file(tree, "/bin/app", mode=0o4755, owner="0")
    expect.file(tree, "/bin", target="usr/bin")
    expect.file(tree, "/")
    with fails("/etc/none: not there"):
        expect.file(tree, "/etc/none", mode=0o644)
    with fails("mode 4755; expected: there, mode 0755"):
        expect.file(tree, "/usr/bin/app", mode=0o755)
    with fails("owner www; expected: there, owner root"):
        expect.file(tree, "/etc/motd", owner="root")
    with fails("does not contain it: 14 bytes, 'Welcome to it"):
        expect.file(tree, "/etc/motd", contains=b"Bye")
    with fails("no link"):
        expect.file(tree, "/etc/motd", target="x")
    with fails("a directory"):
        expect.file(tree, "/etc", contains="x")


def test_no_files(tree: MemoryTree) -> None:
    expect.no_file(tree, "/etc/none")
    expect.no_file(tree, "*.pyc")
    with fails(r"/bin/app: 1 \(4.0 KiB\): /usr/bin/app; expected: nothing there"):
        expect.no_file(tree, "/bin/app")
    with fails("/etc/motd, /etc/passwd"):
        expect.no_file(tree, "/etc/*")


def test_no_unowned(tree: MemoryTree) -> None:
    expect.no_unowned(tree, "/usr")
    expect.no_unowned(tree, ignore=["/srv/*", "/etc*", "/bin", "/var*"])
    with fails(r"files of no package in /srv: 1 \(4.0 KiB\): /srv/mine"):
        expect.no_unowned(tree, "/srv")


def test_any_value() -> None:
    expect.that(3, "<=", 3, "cells")
    expect.that("a", "in", "abc", "letter")
    with fails("boot time: 12.5; expected: < 10"):
        expect.that(12.5, "<", 10, "boot time")
    with pytest.raises(InspectError, match="no relation '=<'"):
        expect.that(1, "=<", 2, "x")


def test_boots(image: ImageFile, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    class Console:
        def expect(self, pattern: str, timeout: float) -> None:
            asked.append((pattern, timeout))
            if pattern == "never":
                raise BootError("'never' did not appear within 1 s")

    class Machine:
        def __init__(self, path: Path, *, firmware: str, memory: int, arch: str | None) -> None:
            asked.append((path, firmware, memory, arch))

        def __enter__(self) -> Console:
            return Console()

        def __exit__(self, *error: object) -> None:
            return None

    monkeypatch.setattr("kiwinb.expect.started.boot", Machine)
    outcome = expect.boots(image, firmware="efi", timeout=5, arch="aarch64")
    assert asked == [(image.path, "uefi", 1024, "aarch64"), ("login: ", 5)]
    assert outcome.what == "boot of image.raw (efi)"
    with fails("'never' did not appear within 1 s"):
        expect.boots(image, until="never", timeout=1)


def test_all_failures_are_told_together(tree: MemoryTree) -> None:
    with pytest.raises(ExpectationError) as caught, expect.all() as checks:
        expect.that(2, "<", 1, "first")
        expect.package(tree, "app")
        expect.package(tree, "emacs")
    text = str(caught.value)
    assert text.startswith("2 of 3 expectations do not hold:\n  first: 2; expected: < 1\n")
    assert "package emacs: not installed" in text
    assert caught.value.exit_status == 14
    assert not checks.passed
    assert list(checks.table()["passed"]) == [False, True, False]
    assert "FAILED: first: 2 (expected: < 1)" in str(checks)
    assert checks._repr_html_().count("<tr>") == 4


def test_a_block_whose_expectations_hold(tree: MemoryTree) -> None:
    with expect.all() as checks:
        expect.package(tree, "app")
        expect.package(tree, "base")
    assert checks.passed
    assert tree.reads.count("/var/lib/dpkg/status") == 1  # each tree is read once in a block


def test_another_error_in_a_block_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), expect.all():
        expect.that(2, "<", 1, "first")
        raise ZeroDivisionError
    with fails("second"):  # and the block is over
        expect.that(2, "<", 1, "second")


def test_html_is_escaped() -> None:
    outcome = expect.that("<b>", "==", "<b>", "<i>")
    assert "<i>" not in outcome._repr_html_()


def test_they_are_recorded_for_the_runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "expectations"
    monkeypatch.setenv(expect.RECORD_VARIABLE, str(place))
    expect.that(1, "<", 2, "one")
    with pytest.raises(ExpectationError), expect.all():
        expect.that(2, "<", 1, "two")
    rows = [json.loads(line) for line in place.read_text().splitlines()]
    assert rows == [
        {"what": "one", "expected": "< 2", "measured": "1", "passed": True},
        {"what": "two", "expected": "< 1", "measured": "2", "passed": False},
    ]


def test_the_runner_reads_what_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kiwinb.headless.records import EXPECTATIONS_VARIABLE, Records

    assert expect.RECORD_VARIABLE == EXPECTATIONS_VARIABLE
    records = Records(tmp_path)
    monkeypatch.setenv(EXPECTATIONS_VARIABLE, records.environment[EXPECTATIONS_VARIABLE])
    expect.that(1, "<", 2, "one")
    (found,) = records.expectations(7)
    assert (found.what, found.measured, found.passed, found.cell) == ("one", "1", True, 7)
