"""``kiwinb run`` shows what goes on within a cell."""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pexpect
import pytest
from descriptions import document
from recipes import write_recipe
from recorded_steps import STEPS, build
from rich.console import Console

from kiwinb.build.session import open_session
from kiwinb.cli import heartbeat, main
from kiwinb.cli.terminal import step_progress
from kiwinb.headless.result import CellEvent
from kiwinb.headless.run import run_notebook
from kiwinb.steps.progress import StepEvent, ignore
from kiwinb.steps.recorded import RECORD_VARIABLE, StepRecord, recorded

HERE = Path(__file__).parent


Run = Callable[..., str]


@pytest.fixture
def kiwinb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Run:
    """Calls the command line in this process; returns what it prints to standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{HERE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")

    def call(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["kiwinb", *arguments])
        with pytest.raises(SystemExit):
            main()
        return capfd.readouterr().err

    return call


def records(file: Path) -> Iterator[StepRecord]:
    for line in file.read_bytes().splitlines():
        record = StepRecord.from_json(line)
        assert record is not None
        yield record


def test_without_a_program_that_wants_records_there_are_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(RECORD_VARIABLE, raising=False)
    with recorded("server", ignore) as observe:
        assert observe is ignore


def test_events_of_steps_are_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RECORD_VARIABLE, str(tmp_path / "steps"))
    seen: list[StepEvent] = []
    with pytest.raises(KeyboardInterrupt), recorded("server", seen.append) as observe:
        observe(StepEvent(STEPS[0], "running"))
        for number in range(1000):  # far more lines than anybody can read
            observe(StepEvent(STEPS[0], "running", line=str(number)))
        observe(StepEvent(STEPS[0], "done", seconds=2.0))
        observe(StepEvent(STEPS[1], "running"))
        raise KeyboardInterrupt
    assert len(seen) == 1003
    written = [*records(tmp_path / "steps")]
    assert len(written) < 50
    assert len({record.build for record in written}) == 1
    told = [(record.step, record.state) for record in written if record.line is None]
    assert told == [
        ("tree", "running"),
        ("tree", "done"),
        ("initrd", "running"),
        ("initrd", "stopped"),
    ]
    assert written[0].title == "Make a tree"
    assert next(record.seconds for record in written if record.state == "done") == 2.0


def test_a_session_records_under_the_name_of_its_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RECORD_VARIABLE, str(tmp_path / "steps"))
    document(tmp_path)
    seen: list[StepEvent] = []
    session = open_session(tmp_path, observer=seen.append)
    with session.watched(["tree"]) as observe:
        observe(StepEvent(STEPS[0], "running"))
    assert len(seen) == 1
    assert [record.build[0] for record in records(tmp_path / "steps")] == ["test", "test"]


def test_a_build_goes_on_if_nobody_can_read_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RECORD_VARIABLE, str(tmp_path / "gone/steps"))
    seen: list[StepEvent] = []
    with recorded("server", seen.append) as observe:
        observe(StepEvent(STEPS[0], "running"))
    assert len(seen) == 1


@pytest.mark.parametrize("text", [b"", b"[1]", b"{}", b'{"build": 1}', b'{"build": ["a", "b"]}'])
def test_what_is_no_record_is_told_apart(text: bytes) -> None:
    assert StepRecord.from_json(text) is None


def test_the_runner_is_told_of_steps_while_they_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{HERE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    recipe = write_recipe(tmp_path / "r.ipynb", build(1))
    events: list[tuple[float, CellEvent]] = []
    output = tmp_path / "o.ipynb"
    run = run_notebook(
        recipe, output=output, watch=lambda event: events.append((time.monotonic(), event))
    )
    assert run.passed
    steps = [(at, event.step) for at, event in events if event.step is not None]
    assert [(step.step, step.state, step.line) for _at, step in steps] == [
        ("tree", "held", None),
        ("initrd", "running", None),
        ("initrd", "running", "one line of dracut"),
        ("initrd", "done", None),
    ]
    assert steps[3][0] - steps[1][0] > 0.7  # it came while the cell ran, not at its end
    assert events[-1][1].cell.state == "done"
    [cell] = nbformat.read(output, as_version=4).cells
    assert cell.outputs == []


def test_builds_in_a_process_of_a_cell_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{HERE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    (tmp_path / "build.py").write_text(build())
    recipe = write_recipe(tmp_path / "r.ipynb", "x = 1", "import sys\n!{sys.executable} build.py")
    events: list[CellEvent] = []
    assert run_notebook(recipe, output=tmp_path / "o.ipynb", watch=events.append).passed
    assert [event.step.step for event in events if event.step] == ["tree", *["initrd"] * 3]


def test_a_heartbeat_names_cell_and_step(
    tmp_path: Path, kiwinb: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "INTERVAL", 0.4)
    write_recipe(tmp_path / "r.ipynb", "x = 1", "# Build", build(3), "x")
    began = time.monotonic()
    told = kiwinb("run", "r.ipynb").splitlines()
    most = (time.monotonic() - began) / heartbeat.INTERVAL
    beats = [line.strip() for line in told if "running for" in line]
    pattern = r"cell 2 of 3 \(Build\) running for \d\.\d s: step initrd of server \(25%\)"
    assert any(re.fullmatch(pattern, beat) for beat in beats)
    assert 2 <= len(beats) <= most
    assert "dracut" not in "\n".join(told)


def test_log_output_shows_what_cells_print_and_display(tmp_path: Path, kiwinb: Run) -> None:
    write_recipe(
        tmp_path / "r.ipynb",
        "# Print",
        "import sys, time\n"
        "print('one', end='', flush=True); time.sleep(0.2)\nprint(' line\\n[two] 1%', end='\\r')\n"
        "print('[two] 2%', flush=True); print('\\x1b[31merr\\x1b[0m', file=sys.stderr, flush=True)",
        "# Display",
        "from IPython.display import HTML, display\n"
        "shown = display('waiting', display_id=True)\nshown.update('ready')\n"
        "display(HTML('<b>only for browsers</b>'))\n{'a': 1}",
        "# Build",
        build(),
        "# Fail",
        "1/0",
    )
    told = kiwinb("run", "r.ipynb", "--log-output").splitlines()
    told = [re.sub(r"\(\d\.\d s\)", "(S)", line) for line in told]
    between = told[told.index("> [1/4] Print") + 1 : told.index("+ [1/4] Print (S)")]
    assert sorted(between) == ["  [two] 2%", "  err", "  one line"]
    between = told[told.index("> [2/4] Display") + 1 : told.index("+ [2/4] Display (S)")]
    assert between == [
        "  <IPython.core.display.HTML object>",
        "  {'a': 1}",
        "  'ready'",
    ]
    between = told[told.index("> [3/4] Build") + 1 : told.index("+ [3/4] Build (S)")]
    assert between == [
        "  = server: Make a tree: held (S)",
        "  > server: Make the initrd",
        "  + server: Make the initrd: done (S)",
    ]
    between = told[told.index("> [4/4] Fail") + 1 : told.index("! [4/4] Fail (S)")]
    assert "  ZeroDivisionError: division by zero" in between
    assert "one line" not in kiwinb("run", "r.ipynb")
    assert "one line" in kiwinb("--debug", "run", "r.ipynb")


def test_the_log_file_has_steps_and_what_cells_print(tmp_path: Path, kiwinb: Run) -> None:
    write_recipe(tmp_path / "r.ipynb", "print('words')", build())
    kiwinb("--logfile", "log", "run", "r.ipynb")
    for handler in logging.getLogger("kiwinb").handlers:
        handler.close()
    log = (tmp_path / "log").read_text()
    for told in (
        "DEBUG cell 1: words",
        "INFO server: initrd: running (Make the initrd)",
        "DEBUG server: initrd: one line of dracut",
        "INFO server: initrd: done (Make the initrd)",
    ):
        assert told in log


def test_a_terminal_shows_the_running_step(tmp_path: Path, kiwinb: Run) -> None:
    write_recipe(tmp_path / "r.ipynb", "# Build", build(1))
    child = pexpect.spawn(
        sys.executable,
        ["-m", "kiwinb", "run", "r.ipynb"],
        dimensions=(40, 120),
        encoding="utf-8",
        timeout=60,
    )
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", child.before or "")
    assert re.search(r"\[1/1\] Build +.*0:00:0[0-9]", plain)
    assert re.search(r"  server: Make the initrd .*0:00:0[0-9] one line of dracut", plain)
    assert "+ server: Make the initrd: done (1.2 s)" in plain
    assert "held" not in plain
    assert "running for" not in plain


def test_a_build_in_a_pipe_has_a_heartbeat_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(heartbeat, "INTERVAL", 0.3)
    with step_progress(Console(stderr=True), verbose=False) as observe:
        observe(StepEvent(STEPS[0], "running"))
        observe(StepEvent(STEPS[1], "running"))
        for number in range(8):
            observe(StepEvent(STEPS[0], "running", line=str(number)))  # not printed, so no beat
            time.sleep(0.1)
        observe(StepEvent(STEPS[0], "done", seconds=0.8))
        time.sleep(0.4)
        observe(StepEvent(STEPS[1], "done", seconds=1.2))
    time.sleep(0.4)
    told = [re.sub(r"\d\.\d s", "S", line) for line in capsys.readouterr().err.splitlines()]
    both = ["  Make a tree: running for S", "  Make the initrd: running for S"]
    assert told[:4] == ["> Make a tree", "> Make the initrd", *both]
    assert told[-3:] == ["+ Make a tree: done (S)", both[1], "+ Make the initrd: done (S)"]


def test_output_without_text_is_no_start_of_a_cell(tmp_path: Path) -> None:
    recipe = write_recipe(
        tmp_path / "r.ipynb", 'print("\\x1b[?25l", end="", flush=True)\nprint("text")'
    )
    events: list[CellEvent] = []
    run = run_notebook(recipe, output=tmp_path / "o.ipynb", watch=events.append)
    assert run.passed
    assert [(event.cell.state, event.output) for event in events] == [
        ("running", ""),
        ("running", "text\n"),
        ("done", ""),
    ]
