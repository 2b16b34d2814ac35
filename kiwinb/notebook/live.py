"""Live views, which replace static output of notebooks.

The output that a notebook saves is plain HTML and text with the facts, so it can be seen
everywhere: on GitHub, in exports, and after the kernel has ended. If a person watches the notebook
while the kernel runs, kiwinb also sends a widget model without a view to the front end. Its
JavaScript finds the HTML by a unique class, and replaces it by an interactive view.
"""

from __future__ import annotations

import json
import logging
import secrets
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, ClassVar

import anywidget
import traitlets

from kiwinb.errors import KiwinbError
from kiwinb.html import block, printable
from kiwinb.notebook.frontend import is_attended

log = logging.getLogger(__name__)

Request = Mapping[str, Any]
"""A request of the front end, or an answer to it: a JSON object."""


class Live(anywidget.AnyWidget):
    """The model of a live view.

    Args:
        view: Name of the JavaScript file of the view, which has a ``mount`` function.
        target: Class of the HTML elements that it replaces.
        state: Initial state of the view.
        handler: Function that answers requests of the view.
    """

    target = traitlets.Unicode().tag(sync=True)
    state = traitlets.Dict().tag(sync=True)
    _esm = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        view: str,
        target: str,
        state: Request,
        handler: Callable[[Request], Request] | None = None,
    ) -> None:
        self._handler = handler
        super().__init__(_esm=_module(view), target=target, state=dict(state))
        self.on_msg(_answer)


class Shown(ABC):
    """An object that a notebook shows in a static form and in a live view."""

    view: ClassVar[str]
    """Name of the JavaScript file with the live view."""

    _live: Live | None = None
    _target: str = ""

    @abstractmethod
    def static(self) -> tuple[str, str]:
        """Return the static form, as HTML and as plain text."""

    @abstractmethod
    def state(self) -> Request:
        """Return the initial state of the live view."""

    @abstractmethod
    def answer(self, request: Request) -> Request:
        """Answer a request of the live view.

        Raises:
            KiwinbError: The request cannot be answered; the view shows the error.
        """

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Return the output for IPython; see :mod:`kiwinb.notebook.live`."""
        html, text = self.static()
        if is_attended() and self._live is None:
            self._target = new_target()
            self._live = Live(self.view, self._target, self.state(), _weak(self))
            weakref.finalize(self, self._live.close)
        return {"text/html": printable(block(html, self._target)), "text/plain": printable(text)}


def new_target() -> str:
    """Return a unique class for the HTML of an output."""
    return f"kiwinb-{secrets.token_hex(6)}"


def _weak(shown: Shown) -> Callable[[Request], Request]:
    """Return a function that answers for an object without keeping the object in memory."""
    known = weakref.ref(shown)

    def answer(request: Request) -> Request:
        found = known()
        return (
            {"error": "This is gone; run the cell again."}
            if found is None
            else (found.answer(request))
        )

    return answer


def _answer(live: Live, request: Request, _buffers: object) -> None:
    if live._handler is None:
        return
    try:
        answer = live._handler(request)
    except KiwinbError as error:
        answer = {"error": str(error)}
    except Exception as error:  # the view shows it, and keeps working
        log.exception("a request of a live view failed")
        answer = {"error": f"{type(error).__name__}: {error}"}
    live.send({**answer, "id": request.get("id")})


@cache
def _module(view: str) -> str:
    folder = files("kiwinb.notebook") / "js"
    style = json.dumps((folder / "live.css").read_text("utf-8"))
    scripts = [(folder / f"{name}.js").read_text("utf-8") for name in ("mount", view)]
    return "\n".join([f"const STYLE = {style};", *scripts])
