"""Recipe notebooks run headless in a real kernel."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from recipes import EXPECT, write_recipe

from kiwinb.errors import ExpectationError, NotebookError, NotebookTimeout
from kiwinb.headless.result import CellEvent
from kiwinb.headless.run import Limits, run_notebook


def test_parameters_are_injected_and_images_are_reported(tmp_path: Path) -> None:
    recipe = write_recipe(
        tmp_path / "recipe.ipynb",
        "size: int = 1\nname = 'small'",
        "# Build",
        "from pathlib import Path\n"
        "from kiwinb.results.artefacts import record_image\n"
        "record_image(Path(f'{name}-{size}.raw'))",
    )
    events: list[CellEvent] = []
    output = tmp_path / "out/done.ipynb"
    run = run_notebook(recipe, output=output, parameters={"size": 3}, watch=events.append)
    assert run.passed
    assert run.error() is None
    assert run.images == (tmp_path / "small-3.raw",)
    assert [event.cell.state for event in events] == ["running", "done"] * 3
    assert [cell.title for cell in run.cells] == ["size: int = 1", "Parameters", "Build"]
    done = nbformat.read(output, as_version=4)
    assert done.cells[1].metadata["tags"] == ["injected-parameters"]
    assert [cell.execution_count for cell in done.cells if cell.cell_type == "code"] == [1, 2, 3]


def test_what_cells_print_is_told_while_they_run(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r.ipynb", "print('one\\n\\x1b[31mtwo\\x1b[0m', flush=True)")
    events: list[CellEvent] = []
    run_notebook(recipe, output=tmp_path / "o.ipynb", watch=events.append)
    assert [event.line for event in events] == [None, "two", None]


def test_failing_cell_is_named_and_annotated_with_its_log(tmp_path: Path) -> None:
    recipe = write_recipe(
        tmp_path / "r.ipynb",
        "x = 1",
        "print('before')",
        "print('\\n'.join(map(str, range(100))))\nraise ValueError('broken')",
        "x",
    )
    output = tmp_path / "o.ipynb"
    run = run_notebook(recipe, output=output)
    assert run.failure is not None
    assert (run.state, run.failure.kind, run.failure.cell) == ("failed", "error", 3)
    assert run.failure.log == tuple(map(str, range(80, 100)))
    assert any("raise ValueError" in line for line in run.failure.traceback)
    assert [cell.state for cell in run.cells] == ["done", "done", "failed", "pending"]
    error = run.error()
    assert type(error) is NotebookError
    assert "cell 3 (print" in str(error)
    assert "ValueError: broken" in str(error)
    cells = nbformat.read(output, as_version=4).cells
    assert cells[1].outputs[0].text == "before\n"
    assert cells[2].metadata["tags"] == ["kiwinb-failure"]
    assert "ValueError: broken" in cells[2].source
    assert "\n99\n" in cells[2].source
    assert cells[4].execution_count is None


def test_output_is_saved_around_each_cell(tmp_path: Path) -> None:
    output = tmp_path / "o.ipynb"
    recipe = write_recipe(
        tmp_path / "r.ipynb",
        "print('first')",
        f"import json; saved = json.load(open({str(output)!r}))\n"
        "states = [cell['state'] for cell in saved['metadata']['kiwinb']['cells']]\n"
        "print(saved['cells'][0]['outputs'], states)",
    )
    assert run_notebook(recipe, output=output).passed
    printed = nbformat.read(output, as_version=4).cells[1].outputs[0].text
    assert "'first\\n'" in printed
    assert "['done', 'running']" in printed


def test_unmet_expectations_fail_the_run_with_what_was_measured(tmp_path: Path) -> None:
    recipe = write_recipe(
        tmp_path / "r.ipynb",
        EXPECT,
        "expect('image size', 'under 400 MiB', '512 MiB', False)",
        "expect('boots', 'login:', 'login:', True)",
    )
    run = run_notebook(recipe, output=tmp_path / "o.ipynb")
    assert [cell.state for cell in run.cells] == ["done", "failed", "done"]
    assert [(item.what, item.passed, item.cell) for item in run.expectations] == [
        ("image size", False, 2),
        ("boots", True, 3),
    ]
    error = run.error()
    assert isinstance(error, ExpectationError)
    assert "image size: expected under 400 MiB, measured 512 MiB" in str(error)


def test_a_cell_that_raises_after_an_unmet_expectation_fails_for_that(tmp_path: Path) -> None:
    recipe = write_recipe(
        tmp_path / "r.ipynb", EXPECT, "expect('x', '1', '2', False)\nraise AssertionError('x is 2')"
    )
    assert isinstance(run_notebook(recipe, output=tmp_path / "o.ipynb").error(), ExpectationError)


@pytest.mark.parametrize("limits", [Limits(cell=3.0), Limits(run=12.0)])
def test_a_cell_that_takes_too_long_is_interrupted(tmp_path: Path, limits: Limits) -> None:
    mark = tmp_path / "cleaned"
    recipe = write_recipe(
        tmp_path / "r.ipynb",
        "import time\nprint('start')\n"
        f"try:\n    time.sleep(600)\nfinally:\n    open({str(mark)!r}, 'w').close()",
        "1",
    )
    run = run_notebook(recipe, output=tmp_path / "o.ipynb", limits=limits)
    assert isinstance(run.error(), NotebookTimeout)
    assert run.failure is not None
    assert run.failure.log == ("start",)
    assert mark.exists()
    assert run.seconds < 500


def test_death_of_the_kernel_is_told(tmp_path: Path) -> None:
    recipe = write_recipe(
        tmp_path / "r.ipynb", "print('on', flush=True)", "import os; os.kill(os.getpid(), 9)", "1"
    )
    run = run_notebook(recipe, output=tmp_path / "o.ipynb")
    assert run.failure is not None
    assert (run.failure.kind, run.failure.cell) == ("died", 2)
    assert "the kernel died" in str(run.error())


def test_cells_tagged_so_are_skipped_or_may_raise(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r.ipynb", "x = 1", "1/0", "x = 2", "assert x == 1")
    notebook = nbformat.read(recipe, as_version=4)
    notebook.cells[1].metadata["tags"] = ["raises-exception"]
    notebook.cells[2].metadata["tags"] = ["skip-execution"]
    nbformat.write(notebook, recipe)
    run = run_notebook(recipe, output=tmp_path / "o.ipynb")
    assert run.passed
    assert [cell.title for cell in run.cells] == ["x = 1", "1/0", "assert x == 1"]


def test_it_runs_from_within_a_notebook(tmp_path: Path) -> None:
    inner = write_recipe(tmp_path / "inner.ipynb", "print('inner')")
    recipe = write_recipe(
        tmp_path / "r.ipynb",
        "from pathlib import Path\nfrom kiwinb.headless.run import run_notebook\n"
        f"run = run_notebook(Path({str(inner)!r}), output=Path({str(tmp_path / 'i.ipynb')!r}))\n"
        "assert run.passed",
    )
    assert run_notebook(recipe, output=tmp_path / "o.ipynb").passed


@pytest.mark.parametrize("content", [None, "no notebook", "{}"])
def test_what_is_no_notebook_is_refused(tmp_path: Path, content: str | None) -> None:
    recipe = tmp_path / "recipe.ipynb"
    if content is not None:
        recipe.write_text(content)
    with pytest.raises(NotebookError, match=r"recipe\.ipynb"):
        run_notebook(recipe, output=tmp_path / "o.ipynb")


def test_the_recipe_is_not_overwritten(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r.ipynb", "1")
    with pytest.raises(NotebookError, match="overwritten"):
        run_notebook(recipe, output=recipe)


def test_an_unknown_kernel_is_told(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r.ipynb", "1")
    with pytest.raises(NotebookError, match="no kernel named nonesuch"):
        run_notebook(recipe, output=tmp_path / "o.ipynb", kernel="nonesuch")
