"""Reduce the outputs of an executed notebook to what readers need, to keep them with its source.

What remains are static outputs that a code host shows: text, HTML, and pictures as PNG. It says
nothing of the host on which the notebook ran, and nothing of the time.
"""

from __future__ import annotations

import base64
import getpass
import io
import re
import socket
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from PIL import Image

from kiwinb.packages.mirrors import host_mirrors
from kiwinb.settings import load_settings

_PNG = "image/png"

FORMS = ("text/html", _PNG, "image/jpeg", "text/markdown", "text/latex", "text/plain")
"""MIME types of outputs that code hosts show."""

_STYLE = re.compile(r"<style\b.*?</style>", re.DOTALL)
_LOG = re.compile(r'<details data-step="[^"]*"[^>]*>.*?</details>', re.DOTALL)
_FIGURE = re.compile(
    r'(?:<figure>)?<img\b[^>]*?\bsrc="data:image/png;base64,([^"]+)"[^>]*>(?:</figure>)?'
)
_CELL = re.compile(r"<(t[dh])\b([^>]*)>")
_ALIGN = re.compile(r"text-align:\s*(\w+)")
_STYLER = re.compile(r' (?:id="T_\w+"|class="(?:data|col_heading|row_heading|blank)[^"]*")')
"""Names that pandas gives to parts of a table for its style sheet."""

_ADDRESS = re.compile(r"\bat 0x[0-9a-f]{6,}")
_TIME = re.compile(
    r"\b20\d\d-[01]\d-[0-3]\d[T ][0-2]\d:[0-5]\d(?::[0-5]\d(?:[.,]\d+)?)?"
    r"(?:Z\b| ?[+-]\d\d:?\d\d\b| UTC\b)?"
)
_NAME_LENGTH = 4
"""Length from which a name of a host or user is unlikely to be a word of an output."""


@dataclass(frozen=True)
class Replacement:
    """A text of this host that outputs must not contain.

    Attributes:
        pattern: What to replace.
        by: What stands for it.
    """

    pattern: re.Pattern[str]
    by: str


def replacements(notebooks: Path) -> tuple[Replacement, ...]:
    """Return what to replace in outputs on this host.

    Args:
        notebooks: Directory of the notebooks in a checkout; paths are shown relative to the latter.
    """
    checkout = notebooks.parent
    settings = load_settings()
    mirrors = {url: f"mirror:{alias}" for alias, urls in settings.mirrors.items() for url in urls}
    mirrors |= {item.url: f"mirror:{item.aliases[0]}" for item in host_mirrors()}
    paths = {
        f"{notebooks}/../": "",
        f"{checkout}/": "",
        str(checkout): ".",
        str(settings.store): "~/.cache/kiwinb/store",
        str(settings.cache): "~/.cache/kiwinb/downloads",
    }
    home, temporary = str(Path.home()), f"{tempfile.gettempdir()}/"
    found = [
        *(Replacement(re.compile(re.escape(url.rstrip("/"))), by) for url, by in mirrors.items()),
        *(Replacement(_pattern(path), by) for path, by in paths.items()),
        Replacement(re.compile(rf"{_pattern(temporary).pattern}[\w.-]+"), "/tmp/…"),
        Replacement(_ADDRESS, "at 0x…"),
        Replacement(_TIME, "…"),
    ]
    if home != "/root":  # which every image has, too
        found.append(Replacement(_pattern(home), "~"))
    for name, by in ((socket.gethostname(), "host"), (getpass.getuser(), "user")):
        if len(name) >= _NAME_LENGTH and name != "root":
            found.append(Replacement(re.compile(rf"\b{re.escape(name)}\b"), by))
    return tuple(found)


def _pattern(path: str) -> re.Pattern[str]:
    """A path, as text or as HTML that may break it after each slash."""
    return re.compile(re.escape(path).replace("/", "/(?:<wbr>)?"))


