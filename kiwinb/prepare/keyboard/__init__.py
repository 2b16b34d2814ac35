"""Find the XKB layout of a console keymap.

Console keymaps and XKB have different names: the keymap ``uk`` is the layout ``gb``. The tables of
this directory hold what is known of both. Where a keymap is not in them, the tree's own table of
systemd, its keymap files and the names of XKB decide.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from kiwinb.errors import ImageError
from kiwinb.sandbox.paths import resolve_in
from kiwinb.sandbox.tree_files import read_text_in
from kiwinb.spelling import near_names

_MODEL_MAP = "/usr/share/systemd/kbd-model-map"
_XKB_RULES = "/usr/share/X11/xkb/rules/base.lst"
_KEYMAPS = ("/usr/share/keymaps", "/usr/share/kbd/keymaps", "/usr/lib/kbd/keymaps")
_SUFFIX = re.compile(r"(\.k?map)?(\.(gz|bz2|xz|zst))?$")
_ZAP = "terminate:ctrl_alt_bksp"
_TOGGLE = "grp:shifts_toggle,grp_led:scroll"

Layouts = Mapping[str, frozenset[str]]
"""The layouts of XKB, each with its variants."""


@dataclass(frozen=True)
class XkbLayout:
    """A keyboard in XKB's terms; see xkeyboard-config(7).

    Attributes:
        model: Model, such as ``pc105``.
        layout: Layout; two with a comma between them, if a key switches between them.
        variant: Variants of the layouts, as many; empty for none.
    """

    model: str
    layout: str
    variant: str

    @property
    def options(self) -> str:
        """Options, as systemd's table has them: how to switch between two layouts."""
        return f"{_ZAP},{_TOGGLE}" if "," in self.layout else _ZAP

    def is_in(self, layouts: Layouts) -> bool:
        """Tell whether XKB knows the layouts and their variants."""
        names = self.layout.split(",")
        variants = self.variant.split(",") if self.variant else [""] * len(names)
        return len(names) == len(variants) and all(
            name in layouts and (not variant or variant in layouts[name])
            for name, variant in zip(names, variants, strict=True)
        )


def plain_name(keymap: str) -> str:
    """Return the name of a keymap without the suffixes of its file, such as ``.map.gz``."""
    return _SUFFIX.sub("", keymap)


def known_keymaps() -> frozenset[str]:
    """Return the names of all keymaps in the table of kiwinb."""
    return frozenset(_own_keymaps())


def is_known(keymap: str) -> bool:
    """Tell whether the tables of kiwinb have a keymap, or XKB has a layout of that name.

    Args:
        keymap: Name of a keymap, without suffixes.
    """
    return any(item.is_in(_own_layouts()) for item in _candidates(keymap, _own_keymaps()))


def find_layout(root: Path, keymap: str) -> XkbLayout | None:
    """Find the XKB layout of a console keymap.

    Args:
        root: The root tree. If it has XKB, the layout is one that this XKB knows.
        keymap: Name of the keymap, without suffixes.

    Returns:
        The layout; ``None`` for a keymap of the tree whose layout is not known.

    Raises:
        ImageError: Nothing knows the keymap.
    """
    has_rules = resolve_in(root, _XKB_RULES).is_file()
    layouts = _read_rules(read_text_in(root, _XKB_RULES)) if has_rules else _own_layouts()
    of_tree = _read_model_map(read_text_in(root, _MODEL_MAP))
    for known in (_own_keymaps(), of_tree):
        for candidate in _candidates(keymap, known):
            if candidate.is_in(layouts):
                return candidate
    if any(find_files(resolve_in(root, name), keymap) for name in _KEYMAPS):
        return None
    raise ImageError(f"there is no keymap {keymap}", remedy=remedy(keymap, of_tree))


def find_files(directory: Path, keymap: str) -> tuple[Path, ...]:
    """Return the files below a directory that contain a keymap, sorted.

    Args:
        directory: A directory of keymaps; it need not exist.
        keymap: Name of the keymap, without suffixes.
    """
    found = (path for path in directory.rglob("*") if plain_name(path.name) == keymap)
    return tuple(sorted(path for path in found if path.name != keymap and path.is_file()))


def remedy(keymap: str, more: Mapping[str, object] = {}) -> str:
    """Return what to do about an unknown keymap: the keymaps that it may stand for.

    Args:
        keymap: Name of the keymap, without suffixes.
        more: Known keymaps, by name, in addition to those of kiwinb.
    """
    layouts = _own_layouts()
    variants = (f"{name}-{variant}" for name in layouts for variant in layouts[name])
    near = near_names(keymap, (*_own_keymaps(), *more, *layouts, *variants), count=3)
    start = f"Did you mean {', '.join(near)}? " if near else ""
    return (
        f"{start}Name a console keymap such as us, uk or de-latin1. "
        f"The file of your own keymap belongs below {_KEYMAPS[0]}."
    )


def _candidates(keymap: str, known: Mapping[str, Sequence[XkbLayout]]) -> Iterator[XkbLayout]:
    """Yield what a keymap may be, best first; keymaps that are made of XKB have names of XKB."""
    yield from known.get(keymap, ())
    layout, _, variant = keymap.partition("-")
    yield XkbLayout("pc105", layout, variant)


@cache
def _own_keymaps() -> Mapping[str, Sequence[XkbLayout]]:
    found: dict[str, list[XkbLayout]] = {}
    for said, names in _own_table("keymaps.txt"):
        model, layout, variant = said.split()
        item = XkbLayout(model, layout, "" if variant == "-" else variant)
        for name in names:
            found.setdefault(name, []).append(item)
    return found


@cache
def _own_layouts() -> Layouts:
    return {layout: frozenset(variants) for layout, variants in _own_table("layouts.txt")}


def _own_table(name: str) -> Iterator[tuple[str, list[str]]]:
    for line in files(__package__).joinpath(name).read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            said, _, names = line.partition(":")
            yield said, names.split()


def _read_model_map(text: str) -> Mapping[str, Sequence[XkbLayout]]:
    """Read systemd's table; source of the format: systemd-localed.service(8) and its comments."""
    found: dict[str, list[XkbLayout]] = {}
    for line in text.splitlines():
        fields = line.split()
        if len(fields) >= 4 and not line.startswith("#"):
            keymap, layout, model, variant = fields[:4]
            item = XkbLayout(model, layout, "" if variant == "-" else variant)
            found.setdefault(keymap, []).append(item)
    return found


def _read_rules(text: str) -> Layouts:
    """Read a list of XKB's rules: sections such as ``! variant``, with lines ``intl gb: English``.

    Source of the format: the files ``rules/*.lst`` of xkeyboard-config.
    """
    found: dict[str, set[str]] = {}
    section = ""
    for line in text.splitlines():
        fields = line.split()
        if line.startswith("!"):
            section = fields[1]
        elif section == "layout" and fields:
            found.setdefault(fields[0], set())
        elif section == "variant" and len(fields) > 1:
            found.setdefault(fields[1].rstrip(":"), set()).add(fields[0])
    return {layout: frozenset(variants) for layout, variants in found.items()}
