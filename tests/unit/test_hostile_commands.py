"""Names and texts of other people are data in what every command prints, most of all on a terminal.

The list of commands comes from the command line itself, so one that is new has to be added here.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click
import nbformat
import pytest
from descriptions import document
from hostile import MARK, TEXTS, unseen, write_hostile_tree
from store_actions import Write

import kiwinb.visible
from kiwinb.checkpoints.store import open_store
from kiwinb.cli import app, main
from kiwinb.cli.logs import start_logging
from kiwinb.cli.run_progress import cell_progress
from kiwinb.cli.terminal import Terminal, step_progress
from kiwinb.headless.result import Cell, CellEvent
from kiwinb.inspect.table import csv_of
from kiwinb.results.record import RECORD, BuildResult, DeliveredFile, ImageFacts, to_text
from kiwinb.settings import load_settings
from kiwinb.steps.progress import StepEvent
from kiwinb.steps.step import DraftStep, Step, seal

ALL = " ".join(TEXTS.values())
NAME = f"{MARK}{ALL}".replace("/", "")
SHORT = f"{MARK}{TEXTS['clear']}{TEXTS['bidi']}{TEXTS['console markup']}".replace("/", "")


def leaves(command: click.Command, name: str = "") -> Iterator[str]:
    """The commands that have no commands below them."""
    if not isinstance(command, click.Group):
        yield name
        return
    for below in command.commands:
        yield from leaves(command.commands[below], f"{name} {below}".strip())


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """Make standard output and error a terminal, and collect what it gets."""
    outside, inside = pty.openpty()
    got: list[bytes] = []

    def read() -> None:
        while True:
            try:
                data = os.read(outside, 65536)
            except OSError:  # how Linux tells that nobody writes any more
                return
            if not data:
                return
            got.append(data)

    reader = threading.Thread(target=read)
    reader.start()
    # an encoding error that Python's own streams would raise, too, has to fail the test
    with (
        os.fdopen(inside, "w", encoding="utf-8", errors="strict") as stream,
        monkeypatch.context() as patch,
    ):
        patch.setenv("TERM", "dumb")  # so that rich does not write any sequences of its own
        patch.setenv("COLUMNS", "200")
        patch.setattr(sys, "stdout", stream)
        patch.setattr(sys, "stderr", stream)
        yield got
        stream.flush()
    reader.join()
    os.close(outside)


def command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> str:
    """Run a command on a terminal; return what it printed."""
    with terminal(monkeypatch) as got:
        monkeypatch.setattr(sys, "argv", ["kiwinb", *map(str, arguments)])
        with pytest.raises(SystemExit):
            main()
    return b"".join(got).decode("utf-8").replace("\r\n", "\n")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a tree, a description, recipes and results, all of them hostile."""
    place = tmp_path_factory.mktemp("place")
    write_hostile_tree(place / "tree")
    write_hostile_tree(place / "new", "2.0")
    document(place)
    text = (place / "config.xml").read_text()
    legal = "".join(one for one in ALL if one in "\t\n" or (ord(one) > 0x1F and one != "\ufeff"))
    legal = legal.encode("utf-8", "replace").decode().translate({ord("<"): "&lt;", ord("&"): ""})
    text = text.replace("A test", f"{MARK}{legal}").replace("<author>A", f"<author>{MARK}{legal}")
    (place / "config.xml").write_text(text)
    cell = nbformat.v4.new_code_cell(f"x = {NAME!r}  # {MARK}", metadata={"tags": ["parameters"]})
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), place / "recipe.ipynb")
    value = json.dumps(f"{MARK}[red]\u202e\u200b\x7f")
    recipe = f'[[recipe]]\npath = "recipe.ipynb"\n[parameters]\nx = [{value}]\n'
    (place / "matrix.toml").write_text(recipe)
    (place / "out").mkdir()
    name = NAME.encode("utf-8", "surrogateescape")[:200].decode("utf-8", "surrogateescape")
    (place / "out" / name).write_text("")
    file = DeliveredFile(name, name, True, True, False, "k", 1, "0" * 64, 0, 0)
    facts = ImageFacts("test", "1", "x86_64", "oem")
    (place / "out" / RECORD).write_text(to_text(BuildResult(place / "out", facts, (file,))))
    return place


