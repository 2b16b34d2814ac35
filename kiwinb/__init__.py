"""kiwinb: design Linux appliances in a notebook, the KIWI NG way."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kiwinb import expect
    from kiwinb.build.appliance import Appliance
    from kiwinb.build.image import Image
    from kiwinb.build.root_tree import RootTree
    from kiwinb.inspect.diff import diff
    from kiwinb.inspect.formats import open_tree
    from kiwinb.notebook.browser import browse
    from kiwinb.notebook.explorer import explore

__version__ = "0.1.0"

__all__ = [
    "Appliance",
    "Image",
    "RootTree",
    "__version__",
    "browse",
    "diff",
    "expect",
    "explore",
    "open_tree",
]

_HOMES = {
    "Appliance": "kiwinb.build.appliance",
    "Image": "kiwinb.build.image",
    "RootTree": "kiwinb.build.root_tree",
    "browse": "kiwinb.notebook.browser",
    "diff": "kiwinb.inspect.diff",
    "explore": "kiwinb.notebook.explorer",
    "open_tree": "kiwinb.inspect.formats",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:  # imported on demand: workers and `kiwinb --version` need none of it
        return getattr(import_module(_HOMES[name]), name)
    if name == "expect":
        return import_module("kiwinb.expect")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load_ipython_extension(shell: Any) -> None:
    """Give an IPython shell the cell magic ``%%kiwi``: what ``%load_ext kiwinb`` calls."""
    from kiwinb.notebook.magic import register

    register(shell)
