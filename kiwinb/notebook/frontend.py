"""Who is in front of this process: a notebook, and somebody who can press buttons in it."""

from __future__ import annotations

import sys
from typing import Any


def kernel() -> Any | None:
    """The IPython kernel that this process is; ``None`` when it is none."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None)


def in_notebook() -> bool:
    """Whether what is displayed goes to a notebook."""
    return kernel() is not None


def is_attended() -> bool:
    """Whether somebody looks at the notebook while it runs.

    Whoever runs a notebook headless (nbclient, nbconvert, papermill) says with each cell that
    there is nobody to be asked; live views are of no use to them, and would only be in the way
    of the static form.
    """
    running = kernel()
    if running is None:
        return False
    request = running.get_parent()
    return bool(request.get("content", {}).get("allow_stdin", False))
