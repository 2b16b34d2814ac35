"""Find out whether this process runs in a notebook, who looks at it, and in what program."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any


def kernel() -> Any | None:
    """Return the IPython kernel of this process; ``None`` if it has none."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None)


def in_notebook() -> bool:
    """Tell whether output is displayed in a notebook."""
    return kernel() is not None


def is_attended() -> bool:
    """Tell whether a person looks at the notebook while its kernel runs.

    Programs that run notebooks without a person (nbclient, nbconvert, papermill) state with each
    cell that nobody can be asked for input. Live views would be useless for them. Voila states the
    same, but keeps the kernel and shows the page to a person; it names itself in the environment.
    """
    if kernel() is None:
        return False
    return _is_voila() or bool(_request().get("content", {}).get("allow_stdin", False))


def saves_outputs_alone() -> bool:
    """Tell whether the notebook is saved without the models of its widgets.

    JupyterLab and Notebook save an output that has a widget view, but not its model. When they
    open the notebook without its kernel, they show an error in place of the view, and not the
    HTML that the output has as well. Only these two name the deleted cells in their requests.
    """
    return not _is_voila() and "deletedCells" in _request().get("metadata", {})


def _is_voila() -> bool:
    return os.environ.get("SERVER_SOFTWARE", "").startswith("voila/")


def _request() -> Mapping[str, Any]:
    """Return the message that asked for the cell that runs."""
    running = kernel()
    found: Mapping[str, Any] = {} if running is None else running.get_parent()
    return found
