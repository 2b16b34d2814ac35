"""A run that failed goes on from the cell that failed."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from recipes import EXPECT, write_recipe

from kiwinb.errors import NotebookError
from kiwinb.headless.result import CellEvent
from kiwinb.headless.run import run_notebook

CELLS = (
    "count = 0\nimport random",
    "number = random.random(); print(number)",
    "print('third')",
    "count += 1",
    "import os; assert os.path.exists(flag) if (flag := 'flag') else 0, 'no flag'",
    "print(count)",
)


def _failed(tmp_path: Path) -> tuple[Path, Path]:
    recipe = write_recipe(tmp_path / "r.ipynb", *CELLS)
    output = tmp_path / "o.ipynb"
    run = run_notebook(recipe, output=output)
    assert run.failure is not None
    assert run.failure.cell == 5
    return recipe, output


def test_it_goes_on_at_the_fifth_cell(tmp_path: Path) -> None:
    recipe, output = _failed(tmp_path)
    before = nbformat.read(output, as_version=4)
    (tmp_path / "flag").touch()
    events: list[CellEvent] = []
    run = run_notebook(recipe, output=output, resume=True, watch=events.append)
    assert run.passed
    assert run.resumed == 5
    assert [cell.state for cell in run.cells] == ["resumed"] * 4 + ["done"] * 2
    assert all(cell.seconds is not None for cell in run.cells)
    running = [e.cell.number for e in events if e.cell.state == "running" and e.line is None]
    assert running == [5, 6]
    after = nbformat.read(output, as_version=4)
    assert [cell.cell_type for cell in after.cells] == ["code"] * 6  # nothing tells of the failure
    assert [cell.outputs for cell in after.cells[:4]] == [cell.outputs for cell in before.cells[:4]]
    assert after.cells[5].outputs[0].text == "1\n"


def test_a_run_that_passed_is_not_run_again(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r.ipynb", "open('ran', 'a').write('x')", EXPECT)
    first = run_notebook(recipe, output=tmp_path / "o.ipynb")
    again = run_notebook(recipe, output=tmp_path / "o.ipynb", resume=True)
    assert again.passed
    assert again.cells == first.cells
    assert (tmp_path / "ran").read_text() == "x"


def test_it_runs_again_from_the_cell_whose_artefact_is_gone(tmp_path: Path) -> None:
    recipe = write_recipe(
        tmp_path / "r.ipynb",
        "from kiwinb.results.artefacts import record",
        "open('made', 'w').close(); record('made')",
    )
    output = tmp_path / "o.ipynb"
    run_notebook(recipe, output=output)
    (tmp_path / "made").unlink()
    run = run_notebook(recipe, output=output, resume=True)
    assert (run.resumed, run.passed) == (2, True)
    assert (tmp_path / "made").exists()


def test_it_goes_on_at_an_unmet_expectation(tmp_path: Path) -> None:
    recipe = write_recipe(
        tmp_path / "r.ipynb",
        EXPECT,
        "expect('flag', 'there', 'x', os.path.exists('flag'))",
        "1",
    )
    output = tmp_path / "o.ipynb"
    assert not run_notebook(recipe, output=output).passed
    (tmp_path / "flag").touch()
    run = run_notebook(recipe, output=output, resume=True)
    assert (run.resumed, run.passed, len(run.expectations)) == (2, True, 1)


def test_later_cells_may_change(tmp_path: Path) -> None:
    _recipe, output = _failed(tmp_path)
    recipe = write_recipe(tmp_path / "r.ipynb", "# New", *CELLS[:4], "count += 1", *CELLS[5:])
    assert run_notebook(recipe, output=output, resume=True).passed


def test_changed_cells_before_it_are_refused_by_name(tmp_path: Path) -> None:
    _recipe, output = _failed(tmp_path)
    cells = list(CELLS)
    cells[2] = "print('other')"
    recipe = write_recipe(tmp_path / "r.ipynb", *cells)
    with pytest.raises(
        NotebookError, match=r"something changed.*\n  - cell 3 \(print\('third'\)\)\n"
    ):
        run_notebook(recipe, output=output, resume=True)


def test_changed_parameters_are_refused_by_name(tmp_path: Path) -> None:
    recipe, output = _failed(tmp_path)
    with pytest.raises(NotebookError, match=r"parameter count: not given became 5"):
        run_notebook(recipe, output=output, resume=True, parameters={"count": 5})


def test_without_an_output_it_begins_at_the_beginning(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r.ipynb", "1")
    run = run_notebook(recipe, output=tmp_path / "o.ipynb", resume=True)
    assert (run.passed, run.resumed) == (True, None)


def test_what_no_run_wrote_is_refused(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r.ipynb", "1")
    output = write_recipe(tmp_path / "o.ipynb", "1")
    with pytest.raises(NotebookError, match="not the output of a run"):
        run_notebook(recipe, output=output, resume=True)


def test_a_dead_kernel_can_be_resumed(tmp_path: Path) -> None:
    recipe = write_recipe(
        tmp_path / "r.ipynb",
        "import os",
        "if not os.path.exists('flag'):\n    open('flag', 'w').close(); os.kill(os.getpid(), 9)",
    )
    output = tmp_path / "o.ipynb"
    assert not run_notebook(recipe, output=output).passed
    run = run_notebook(recipe, output=output, resume=True)
    assert (run.passed, run.resumed) == (True, 2)
