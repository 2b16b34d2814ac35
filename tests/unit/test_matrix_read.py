"""Build matrices are read, checked and expanded."""

from __future__ import annotations

from pathlib import Path

import pytest
from recipes import write_recipe

from kiwinb.errors import KiwinbError, MatrixError
from kiwinb.headless.run import Limits
from kiwinb.matrix.cell import Job, lost
from kiwinb.matrix.matrix import MatrixCell, read_matrix

BASE = '[[recipe]]\npath = "a.ipynb"\n'
AXES = '[parameters]\nn = [1, 2]\nmode = ["x", "y"]\n'


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        source = "n: int = 0\nmode = 'x'\nprofiles: list[str] = []"
        write_recipe(tmp_path / f"{name}.ipynb", source)
    return tmp_path


def _names(directory: Path, text: str) -> list[str]:
    file = directory / "m.toml"
    file.write_text(text)
    return [cell.name for cell in read_matrix(file).cells]


def test_every_value_meets_every_other(directory: Path) -> None:
    assert _names(directory, BASE + AXES) == [
        "a--n=1--mode=x",
        "a--n=1--mode=y",
        "a--n=2--mode=x",
        "a--n=2--mode=y",
    ]


def test_recipes_have_parameters_of_their_own(directory: Path) -> None:
    text = BASE + 'parameters = { n = [1, 2] }\n[[recipe]]\npath = "b.ipynb"\n'
    assert _names(directory, text + '[parameters]\nmode = ["x"]\n') == [
        "a--mode=x--n=1",
        "a--mode=x--n=2",
        "b--mode=x",
    ]
    assert read_matrix(directory / "m.toml").cells[0].recipe == directory / "a.ipynb"


def test_cells_are_excluded_by_part_of_their_values(directory: Path) -> None:
    names = _names(directory, BASE + AXES + '[[exclude]]\nn = 1\n[[exclude]]\nn=2\nmode="y"\n')
    assert names == ["a--n=2--mode=x"]


def test_include_adds_to_cells_it_fits_and_makes_others(directory: Path) -> None:
    text = BASE + AXES + '[[include]]\nn = 1\nprofiles = ["p"]\n[[include]]\nn = 3\nmode = "x"\n'
    file = directory / "m.toml"
    file.write_text(text)
    cells = {cell.name: dict(cell.parameters) for cell in read_matrix(file).cells}
    assert cells == {
        "a--n=1--mode=x--profiles=p": {"n": 1, "mode": "x", "profiles": ["p"]},
        "a--n=1--mode=y--profiles=p": {"n": 1, "mode": "y", "profiles": ["p"]},
        "a--n=2--mode=x": {"n": 2, "mode": "x"},
        "a--n=2--mode=y": {"n": 2, "mode": "y"},
        "a--n=3--mode=x": {"n": 3, "mode": "x"},
    }


def test_names_are_good_for_files_and_unique(directory: Path) -> None:
    long = "v" * 200
    names = _names(directory, BASE + f'[parameters]\nmode = ["a/b", "a b", "../..", "{long}"]\n')
    assert len(set(names)) == 4
    assert all("/" not in name and len(name) < 100 for name in names)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a = [1\nb", r"m\.toml:2:1: this is not valid TOML"),
        ("", "names no recipe"),
        ("recipe = 1", "names no recipe"),
        ('[[recipe]]\npaht = "a.ipynb"', "has no path"),
        (BASE + "wat = 1", "has no key wat"),
        (BASE + BASE, "named twice"),
        (BASE + "[other]\n", "has no table other"),
        (BASE + "[parameters]\nn = 1\n", r"n has to be a list of values\n  Write n = \[1\]"),
        (BASE + "[parameters]\nn = []\n", "n has no values"),
        (BASE + "[parameters]\nx = [1]\n", "no such parameter: x"),
        (BASE + '[parameters]\nn = ["a"]\n', "the parameter n has to be int"),
        (BASE + AXES + "[[exclude]]\nn = 7\n", "matches no cell: n = 7"),
        (BASE + AXES + '[[exclude]]\nrecipe = "z"\n', "'z', which is not in the matrix"),
        (BASE + "[parameters]\nn = [1]\n[[exclude]]\nn = 1\n", "all of them are excluded"),
        (BASE + '[[recipe]]\npath="b.ipynb"\n' + AXES + "[[include]]\nn = 7\n", "names no recipe"),
        (BASE + "[parameters]\nn = [1, 1]\n", "two cells are the same"),
        (BASE + "[include]\nn = 1\n", "array of tables"),
        ('[[recipe]]\npath = "none.ipynb"\n', "No such file"),
    ],
)
def test_what_is_wrong_is_told(directory: Path, text: str, problem: str) -> None:
    with pytest.raises(KiwinbError, match=problem):
        _names(directory, text)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(MatrixError, match="cannot be read"):
        read_matrix(tmp_path / "none.toml")


@pytest.mark.parametrize("parameters", ["x = [1]", 'n = ["a"]'])
def test_a_wrong_parameter_is_an_error_of_the_matrix(directory: Path, parameters: str) -> None:
    with pytest.raises(MatrixError):
        _names(directory, BASE + f"[parameters]\n{parameters}\n")


def test_a_cell_that_could_not_be_run_has_no_files_of_an_earlier_run(tmp_path: Path) -> None:
    directory = tmp_path / "x"
    directory.mkdir()
    for name in ("r.ipynb", "report.html"):
        (directory / name).write_text("of an earlier run")
    outcome = lost(
        Job(
            MatrixCell("x", tmp_path / "r.ipynb", {}), directory, "token", Limits(), None, tmp_path
        ),
        "its worker died",
    )
    assert outcome.report is None
    assert outcome.notebook is None
