"""Write the report of a run: the executed notebook as an HTML file that needs no network.

nbconvert renders the cells. Its own templates load RequireJS, MathJax and Mermaid from the
Internet. kiwinb's template leaves them out, and shows the static form of each output.
"""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter

from kiwinb.errors import NotebookError
from kiwinb.files import replace_file
from kiwinb.headless.recipe import valid_notebook
from kiwinb.headless.result import NotebookRun
from kiwinb.html import escape
from kiwinb.results.artefacts import Collected
from kiwinb.sizes import binary
from kiwinb.visible import visible

_WIDGETS = "application/vnd.jupyter.widget-view+json"
_STYLE = re.compile(r"<style\b.*?</style>", re.DOTALL)
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")
_FORMS = [
    "text/html",
    "image/svg+xml",
    "image/png",
    "image/jpeg",
    "text/markdown",
    "text/latex",
    "text/plain",
]


def write_report(file: Path, run: NotebookRun, artefacts: Sequence[Collected]) -> None:
    """Write the report of a run, with a summary at the top.

    Args:
        file: The file to write; an existing one is replaced.
        run: The run; its output notebook is read.
        artefacts: Collected artefacts to list; if empty, those that the cells recorded are listed.

    Raises:
        NotebookError: A cell displays something that cannot be shown.
    """
    shown = [
        (item.name, item.kind, item.cell, binary(item.size), item.sha256) for item in artefacts
    ] or [(str(item.path), item.kind, item.cell, _size(item.path), "") for item in run.artefacts]
    resources = {
        "metadata": {"name": run.recipe.stem, "path": str(run.recipe.resolve().parent)},
        "kiwinb": {"run": run, "artefacts": shown, "failed": _failed_cells(run)},
    }
    try:
        html = to_html(valid_notebook(run.output), resources)
    except Exception as error:  # nbformat and nbconvert raise various exceptions
        said = str(error).strip().partition("\n")[0] or type(error).__name__
        raise NotebookError(
            f"the report {file} cannot be made: {said[:300]}",
            remedy=f"Correct what the cells display; {run.output} has all of it.",
        ) from error
    _write(file, html)


def to_html(notebook: nbformat.NotebookNode, resources: dict[str, object]) -> str:
    """Convert a notebook to self-contained HTML.

    Args:
        notebook: The notebook, which is not changed.
        resources: Data for the template; ``kiwinb`` may hold a run for the summary at the top.
    """
    quiet = logging.getLogger("kiwinb.report")
    quiet.setLevel(logging.ERROR)  # nbconvert warns about missing alternative texts
    exporter = HTMLExporter(
        template_name="lab",
        embed_images=True,
        exclude_anchor_links=True,
        theme="light",
        log=quiet,
        filters={"shown": escape},
    )
    exporter.raw_template = files("kiwinb.headless").joinpath("report.html.j2").read_text()
    html, _resources = exporter.from_notebook_node(_static(notebook), resources)
    return _STYLE.sub(lambda style: _COMMENT.sub("", style[0]), html)


def _static(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Copy a notebook, keeping only outputs that need neither a kernel nor external scripts."""
    static = copy.deepcopy(notebook)
    static.metadata.pop("widgets", None)
    for cell in static.cells:
        for out in cell.get("outputs", []):
            data = out.get("data", {})
            for form in [form for form in data if form not in _FORMS and len(data) > 1]:
                del data[form]
            data.pop(_WIDGETS, None)
            if "text/plain" in data:
                data["text/plain"] = _coloured(data["text/plain"])
            if "text" in out:
                out["text"] = _coloured(out["text"])
            if "traceback" in out:
                out["traceback"] = [_coloured(line) for line in out["traceback"]]
    return static


def _coloured(text: str) -> str:
    """Escape a printed text, except for its colours, which nbconvert turns into HTML."""
    parts = _COLOUR.split(text)
    parts[::2] = (visible(part, lines=True) for part in parts[::2])
    return "".join(parts)


def _failed_cells(run: NotebookRun) -> list[int]:
    return [cell.number for cell in run.cells if cell.state == "failed"]


def _size(path: Path) -> str:
    return binary(path.stat().st_size) if path.exists() else "no longer there"


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_file(file, text)
