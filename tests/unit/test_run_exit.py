"""A cell may end the run: well with ``sys.exit(0)``, or with the status of a failure."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
import pytest
from junitparser import Error, Failure, JUnitXml, Skipped
from recipes import EXPECT, write_recipe

from kiwinb.cli import main
from kiwinb.errors import ExpectationError, NotebookError
from kiwinb.headless.outcome import OutcomeFiles, write_outcome
from kiwinb.headless.result import from_record
from kiwinb.headless.run import run_notebook

AFTER = "open('after', 'w').close()"


@pytest.mark.parametrize(
    "source",
    [
        "import sys; sys.exit(0)",
        "import sys; sys.exit()",
        "import sys; sys.exit(None)",
        "import sys; sys.exit(False)",
        "raise SystemExit",
        "exit()",
        "quit()",
        "exit",
        "exit(0)",
        "exit(True)",  # IPython reads it as: keep the kernel
    ],
)
def test_a_cell_ends_the_run_well(tmp_path: Path, source: str) -> None:
    recipe = write_recipe(tmp_path / "r.ipynb", "x = 1", source, AFTER, "x")
    output = tmp_path / "o.ipynb"
    run = run_notebook(recipe, output=output)
    assert run.passed
    assert run.error() is None
    assert run.ended == 2
    assert [cell.state for cell in run.cells] == ["done", "done", "pending", "pending"]
    assert not (tmp_path / "after").exists()
    notebook = nbformat.read(output, as_version=4)
    assert from_record(notebook.metadata["kiwinb"]) == run
    note = notebook.cells[2]
    assert note.cell_type == "markdown"
    assert "ended the run" in note.source
    assert note.metadata["tags"] == ["kiwinb-end"]


@pytest.mark.parametrize(
    ("source", "status", "problem"),
    [
        ("import sys; sys.exit(3)", 3, "it ended the run with status 3"),
        ("import sys; sys.exit(True)", 1, "it ended the run with status 1"),
        ("import sys; sys.exit(-1)", 255, "it ended the run with status 255"),
        ("import sys; sys.exit(256)", 1, "it ended the run with status 1"),
        ("import sys; sys.exit('no room left')", 1, "no room left"),
        ("import argparse; argparse.ArgumentParser().parse_args(['-x'])", 2, "status 2"),
        ("exit(3)", 3, "it ended the run with status 3"),
        ("exit(1)", 1, "it ended the run with status 1"),
        ("quit('no room left')", 1, "no room left"),
    ],
)
def test_any_other_status_fails_the_run_with_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    source: str,
    status: int,
    problem: str,
) -> None:
    write_recipe(tmp_path / "r.ipynb", "x = 1", source, AFTER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["kiwinb", "run", "r.ipynb"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == status
    said = capfd.readouterr().err
    assert "cell 2 (" in said
    assert problem in said
    assert "Traceback" not in said
    assert not (tmp_path / "after").exists()
    run = from_record(nbformat.read(tmp_path / "out/r.ipynb", as_version=4).metadata["kiwinb"])
    assert run.failure is not None
    assert (run.state, run.failure.kind, run.failure.status) == ("failed", "exit", status)
    assert [cell.state for cell in run.cells] == ["done", "failed", "pending"]


def test_the_terminal_says_where_the_run_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write_recipe(tmp_path / "r.ipynb", "x = 1", "# Enough?", "exit()", "2", "3")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["kiwinb", "run", "r.ipynb"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    told = "Cell 2 (Enough?) ended the run; the 2 cells after it did not run."
    assert told in capfd.readouterr().err


def test_junit_and_the_report_say_where_the_run_ended(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r.ipynb", "x = 1", "import sys\nsys.exit(0)", "x", "x")
    run = run_notebook(recipe, output=tmp_path / "o.ipynb")
    write_outcome(run, OutcomeFiles(tmp_path / "report.html", tmp_path / "junit.xml"))
    [suite] = JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (4, 0, 0, 2)
    first, second, third, _last = suite
    assert first.is_passed
    assert second.is_passed
    assert second.system_out == "It ended the run."
    assert isinstance(third.result[0], Skipped)
    assert third.result[0].message == "cell 2 ended the run"
    text = (tmp_path / "report.html").read_text()
    assert "Cell 2 (import sys) ended the run; the 2 cells after it did not run." in text


def test_junit_has_a_failure_for_another_status(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r.ipynb", "import sys; sys.exit(3)", "1")
    run = run_notebook(recipe, output=tmp_path / "o.ipynb")
    write_outcome(run, OutcomeFiles(junit=tmp_path / "junit.xml"))
    [suite] = JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    [result] = next(iter(suite)).result
    assert isinstance(result, Failure)
    assert not isinstance(result, Error)
    assert (result.type, result.message) == ("exit", "it ended the run with status 3")


def test_an_unmet_expectation_fails_a_run_that_a_cell_ended_well(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r.ipynb", EXPECT, "expect('x', '1', '2', False)", "exit()")
    run = run_notebook(recipe, output=tmp_path / "o.ipynb")
    assert isinstance(run.error(), ExpectationError)
    assert run.ended == 3
    assert [cell.state for cell in run.cells] == ["done", "failed", "done"]


def test_a_run_that_a_cell_ended_well_is_not_resumed(tmp_path: Path) -> None:
    output = tmp_path / "o.ipynb"
    ran = "open('ran', 'a').write('x')"
    run_notebook(write_recipe(tmp_path / "r.ipynb", ran, "exit()", "1"), output=output)
    changed = write_recipe(tmp_path / "r.ipynb", ran, "exit()", "2", "3", "4")
    again = run_notebook(changed, output=output, resume=True)
    assert again.passed
    assert again.ended == 2
    assert (tmp_path / "ran").read_text() == "x"
    changed = write_recipe(tmp_path / "r.ipynb", ran, "x = 1", "1")
    with pytest.raises(NotebookError, match=r"something changed.*\n  - cell 2 \(exit\(\)\)\n"):
        run_notebook(changed, output=output, resume=True)


def test_it_resumes_if_an_artefact_is_gone_and_ends_at_the_same_cell(tmp_path: Path) -> None:
    made = "from kiwinb.results.artefacts import record\nopen('made', 'w').close(); record('made')"
    recipe = write_recipe(tmp_path / "r.ipynb", made, "import sys; sys.exit()", AFTER)
    output = tmp_path / "o.ipynb"
    run_notebook(recipe, output=output)
    (tmp_path / "made").unlink()
    run = run_notebook(recipe, output=output, resume=True)
    assert (run.passed, run.resumed, run.ended) == (True, 1, 2)
    assert [cell.state for cell in run.cells] == ["done", "done", "pending"]
    notes = [cell for cell in nbformat.read(output, as_version=4).cells if "tags" in cell.metadata]
    assert [cell.metadata["tags"] for cell in notes] == [["parameters"], ["kiwinb-end"]]


def test_a_cell_that_is_executed_again_may_end_the_run(tmp_path: Path) -> None:
    recipe = write_recipe(
        tmp_path / "r.ipynb",
        "import os",
        "if os.path.exists('enough'): exit()",
        "print('third')",
        "1/0",
    )
    output = tmp_path / "o.ipynb"
    assert not run_notebook(recipe, output=output).passed
    (tmp_path / "enough").touch()
    run = run_notebook(recipe, output=output, resume=True)
    assert (run.passed, run.resumed, run.ended) == (True, 4, 2)
    assert [cell.state for cell in run.cells] == ["resumed", "resumed", "pending", "pending"]
    cells = [c for c in nbformat.read(output, as_version=4).cells if c.cell_type == "code"]
    assert cells[2].outputs == []
    assert cells[2].execution_count is None
