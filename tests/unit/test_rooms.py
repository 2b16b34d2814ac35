"""The order of the rooms: a module imports from its own room and from those before it, only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import kiwinb

ROOMS = (
    (
        *(
            "clock",
            "durations",
            "errors",
            "files",
            "html",
            "libc",
            "limits",
            "paths",
            "runtime_config",
        ),
        *("settings", "shapes", "sizes", "spelling", "tar_entries", "typed_json", "version"),
        *("visible",),
    ),
    ("steps",),
    ("sandbox",),
    ("checkpoints",),
    ("description",),
    ("distributions",),
    ("packages",),
    ("prepare",),
    ("storage",),
    ("initrd",),
    ("bootloader",),
    ("images",),
    ("results",),
    ("inspect",),
    ("notebook",),
    ("vm",),
    ("expect",),
    ("checks",),
    ("build",),
    ("headless",),
    ("matrix",),
    ("cli",),
    ("", "__main__"),  # the package itself: names for users, imported on demand
)
"""From the ground up. This is the one place where the order is written down."""

FLOOR = {room: floor for floor, rooms in enumerate(ROOMS) for room in rooms}

HOME = Path(kiwinb.__file__).parent
MODULES = {
    ".".join(("kiwinb", *file.relative_to(HOME).with_suffix("").parts)).removesuffix(
        ".__init__"
    ): file
    for file in HOME.rglob("*.py")
}


def imports(text: str) -> Iterator[str]:
    """All that a module imports of kiwinb, in functions and for type checkers as well."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (item.name for item in node.names if item.name.split(".")[0] == "kiwinb")
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            module = node.module or ""
            if module.split(".")[0] == "kiwinb":
                for item in node.names:
                    name = f"{module}.{item.name}"
                    yield name if name in MODULES else module


IMPORTS = {name: frozenset(imports(file.read_text("utf-8"))) for name, file in MODULES.items()}


def room(module: str) -> str:
    """The room that a module is in; empty for the package itself."""
    return module.partition(".")[2].partition(".")[0]


def test_every_room_has_its_place() -> None:
    assert {room(name) for name in MODULES} == FLOOR.keys()


def test_arrows_run_down() -> None:
    upwards = {
        (name, target)
        for name, targets in IMPORTS.items()
        for target in targets
        if room(name) != room(target) and FLOOR[room(name)] <= FLOOR[room(target)]
        if not (FLOOR[room(name)] == 0 == FLOOR[room(target)])
    }
    assert upwards == set()


def test_no_circles() -> None:
    try:
        tuple(TopologicalSorter(IMPORTS).static_order())
    except CycleError as error:
        raise AssertionError(f"modules import one another: {' <- '.join(error.args[1])}") from None


def test_imports_in_functions_and_for_types_count() -> None:
    text = (
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from kiwinb.build.image import Image\n"
        "def f():\n    import kiwinb.cli\n    from kiwinb import expect, diff\n"
    )
    assert set(imports(text)) == {
        "kiwinb.build.image",
        "kiwinb.cli",
        "kiwinb.expect",
        "kiwinb",
    }
