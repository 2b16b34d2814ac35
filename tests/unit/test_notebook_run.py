"""Recipe notebooks run headless in a real kernel."""

from pathlib import Path

import nbformat
import pytest

from kiwinb.errors import NotebookError
from kiwinb.notebook.run import CellEvent, run_notebook


def _recipe(directory: Path, *sources: str) -> Path:
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    cells[0].metadata["tags"] = ["parameters"]
    path = directory / "recipe.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_parameters_are_injected_and_images_are_reported(tmp_path: Path) -> None:
    recipe = _recipe(
        tmp_path,
        "size: int = 1\nname = 'small'",
        "from kiwinb.notebook.artefacts import record_image\n"
        "from pathlib import Path\n"
        "record_image(Path(f'{name}-{size}.raw'))",
    )
    events: list[CellEvent] = []
    run = run_notebook(
        recipe,
        output=tmp_path / "out" / "done.ipynb",
        parameters={"size": 3},
        on_cell=events.append,
    )
    assert run.images == (tmp_path / "small-3.raw",)
    assert [event.state for event in events] == ["running", "done"] * 3
    done = nbformat.read(run.output, as_version=4)
    assert done.cells[1].metadata["tags"] == ["injected-parameters"]
    assert all(cell.execution_count for cell in done.cells)


def test_unknown_parameter_names_the_known_ones(tmp_path: Path) -> None:
    recipe = _recipe(tmp_path, "size = 1", "1")
    with pytest.raises(NotebookError, match=r"no such parameter: colour\n.*size"):
        run_notebook(recipe, output=tmp_path / "o.ipynb", parameters={"colour": "red"})


def test_failing_cell_is_named_and_the_output_up_to_it_is_kept(tmp_path: Path) -> None:
    recipe = _recipe(tmp_path, "x = 1", "print('before')", "raise ValueError('broken')", "x")
    output = tmp_path / "o.ipynb"
    with pytest.raises(NotebookError, match=r"cell 2 .*ValueError: broken"):
        run_notebook(recipe, output=output)
    cells = nbformat.read(output, as_version=4).cells
    assert cells[1].outputs[0].text == "before\n"
    assert cells[3].execution_count is None


@pytest.mark.parametrize("content", [None, "no notebook", "{}"])
def test_what_is_no_notebook_is_refused(tmp_path: Path, content: str | None) -> None:
    recipe = tmp_path / "recipe.ipynb"
    if content is not None:
        recipe.write_text(content)
    with pytest.raises(NotebookError, match=r"recipe\.ipynb"):
        run_notebook(recipe, output=tmp_path / "o.ipynb")