def clean_outputs(
    notebook: nbformat.NotebookNode, hidden: Iterable[Replacement]
) -> nbformat.NotebookNode:
    """Reduce the outputs of a notebook, in place.

    Args:
        notebook: An executed notebook.
        hidden: What to replace.

    Returns:
        The same notebook.
    """
    hidden = tuple(hidden)
    styles: set[str] = set()
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [
                output for before in cell.outputs for output in _cleaned(before, hidden, styles)
            ]
    return notebook


def _cleaned(
    output: nbformat.NotebookNode, hidden: tuple[Replacement, ...], styles: set[str]
) -> Iterator[nbformat.NotebookNode]:
    if output.output_type == "stream":
        if output.name == "stdout":
            yield nbformat.v4.new_output("stream", name="stdout", text=_hide(output.text, hidden))
    elif output.output_type == "error":
        lines = [_hide(line, hidden) for line in output.traceback]
        error = {"ename": output.ename, "evalue": _hide(output.evalue, hidden), "traceback": lines}
        yield nbformat.v4.new_output("error", **error)
    else:
        data = {form: output.data[form] for form in FORMS if form in output.data}
        number = output.get("execution_count")
        yield from _displayed(data, hidden, styles, number, output.output_type)


def _displayed(
    data: dict[str, Any],
    hidden: tuple[Replacement, ...],
    styles: set[str],
    number: int | None,
    kind: str,
) -> Iterator[nbformat.NotebookNode]:
    """Yield what is displayed: first the pictures in its HTML, which code hosts leave out there."""
    for form, text in data.items():
        if form.startswith("text/"):
            data[form] = _hide(text, hidden)
    if png := data.get(_PNG):
        data[_PNG] = _smaller(png)
    if html := data.get("text/html"):
        says = data.get("text/plain", "")
        for png in _FIGURE.findall(html):
            yield _output("display_data", {_PNG: _smaller(png), "text/plain": says}, None)
        data["text/html"] = _reduced(_FIGURE.sub("", html), styles)
    if data:
        yield _output(kind, data, number)


def _output(kind: str, data: Mapping[str, Any], number: int | None) -> nbformat.NotebookNode:
    counted = {"execution_count": number} if kind == "execute_result" else {}
    output: nbformat.NotebookNode = nbformat.v4.new_output(kind, data=dict(data), **counted)
    return output


def _reduced(html: str, styles: set[str]) -> str:
    """Leave out logs of steps, and style sheets that only pandas needs or the page has already.

    Some code hosts drop style sheets and even attributes with styles. So the cells of tables get
    both attributes that say how to align them.
    """

    def once(found: re.Match[str]) -> str:
        if "#T_" in found[0] or found[0] in styles:
            return ""
        styles.add(found[0])
        return found[0]

    def aligned(found: re.Match[str]) -> str:
        side = _ALIGN.search(found[2])
        others = found[2].rstrip() if side else f'{found[2].rstrip()} style="text-align:left"'
        return f'<{found[1]} align="{side[1] if side else "left"}"{others}>'

    html = _STYLE.sub(once, _LOG.sub("", html))
    return _CELL.sub(aligned, _STYLER.sub("", html))


def _smaller(png: str) -> str:
    """Reduce a picture, in Base64, to 256 colours; plots have only shades of a few."""
    file, reduced = io.BytesIO(base64.b64decode(png)), io.BytesIO()
    with Image.open(file) as picture:
        if picture.mode in ("RGBA", "RGB") and picture.getextrema()[3:] in ((), ((255, 255),)):
            plain = picture.convert("RGB")
            few = plain.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
            few.save(reduced, "PNG", optimize=True)
    if not 0 < len(reduced.getvalue()) < len(file.getvalue()):
        reduced = file
    return base64.b64encode(reduced.getvalue()).decode() + "\n"


def _hide(text: str, hidden: tuple[Replacement, ...]) -> str:
    for item in hidden:
        text = item.pattern.sub(item.by, text)
    return text
