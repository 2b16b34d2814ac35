"""The HTML of static forms: tables that are readable with and without their style sheet."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape as _without_markup

from kiwinb.visible import visible

__all__ = [
    "Markup",
    "bar",
    "block",
    "clip",
    "code",
    "escape",
    "facts",
    "more",
    "picture",
    "table",
]


NO_MATH = "mathjax_ignore tex2jax_ignore"
"""Classes of an element in which MathJax leaves ``$…$`` alone."""


def escape(text: str, *, lines: bool = False) -> str:
    """The HTML of a text: neither markup nor invisible characters count.

    Args:
        text: The text.
        lines: Whether line ends and tabs stay; see :func:`kiwinb.visible.visible`.
    """
    return _without_markup(visible(text, lines=lines))


@cache
def style() -> str:
    """The style sheet of all outputs; each output brings it along."""
    from importlib.resources import files  # builds make no HTML

    text = (files("kiwinb") / "style.css").read_text("utf-8")
    return f"<style>{text}</style>"


def block(body: str, target: str = "") -> str:
    """An output: its style sheet and a block that holds it.

    Args:
        body: The HTML in it.
        target: A class of its own, by which a live view finds it.
    """
    shown = visible(body, lines=True)
    return f'{style()}<div class="kiwinb {target} {NO_MATH}">{shown}</div>'


def table(
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    numbers: Iterable[int] = (),
    less: Iterable[int] = (),
) -> str:
    """A table of texts.

    Args:
        heads: Headings of the columns.
        rows: Cells as plain text; :class:`Markup` is HTML already.
        numbers: Columns that are aligned to the right.
        less: Columns that narrow windows leave out.
    """
    right, extra = set(numbers), set(less)

    def line(tag: str, cells: Sequence[str]) -> str:
        made = (
            f"<{tag}{_class(text, column in extra)}{_RIGHT if column in right else _LEFT}>"
            f"{cell(text)}</{tag}>"
            for column, text in enumerate(cells)
        )
        return f"<tr>{''.join(made)}</tr>"

    head = f"<thead>{line('th', heads)}</thead>" if heads else ""
    return f"<table>{head}<tbody>{''.join(line('td', row) for row in rows)}</tbody></table>"


_RIGHT = ' style="text-align:right"'
_LEFT = ' style="text-align:left"'


class Markup(str):
    """Text that is HTML already."""


def cell(text: str) -> str:
    """The HTML of a cell; long paths break after a slash."""
    if isinstance(text, Markup):
        return text
    return escape(text).replace("/", "/<wbr>") if _has_long_word(text) else escape(text)


def _has_long_word(text: str) -> bool:
    plain = re.sub("<[^>]*>", " ", text) if isinstance(text, Markup) else text
    return any(len(word) > _WORD for word in plain.split())


def _class(text: str, less: bool = False) -> str:
    """The classes of a cell; the style sheet breaks long words, and leaves out what says less."""
    names = ["long"] * _has_long_word(text) + ["less"] * less
    return f' class="{" ".join(names)}"' if names else ""


_WORD = 18


def code(text: str) -> Markup:
    """A name or key in letters of equal width."""
    return Markup(f"<code>{escape(text)}</code>")


def facts(title: str, pairs: Iterable[tuple[str, str]]) -> str:
    """A heading, and a table of what is what."""
    rows = "".join(
        f'<tr><th style="text-align:left">{escape(name)}</th>'
        f'<td{_class(value)} style="text-align:left">{cell(value)}</td></tr>'
        for name, value in pairs
    )
    return f"<h4>{escape(title)}</h4><table><tbody>{rows}</tbody></table>"


def bar(share: float) -> Markup:
    """A bar as long as the share, 0.0 to 1.0, with the share in words."""
    percent = max(0.0, min(1.0, share)) * 100
    return Markup(
        f'<span class="bar"><span style="width:{percent:.1f}%"></span></span> {percent:.1f} %'
    )


def clip(text: str, width: int = 160) -> str:
    """A text that is not longer than that."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def more(left_out: int, what: str) -> str:
    """A line on what a table leaves out; nothing when it has all."""
    return f'<div class="dim">and {left_out:,} more {escape(what)}</div>' if left_out > 0 else ""


def picture(png: bytes, says: str) -> str:
    """A picture, kept in the HTML itself.

    Args:
        png: The picture.
        says: The same in words.
    """
    from base64 import b64encode

    data = b64encode(png).decode("ascii")
    return f'<figure><img alt="{escape(says)}" src="data:image/png;base64,{data}"></figure>'
