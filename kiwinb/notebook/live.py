"""Live views, which take the place of static output while a person works with a notebook.

Each output has a static form, HTML and text with the facts, which can be seen everywhere: on
GitHub, in exports, and after the kernel has ended. If a person looks at the notebook while the
kernel runs, the output is also the view of a widget, whose JavaScript is in ``js/``. Front ends
show the view if they can, and the static form otherwise.

JupyterLab and Notebook would save such an output so that it shows an error on the next day (see
:func:`~kiwinb.notebook.frontend.saves_outputs_alone`). For them, the output is the static form
alone, and the JavaScript lays the view over it.
"""

from __future__ import annotations

import json
import logging
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, ClassVar

import anywidget
import traitlets

from kiwinb.errors import KiwinbError
from kiwinb.html import block
from kiwinb.notebook.frontend import is_attended, saves_outputs_alone
from kiwinb.visible import visible

log = logging.getLogger(__name__)

Request = Mapping[str, Any]
"""A request of the front end, or an answer to it: a JSON object."""

Bundle = tuple[dict[str, Any], dict[str, Any]]
"""An output for IPython: data and metadata by MIME type."""


class Live(anywidget.AnyWidget):
    """The model of a live view.

    Args:
        view: Name of the JavaScript file of the view, which has a ``mount`` function.
        state: Initial state of the view.
        handler: Function that answers requests of the view.
    """

    over = traitlets.Unicode().tag(sync=True)
    """Class of the static forms that the view is laid over; empty if front ends show the view."""

    state = traitlets.Dict().tag(sync=True)
    _esm = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        view: str,
        state: Request,
        handler: Callable[[Request], Request] | None = None,
    ) -> None:
        self._handler = handler
        over = f"kiwinb-{secrets.token_hex(6)}" if saves_outputs_alone() else ""
        super().__init__(_esm=_module(view), over=over, state=dict(state))
        self.on_msg(_answer)


class Shown(ABC):
    """An object that a notebook shows in a static form and in a live view."""

    view: ClassVar[str]
    """Name of the JavaScript file with the live view."""

    _live: Live | None = None

    @abstractmethod
    def static(self) -> tuple[str, str]:
        """Return the static form, as HTML and as plain text."""

    @abstractmethod
    def state(self) -> Request:
        """Return the initial state of the live view, with all that it shows at first."""

    @abstractmethod
    def answer(self, request: Request) -> Request:
        """Answer a request of the live view.

        Raises:
            KiwinbError: The request cannot be answered; the view shows the error.
        """

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Bundle:
        """Return the output for IPython; see :mod:`kiwinb.notebook.live`."""
        html, text = self.static()
        if is_attended() and self._live is None:
            self._live = Live(self.view, self.state(), self.answer)
        return bundle(html, text, self._live)


def bundle(html: str, text: str, live: Live | None = None) -> Bundle:
    """Make an output.

    Args:
        html: The static form as HTML.
        text: The static form as plain text.
        live: The model of its live view.
    """
    over = "" if live is None else live.over
    static = {"text/html": block(html, over), "text/plain": visible(text, lines=True)}
    if live is None or live.over:
        return static, {}
    data, metadata = live._repr_mimebundle_() or ({}, {})
    return {**data, **static}, metadata


def _answer(live: Live, request: Request, _buffers: object) -> None:
    if live._handler is None:
        return
    try:
        answer = {} if request.get("op") == "ping" else live._handler(request)
    except KiwinbError as error:
        answer = {"error": str(error)}
    except Exception as error:  # the view shows it, and keeps working
        log.exception("a request of a live view failed")
        answer = {"error": visible(f"{type(error).__name__}: {error}", lines=True)}
    live.send({**answer, "id": request.get("id")})


@cache
def _module(view: str) -> str:
    package, folder = files("kiwinb"), files("kiwinb.notebook") / "js"
    sheets = (package / "style.css", folder / "live.css")
    style = json.dumps("".join(sheet.read_text("utf-8") for sheet in sheets))
    scripts = [(folder / f"{name}.js").read_text("utf-8") for name in ("mount", view)]
    return "\n".join([f"const STYLE = {style};", *scripts])