@pytest.fixture
def store(place: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The key of a hostile tree in a store, with the log of a failed step under the same name."""
    monkeypatch.setenv("KIWINB_STORE", str(place / "store"))
    monkeypatch.setenv("KIWINB_CACHE", str(place / "cache"))
    held = open_store(load_settings())
    held.failed_logs.mkdir(parents=True, exist_ok=True)
    log = held.failed_logs / f"failed-{'f' * 12}-20260101-000000-config.sh.log"
    log.write_bytes(NAME.encode("utf-8", "surrogateescape"))
    return held.import_tree(place / "tree")


def _commands(place: Path, key: str) -> Mapping[str, list[list[object]]]:
    tree, odd = place / "tree", place / SHORT
    described, target = ["--description", place], ["--target-dir", place / "out"]
    given: dict[str, list[object]] = {
        "files": [tree],
        "packages": [tree],
        "unowned": [tree],
        "verify": [tree],
        "breakdown": [tree, "--by", "package"],
        "diff": [tree, place / "new"],
    }
    tables = {
        f"inspect {name}": [words, [*words, "--json"], [*words, "--csv"]]
        for name, words in given.items()
    }
    tables["inspect packages"].append([tree, "--why", f"{MARK}0"])
    tables["inspect diff"].append([tree, place / "new", "--files"])
    tables["inspect files"].append([odd])
    return {
        **tables,
        "inspect mtree": [[tree]],
        "checkpoints list": [[]],
        "checkpoints show": [[key], [odd]],
        "checkpoints log": [["f" * 12], [key]],
        "checkpoints gc": [["--limit", SHORT]],
        "checkpoints verify": [[]],
        "checkpoints remove": [[odd]],
        "description show": [[place, form] for form in ("--xml", "--yaml", "--toml", "--diff")],
        "doctor": [["--description", odd]],
        "image info": [described, [*described, "--print-xml"], ["--description", odd]],
        "image resize": [[*target, "--size", SHORT], [*target, "--size", "9G"]],
        "matrix": [[place / "matrix.toml", "--list"], [odd]],
        "result list": [target, ["--target-dir", odd]],
        "result bundle": [["--target-dir", odd, "--bundle-dir", odd, "--id", "1"]],
        "run": [[place / "recipe.ipynb", "--help-notebook"], [odd]],
        "system build": [["--description", odd, *target], [SHORT]],
        "system create": [["--root", odd, *target]],
        "system prepare": [["--description", odd, "--root", odd]],
        "system update": [["--root", odd]],
    }


def test_every_command_is_looked_at(place: Path) -> None:
    assert _commands(place, "").keys() == {*leaves(app)}, "say here how to attack the new command"


@pytest.mark.account("root")
@pytest.mark.parametrize("name", sorted(leaves(app)))
def test_on_a_terminal(name: str, place: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = ""
    for arguments in _commands(place, store)[name]:
        text = command(monkeypatch, *name.split(), *arguments)
        assert unseen(text, "\n\t") == [], arguments
        assert "Traceback" not in text
        seen += text
    assert MARK in seen or name in ("checkpoints list", "checkpoints verify", "inspect verify")


def test_names_are_escaped_on_a_terminal_by_one_function(
    place: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kiwinb.visible, "_escaped", lambda found: found[0])
    with pytest.raises((AssertionError, UnicodeEncodeError)):
        test_on_a_terminal("inspect files", place, store, monkeypatch)


def test_pipes_get_all_as_it_is(place: Path) -> None:
    def piped(*arguments: object) -> bytes:
        words = (sys.executable, "-m", "kiwinb", "inspect", "files", place / "tree", *arguments)
        return subprocess.run([*map(str, words)], capture_output=True, check=True).stdout

    paths = {f"/srv/{n}/{text}{MARK}{sort}" for n, (sort, text) in enumerate(TEXTS.items())}
    paths = {path for path in paths if "//" not in path}
    found = {row["path"] for row in json.loads(piped("--json"))}
    assert paths <= found
    text = piped("--csv").decode("utf-8", "surrogateescape")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert {row["path"] for row in rows} == found
    targets = [row["target"].removeprefix("'") for row in rows if row["type"] == "symlink"]
    assert sorted(targets) == sorted(TEXTS.values())
    assert not any(cell.startswith(("=", "+", "@")) for row in rows for cell in row.values())


def test_formulas_can_be_brought_back() -> None:
    from kiwinb.inspect.table import Table

    names = ["=1", "+1", "-1", "@x", "'", "''a", "\tx", "\rx", "\nx", "", "plain", "a=1"]
    written = csv_of(Table({"name": names, "delta": range(-6, 6)})).decode()
    rows = list(csv.DictReader(io.StringIO(written, newline="")))
    assert [row["name"].removeprefix("'") for row in rows] == names
    assert [row["delta"] for row in rows] == [str(number) for number in range(-6, 6)]


def _step() -> Step:
    [step] = seal((DraftStep("import", NAME, Write("a", "b")),))
    return step


@pytest.mark.parametrize("verbose", [False, True])
def test_progress_of_builds(verbose: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        terminal(monkeypatch) as got,
        step_progress(Terminal(stderr=True), verbose=verbose) as observe,
    ):
        for text in TEXTS.values():
            observe(StepEvent(_step(), "running", line=text))
        observe(StepEvent(_step(), "done", seconds=1.0))
    text = b"".join(got).decode().replace("\r\n", "\n")
    assert MARK in text
    assert unseen(text) == []


def test_progress_of_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = Cell(1, NAME, "", "running")
    with (
        terminal(monkeypatch) as got,
        cell_progress(Terminal(stderr=True), log_output=True) as watch,
    ):
        watch(CellEvent(cell, 1))
        for text in TEXTS.values():
            watch(CellEvent(cell, 1, line=text, output=f"{text}\n"))
        watch(CellEvent(Cell(1, NAME, "", "done", 1.0), 1))
    text = b"".join(got).decode().replace("\r\n", "\n")
    assert MARK in text
    assert unseen(text) == []


def test_bars_show_texts_as_data(capsys: pytest.CaptureFixture[str]) -> None:
    console = Terminal(stderr=True, force_terminal=True, width=120)
    with step_progress(console, verbose=True) as observe:
        for text in TEXTS.values():
            observe(StepEvent(_step(), "running", line=text))
            observe(StepEvent(_step(), "running", fraction=0.5))
    said = capsys.readouterr().err
    assert MARK in said
    for sort in ("clear", "link", "clipboard", "device", "C1", "bidi"):
        assert TEXTS[sort] not in said
    assert "\x1b]" not in said and "[red]" in said and ":smile:" in said


def test_log_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # pytest could not pass on what its own handler would keep
    monkeypatch.setattr(logging.getLogger("kiwinb"), "propagate", False)
    start_logging(Terminal(stderr=True), logging.ERROR, file=tmp_path / "log")
    try:
        for text in TEXTS.values():
            logging.getLogger("kiwinb.steps").debug("%s", text)
    finally:
        start_logging(Terminal(stderr=True), logging.WARNING)
    assert unseen((tmp_path / "log").read_bytes().decode(), "\n\t") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_leaves_names_to_the_shell(shell: str, tmp_path: Path) -> None:
    for text in TEXTS.values():
        Path(os.fsdecode(os.fsencode(tmp_path / f"{MARK}{text}".replace("/", "")))).touch()
    words = {"COMP_WORDS": f"kiwinb inspect files {MARK}", "COMP_CWORD": "3"}
    done = subprocess.run(
        [sys.executable, "-m", "kiwinb"],
        env={**os.environ, **words, "_KIWINB_COMPLETE": f"{shell}_complete"},
        capture_output=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert unseen(done.stdout.decode()) == [] and b"window.pwned" not in done.stdout
