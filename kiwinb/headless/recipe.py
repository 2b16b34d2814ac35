"""Read recipes; other modules of this room bring what executes them."""

from __future__ import annotations

import errno
import warnings
from pathlib import Path

import nbformat

from kiwinb.errors import NotebookError

_LONGEST = 300
"""Characters of an error of nbformat in a message."""


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """Read a notebook.

    Raises:
        NotebookError: The file cannot be read, or is not a notebook.
    """
    try:
        return valid_notebook(path)
    except OSError as error:
        raise NotebookError(
            f"{path}: {error.strerror}", remedy="Name a notebook that exists."
        ) from None
    except Exception as error:  # nbformat raises various exceptions for other files
        said = str(error).strip().partition("\n")[0] or type(error).__name__
        raise NotebookError(
            f"{path}: not a notebook: {said[:_LONGEST]}",
            remedy="Name a Jupyter notebook (.ipynb).",
        ) from None


def valid_notebook(path: Path) -> nbformat.NotebookNode:
    """Read a notebook, and check all of it against the format.

    nbformat reads notebooks that violate the format, too, and only logs that they do.

    Raises:
        Exception: nbformat raises various exceptions.
    """
    if not path.is_file() and path.exists():
        raise OSError(errno.EINVAL, "it is not a regular file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # missing and duplicate ids of cells, which it mends
        notebook: nbformat.NotebookNode = nbformat.read(path, as_version=4)
        nbformat.validate(notebook, relax_add_props=True)
        nbformat.writes(notebook).encode()  # lone surrogates cannot be written
    return notebook
