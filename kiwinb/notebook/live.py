"""Live views: what a notebook shows is a static form, and a live view takes its place.

The output that a notebook keeps is plain HTML and text with the facts, so it shows everywhere:
in GitHub, in exports, after the kernel is gone. When somebody looks at the notebook while the
kernel runs, a model without a view of its own goes to the front end besides. Its JavaScript
finds the HTML by a class of its own, and replaces it by something that can be clicked.
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
"""What the front end asks, or is answered: a JSON object."""


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
        state: Request,
        handler: Callable[[Request], Request] | None = None,
    ) -> None:
        self._handler = handler
        super().__init__(_esm=_module(view), target=target, state=dict(state))
        self.on_msg(_answer)


class Shown(ABC):
    """Something that a notebook shows: static facts, and a live view over them."""

    view: ClassVar[str]
    """Name of the JavaScript file with the live view."""

    _live: Live | None = None
    _target: str = ""

    @abstractmethod
    def static(self) -> tuple[str, str]:
        """The facts as HTML and as plain text."""

    @abstractmethod
    def state(self) -> Request:
        """What the live view shows first."""

    @abstractmethod
    def answer(self, request: Request) -> Request:
        """Answer a request of the live view.

        Raises:
            KiwinbError: It cannot be answered; the view says why.
        """

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """What IPython shows; see :mod:`kiwinb.notebook.live`."""
        html, text = self.static()
        if is_attended() and self._live is None:
            self._target = new_target()
            self._live = Live(self.view, self._target, self.state(), _weak(self))
            weakref.finalize(self, self._live.close)
        return {"text/html": printable(block(html, self._target)), "text/plain": printable(text)}


def new_target() -> str:
    """A class for the HTML of one output."""
    return f"kiwinb-{secrets.token_hex(6)}"


def _weak(shown: Shown) -> Callable[[Request], Request]:
    """Its answers, without keeping it in memory."""
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
    except Exception as error:  # the view says so, and goes on with the next click
        log.exception("a request of a live view failed")
        answer = {"error": f"{type(error).__name__}: {error}"}
    live.send({**answer, "id": request.get("id")})


@cache
def _module(view: str) -> str:
    folder = files("kiwinb.notebook") / "js"
    style = json.dumps((folder / "live.css").read_text("utf-8"))
    scripts = [(folder / f"{name}.js").read_text("utf-8") for name in ("mount", view)]
    return "\n".join([f"const STYLE = {style};", *scripts])
