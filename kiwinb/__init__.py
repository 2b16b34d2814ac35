"""kiwinb: design Linux appliances in a notebook, the KIWI NG way."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kiwinb.version import __version__

if TYPE_CHECKING:
    from kiwinb import expect
    from kiwinb.build.appliance import Appliance
    from kiwinb.build.image import Image
    from kiwinb.build.root_tree import RootTree, open_root
    from kiwinb.description.override import Overrides
    from kiwinb.inspect.formats import open_tree
    from kiwinb.notebook.browser import browse
    from kiwinb.notebook.explorer import explore
    from kiwinb.notebook.package_diff import diff

__all__ = [
    "Appliance",
    "Image",
    "Overrides",
    "RootTree",
    "__version__",
    "browse",
    "diff",
    "expect",
    "explore",
    "open_root",
    "open_tree",
]

_HOMES = {
    "Appliance": "kiwinb.build.appliance",
    "Image": "kiwinb.build.image",
    "Overrides": "kiwinb.description.override",
    "RootTree": "kiwinb.build.root_tree",
    "browse": "kiwinb.notebook.browser",
    "diff": "kiwinb.notebook.package_diff",
    "explore": "kiwinb.notebook.explorer",
    "open_root": "kiwinb.build.root_tree",
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
