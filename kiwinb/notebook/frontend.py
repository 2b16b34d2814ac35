"""Find out whether this process runs in a notebook, and whether a person uses the notebook."""

from __future__ import annotations

import sys
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
    """Tell whether a person watches the notebook while it runs.

    Programs that run notebooks without a person (nbclient, nbconvert, papermill) state with each
    cell that nobody can be asked for input. Live views would be useless for them.
    """
    running = kernel()
    if running is None:
        return False
    request = running.get_parent()
    return bool(request.get("content", {}).get("allow_stdin", False))
