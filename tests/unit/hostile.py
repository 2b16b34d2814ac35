"""Names and texts that attack whoever looks at them, and how to tell whether they succeed."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from inspect_trees import Deb

TEXTS = {
    "markup": '<img src=x onerror="window.pwned=1">',
    "script": "</script><script>window.pwned=2</script>",
    "attribute": "\"onmouseover='window.pwned=3'x=\"",
    "math": r"$\href{javascript:window.pwned=4}{x}$",
    "more math": r"\(\href{javascript:window.pwned=5}{x}\)",
    "no math": r"$\frac{$",
    "markdown": "[x](javascript:window.pwned=6)````",
    "console markup": "[red][link=http://foreign.example]x[/link]:smile:",
    "clear": "\x1b[2J\x1b[1;31m",
    "link": "\x1b]8;;http://foreign.example\x07x\x1b]8;;\x07",
    "clipboard": "\x1b]52;c;cHduZWQ=\x07",
    "device": "\x1bP1$qm\x1b\\",
    "C1": "\x9b31m\x85\x9d",
    "C0": "\x08\x0b\x0c\r\t\x7f\x1c",
    "bidi": "\u202ecod.exe\u202c\u2066\u2069\u200e\u200f\u061c",
    "shapeless": "a\u200b\u200d\ufeff\u00ad\u3164\ufe0f\U000e0041",
    "lines": "a\u2028b\u2029c\nkiwinb: all is well",
    "bytes": "\udcff\udc9b\udc80",
    "formula": "=HYPERLINK(1)",
    "another formula": "@SUM(1)",
    "no glyph": "\u6f22\U0001f600",
}
"""Texts, by the sort of attack; ``surrogateescape`` makes bytes of them."""

MARK = "hostile-"
"""What each name begins with or ends in, by which a test knows that a view shows it."""

_SHAPELESS = {"\u3164", "\ufe0f"}
_TAGS = {
    *("style", "div", "span", "h4", "p", "table", "thead", "tbody", "tr", "th", "td", "wbr", "b"),
    *("code", "pre", "figure", "img", "details", "summary", "a"),
}
_ATTRIBUTES = {"type", "class", "style", "id", "alt", "src", "role", "open", "border", "scoped"}


def unseen(text: str, layout: str = "\n\t") -> list[str]:
    """The characters of a text that a terminal or a reader would obey, apart from its layout."""
    return [
        one
        for one in text
        if one not in layout
        if one in _SHAPELESS
        or unicodedata.category(one) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    ]


class _Page(HTMLParser):
    """What is wrong in a page."""

    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []
        self._open: list[tuple[str, bool]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.problems += [f"element {tag}"] * (tag not in _TAGS)
        for name, value in attrs:
            if name == "href" and ":" not in (value or ""):
                continue  # a path, which cannot be a script
            if name not in _ATTRIBUTES and not name.startswith("data-"):
                self.problems.append(f"attribute {name}")
            if name == "src" and not (value or "").startswith("data:image/png;base64,"):
                self.problems.append(f"source {value}")
            self.problems += [f"{name} has {one!r}" for one in unseen(value or "")]
        if tag not in ("img", "wbr"):
            is_text = "mathjax_ignore" in (dict(attrs).get("class") or "").split()
            inside = bool(self._open) and self._open[-1][1]
            self._open.append((tag, inside or is_text))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        self.problems += [f"text has {one!r}" for one in unseen(data)]
        is_safe = bool(self._open) and self._open[-1][1]
        if "\\href" in data and not is_safe:
            self.problems.append("mathematics")


def problems_of_html(html: str) -> list[str]:
    """What in a piece of HTML is there because a name or a text put it there."""
    page = _Page()
    page.feed(html)
    page.close()
    return page.problems


def files(version: str = "1.0") -> Iterator[tuple[bytes, bytes]]:
    """Paths and contents of a tree with hostile names, owners and packages."""
    debs = []
    for number, (sort, text) in enumerate(TEXTS.items()):
        path = f"/srv/{number}/{text}{MARK}{sort}"
        yield os.fsencode(path), f"{text}\n".encode("utf-8", "surrogateescape") * (number + 50)
        field = "".join(one for one in text if one not in "\n\r\x0b\x0c\x1c\x85\u2028\u2029")
        fields = f"Section: {field}\nDepends: {MARK}0\nMaintainer: {field}\nDescription: {field}\n"
        name = f"{MARK}{number}{field.replace(' ', '')}"
        arch = field.replace(" ", "")
        debs.append(
            Deb(
                name,
                f"{version}{arch}",
                fields,
                [path] if "\n" not in path else [],
                9000 * int(version[0]),
            )
        )
    debs.append(Deb(f"{MARK}0", version))
    yield from _database(*debs)
    owner = TEXTS["clear"] + TEXTS["markup"] + TEXTS["math"]
    yield b"/etc/passwd", f"{MARK}{owner}:x:1234:0::/:\nroot:x:0:0::/:\n".encode()
    release = f'ID=debian\nPRETTY_NAME="{owner}"\n'
    yield b"/etc/os-release", release.encode()


def _database(*debs: Deb) -> Iterator[tuple[bytes, bytes]]:
    status = "\n".join(deb.paragraph() for deb in debs)
    yield b"/var/lib/dpkg/status", status.encode("utf-8", "surrogateescape")
    for deb in debs:
        text = "/.\n" + "".join(f"{path}\n" for path in deb.files)
        name = f"/var/lib/dpkg/info/{deb.name}.list".encode("utf-8", "surrogateescape")
        if b"/" not in name[len(b"/var/lib/dpkg/info/") :]:
            yield name, text.encode("utf-8", "surrogateescape")


def write_hostile_tree(place: Path, version: str = "1.0") -> Path:
    """Write a tree whose names and texts attack whoever looks at it."""
    root = os.fsencode(place)
    for path, content in files(version):
        file = root + path
        os.makedirs(os.path.dirname(file), exist_ok=True)  # noqa: PTH103, PTH120
        with open(file, "wb") as out:  # noqa: PTH123
            out.write(content)
    for number, text in enumerate(TEXTS.values()):
        link = root + f"/srv/{number}/{MARK}link".encode()
        os.symlink(os.fsencode(text), link)  # noqa: PTH211
    if os.geteuid() == 0:
        os.chown(root + b"/srv/0", 1234, 0)
    return place
