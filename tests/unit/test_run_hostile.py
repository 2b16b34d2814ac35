"""Notebooks and records that violate their format: kiwinb's errors, and nothing else."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
from json_mutants import mutant

from kiwinb.errors import KiwinbError, NotebookError
from kiwinb.headless.report import write_report
from kiwinb.headless.resume import read_former
from kiwinb.headless.run import run_notebook
from kiwinb.matrix.matrix import read_matrix
from kiwinb.runtime_config import read_runtime_config
from kiwinb.settings import load_settings

NOTEBOOK: dict[str, Any] = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {
        "kernelspec": {"name": "no-such-kernel", "display_name": "x", "language": "python"},
        "language_info": {"name": "python", "version": "3.11"},
        "widgets": {"application/vnd.jupyter.widget-state+json": {"state": {"m": {}}}},
        "title": "A recipe",
    },
    "cells": [
        {
            "cell_type": "markdown",
            "id": "one",
            "metadata": {"tags": ["x"]},
            "source": "# Title\n![x](attachment:a.png)",
            "attachments": {"a.png": {"image/png": "aGVsbG8="}},
        },
        {
            "cell_type": "code",
            "id": "two",
            "metadata": {"tags": ["parameters"]},
            "execution_count": 1,
            "source": ["size: int = 4\n", "name = 'x'"],
            "outputs": [{"output_type": "stream", "name": "stdout", "text": ["a\n"]}],
        },
        {
            "cell_type": "code",
            "id": "three",
            "metadata": {},
            "execution_count": 2,
            "source": "print(1)",
            "outputs": [
                {
                    "output_type": "display_data",
                    "metadata": {},
                    "data": {"text/plain": "x", "text/html": ["<b>", "x"], "image/png": "aGVsbG8="},
                },
                {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["x"]},
            ],
        },
        {"cell_type": "raw", "id": "four", "metadata": {}, "source": "raw"},
    ],
}


def former() -> dict[str, Any]:
    """The output of a run that failed in its second cell."""
    cells = [
        {"number": 1, "title": "a", "source": "s", "state": "done", "seconds": 1.0},
        {"number": 2, "title": "b", "source": "t", "state": "failed", "seconds": None},
    ]
    record = {
        **{"format": 1, "recipe": "r.ipynb", "output": "o.ipynb", "state": "failed"},
        **{"parameters": {"size": "4"}, "cells": cells, "signal": None, "seconds": 1.0},
        **{"started": "2026", "resumed": None, "ended": None, "token": "", "expectations": []},
        "artefacts": [],
        "failure": {
            **{"kind": "error", "cell": 2, "problem": "p", "log": ["l"], "traceback": ["t"]},
            "status": None,
        },
    }
    return {**NOTEBOOK, "metadata": {**NOTEBOOK["metadata"], "kiwinb": record}}


def outcome(recipe: Path, out: Path, **more: Any) -> str:
    """Run a recipe, the kernel of which does not exist."""
    try:
        run_notebook(recipe, output=out, kernel="no-such-kernel", **more)
    except KiwinbError as error:
        assert len(str(error)) < 3000
        return str(error)
    raise AssertionError("there is no such kernel")


def test_mutants_of_a_notebook(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.ipynb"
    verdicts = {True: 0, False: 0}
    for number in range(250):
        recipe.write_text(json.dumps(mutant(NOTEBOOK, random.Random(number))))
        try:
            said = outcome(recipe, tmp_path / "out.ipynb", parameters={"size": 5})
        except Exception as error:
            raise AssertionError(f"mutant {number}: {error!r}") from error
        verdicts["no-such-kernel" in said] += 1
    assert min(verdicts.values()) > 30, verdicts


def test_mutants_of_a_former_run(tmp_path: Path) -> None:
    recipe, out = tmp_path / "recipe.ipynb", tmp_path / "out.ipynb"
    recipe.write_text(json.dumps(NOTEBOOK))
    out.write_text(json.dumps(former()))
    assert read_former(out) is not None
    for number in range(250):
        out.write_text(json.dumps(mutant(former(), random.Random(number))))
        try:
            outcome(recipe, out, resume=True)
        except Exception as error:
            raise AssertionError(f"mutant {number}: {error!r}") from error


def test_reports_of_mutants(tmp_path: Path) -> None:
    out = tmp_path / "out.ipynb"
    for number in range(30):
        out.write_text(json.dumps(former()))
        found = read_former(out)
        assert found is not None
        out.write_text(json.dumps(mutant(former(), random.Random(number))))
        try:
            write_report(tmp_path / "report.html", found.run.__class__(out, out, "passed"), ())
        except KiwinbError:
            continue


@pytest.mark.parametrize(
    "text",
    [
        '{"cells": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"nbformat": ' + "9" * 5000 + "}",
        '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": {}}',
        '{"nbformat": 4, "nbformat_minor": 5, "metadata": [], "cells": []}',
        '{"nbformat": 4, "nbformat_minor": 5, "metadata": {"a": ' + '{"a":' * 900 + "1" + "}" * 902,
        '{"nbformat": 99, "nbformat_minor": 5, "metadata": {}, "cells": []}',
        '{"nbformat": 1, "cells": []}',
        "[]",
        "null",
        "",
        "\ufeff{}",
        "NaN",
    ],
)
def test_files_that_are_no_notebooks(text: str, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.ipynb"
    recipe.write_text(text)
    outcome(recipe, tmp_path / "out.ipynb")


@pytest.mark.timeout(20)
def test_a_notebook_that_is_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "recipe.ipynb")
    with pytest.raises(NotebookError, match="not a regular file"):
        run_notebook(tmp_path / "recipe.ipynb", output=tmp_path / "out.ipynb")


@pytest.mark.parametrize("text", ["a = " + "9" * 5000, "a = " + "[" * 5000 + "]" * 5000])
def test_settings_matrices_and_configurations_that_are_too_large(text: str, tmp_path: Path) -> None:
    file = tmp_path / "it"
    file.write_text(text)
    with pytest.raises(KiwinbError):
        read_matrix(file)
    with pytest.raises(KiwinbError):
        load_settings({}, file=file)
    file.write_text(text.replace(" =", ":"))
    with pytest.raises(KiwinbError):
        read_runtime_config(None, file)


@pytest.mark.parametrize(
    "source",
    [
        "a = 1\0",
        "a = " + "(" * 5000,
        "a = " + "-" * 50_000 + "1",
        "a = " + "[" * 150 + "]" * 150,
        "a = " + "1+" * 20_000 + "1",
        "a" + ".a" * 20_000 + " = 1",
        "a = " + "9" * 5000,
    ],
)
def test_parameters_that_are_no_plain_python(source: str, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.ipynb"
    cells = [{**NOTEBOOK["cells"][1], "source": source}]
    recipe.write_text(json.dumps({**NOTEBOOK, "cells": cells}))
    outcome(recipe, tmp_path / "out.ipynb")
