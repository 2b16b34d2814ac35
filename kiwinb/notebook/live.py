"""Live views: what a notebook shows is a static form, and a live view takes its place.

The output that a notebook keeps is plain HTML and text with the facts, so it shows everywhere:
in GitHub, in exports, after the kernel is gone. When somebody looks at the notebook while the
kernel runs, a model without a view of its own goes to the front end besides. Its JavaScript
finds the HTML by a class of its own, and replaces it by something that can be clicked.
"""

from __future__ import annotations

import logging
import secrets
import weakref
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import anywidget
import traitlets

from kiwinb.errors import KiwinbError

log = logging.getLogger(__name__)

Handler = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Answers a request of the front end; both are JSON objects."""


class Live(anywidget.AnyWidget):
    """The model of a live view.

    Args:
        view: Name of the JavaScript file that has its ``mount`` function.
        target: Class of the elements that it takes over.
        state: What the view shows first.
        handler: Answers its requests.
    """

    target = traitlets.Unicode().tag(sync=True)
    state = traitlets.Dict().tag(sync=True)
    _esm = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        view: str,
        target: str,
        state: Mapping[str, Any],
        handler: Handler | None = None,
    ) -> None:
        self._handler = handler
        super().__init__(_esm=_module(view), target=target, state=dict(state))
        self.on_msg(_answer)


def attach(owner: object, live: Live) -> None:
    """Close a live view when the object that it shows is let go of."""
    weakref.finalize(owner, live.close)


def new_target() -> str:
    """A class for the HTML of one output."""
    return f"kiwinb-{secrets.token_hex(6)}"


def _answer(live: Live, request: Mapping[str, Any], _buffers: object) -> None:
    handler = live._handler
    if handler is None:
        return
    try:
        answer: Mapping[str, Any] = handler(request)
    except KiwinbError as error:
        answer = {"error": str(error)}
    except Exception as error:  # the view says so, and goes on with the next click
        log.exception("a request of a live view failed")
        answer = {"error": f"{type(error).__name__}: {error}"}
    live.send({**answer, "id": request.get("id")})


@cache
def _module(view: str) -> str:
    folder = files("kiwinb.notebook") / "js"
    return "\n".join((folder / f"{name}.js").read_text("utf-8") for name in ("mount", view))
