"""Read recipes; other modules of this room bring what executes them."""

from __future__ import annotations

from pathlib import Path

import nbformat

from kiwinb.errors import NotebookError


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """Read a notebook.

    Raises:
        NotebookError: The file cannot be read, or is not a notebook.
    """
    try:
        notebook: nbformat.NotebookNode = nbformat.read(path, as_version=4)
        return notebook
    except OSError as error:
        raise NotebookError(
            f"{path}: {error.strerror}", remedy="Name a notebook that exists."
        ) from None
    except Exception as error:  # nbformat raises various exceptions for other files
        raise NotebookError(
            f"{path}: not a notebook: {error}", remedy="Name a Jupyter notebook (.ipynb)."
        ) from None
