"""Write the summary of a matrix: JSON, JUnit XML, and a notebook (also as HTML) about its cells."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat

from kiwinb.headless.junit import write_junit
from kiwinb.headless.markdown import span
from kiwinb.headless.recipe import read_notebook
from kiwinb.headless.report import to_html
from kiwinb.headless.run import run_notebook
from kiwinb.matrix.cell import Outcome
from kiwinb.matrix.matrix import Matrix

log = logging.getLogger(__name__)

JSON = "summary.json"
NOTEBOOK = "summary.ipynb"
HTML = "summary.html"
JUNIT = "junit.xml"

_READ = """\
import json

import matplotlib.pyplot as plt
import pandas as pd

from kiwinb.inspect.table import Table
from kiwinb.sizes import binary

plt.rcParams["text.parse_math"] = False
with open("summary.json") as file:
    cells = json.load(file)["cells"]
frame = Table(cells).set_index("name")
parameters = Table([cell["parameters"] for cell in cells], index=frame.index)
parameters = parameters.drop(columns="target_dir", errors="ignore").fillna("")
table = frame[["state", "seconds", "size", "usage"]].round({"seconds": 1})
for column in ("size", "usage"):
    table[column] = table[column].map(binary, na_action="ignore").fillna("")
table["packages"] = frame["packages"].map(len)
pd.concat([table, parameters], axis=1)
"""
_PLOT = """\
measured = frame.dropna(subset=["size"])
figure, axes = plt.subplots(1, 2, sharey=True, figsize=(10, 1 + 0.4 * len(frame)))
axes[0].barh(measured.index, measured["usage"] / 2**20, color="#0072B2")
axes[0].set_xlabel("image, MiB on disk")
axes[1].barh(frame.index, frame["seconds"], color="#E69F00")
axes[1].set_xlabel("time, s")
axes[1].invert_yaxis()
figure.tight_layout()
plt.show()
"""
_PACKAGES = """\
versions = Table({cell["name"]: cell["packages"] for cell in cells if cell["packages"]})
differing = versions[versions.nunique(axis=1, dropna=False) > 1] if len(versions) else versions
print(f"{len(versions)} packages, {len(differing)} of them differ")
differing.fillna("—").sort_index()
"""
_FAILED = """\
from kiwinb.matrix.reports import Failures, Reports

Failures(cells)
"""
_REPORTS = """\
Reports(cells)
"""


def write_summary(directory: Path, matrix: Matrix, outcomes: Sequence[Outcome]) -> None:
    """Write the summary to the directory of a matrix; if only its HTML fails, warn.

    Args:
        directory: The directory.
        matrix: The matrix.
        outcomes: Outcomes of the cells.

    Raises:
        KiwinbError: The notebook cannot be executed.
    """
    data = {
        "format": 1,
        "matrix": str(matrix.file),
        "cells": [_record(outcome, directory) for outcome in outcomes],
    }
    (directory / JSON).write_text(json.dumps(data, indent=2, default=str) + "\n")
    write_junit(directory / JUNIT, [(outcome.name, outcome.run) for outcome in outcomes])
    draft = directory / f".{NOTEBOOK}"
    nbformat.write(_notebook(matrix), draft)
    try:
        run = run_notebook(draft, output=directory / NOTEBOOK)
    finally:
        draft.unlink()
    if error := run.error():
        raise error
    name = matrix.file.stem
    try:
        html = to_html(read_notebook(directory / NOTEBOOK), {"metadata": {"name": name}})
        (directory / HTML).write_text(html, encoding="utf-8")
    except Exception as error:  # nbconvert and its libraries raise all sorts
        log.warning("There is no %s of %s: %s", HTML, matrix.file, error)
        (directory / HTML).unlink(missing_ok=True)


def _record(outcome: Outcome, directory: Path) -> Mapping[str, Any]:
    run = outcome.run
    return {
        "name": outcome.name,
        "recipe": str(run.recipe),
        "parameters": dict(run.parameters),
        "state": run.state,
        "seconds": run.seconds,
        "resumed": run.resumed,
        "host": outcome.host,
        "image": outcome.image,
        "size": outcome.size,
        "usage": outcome.usage,
        "packages": dict(outcome.packages),
        "problem": "" if run.failure is None else run.failure.problem,
        "where": "" if run.failure is None else run.failed_at,
        "log": [] if run.failure is None else list(run.failure.log),
        "end": run.early_end,
        "directory": str(directory / outcome.name),
        "report": _relative(directory, outcome.report),
        "notebook": _relative(directory, outcome.notebook),
    }


def _relative(directory: Path, file: Path | None) -> str:
    """Return the path of a file, for links in the summary; empty if there is none."""
    return "" if file is None else os.path.relpath(file, directory)


def _notebook(matrix: Matrix) -> nbformat.NotebookNode:
    parts = (
        (
            f"# The matrix {span(matrix.file.name)}\n\nSizes, times and packages of its cells.",
            _READ,
        ),
        ("## Sizes and times", _PLOT),
        ("## Packages that differ", _PACKAGES),
        ("## What did not pass", _FAILED),
        ("## Reports", _REPORTS),
    )
    notebook: nbformat.NotebookNode = nbformat.v4.new_notebook(
        cells=[
            cell
            for text, code in parts
            for cell in (nbformat.v4.new_markdown_cell(text), nbformat.v4.new_code_cell(code))
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    return notebook
